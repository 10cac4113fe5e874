//! Indexes of a job's pods in short, such as `1,3-5`: how many they are, and whether two of them overlap.

use machinery::field::go_quote;

/// The first and the last index of a part.
type Interval = (i64, i64);

fn number(digits: &str) -> Result<i64, String> {
    digits.parse().map_err(|_| format!("cannot convert string to integer for index: {}", go_quote(digits)))
}

fn interval(part: &str, completions: i64) -> Result<Interval, String> {
    let mut limits = part.split('-');
    let (first, last) = (limits.next().unwrap_or_default(), limits.next());
    if limits.next().is_some() {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go_quote(part)
        ));
    }
    let within = |digits: &str| {
        number(digits).and_then(|index| {
            if index < completions {
                Ok(index)
            } else {
                Err(format!("too large index: {}", go_quote(digits)))
            }
        })
    };
    let from = within(first)?;
    let Some(last) = last else { return Ok((from, from)) };
    let to = within(last)?;
    if from >= to {
        return Err(format!("non-increasing order, previous: {from}, current: {to}"));
    }
    Ok((from, to))
}

/// How many indexes a text names, all of them below `completions`.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (from, to) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= from) {
            return Err(format!("non-increasing order, previous: {last}, current: {from}"));
        }
        total += to - from + 1;
        last = Some(to);
    }
    Ok(total)
}

/// The first index that both texts name. Parts that cannot be read are left out.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<Interval> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (one, other) = (intervals(one), intervals(other));
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 {
            one.next();
        } else {
            other.next();
        }
    }
    None
}

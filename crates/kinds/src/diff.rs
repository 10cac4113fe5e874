//! The difference of two texts, line by line, with three lines around each change: what an error shows of a change that
//! is not allowed. Changes are found by longest matching blocks, so that they read as everybody's do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// Lines shown before and after a change.
const CONTEXT: usize = 3;

#[derive(Clone, Debug, PartialEq)]
struct Block {
    a: usize,
    b: usize,
    len: usize,
}

struct Matcher<'a> {
    a: Vec<&'a str>,
    places_in_b: BTreeMap<&'a str, Vec<usize>>,
    b: Vec<&'a str>,
}

impl<'a> Matcher<'a> {
    fn new(a: &'a str, b: &'a str) -> Matcher<'a> {
        let (a, b): (Vec<&str>, Vec<&str>) = (a.split('\n').collect(), b.split('\n').collect());
        let mut places_in_b: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, line) in b.iter().enumerate() {
            places_in_b.entry(line).or_default().push(place);
        }
        // Lines that are everywhere say nothing about what belongs together.
        if b.len() >= 200 {
            let many = b.len() / 100 + 1;
            places_in_b.retain(|_, places| places.len() <= many);
        }
        Matcher { a, places_in_b, b }
    }

    /// The longest run of equal lines, the first if there are several.
    fn longest(&self, a: Range<usize>, b: Range<usize>) -> Block {
        let mut best = Block { a: a.start, b: b.start, len: 0 };
        let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
        for at in a.clone() {
            let mut next = BTreeMap::new();
            for &place in self.places_in_b.get(self.a[at]).into_iter().flatten() {
                if place < b.start {
                    continue;
                }
                if place >= b.end {
                    break;
                }
                let before = if place == 0 { 0 } else { lengths.get(&(place - 1)).copied().unwrap_or(0) };
                let len = before + 1;
                next.insert(place, len);
                if len > best.len {
                    best = Block { a: at + 1 - len, b: place + 1 - len, len };
                }
            }
            lengths = next;
        }
        // Grow over lines that were left out of the search.
        while best.a > a.start && best.b > b.start && self.a[best.a - 1] == self.b[best.b - 1] {
            best = Block { a: best.a - 1, b: best.b - 1, len: best.len + 1 };
        }
        while best.a + best.len < a.end
            && best.b + best.len < b.end
            && self.a[best.a + best.len] == self.b[best.b + best.len]
        {
            best.len += 1;
        }
        best
    }

    fn blocks(&self) -> Vec<Block> {
        let mut found = Vec::new();
        let mut open = vec![(0..self.a.len(), 0..self.b.len())];
        while let Some((a, b)) = open.pop() {
            let block = self.longest(a.clone(), b.clone());
            if block.len == 0 {
                continue;
            }
            open.push((a.start..block.a, b.start..block.b));
            open.push((block.a + block.len..a.end, block.b + block.len..b.end));
            found.push(block);
        }
        found.sort_by_key(|block| (block.a, block.b));
        let mut merged: Vec<Block> = Vec::new();
        for block in found {
            match merged.last_mut() {
                Some(last) if last.a + last.len == block.a && last.b + last.len == block.b => {
                    last.len += block.len
                }
                _ => merged.push(block),
            }
        }
        merged.push(Block { a: self.a.len(), b: self.b.len(), len: 0 });
        merged
    }
}

/// A stretch of both texts, equal or not.
#[derive(Clone, Debug)]
struct Stretch {
    equal: bool,
    a: Range<usize>,
    b: Range<usize>,
}

fn stretches(matcher: &Matcher<'_>) -> Vec<Stretch> {
    let (mut a, mut b) = (0, 0);
    let mut list = Vec::new();
    for block in matcher.blocks() {
        if a < block.a || b < block.b {
            list.push(Stretch { equal: false, a: a..block.a, b: b..block.b });
        }
        (a, b) = (block.a + block.len, block.b + block.len);
        if block.len > 0 {
            list.push(Stretch { equal: true, a: block.a..a, b: block.b..b });
        }
    }
    list
}

/// Changes with what surrounds them; those near each other together.
fn hunks(mut list: Vec<Stretch>) -> Vec<Vec<Stretch>> {
    if let Some(first) = list.first_mut().filter(|stretch| stretch.equal) {
        first.a.start = first.a.start.max(first.a.end.saturating_sub(CONTEXT));
        first.b.start = first.b.start.max(first.b.end.saturating_sub(CONTEXT));
    }
    if let Some(last) = list.last_mut().filter(|stretch| stretch.equal) {
        last.a.end = last.a.end.min(last.a.start + CONTEXT);
        last.b.end = last.b.end.min(last.b.start + CONTEXT);
    }
    let mut hunks = Vec::new();
    let mut hunk: Vec<Stretch> = Vec::new();
    for stretch in list {
        if stretch.equal && stretch.a.len() > 2 * CONTEXT {
            let mut tail = stretch.clone();
            tail.a.end = stretch.a.start + CONTEXT;
            tail.b.end = stretch.b.start + CONTEXT;
            hunk.push(tail);
            hunks.push(std::mem::take(&mut hunk));
            let mut head = stretch.clone();
            head.a.start = stretch.a.end - CONTEXT;
            head.b.start = stretch.b.end - CONTEXT;
            hunk.push(head);
        } else {
            hunk.push(stretch);
        }
    }
    hunks.push(hunk);
    hunks.retain(|hunk| hunk.iter().any(|stretch| !stretch.equal));
    hunks
}

fn span(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        len => format!("{},{len}", range.start + 1),
    }
}

/// The unified difference of two texts, without a header.
pub fn unified(a: &str, b: &str) -> String {
    let matcher = Matcher::new(a, b);
    let mut out = String::new();
    for hunk in hunks(stretches(&matcher)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let (whole_a, whole_b) = (first.a.start..last.a.end, first.b.start..last.b.end);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "@@ -{} +{} @@", span(&whole_a), span(&whole_b));
        let mut lines = |sign: char, lines: &[&str]| {
            for line in lines {
                let _ = writeln!(out, "{sign}{line}");
            }
        };
        for stretch in &hunk {
            if stretch.equal {
                lines(' ', &matcher.a[stretch.a.clone()]);
            } else {
                lines('-', &matcher.a[stretch.a.clone()]);
                lines('+', &matcher.b[stretch.b.clone()]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_their_surroundings() {
        let a: Vec<String> = (1..=20).map(|number| format!("line {number}")).collect();
        let mut b = a.clone();
        b[9] = "other".to_owned();
        assert_eq!(
            unified(&a.join("\n"), &b.join("\n")),
            "@@ -7,7 +7,7 @@\n line 7\n line 8\n line 9\n-line 10\n+other\n line 11\n line 12\n line 13\n"
        );
        b.insert(0, "first".to_owned());
        let text = unified(&a.join("\n"), &b.join("\n"));
        assert!(text.starts_with("@@ -1,3 +1,4 @@\n+first\n line 1\n"), "{text}");
        assert!(text.contains("@@ -7,7 +8,7 @@\n"), "{text}");
    }

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(unified("a\nb", "a\nb"), "");
        assert_eq!(unified("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(unified("a\nb\nc", "a\nc"), "@@ -1,3 +1,2 @@\n a\n-b\n c\n");
    }
}

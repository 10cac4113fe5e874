//! Schedules in the notation of cron, as the cron library that upstream uses reads them.

/// When something is due: a set of values for each field of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Sets of minutes, hours, days, months and weekdays, as bits; `star` bits tell that a day field was not limited.
    Fields {
        /// Minutes 0–59.
        minutes: u64,
        /// Hours 0–23.
        hours: u64,
        /// Days of the month 1–31.
        days: u64,
        /// Months 1–12.
        months: u64,
        /// Weekdays 0–6, Sunday first.
        weekdays: u64,
        /// Whether the days of the month are not limited.
        any_day: bool,
        /// Whether the weekdays are not limited.
        any_weekday: bool,
    },
    /// Every so many seconds.
    Every(i64),
}

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// Reads a schedule; the error is what the library would say.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut rest = text;
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            let (zone, after) = text.split_once(' ').ok_or("provided bad location")?;
            let name = zone.split_once('=').map_or("", |(_, name)| name);
            if name != "UTC" && !name.is_empty() && jiff::tz::db().get(name).is_err() {
                return Err(format!("provided bad location {name}: unknown time zone {name}"));
            }
            rest = after.trim();
        }
        if let Some(descriptor) = rest.strip_prefix('@') {
            return Schedule::descriptor(rest, descriptor);
        }
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            let quoted: Vec<String> = fields.clone().into_iter().map(str::to_owned).collect();
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), quoted.join(" ")));
        };
        let any =
            |field: &str| field.split(',').any(|part| part.starts_with(['*', '?']) && !part.contains('/'));
        Ok(Schedule::Fields {
            minutes: field(minutes, &MINUTES)?,
            hours: field(hours, &HOURS)?,
            days: field(days, &DAYS)?,
            months: field(months, &MONTHS)?,
            weekdays: field(weekdays, &WEEKDAYS)?,
            any_day: any(days),
            any_weekday: any(weekdays),
        })
    }

    fn descriptor(text: &str, name: &str) -> Result<Schedule, String> {
        let fields = match name {
            "yearly" | "annually" => "0 0 1 1 *",
            "monthly" => "0 0 1 * *",
            "weekly" => "0 0 * * 0",
            "daily" | "midnight" => "0 0 * * *",
            "hourly" => "0 * * * *",
            _ => {
                let Some(span) = name.strip_prefix("every ") else {
                    return Err(format!("unrecognized descriptor: {text}"));
                };
                let nanos = machinery::time::parse_duration(span).ok_or_else(|| {
                    format!(
                        "failed to parse duration {text}: time: invalid duration {}",
                        machinery::field::go_quote(span)
                    )
                })?;
                return Ok(Schedule::Every((nanos / 1_000_000_000).max(1)));
            }
        };
        Schedule::parse(fields)
    }
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | range(part, bounds)?))
}

fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let single = ends.len() == 1;
    let (start, mut end);
    if matches!(ends[0], "*" | "?") {
        (start, end) = (bounds.min, bounds.max);
    } else {
        start = number(ends[0], bounds)?;
        end = match ends.as_slice() {
            [_] => start,
            [_, last] => number(last, bounds)?,
            _ => return Err(format!("too many hyphens: {text}")),
        };
    }
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = digits(step)?;
            // A lone number with a step means: from there to the end.
            if single {
                end = bounds.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok((start..=end).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
}

fn number(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    if let Some(position) = bounds.names.iter().position(|name| *name == lower) {
        return Ok(bounds.min + u32::try_from(position).unwrap_or(0));
    }
    digits(text)
}

fn digits(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => u32::try_from(number).map_err(|_| format!("number too large: {text}")),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            machinery::field::go_quote(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read() {
        for text in [
            "* * * * *",
            "*/5 * * * *",
            "0 0 1 1 *",
            "1-5,10 0-23/2 ? jan-mar mon,FRI",
            "@hourly",
            "@every 1h30m",
            "TZ=UTC * * * * *",
            "5/15 * * * *",
        ] {
            assert!(Schedule::parse(text).is_ok(), "{text}: {:?}", Schedule::parse(text));
        }
        let Ok(Schedule::Fields { minutes, any_day, .. }) = Schedule::parse("5/20 * * * *") else { panic!() };
        assert_eq!((minutes, any_day), (1 << 5 | 1 << 25 | 1 << 45, true));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (text, told) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("*/1/2 * * * *", "too many slashes: */1/2"),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(Schedule::parse(text), Err(told.to_owned()), "{text}");
        }
    }
}

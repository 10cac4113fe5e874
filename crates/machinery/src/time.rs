//! Points in time and spans as the API writes them: RFC 3339 to the second or microsecond, Go's durations, ages.

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl Timestamp {
    /// At the full second.
    pub fn from_secs(secs: i64) -> Timestamp {
        Timestamp { secs, nanos: 0 }
    }

    /// A point in time, if RFC 3339 can write it: in the years 1 to 9999.
    pub fn checked(secs: i64, nanos: u32) -> Option<Timestamp> {
        const FIRST: i64 = -62_135_596_800;
        const LAST: i64 = 253_402_300_799;
        ((FIRST..=LAST).contains(&secs) && nanos < 1_000_000_000).then_some(Timestamp { secs, nanos })
    }

    /// Reads RFC 3339, with or without a fraction, at any offset, as Go does.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let number = |from: usize, len: usize| -> Option<i64> {
            let digits = bytes.get(from..from + len)?;
            digits.iter().try_fold(0i64, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
            })
        };
        let literal = |at: usize, expected: u8| (bytes.get(at) == Some(&expected)).then_some(());
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        for (at, expected) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
            literal(at, expected)?;
        }
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0u32;
        if matches!(bytes.get(at), Some(b'.' | b',')) {
            let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            for place in 0..9 {
                let digit = if place < digits { u32::from(bytes[at + 1 + place] - b'0') } else { 0 };
                nanos = nanos * 10 + digit;
            }
            at += 1 + digits;
        }
        let offset = match bytes.get(at..)? {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        let secs = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
        // An offset may lead to a year that has no four digits: what was written of it could not be read again.
        let (year, ..) = civil_from_days(secs.div_euclid(86400));
        (0..=9999).contains(&year).then_some(Timestamp { secs, nanos })
    }

    /// `2006-01-02T15:04:05Z`
    pub fn to_rfc3339(self) -> String {
        let days = self.secs.div_euclid(86400);
        let rest = self.secs.rem_euclid(86400);
        let (year, month, day) = civil_from_days(days);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// `2006-01-02T15:04:05.000000Z`
    pub fn to_rfc3339_micro(self) -> String {
        let whole = self.to_rfc3339();
        format!("{}.{:06}Z", whole.trim_end_matches('Z'), self.nanos / 1000)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A span as `kubectl` shows ages: `45s`, `3m7s`, `5h`, `2d3h`, `324d`, `2y324d`.
pub fn human_duration(secs: i64) -> String {
    const DAY: i64 = 24;
    const YEAR: i64 = 365 * DAY;
    let pair = |whole: i64, unit: &str, rest: i64, rest_unit: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{rest_unit}") }
    };
    // A little clock skew is no reason to show something strange.
    match secs {
        ..-1 => return "<invalid>".to_owned(),
        -1 => return "0s".to_owned(),
        0..120 => return format!("{secs}s"),
        _ => {}
    }
    let (minutes, hours) = (secs / 60, secs / 3600);
    match (minutes, hours) {
        (..10, _) => pair(minutes, "m", secs % 60, "s"),
        (..180, _) => format!("{minutes}m"),
        (_, ..8) => pair(hours, "h", minutes % 60, "m"),
        (_, ..48) => format!("{hours}h"),
        (_, hours) if hours < 8 * DAY => pair(hours / DAY, "d", hours % DAY, "h"),
        (_, hours) if hours < 2 * YEAR => format!("{}d", hours / DAY),
        (_, hours) if hours < 8 * YEAR => pair(hours / YEAR, "y", hours / DAY % 365, "d"),
        (_, hours) => format!("{}y", hours / YEAR),
    }
}

/// Reads a span as Go writes it (`1h30m`, `1.5s`, `-300ms`): nanoseconds, or `None` where Go refuses.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_len);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
            return None;
        }
        let unit_len =
            after.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total += whole.parse::<i128>().unwrap_or(0) * nanos;
        let mut place = nanos;
        for digit in fraction.bytes().take(13) {
            total += i128::from(digit - b'0') * place / 10;
            place /= 10;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Writes a span of nanoseconds as Go does: `1h30m0s`, `1.5s`, `300ms`, `0s`.
pub fn format_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fractional = |value: u64, unit: u64| -> String {
        let (whole, fraction) = (value / unit, value % unit);
        if fraction == 0 {
            return whole.to_string();
        }
        let width = unit.ilog10() as usize;
        format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
    };
    let text = match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => format!("{}µs", fractional(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fractional(magnitude, 1_000_000)),
        _ => {
            const MINUTE: u64 = 60_000_000_000;
            let seconds = fractional(magnitude % MINUTE, 1_000_000_000);
            match (magnitude / (60 * MINUTE), magnitude / MINUTE % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_whose_year_has_no_four_digits_are_refused() {
        for text in ["9999-12-31T23:59:59.999999-23:59", "0000-01-01T00:00:00+00:01"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for text in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z"] {
            let read = Timestamp::parse(text).map(Timestamp::to_rfc3339);
            assert_eq!(read.as_deref(), Some(text));
        }
    }

    #[test]
    fn timestamps_are_read_and_written() {
        for (text, secs, written) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("2026-11-20T12:34:56Z", 1_795_178_096, "2026-11-20T12:34:56Z"),
            ("2000-02-29T23:59:59+01:00", 951_865_199, "2000-02-29T22:59:59Z"),
            ("1969-12-31T23:59:59.5Z", -1, "1969-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800, "0001-01-01T00:00:00Z"),
            ("2024-01-01T00:00:00-05:30", 1_704_087_000, "2024-01-01T05:30:00Z"),
        ] {
            let parsed = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(parsed.secs, secs, "{text}");
            assert_eq!(parsed.to_rfc3339(), written);
        }
        let micro = Timestamp::parse("2024-05-06T07:08:09.123456789Z").map(Timestamp::to_rfc3339_micro);
        assert_eq!(micro.as_deref(), Some("2024-05-06T07:08:09.123456Z"));
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+24:00",
            "ä024-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_survives_the_calendar() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=days_in_month(year, month)).contains(&day));
        }
    }

    #[test]
    fn ages_read_as_kubectls() {
        for (secs, age) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (1, "1s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_799, "7h59m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_199, "7d23h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (91_065_600, "2y324d"),
            (252_287_999, "7y364d"),
            (252_288_000, "8y"),
            (1_000_000_000, "31y"),
        ] {
            assert_eq!(human_duration(secs), age, "{secs}");
        }
    }

    #[test]
    fn durations_read_as_gos() {
        for (text, nanos, written) in [
            ("0", 0, "0s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("-300ms", -300_000_000, "-300ms"),
            ("2us", 2_000, "2µs"),
            ("1m0.25s", 60_250_000_000, "1m0.25s"),
            ("10ns", 10, "10ns"),
            ("+5s", 5_000_000_000, "5s"),
            (".5h", 1_800_000_000_000, "30m0s"),
            ("1.25us", 1_250, "1.25µs"),
            ("24h", 86_400_000_000_000, "24h0m0s"),
        ] {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
            assert_eq!(format_duration(nanos), written);
        }
        for text in ["", "-", "1", "s", "1x", "1h2", ".s", "1 s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}

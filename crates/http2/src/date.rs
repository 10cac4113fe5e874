//! The `date` of an answer.

use env::WallTime;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The beginning of the field: not indexed, its name the 33rd of the static table, 29 bytes without huffman.
const FIELD: [u8; 3] = [0x0f, 33 - 15, 29];

/// Appends the field to a block of headers. It changes each second, so nobody should remember it.
pub fn append(now: WallTime, out: &mut Vec<u8>) {
    out.extend_from_slice(&FIELD);
    out.extend_from_slice(&imf(now));
}

/// As HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf(now: WallTime) -> [u8; 29] {
    // Nobody's clock stands before the beginning of time.
    let secs = now.secs().max(0);
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize].as_bytes());
    text[8..11].copy_from_slice(MONTHS[month - 1].as_bytes());
    let numbers = [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, second / 3_600),
        (20, second / 60 % 60),
        (23, second % 60),
    ];
    for (at, number) in numbers {
        text[at] = b'0' + (number / 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    }
    text
}

/// The date of a day since 1970-01-01, by counting years from March, whose leap day is their last.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    // A month is between 1 and 12.
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (i64::MAX, "Fri, 11 Apr 2262 23:47:16 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&imf(WallTime::from_secs(secs))).unwrap(), text);
        }
    }
}

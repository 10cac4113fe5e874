//! Times of day as the API writes them.

use env::WallTime;
use jiff::Timestamp;

/// The instant as `jiff` and the typed kinds hold it.
pub fn timestamp(time: WallTime) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The instant of a timestamp.
pub fn wall(time: Timestamp) -> WallTime {
    WallTime(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX))
}

/// `2026-01-02T15:04:05Z`: `Time`, whole seconds.
pub fn seconds(time: WallTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02T15:04:05.000006Z`: `MicroTime`, always six digits.
pub fn micros(time: WallTime) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads any of the forms; `None` if it is none.
pub fn parse(text: &str) -> Option<WallTime> {
    text.parse::<Timestamp>().ok().map(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_those_of_the_api() {
        let time = WallTime(1_767_366_245_000_006_789);
        assert_eq!(seconds(time), "2026-01-02T15:04:05Z");
        assert_eq!(micros(time), "2026-01-02T15:04:05.000006Z");
        assert_eq!(parse("2026-01-02T15:04:05Z").map(WallTime::secs), Some(1_767_366_245));
        assert_eq!(parse("2026-01-02T15:04:05.5+00:00").map(|time| time.subsec_nanos()), Some(500_000_000));
        assert_eq!(parse("yesterday"), None);
    }
}

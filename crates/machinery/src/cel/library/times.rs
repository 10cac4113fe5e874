//! Looking into points and spans of time.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp as Instant, Zoned};

use super::super::failure::{Failure, Outcome};
use super::super::value::Val;
use super::{Row, misfit};
use crate::time::Timestamp;

pub(super) const ROWS: &[Row] = &[
    ("timestamp_to_year", "(timestamp).getFullYear() int", year),
    ("timestamp_to_year_with_tz", "(timestamp).getFullYear(string) int", year),
    ("timestamp_to_month", "(timestamp).getMonth() int", month),
    ("timestamp_to_month_with_tz", "(timestamp).getMonth(string) int", month),
    ("timestamp_to_day_of_year", "(timestamp).getDayOfYear() int", day_of_year),
    ("timestamp_to_day_of_year_with_tz", "(timestamp).getDayOfYear(string) int", day_of_year),
    ("timestamp_to_day_of_month", "(timestamp).getDayOfMonth() int", day_of_month),
    ("timestamp_to_day_of_month_with_tz", "(timestamp).getDayOfMonth(string) int", day_of_month),
    ("timestamp_to_day_of_month_1_based", "(timestamp).getDate() int", date),
    ("timestamp_to_day_of_month_1_based_with_tz", "(timestamp).getDate(string) int", date),
    ("timestamp_to_day_of_week", "(timestamp).getDayOfWeek() int", day_of_week),
    ("timestamp_to_day_of_week_with_tz", "(timestamp).getDayOfWeek(string) int", day_of_week),
    ("timestamp_to_hours", "(timestamp).getHours() int", hours),
    ("timestamp_to_hours_with_tz", "(timestamp).getHours(string) int", hours),
    ("duration_to_hours", "(duration).getHours() int", hours),
    ("timestamp_to_minutes", "(timestamp).getMinutes() int", minutes),
    ("timestamp_to_minutes_with_tz", "(timestamp).getMinutes(string) int", minutes),
    ("duration_to_minutes", "(duration).getMinutes() int", minutes),
    ("timestamp_to_seconds", "(timestamp).getSeconds() int", seconds),
    ("timestamp_to_seconds_tz", "(timestamp).getSeconds(string) int", seconds),
    ("duration_to_seconds", "(duration).getSeconds() int", seconds),
    ("timestamp_to_milliseconds", "(timestamp).getMilliseconds() int", milliseconds),
    ("timestamp_to_milliseconds_with_tz", "(timestamp).getMilliseconds(string) int", milliseconds),
    ("duration_to_milliseconds", "(duration).getMilliseconds() int", milliseconds),
];

/// A point in time as clocks of a zone show it.
fn zoned(time: Timestamp, zone: &str) -> Result<Zoned, Failure> {
    let failed = || Failure::new(format!("unknown time zone {zone}"));
    let instant =
        Instant::new(time.secs, time.nanos as i32).map_err(|_| Failure::new("timestamp overflow"))?;
    let zone = match zone.split_once(':') {
        Some((hours, minutes)) => {
            let (hours, minutes): (i32, i32) =
                (hours.parse().map_err(|_| failed())?, minutes.parse().map_err(|_| failed())?);
            let minutes = if zone.starts_with('-') { -minutes } else { minutes };
            TimeZone::fixed(Offset::from_seconds(hours * 3600 + minutes * 60).map_err(|_| failed())?)
        }
        None if zone.is_empty() || zone == "UTC" => TimeZone::UTC,
        None => TimeZone::get(zone).map_err(|_| failed())?,
    };
    Ok(instant.to_zoned(zone))
}

/// Asks a point in time, in a zone if one is given, or a span.
fn ask<'a>(
    arguments: &[Val<'a>],
    of_time: fn(&Zoned) -> i64,
    of_span: impl Fn(i64) -> Option<i64>,
) -> Outcome<'a> {
    let number = match arguments {
        [Val::Timestamp(time)] => of_time(&zoned(*time, "")?),
        [Val::Timestamp(time), Val::String(zone)] => of_time(&zoned(*time, zone)?),
        [Val::Duration(nanos)] => match of_span(*nanos) {
            Some(number) => number,
            None => return misfit(),
        },
        _ => return misfit(),
    };
    Ok(Val::Int(number))
}

fn year<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.year()), |_| None)
}

fn month<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.month()) - 1, |_| None)
}

fn day_of_year<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.day_of_year()) - 1, |_| None)
}

fn day_of_month<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.day()) - 1, |_| None)
}

fn date<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.day()), |_| None)
}

fn day_of_week<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.weekday().to_sunday_zero_offset()), |_| None)
}

fn hours<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.hour()), |nanos| Some(nanos / 3_600_000_000_000))
}

fn minutes<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.minute()), |nanos| Some(nanos / 60_000_000_000))
}

fn seconds<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.second()), |nanos| Some(nanos / 1_000_000_000))
}

fn milliseconds<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ask(arguments, |time| i64::from(time.millisecond()), |nanos| Some(nanos / 1_000_000))
}

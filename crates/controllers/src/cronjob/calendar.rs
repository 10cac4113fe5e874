//! When a schedule is due, in a time zone: at every instant at which the clock on the wall shows what it says.
//!
//! Where clocks are set forward, what they skip does not happen; where they are set back, what they show twice happens
//! twice.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use kinds::batch::cron::Schedule;

/// How far ahead a due time is looked for: there are never more than eight years between two leap years.
const YEARS_AHEAD: i16 = 9;

/// A schedule in a time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    schedule: Schedule,
    zone: TimeZone,
}

/// Why there is no calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The time zone is not known.
    Zone(String),
    /// The schedule is none.
    Schedule(String),
}

fn zone(name: &str) -> Result<TimeZone, Fault> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    jiff::tz::db().get(name).map_err(|_| Fault::Zone(format!("unknown time zone {name}")))
}

impl Calendar {
    /// Reads a schedule. A zone in the schedule itself, which is refused nowadays, goes before `zone_name`.
    pub fn read(text: &str, zone_name: Option<&str>) -> Result<Calendar, Fault> {
        let zone_name = zone_name.map(zone).transpose()?;
        let schedule = Schedule::parse(text).map_err(Fault::Schedule)?;
        let prefix = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
        let zone = match prefix.and_then(|rest| rest.split_once(' ')) {
            Some((name, _)) => zone(name)?,
            None => zone_name.unwrap_or(TimeZone::UTC),
        };
        Ok(Calendar { schedule, zone })
    }

    /// The zone its times are told in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first due time after `after`; `None` if there is none within reach, as on a 31st of February.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let Schedule::Fields { minutes, hours, days, months, weekdays, any_day, any_weekday } =
            &self.schedule
        else {
            return self.next_of_interval(after);
        };
        let fits_day = |date: Date| {
            let day = days & (1 << date.day()) != 0;
            let weekday = weekdays & (1 << date.weekday().to_sunday_zero_offset()) != 0;
            // Two limits widen each other; where there is only one, it alone counts.
            let fits = if *any_day || *any_weekday { day && weekday } else { day || weekday };
            months & (1 << date.month()) != 0 && fits
        };
        // One day early: where clocks are set back over midnight, a day goes on after it was over.
        let mut date = self.zone.to_datetime(after).date().yesterday().ok()?;
        let end = date.checked_add(YEARS_AHEAD.years()).unwrap_or(Date::MAX);
        while date < end {
            if months & (1 << date.month()) == 0 {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if fits_day(date)
                && let Some(due) = self.first_of_day(date, *hours, *minutes, after)
            {
                return Some(due);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn next_of_interval(&self, after: Timestamp) -> Option<Timestamp> {
        let Schedule::Every(secs) = &self.schedule else { return None };
        let whole = Timestamp::from_second(after.as_second()).ok()?;
        whole.checked_add(SignedDuration::from_secs(*secs)).ok()
    }

    /// The first due time of a day that is after `after`.
    fn first_of_day(&self, date: Date, hours: u64, minutes: u64, after: Timestamp) -> Option<Timestamp> {
        let midnight = self.zone.to_ambiguous_timestamp(DateTime::from(date));
        let has_one_midnight = !midnight.is_ambiguous();
        let start = midnight.earlier().ok()?;
        let next_day = DateTime::from(date.tomorrow().ok()?);
        let end = self.zone.to_ambiguous_timestamp(next_day).later().ok()?;
        if end <= after {
            return None;
        }
        let shift = self.zone.following(start - SignedDuration::from_secs(1)).next();
        let is_even = has_one_midnight && shift.is_none_or(|shift| shift.timestamp() >= end);
        if is_even {
            let seconds = after.as_second() - start.as_second();
            let first = if after < start { 0 } else { seconds.div_euclid(60) + 1 };
            let minute = first_minute(first, hours, minutes)?;
            return start.checked_add(SignedDuration::from_mins(minute)).ok();
        }
        self.first_of_uneven_day(date, hours, minutes, after)
    }

    /// The same for a day on which clocks are set.
    fn first_of_uneven_day(
        &self,
        date: Date,
        hours: u64,
        minutes: u64,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let mut first = None;
        let mut from = 0;
        while let Some(minute) = first_minute(from, hours, minutes) {
            from = minute + 1;
            let shown = DateTime::from(date).checked_add(minute.minutes()).ok()?;
            let instants = self.zone.to_ambiguous_timestamp(shown);
            let (early, late) = (instants.earlier().ok()?, instants.later().ok()?);
            for instant in [early, late] {
                // A time that was skipped is shown by no clock.
                let is_shown = self.zone.to_datetime(instant) == shown;
                if is_shown && instant > after {
                    first = Some(first.map_or(instant, |first: Timestamp| first.min(instant)));
                }
            }
        }
        first
    }
}

/// The first minute of a day, not before `from`, at which both hour and minute fit.
fn first_minute(from: i64, hours: u64, minutes: u64) -> Option<i64> {
    let mut minute = from;
    while minute < 24 * 60 {
        let (hour, within) = (minute / 60, minute % 60);
        let left = minutes >> within;
        if hours & (1 << hour) != 0 && left != 0 {
            return Some(minute + i64::from(left.trailing_zeros()));
        }
        minute = (hour + 1) * 60;
    }
    None
}

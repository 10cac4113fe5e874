use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::{Value, json};

use super::calendar::{Calendar, Fault};
use super::due::{Due, TOO_DENSE, due, wait};
use super::plan::{Child, View, plan};
use crate::tests::fixtures::{NOW, body, merge, object, status, writes};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(schedule: &str, zone: &str) -> Calendar {
    Calendar::read(schedule, Some(zone).filter(|zone| !zone.is_empty())).unwrap()
}

#[test]
fn the_next_time_is_the_next_that_fits() {
    let cases = [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z"),
        ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("30 4 1,15 * *", "2026-01-15T04:30:00Z", "2026-02-01T04:30:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
        ("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("0 12 * * mon", "2026-01-01T00:00:00Z", "2026-01-05T12:00:00Z"),
        ("0 12 * * 0", "2026-01-01T00:00:00Z", "2026-01-04T12:00:00Z"),
        ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 0 13 * *", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z"),
        ("0 0 * */3 5", "2026-01-31T00:00:00Z", "2026-04-03T00:00:00Z"),
        ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
        ("@hourly", "2026-01-01T00:10:00Z", "2026-01-01T01:00:00Z"),
        ("@weekly", "2026-01-01T00:10:00Z", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-01-01T00:10:00Z", "2026-02-01T00:00:00Z"),
        ("@yearly", "2026-01-01T00:10:00Z", "2027-01-01T00:00:00Z"),
        ("@every 90s", "2026-01-01T00:00:00.7Z", "2026-01-01T00:01:30Z"),
        ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("CRON_TZ=Asia/Tokyo 0 10 * * *", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
    ];
    for (schedule, after, next) in cases {
        assert_eq!(calendar(schedule, "").next(at(after)), Some(at(next)), "{schedule} after {after}");
    }
    assert_eq!(calendar("0 0 31 2 *", "").next(at("2026-01-01T00:00:00Z")), None);
}

#[test]
fn what_cannot_be_read_is_told() {
    assert!(matches!(Calendar::read("* * *", None), Err(Fault::Schedule(_))));
    let fault = Fault::Zone("unknown time zone Mars/Olympus".to_owned());
    assert_eq!(Calendar::read("* * * * *", Some("Mars/Olympus")).unwrap_err(), fault);
}

/// Days on which clocks are set: the schedule, the day before at noon, and what is due in the two days after.
#[test]
fn where_clocks_are_set_a_time_may_come_twice_or_not_at_all() {
    let cases: [(&str, &str, &str, &[&str]); 9] = [
        // New York, forward at 2:00 on 8 March 2026.
        ("30 2 * * *", "America/New_York", "2026-03-07T17:00:00Z", &["2026-03-09T06:30:00Z"]),
        (
            "0 3 * * *",
            "America/New_York",
            "2026-03-07T17:00:00Z",
            &["2026-03-08T07:00:00Z", "2026-03-09T07:00:00Z"],
        ),
        // Back at 2:00 on 1 November 2026.
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T17:00:00Z",
            &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        (
            "0 2 * * *",
            "America/New_York",
            "2026-10-31T17:00:00Z",
            &["2026-11-01T07:00:00Z", "2026-11-02T07:00:00Z"],
        ),
        // Berlin, forward at 2:00 on 29 March, back at 3:00 on 25 October.
        ("15 2 * * *", "Europe/Berlin", "2026-03-28T11:00:00Z", &["2026-03-30T00:15:00Z"]),
        (
            "15 2 * * *",
            "Europe/Berlin",
            "2026-10-24T11:00:00Z",
            &["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z", "2026-10-26T01:15:00Z"],
        ),
        // Lord Howe moves by half an hour: back at 2:00 on 5 April 2026.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T01:00:00Z",
            &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"],
        ),
        // Santiago skips midnight itself on 6 September 2026.
        ("0 0 * * *", "America/Santiago", "2026-09-05T16:00:00Z", &["2026-09-07T03:00:00Z"]),
        // Samoa skipped a whole day: there was no 30 December 2011.
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", &[]),
    ];
    for (schedule, zone, start, expected) in cases {
        let calendar = calendar(schedule, zone);
        let end = at(start) + jiff::SignedDuration::from_hours(48);
        let mut due = Vec::new();
        let mut next = calendar.next(at(start));
        while let Some(time) = next.filter(|time| *time <= end) {
            due.push(time);
            next = calendar.next(time);
        }
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(due, expected, "{schedule} in {zone}");
    }
}

/// Whether a schedule is due when a clock on the wall shows this.
type Shown = fn(jiff::civil::DateTime) -> bool;

/// Ten years minute by minute around every change of clocks, and day by day between: what is due is exactly what a
/// clock on the wall shows.
#[test]
fn ten_years_of_schedules_agree_with_the_clock_on_the_wall() {
    let zones = [
        "UTC",
        "America/New_York",
        "Europe/London",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Africa/Casablanca",
        "Pacific/Chatham",
    ];
    let schedules: [(&str, Shown); 5] = [
        ("30 2 * * *", |time| time.hour() == 2 && time.minute() == 30),
        ("*/20 1-3 * * *", |time| (1..=3).contains(&time.hour()) && matches!(time.minute(), 0 | 20 | 40)),
        ("0 0 * * sun", |time| {
            time.hour() == 0 && time.minute() == 0 && time.weekday().to_sunday_zero_offset() == 0
        }),
        ("5 */6 1,2,8-14 * 6", |time| {
            let weekday = time.weekday().to_sunday_zero_offset() == 6;
            time.minute() == 5
                && matches!(time.hour(), 0 | 6 | 12 | 18)
                && (matches!(time.day(), 1 | 2 | 8..=14) || weekday)
        }),
        ("0 3 * 3,4,10,11 *", |time| {
            time.minute() == 0 && time.hour() == 3 && matches!(time.month(), 3 | 4 | 10 | 11)
        }),
    ];
    let (start, end) = (at("2024-01-01T00:00:00Z"), at("2034-01-01T00:00:00Z"));
    for name in zones {
        let zone = jiff::tz::db().get(name).unwrap();
        let changes = zone.following(start).map(|change| change.timestamp()).take_while(|time| *time < end);
        let days = (0..120).map(|month| start + jiff::SignedDuration::from_hours(month * 24 * 30));
        let spots: Vec<Timestamp> = changes.chain(days).collect();
        for (schedule, is_due) in schedules {
            let calendar = calendar(schedule, name);
            for spot in &spots {
                let from = *spot - jiff::SignedDuration::from_hours(14);
                let until = *spot + jiff::SignedDuration::from_hours(14);
                let mut plain = Vec::new();
                let mut minute = from;
                while minute < until {
                    minute += jiff::SignedDuration::from_mins(1);
                    if is_due(zone.to_datetime(minute)) {
                        plain.push(minute);
                    }
                }
                let mut found = Vec::new();
                let mut next = calendar.next(from);
                while let Some(time) = next.filter(|time| *time <= until) {
                    found.push(time);
                    next = calendar.next(time);
                }
                assert_eq!(found, plain, "{schedule} in {name} around {spot}");
            }
        }
    }
}

#[test]
fn of_missed_starts_only_the_last_is_made_up_for() {
    let cases = [
        ("0 * * * *", "10:00:00Z", "10:59:59Z", None, false),
        ("0 * * * *", "10:00:00Z", "11:00:00Z", Some("11:00:00Z"), false),
        ("0 * * * *", "10:30:00Z", "14:10:00Z", Some("14:00:00Z"), false),
        ("* * * * *", "10:00:00Z", "11:40:30Z", Some("11:40:00Z"), false),
        ("* * * * *", "10:00:00Z", "11:41:30Z", Some("11:41:00Z"), true),
        // How many were missed is estimated by the distance of the first two.
        ("0,59 * * * *", "10:00:00Z", "15:30:00Z", Some("15:00:00Z"), true),
        ("0-5 10 * * *", "10:01:30Z", "23:00:00Z", Some("10:05:00Z"), true),
    ];
    for (schedule, earliest, now, start, missed_many) in cases {
        let time = |text: &str| at(&format!("2026-01-01T{text}"));
        let found = due(&calendar(schedule, ""), time(earliest), time(now)).unwrap();
        assert_eq!(found, Due { start: start.map(time), missed_many }, "{schedule} at {now}");
    }
    assert_eq!(
        due(&calendar("0 0 31 2 *", ""), at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z")),
        Err(TOO_DENSE)
    );
}

#[test]
fn the_wait_ends_just_after_the_next_start() {
    let wait = wait(&calendar("0 * * * *", ""), at("2026-01-01T10:59:00Z"));
    assert_eq!(wait, Some(Duration::from_millis(60_100)));
}

fn cron(changes: Value) -> Value {
    let mut cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": "tidy", "namespace": "shop", "uid": "cron-1", "resourceVersion": "7",
            "creationTimestamp": "2025-12-31T23:30:00Z" },
        "spec": {
            "schedule": "0 * * * *", "concurrencyPolicy": "Allow", "suspend": false,
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "metadata": { "labels": { "app": "tidy" }, "annotations": { "a": "b" } },
                "spec": { "template": { "spec": { "containers": [] } } },
            },
        },
    });
    merge(&mut cron, changes);
    cron
}

fn child(name: &str, end: Option<(&str, &str)>) -> Value {
    let status = match end {
        None => json!({ "active": 1 }),
        Some((kind, time)) => json!({ "startTime": time,
            "completionTime": if kind == "Complete" { json!(time) } else { Value::Null },
            "conditions": [{ "type": kind, "status": "True" }] }),
    };
    json!({ "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "5" },
        "spec": { "template": { "spec": { "containers": [] } } }, "status": status })
}

fn view(cron: &Value, children: &[Value]) -> View {
    let cron = object(cron);
    let typed = |child: &Value| {
        let object = object(child);
        Child { job: object.view::<Job>().unwrap(), object }
    };
    View {
        cron: cron.view::<CronJob>().unwrap(),
        object: cron,
        children: children.iter().map(typed).collect(),
        missing: ["uid-lost".to_owned()].into(),
    }
}

/// [`NOW`] is a full hour.
const MINUTES: i64 = NOW.secs() / 60;

fn listed(names: &[&str]) -> Value {
    let references =
        names.iter().map(|name| json!({ "name": name, "namespace": "shop", "uid": format!("uid-{name}") }));
    json!({ "status": { "active": references.collect::<Vec<Value>>() } })
}

fn with(mut left: Value, right: Value) -> Value {
    merge(&mut left, right);
    left
}

/// Changes of the CronJob, its Jobs, what is written, and what is told.
type Case = (Value, Vec<Value>, Vec<String>, Vec<&'static str>);

/// The CronJob, its Jobs, and what is written and told.
#[test]
fn a_start_that_is_due_is_made_as_the_policy_allows() {
    let old = format!("tidy-{}", MINUTES - 60);
    let due = format!("tidy-{MINUTES}");
    let policy = |name: &str| json!({ "spec": { "concurrencyPolicy": name } });
    let last = |text: &str| json!({ "status": { "lastScheduleTime": text } });
    let busy = || listed(&[old.as_str()]);
    let removal = format!("delete jobs shop/{old}");
    let running = child(&old, None);
    let create = "create jobs shop/?".to_owned();
    let cases: Vec<Case> = vec![
        (json!({}), vec![], vec![create.clone()], vec![]),
        (last("2025-12-31T23:00:00Z"), vec![], vec![create.clone()], vec![]),
        (last("2026-01-01T00:00:00Z"), vec![], vec![], vec![]),
        (json!({ "spec": { "suspend": true } }), vec![], vec![], vec![]),
        (json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }), vec![], vec![], vec![]),
        (json!({}), vec![child(&due, None)], vec![], vec![]),
        (with(policy("Allow"), busy()), vec![running.clone()], vec![create.clone()], vec![]),
        (with(policy("Forbid"), busy()), vec![running.clone()], vec![], vec!["JobAlreadyActive"]),
        (policy("Forbid"), vec![running.clone()], vec![], vec!["JobAlreadyActive"]),
        (with(policy("Replace"), busy()), vec![running.clone()], vec![removal, create.clone()], vec![]),
        (
            with(policy("Forbid"), busy()),
            vec![child(&old, Some(("Failed", "2025-12-31T23:10:00Z")))],
            vec![create.clone()],
            vec!["SawCompletedJob"],
        ),
        (json!({}), vec![child("by-hand", None)], vec![create.clone()], vec!["UnexpectedJob"]),
        (with(policy("Forbid"), listed(&["lost"])), vec![], vec![create.clone()], vec!["MissingJob"]),
        (json!({ "spec": { "timeZone": "Mars/Olympus" } }), vec![], vec![], vec!["UnknownTimeZone"]),
        (json!({ "spec": { "schedule": "no" } }), vec![], vec![], vec!["UnparseableSchedule"]),
        (json!({ "spec": { "schedule": "0 0 31 2 *" } }), vec![], vec![], vec!["InvalidSchedule"]),
        (
            json!({ "spec": { "schedule": "50 * * * *", "startingDeadlineSeconds": 500 } }),
            vec![],
            vec![],
            vec![],
        ),
        (
            json!({ "spec": { "schedule": "50 * * * *", "startingDeadlineSeconds": 700 } }),
            vec![],
            vec![create.clone()],
            vec![],
        ),
        (
            with(last("2025-12-01T00:00:00Z"), json!({ "spec": { "schedule": "* * * * *" } })),
            vec![],
            vec![create],
            vec!["TooManyMissedTimes"],
        ),
    ];
    for (changes, children, expected, told) in cases {
        let plan = plan(&view(&cron(changes.clone()), &children), NOW);
        assert_eq!(plan.retry, None);
        assert_eq!(writes(&plan), expected, "{changes}");
        let reasons: Vec<&str> = plan.notes.iter().map(|note| note.reason).collect();
        assert_eq!(reasons, told, "{changes}");
    }
}

#[test]
fn a_made_job_is_the_templates_and_named_by_its_time() {
    for (zone, shown) in
        [(Value::Null, "2026-01-01T00:00:00Z"), (json!("Asia/Kolkata"), "2025-12-31T23:30:00Z")]
    {
        let zoned = !zone.is_null();
        let plan = plan(&view(&cron(json!({ "spec": { "timeZone": zone } })), &[]), NOW);
        if zoned {
            // A full hour there is a half one here, and the CronJob was made at that very moment.
            assert_eq!(plan.ops().count(), 0, "{shown}");
            continue;
        }
        let job = body(plan.ops().next().unwrap());
        assert_eq!(job["metadata"]["name"], format!("tidy-{MINUTES}"));
        assert_eq!(job["metadata"]["labels"], json!({ "app": "tidy" }));
        assert_eq!(
            job["metadata"]["annotations"],
            json!({ "a": "b", "batch.kubernetes.io/cronjob-scheduled-timestamp": shown })
        );
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "cron-1");
        assert_eq!(status(&plan)["lastScheduleTime"], shown);
    }
    let tokyo = json!({ "spec": { "timeZone": "Asia/Tokyo" } });
    let plan = plan(&view(&cron(tokyo), &[]), NOW);
    let job = body(plan.ops().next().unwrap());
    let shown = &job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"];
    assert_eq!(shown, "2026-01-01T09:00:00+09:00");
}

#[test]
fn the_list_of_running_jobs_is_kept() {
    let own = format!("tidy-{}", MINUTES - 120);
    let done = child("tidy-1", Some(("Complete", "2025-12-31T23:40:00Z")));
    let changes = with(
        listed(&["tidy-1", "lost"]),
        json!({ "status": { "lastScheduleTime": "2026-01-01T00:00:00Z" } }),
    );
    let plan = plan(&view(&cron(changes), &[child(&own, None), done]), NOW);
    let status = status(&plan);
    assert_eq!(status["active"].as_array().unwrap().len(), 1);
    assert_eq!(status["active"][0]["uid"], format!("uid-{own}"));
    assert_eq!(status["lastSuccessfulTime"], "2025-12-31T23:40:00Z");
    assert_eq!(plan.requeue_after, Some(Duration::from_millis(3_600_100)));
}

#[test]
fn of_the_jobs_that_are_over_the_oldest_go() {
    let done = |number: u32| {
        child(&format!("done-{number}"), Some(("Complete", &format!("2025-12-31T20:{number:0>2}:00Z"))))
    };
    let failed = |number: u32| {
        child(&format!("bad-{number}"), Some(("Failed", &format!("2025-12-31T20:{number:0>2}:00Z"))))
    };
    let mut going = done(9);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let children =
        [done(5), done(1), done(3), done(2), failed(2), failed(1), failed(3), going, child("run", None)];
    let quiet = json!({ "spec": { "suspend": true } });
    let plan = plan(&view(&cron(quiet), &children), NOW);
    assert_eq!(
        writes(&plan),
        ["delete jobs shop/done-1", "delete jobs shop/bad-1", "delete jobs shop/bad-2"]
    );
}

/// Whatever is cut off, the next look goes on from there, and nothing is made twice.
#[test]
fn a_start_is_made_once_wherever_the_process_dies() {
    let cron = cron(json!({}));
    let first = plan(&view(&cron, &[]), NOW);
    assert_eq!((first.ops().count(), first.status.is_some()), (1, true));
    let made = child(&format!("tidy-{MINUTES}"), None);
    let second = plan(&view(&cron, std::slice::from_ref(&made)), NOW);
    assert_eq!(second.ops().count(), 0);
    let told = status(&second);
    assert_eq!(told["lastScheduleTime"], "2026-01-01T00:00:00Z");
    let mut after = cron;
    after["status"] = told;
    assert!(plan(&view(&after, &[made]), NOW).is_quiet());
}

//! CronJob.

use machinery::Value;

use super::{cron, job};
use crate::place::Place;
use crate::pod_spec::defaults::{or, or_text};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CronJob;

/// Eleven characters are added to the name of each job.
const NAME_MAX: usize = 52;

impl Kind for CronJob {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or_text(spec, "concurrencyPolicy", "Allow");
        or(spec, "suspend", false);
        or(spec, "successfulJobsHistoryLimit", 3i64);
        or(spec, "failedJobsHistoryLimit", 1i64);
        if let Some(template) = spec.get_mut("jobTemplate")
            && let Some(template_spec) = template.get_mut("spec")
            && let Some(pods) = template_spec.get_mut("template")
        {
            crate::pod_spec::defaults::template(pods);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object, &Value::Null);
        let metadata = object.get("metadata");
        let name = metadata.get("name");
        if name.text().len() > NAME_MAX {
            name.invalid(format!("must be no more than {NAME_MAX} characters"));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door == Door::Main {
            check_spec(object, old.get("spec"));
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::CRON_JOB
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let (names, images) = table::containers(spec.at(&["jobTemplate", "spec", "template", "spec"]));
        let last = status.get("lastScheduleTime");
        let active = status.get("active").items().len();
        vec![
            table::name(object),
            table::text(spec.get("schedule")),
            table::text_or(spec.get("timeZone"), "<none>"),
            Value::from(if spec.get("suspend").is_true() { "True" } else { "False" }),
            Value::from(i64::try_from(active).unwrap_or(i64::MAX)),
            Value::from(if last.is_null() { "<none>".to_owned() } else { table::since(last, now_secs) }),
            table::age(object, now_secs),
            names,
            images,
            table::selector(spec.at(&["jobTemplate", "spec", "selector"])),
        ]
    }
}

fn check_spec(object: Place<'_>, old: &Value) {
    let spec = object.get("spec");
    let schedule = spec.get("schedule");
    if schedule.text().is_empty() {
        schedule.required("");
    } else {
        check_schedule(schedule, old, spec.get("timeZone").is_set());
    }
    spec.get("startingDeadlineSeconds").not_negative();
    let zone = spec.get("timeZone");
    if zone.is_set() && zone.value() != old.get("timeZone") {
        check_zone(zone);
    }
    spec.get("concurrencyPolicy").required_one_of(&["Allow", "Forbid", "Replace"]);
    let template = spec.get("jobTemplate");
    let job = template.get("spec");
    job::check_job_spec(job);
    if job.get("selector").is_set() {
        job.get("selector").invalid("`selector` will be auto-generated");
    }
    if job.get("manualSelector").is_true() {
        job.get("manualSelector").unsupported_as(true, &["nil", "false"]);
    }
    for member in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        spec.get(member).not_negative();
    }
}

fn check_schedule(schedule: Place<'_>, old: &Value, zoned: bool) {
    let text = schedule.text();
    if let Err(problem) = cron::Schedule::parse(text) {
        schedule.invalid(problem);
    }
    let tolerated = old.get("schedule").str_or_empty().contains("TZ");
    if text.contains("TZ") && tolerated && zoned {
        schedule.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
    } else if text.contains("TZ") && !tolerated {
        schedule.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    }
}

/// How long a part of the name of a time zone may be.
const ZONE_PART_MAX: usize = 14;

fn check_zone(zone: Place<'_>) {
    let name = zone.text();
    if name.is_empty() {
        return zone.invalid("timeZone must be nil or non-empty string");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    for part in name.split('/') {
        if part == "."
            || part == ".."
            || part.starts_with('-')
            || part.is_empty()
            || !part.bytes().all(allowed)
            || part.len() > ZONE_PART_MAX
        {
            return zone.invalid(format!("unknown time zone {name}"));
        }
    }
    if name.eq_ignore_ascii_case("Local") {
        return zone
            .invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    }
    let known = jiff::tz::db().get(name);
    // Names are files elsewhere: small letters are not capital ones.
    if name != "UTC" && known.ok().and_then(|zone| zone.iana_name().map(|known| known == name)) != Some(true)
    {
        zone.invalid(format!("unknown time zone {name}"));
    }
}

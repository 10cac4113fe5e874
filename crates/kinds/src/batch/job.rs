//! Job.

use machinery::{Value, names};

use super::{job_policies, job_status};
use crate::domain_path;
use crate::internal;
use crate::label_selector::{self, Values};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, or, or_text};
use crate::pod_spec::template;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Job;

/// The most completions that an indexed job can have when many of its pods run at once.
const INDEXES_MAX: i64 = 100_000;
/// How many of a job with more indexes than that may run at once, or fail.
const MANY_INDEXES_MAX: i64 = 10_000;

impl Kind for Job {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let labels = object.at(&["spec", "template", "metadata", "labels"]).clone();
        if object.at(&["metadata", "labels"]).is_empty() && !labels.is_empty() {
            object.entry("metadata").set("labels", labels);
        }
        default_spec(object.entry("spec"));
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        object.entry("metadata").set("generation", 1i64);
        generate_selector(object);
    }

    fn check(&self, object: Place<'_>) {
        check_new(object, &Value::Null);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return job_status::check(object, old);
        }
        let spec = object.get("spec");
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_new(object, old);
        check_spec(spec);
        check_changes(spec, old.get("spec"), object.value().at(&["status"]));
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.successful", object.at(&["status", "succeeded"]).as_int().unwrap_or(0).to_string())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["status.successful"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::JOB
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let succeeded = status.get("succeeded").as_int().unwrap_or(0);
        let completions =
            match (spec.get("completions").as_int(), spec.get("parallelism").as_int().unwrap_or(0)) {
                (Some(completions), _) => format!("{succeeded}/{completions}"),
                (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
                (None, _) => format!("{succeeded}/1"),
            };
        let (names, images) = table::containers(spec.at(&["template", "spec"]));
        vec![
            table::name(object),
            Value::from(job_status::shown(object)),
            Value::from(completions),
            Value::from(duration(status, now_secs)),
            table::age(object, now_secs),
            names,
            images,
            table::selector(spec.get("selector")),
        ]
    }
}

fn duration(status: &Value, now_secs: i64) -> String {
    use machinery::time::{Timestamp, human_duration};
    let Some(start) = Timestamp::parse(status.get("startTime").str_or_empty()) else { return String::new() };
    let end = Timestamp::parse(status.get("completionTime").str_or_empty()).map_or(now_secs, |end| end.secs);
    human_duration(end - start.secs)
}

/// Fills a job's specification in.
pub(super) fn default_spec(spec: &mut Value) {
    if !spec.get("template").is_null() {
        defaults::template(spec.entry("template"));
    }
    if spec.get("completions").is_null() && spec.get("parallelism").is_null() {
        spec.set("completions", 1i64);
        spec.set("parallelism", 1i64);
    }
    or(spec, "parallelism", 1i64);
    let unlimited = !spec.get("backoffLimitPerIndex").is_null();
    or(spec, "backoffLimit", if unlimited { i64::from(i32::MAX) } else { 6 });
    or(spec, "completionMode", "NonIndexed");
    or(spec, "suspend", false);
    or(spec, "manualSelector", false);
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for rule in defaults::members(policy, "rules") {
            for pattern in defaults::members(rule, "onPodConditions") {
                or_text(pattern, "status", "True");
            }
        }
    }
    let replace = if spec.get("podFailurePolicy").is_null() { "TerminatingOrFailed" } else { "Failed" };
    or(spec, "podReplacementPolicy", replace);
}

const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// Unless the writer chose the pods by hand, they are those that carry the job's identity.
fn generate_selector(object: &mut Value) {
    if object.at(&["spec", "manualSelector"]).is_true() {
        return;
    }
    let uid = object.at(&["metadata", "uid"]).clone();
    let name = object.at(&["metadata", "name"]).clone();
    let own_labels = object.at(&["metadata", "labels"]).clone();
    let spec = object.entry("spec");
    if spec.get("template").is_null() {
        return;
    }
    let inherits = same(&own_labels, spec.at(&["template", "metadata", "labels"]));
    let labels = spec.at_mut(&["template", "metadata", "labels"]);
    for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
        for key in keys {
            or(labels, key, value.clone());
        }
    }
    if let Some(map) = labels.as_object_mut() {
        map.sort_by_key(str::to_owned);
    }
    if spec.at(&["selector", "matchLabels", UID_LABELS[1]]).is_null() {
        *spec.at_mut(&["selector", "matchLabels", UID_LABELS[1]]) = uid;
    }
    // A job without labels of its own has those of its pods.
    if inherits {
        let labels = spec.at(&["template", "metadata", "labels"]).clone();
        object.entry("metadata").set("labels", labels);
    }
}

/// What is wrong with a job by itself. `old` is the one it takes the place of.
fn check_new(object: Place<'_>, old: &Value) {
    check_generated_selector(object, old);
    let spec = object.get("spec");
    check_spec(spec);
    // Pods of indexed jobs are named after the job and their index.
    if spec.get("completionMode").text() == "Indexed"
        && let Some(completions) = spec.get("completions").number().filter(|completions| *completions > 0)
    {
        let metadata = object.get("metadata");
        let name = metadata.get("name");
        let hostname = format!("{}-{}", name.text(), completions - 1);
        if !names::dns1123_label(&hostname).is_empty() {
            name.invalid_as(
                name.text(),
                format!("will not able to create pod with invalid DNS label: {hostname}"),
            );
        }
    }
}

fn check_generated_selector(object: Place<'_>, old: &Value) {
    let spec = object.get("spec");
    if spec.get("manualSelector").is_true() {
        return;
    }
    let selector = spec.get("selector");
    if !selector.is_set() {
        return;
    }
    let identity = object.value().get("metadata");
    let (uid, name) = (identity.get("uid").str_or_empty(), identity.get("name").str_or_empty());
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    // What was made before its labels had a domain need not have them.
    let old_labels = old.at(&["spec", "template", "metadata", "labels"]);
    let had = |key: &str| !old_labels.get(key).is_null();
    let with_domain = old.is_null() || had(UID_LABELS[1]) && had(NAME_LABELS[1]);
    let expected =
        [(UID_LABELS[0], uid), (NAME_LABELS[0], name), (UID_LABELS[1], uid), (NAME_LABELS[1], name)];
    let expected = &expected[..if with_domain { 4 } else { 2 }];
    for (key, wanted) in expected {
        let value = labels.value().get(key);
        let place = labels.with(value);
        if value.is_null() {
            place.at_key(key).required(&format!("must be '{wanted}'"));
        } else if value.str_or_empty() != *wanted {
            place.at_key(key).invalid(format!("must be '{wanted}'"));
        }
    }
    let of_generated = |asked: &str| expected.iter().find(|(key, _)| *key == asked).map(|(_, value)| *value);
    if let Some(parsed) = label_selector::parsed(selector.value())
        && !parsed.matches(of_generated)
    {
        selector.invalid("`selector` not auto-generated");
    }
}

fn check_spec(spec: Place<'_>) {
    check_job_spec(spec);
    let selector = spec.get("selector");
    if selector.is_set() {
        label_selector::check(selector, Values::Valid);
    } else {
        selector.required("");
    }
    // Whether labels and selector fit.
    let template = spec.get("template");
    match label_selector::parsed(selector.value()) {
        // Without a selector no pod is chosen.
        _ if !selector.is_set() => template::unselected(template),
        Some(parsed) => template::check_selected(template, &parsed),
        None => {}
    }
}

/// What is wrong with a job's specification but its selector: also what a CronJob holds.
pub(super) fn check_job_spec(spec: Place<'_>) {
    for member in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        spec.get(member).not_negative();
    }
    let failed = spec.get("maxFailedIndexes");
    failed.not_negative();
    if failed.is_set() && !spec.get("backoffLimitPerIndex").is_set() {
        spec.get("backoffLimitPerIndex").required("when maxFailedIndexes is specified");
    }
    let manager = spec.get("managedBy");
    if manager.is_set() {
        domain_path::check(manager);
        if manager.text().len() > 63 {
            manager.too_long(63);
        }
    }
    check_mode(spec);
    job_policies::check_failure(spec);
    job_policies::check_success(spec);
    let replacement = spec.get("podReplacementPolicy");
    if replacement.is_set() {
        check_replacement(spec, replacement);
    }
    let template = spec.get("template");
    template::check(template);
    let pod = template.get("spec");
    let restart = pod.get("restartPolicy");
    match restart.text() {
        "Never" => {}
        "OnFailure" if spec.get("podFailurePolicy").is_set() => {
            restart.invalid("only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" => {}
        "" | "Always" => restart.required("valid values: \"OnFailure\", \"Never\""),
        _ => restart.unsupported(&["OnFailure", "Never"]),
    }
}

fn check_mode(spec: Place<'_>) {
    let mode = spec.get("completionMode");
    if mode.is_set() {
        mode.one_of(&["NonIndexed", "Indexed"]);
    }
    if !mode.is_set() || mode.text() == "NonIndexed" {
        if spec.get("backoffLimitPerIndex").is_set() {
            spec.get("backoffLimitPerIndex").invalid("requires indexed completion mode");
        }
        if spec.get("maxFailedIndexes").is_set() {
            spec.get("maxFailedIndexes").invalid("requires indexed completion mode");
        }
    }
    if mode.text() == "Indexed" {
        check_indexed(spec);
    }
}

fn check_indexed(spec: Place<'_>) {
    let (completions, parallelism) = (spec.get("completions"), spec.get("parallelism"));
    if !completions.is_set() {
        completions.required("when completion mode is Indexed");
    }
    if parallelism.int() > INDEXES_MAX {
        parallelism
            .invalid(format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed"));
    }
    let failed = spec.get("maxFailedIndexes");
    if failed.is_set() && failed.int() > completions.int() {
        failed.invalid("must be less than or equal to completions");
    }
    if failed.int() > INDEXES_MAX {
        failed.invalid(format!("must be less than or equal to {INDEXES_MAX}"));
    }
    if completions.int() > INDEXES_MAX && spec.get("backoffLimitPerIndex").is_set() {
        if !failed.is_set() {
            failed.required(&format!("must be specified when completions is above {INDEXES_MAX}"));
        }
        for place in [parallelism, failed].into_iter().filter(|place| place.int() > MANY_INDEXES_MAX) {
            place.invalid(format!(
                "must be less than or equal to {MANY_INDEXES_MAX} when completions are above {INDEXES_MAX} and used with \
                 backoff limit per index"
            ));
        }
    }
}

fn check_replacement(spec: Place<'_>, replacement: Place<'_>) {
    let allowed: &[&str] =
        if spec.get("podFailurePolicy").is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    replacement.one_of(allowed);
}

fn check_changes(spec: Place<'_>, old: &Value, status: &Value) {
    let completions = spec.get("completions");
    if !same(completions.value(), old.get("completions")) {
        let indexed = spec.get("completionMode").text() == "Indexed";
        let follows = completions.number() == spec.get("parallelism").number();
        if !indexed {
            completions.invalid("field is immutable");
        } else if !follows {
            completions
                .invalid(format!("can only be modified in tandem with {}", spec.get("parallelism").path()));
        }
    }
    spec.get("selector").immutable_as(old.get("selector"), |value| {
        use machinery::field::Shown;
        value.shown()
    });
    check_template_change(spec, old, status);
    for member in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        let place = spec.get(member);
        let layout = match member {
            "podFailurePolicy" => "PodFailurePolicy",
            "successPolicy" => "SuccessPolicy",
            _ => "",
        };
        if layout.is_empty() || place.value().is_null() {
            place.immutable(old.get(member));
        } else {
            place.immutable_as(old.get(member), |value| internal::show(layout, value));
        }
    }
}

/// Nothing of the template may change, but for a job that is suspended and has no pods: where they run, and what they
/// need.
fn check_template_change(spec: Place<'_>, old: &Value, status: &Value) {
    let template = spec.get("template");
    let (new_template, old_template) = (template.value(), old.get("template"));
    let suspended = old.get("suspend").is_true();
    let idle = status.get("active").as_int().unwrap_or(0) == 0;
    let started = !status.get("startTime").is_null();
    if suspended && idle && (!started || job_status::condition_is_true(status, "Suspended")) {
        let munged = with_old_directives(new_template.get("spec"), old_template.get("spec"));
        if !same(&munged, old_template.get("spec")) {
            let pod = template.with(new_template.get("spec"));
            let shown = internal::show("PodSpec", pod.value());
            pod.at("spec").invalid_as(Raw(shown), "field is immutable");
        }
    } else if !same(new_template, old_template) {
        template.invalid_as(Raw(internal::show("PodTemplateSpec", new_template)), "field is immutable");
    }
}

/// The pod with what may change as it was: where it runs, and what its containers need.
fn with_old_directives(new: &Value, old: &Value) -> Value {
    let mut pod = new.clone();
    let affinity = ["affinity", "nodeAffinity"];
    match old.at(&affinity) {
        Value::Null if !pod.get("affinity").is_null() => {
            pod.entry("affinity").remove("nodeAffinity");
            if old.get("affinity").is_null() && pod.get("affinity").is_empty() {
                pod.remove("affinity");
            }
        }
        Value::Null => {}
        old => *pod.at_mut(&affinity) = old.clone(),
    }
    for member in ["nodeSelector", "tolerations", "schedulingGates"] {
        crate::policy::keep(&mut pod, old, member);
    }
    for list in ["containers", "initContainers"] {
        let old = old.get(list).items();
        let containers = pod.get_mut(list).map(Value::items_mut).unwrap_or_default();
        if containers.len() != old.len() {
            continue;
        }
        for (container, old) in containers.iter_mut().zip(old) {
            if container.get("name") == old.get("name") {
                crate::policy::keep(container, old, "resources");
            }
        }
    }
    pod
}

//! Job.

use std::collections::BTreeSet;

use machinery::selector::LabelSelector;
use machinery::{Value, names};

use super::job_status;
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
const RULES_MAX: usize = 20;

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
        check_generated_selector(object);
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return job_status::check(object, old);
        }
        let spec = object.get("spec");
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_spec(spec);
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
    or_text(spec, "completionMode", "NonIndexed");
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
    or_text(spec, "podReplacementPolicy", replace);
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

fn check_generated_selector(object: Place<'_>) {
    let spec = object.get("spec");
    if spec.get("manualSelector").is_true() {
        return;
    }
    let selector = spec.get("selector");
    if !selector.is_set() {
        return;
    }
    let uid = object.value().at(&["metadata", "uid"]).str_or_empty();
    let name = object.value().at(&["metadata", "name"]).str_or_empty();
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    for (keys, expected) in [(UID_LABELS, uid), (NAME_LABELS, name)] {
        for key in keys {
            let value = labels.value().get(key);
            if !value.is_null() && value.str_or_empty() != expected {
                let place = metadata.with(value);
                place.at("labels").at_key(key).invalid(format!("must be '{expected}'"));
            }
        }
    }
    if let Ok(parsed) = LabelSelector::from_document(selector.value())
        && !parsed.matches(|key| {
            (key == UID_LABELS[0] || key == UID_LABELS[1])
                .then_some(uid)
                .or_else(|| labels.value().get(key).as_str())
        })
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
    if let Ok(parsed) = LabelSelector::from_document(selector.value()) {
        let template = spec.get("template");
        let metadata = template.get("metadata");
        let labels = metadata.get("labels");
        if !parsed.matches_map(labels.value()) {
            let shown = if labels.is_empty() { &Value::Null } else { labels.value() };
            labels.invalid_as(shown, "`selector` does not match template `labels`");
        }
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
        manager.faults(names::domain_prefixed_path(manager.text()));
        if manager.text().len() > 63 {
            manager.too_long(63);
        }
    }
    check_mode(spec);
    check_failure_policy(spec);
    check_success_policy(spec);
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
        "OnFailure" => {
            if spec.get("podFailurePolicy").is_set() {
                restart.invalid("only \"Never\" is supported when podFailurePolicy is specified");
            }
            if spec.get("backoffLimitPerIndex").is_set() {
                restart.invalid(
                    "when backoffLimitPerIndex is specified only restartPolicy=\"Never\" is supported",
                );
            }
        }
        "" | "Always" => restart.required("valid values: \"OnFailure\", \"Never\""),
        _ => restart.unsupported(&["OnFailure", "Never"]),
    }
}

fn check_mode(spec: Place<'_>) {
    let mode = spec.get("completionMode");
    if !mode.is_set() {
        return;
    }
    if !matches!(mode.text(), "NonIndexed" | "Indexed") {
        mode.unsupported(&["NonIndexed", "Indexed"]);
    }
    if mode.text() != "Indexed" {
        if spec.get("backoffLimitPerIndex").is_set() {
            spec.get("backoffLimitPerIndex").invalid("requires indexed completion mode");
        }
        if spec.get("maxFailedIndexes").is_set() {
            spec.get("maxFailedIndexes").invalid("requires indexed completion mode");
        }
        return;
    }
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
}

fn check_replacement(spec: Place<'_>, replacement: Place<'_>) {
    let allowed: &[&str] =
        if spec.get("podFailurePolicy").is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    replacement.one_of(allowed);
}

fn check_failure_policy(spec: Place<'_>) {
    let policy = spec.get("podFailurePolicy");
    if !policy.is_set() {
        return;
    }
    let rules = policy.get("rules");
    if rules.len() > RULES_MAX {
        rules.too_many(rules.len(), RULES_MAX);
    }
    let template = spec.value().at(&["template", "spec"]);
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| template.get(list).items())
        .map(|container| container.get("name").str_or_empty())
        .collect();
    for rule in rules.items() {
        let action = rule.get("action");
        if action.text().is_empty() {
            action.required("valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
        } else if action.text() == "FailIndex" && !spec.get("backoffLimitPerIndex").is_set() {
            action.invalid("requires the backoffLimitPerIndex to be set");
        } else {
            action.one_of(&["Count", "FailIndex", "FailJob", "Ignore"]);
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            check_exit_codes(codes, &containers);
        }
        for pattern in conditions.items() {
            let kind = pattern.get("type");
            kind.faults(names::qualified_name(kind.text()));
            pattern.get("status").required_one_of(&["False", "True", "Unknown"]);
        }
        let given = (codes.is_set(), !conditions.is_empty());
        let shown = || Raw(internal::show("PodFailurePolicyRule", rule.value()));
        match given {
            (true, true) => {
                rule.invalid_as(shown(), "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                rule.invalid_as(shown(), "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn check_exit_codes(codes: Place<'_>, containers: &BTreeSet<&str>) {
    let operator = codes.get("operator");
    if operator.text().is_empty() {
        operator.required("valid values: [\"In\" \"NotIn\"]");
    } else {
        operator.one_of(&["In", "NotIn"]);
    }
    let name = codes.get("containerName");
    if name.is_set() && !containers.contains(name.text()) {
        name.invalid("must be one of the container or initContainer names in the pod template");
    }
    let values = codes.get("values");
    match values.len() {
        0 => return values.invalid_as(&Value::Array(Vec::new()), "at least one value is required"),
        many if many > 255 => values.too_many(many, 255),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    let mut before = i64::MIN;
    let mut ordered = true;
    for value in values.items() {
        let code = value.int();
        if operator.text() == "In" && code == 0 {
            value.invalid("must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            value.duplicate();
        }
        ordered &= before <= code;
        before = code;
    }
    if !ordered {
        values.invalid("must be ordered");
    }
}

fn check_success_policy(spec: Place<'_>) {
    let policy = spec.get("successPolicy");
    if !policy.is_set() {
        return;
    }
    if spec.get("completionMode").text() != "Indexed" {
        let shown = internal::show("SuccessPolicy", policy.value());
        return policy.invalid_as(Raw(shown), "requires indexed completion mode");
    }
    let rules = policy.get("rules");
    match rules.len() {
        0 => rules.required("at least one rules must be specified when the successPolicy is specified"),
        many if many > RULES_MAX => rules.too_many(many, RULES_MAX),
        _ => {}
    }
    let completions = spec.get("completions").int();
    for rule in rules.items() {
        let (indexes, count) = (rule.get("succeededIndexes"), rule.get("succeededCount"));
        if !indexes.is_set() && !count.is_set() {
            rule.required("at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = None;
        if indexes.is_set() {
            match count_indexes(indexes.text(), completions) {
                Ok(found) => total = Some(found),
                Err(problem) => indexes.invalid(format!("error parsing succeededIndexes: {problem}")),
            }
        }
        if count.is_set() {
            count.not_negative();
            if count.int() > completions {
                count.invalid(format!(
                    "must be less than or equal to {completions} (the number of specified completions)"
                ));
            }
            if let Some(total) = total
                && count.int() > total
            {
                count.invalid(format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"));
            }
        }
    }
}

/// How many indexes a text such as `1,3-5` names.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let number = |digits: &str| {
            digits
                .parse::<i64>()
                .map_err(|_| format!("cannot convert string to integer for index: \"{digits}\""))
        };
        let (first, end) = match part.split_once('-') {
            None => (number(part)?, None),
            Some((first, end)) => (number(first)?, Some(number(end)?)),
        };
        if last.is_some_and(|last| first <= last) {
            let last = last.unwrap_or(0);
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        if first >= completions {
            return Err(format!("too large index: \"{first}\""));
        }
        let end = end.unwrap_or(first);
        if end < first {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        if end >= completions {
            return Err(format!("too large index: \"{end}\""));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
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

/// A job that is suspended and has not started may still be told where its pods run.
fn check_template_change(spec: Place<'_>, old: &Value, status: &Value) {
    let template = spec.get("template");
    let mut munged = template.value().clone();
    let old_template = old.get("template");
    let suspended = old.get("suspend").is_true();
    let started = !status.get("startTime").is_null();
    if suspended && !started {
        let old_pod = old_template.get("spec");
        let pod = munged.entry("spec");
        let affinity = ["affinity", "nodeAffinity"];
        match old_pod.at(&affinity) {
            Value::Null if !pod.at(&affinity).is_null() && old_pod.get("affinity").is_null() => {
                pod.remove("affinity");
            }
            Value::Null => {}
            old => *pod.at_mut(&affinity) = old.clone(),
        }
        for member in ["nodeSelector", "tolerations", "schedulingGates"] {
            crate::policy::keep(pod, old_pod, member);
        }
        for member in ["annotations", "labels"] {
            if old_template.at(&["metadata", member]).is_null() {
                munged.entry("metadata").remove(member);
            } else {
                *munged.at_mut(&["metadata", member]) = old_template.at(&["metadata", member]).clone();
            }
        }
        let old_pod = old_template.get("spec");
        for list in ["containers", "initContainers"] {
            let containers = munged.entry("spec").get_mut(list).map(Value::items_mut).unwrap_or_default();
            for (container, old) in containers.iter_mut().zip(old_pod.get(list).items()) {
                crate::policy::keep(container, old, "resources");
            }
        }
    }
    let template_differs = !same(&munged, old_template);
    if template_differs {
        let shown = internal::show("PodTemplateSpec", &munged);
        template.invalid_as(Raw(shown), "field is immutable");
    }
}

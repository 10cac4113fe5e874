//! What an autoscaler looks at.

use machinery::{Value, names};

use crate::place::Place;
use crate::pod_spec::resources::{amount, check_container_name};

const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// What is wrong with metrics.
pub(super) fn check(metrics: Place<'_>, min_replicas: Option<i64>) {
    for metric in metrics.items() {
        check_metric(metric);
    }
    if min_replicas == Some(0) {
        let other = metrics
            .value()
            .items()
            .iter()
            .any(|metric| matches!(metric.get("type").str_or_empty(), "Object" | "External"));
        if !other {
            forbid_zero(metrics);
        }
    }
}

/// Nothing that is looked at goes on where no pod is left.
pub(super) fn forbid_zero(metrics: Place<'_>) {
    metrics
        .forbidden("must specify at least one Object or External metric to support scaling to zero replicas");
}

fn check_metric(metric: Place<'_>) {
    let kind = metric.get("type");
    if kind.text().is_empty() {
        kind.required("must specify a metric source type");
    }
    if !kind.one_of(TYPES) {
        return;
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind.text()).map(|(_, member)| *member);
    let mut found = Vec::new();
    for (_, member) in SOURCES {
        let source = metric.get(member);
        if !source.is_set() {
            continue;
        }
        found.push(member);
        if found.len() == 1 {
            check_source(source, member);
        }
    }
    if let Some(expected) = expected
        && !found.contains(&expected)
    {
        metric.get(expected).required("must populate information for the given metric source");
    }
    for other in found.into_iter().filter(|member| Some(*member) != expected) {
        metric.get(other).forbidden("must populate the given metric source only");
    }
}

fn check_source(source: Place<'_>, kind: &str) {
    match kind {
        "resource" | "containerResource" => {
            if source.get("name").text().is_empty() {
                source.get("name").required("must specify a resource name");
            }
            if kind == "containerResource" {
                check_container(source);
            }
            let target = source.get("target");
            check_target(target);
            let (utilization, average) = (target.get("averageUtilization"), target.get("averageValue"));
            if !utilization.is_set() && !average.is_set() {
                utilization.required("must set either a target raw value or a target utilization");
            }
            if utilization.is_set() && average.is_set() {
                average.forbidden("may not set both a target raw value and a target utilization");
            }
        }
        _ => {
            if kind == "object" {
                super::horizontal_pod_autoscaler::check_reference(source.get("describedObject"));
            }
            let metric = source.get("metric");
            let name = metric.get("name");
            if name.text().is_empty() {
                name.required("must specify a metric name");
            } else {
                name.faults(names::path_segment(name.text()));
            }
            let target = source.get("target");
            check_target(target);
            let (value, average) = (target.get("value"), target.get("averageValue"));
            match kind {
                "pods" if !average.is_set() => {
                    average.required("must specify a positive target averageValue");
                }
                "object" if !value.is_set() && !average.is_set() => {
                    average.required("must set either a target value or averageValue");
                }
                "external" if !value.is_set() && !average.is_set() => {
                    average.required("must set either a target value for metric or a per-pod target");
                }
                "external" if value.is_set() && average.is_set() => {
                    value.forbidden("may not set both a target value for metric and a per-pod target");
                }
                _ => {}
            }
        }
    }
}

/// The container whose resource is looked at.
fn check_container(source: Place<'_>) {
    let (name, container) = (source.get("name"), source.get("container"));
    if !name.text().is_empty() {
        check_container_name(name, name.text());
    }
    if container.text().is_empty() {
        container.required("must specify a container");
    } else {
        container.faults(names::dns1123_label(container.text()));
    }
}

fn check_target(target: Place<'_>) {
    let kind = target.get("type");
    if kind.text().is_empty() {
        kind.required("must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        kind.invalid_as(kind.text(), "must be either Utilization, Value, or AverageValue");
    }
    for member in ["value", "averageValue"] {
        let place = target.get(member);
        if place.is_set() && amount(place.value()).signum() != 1 {
            place.invalid_as(&amount(place.value()).to_string(), "must be positive");
        }
    }
    let utilization = target.get("averageUtilization");
    if utilization.is_set() && utilization.int() < 1 {
        utilization.invalid("must be greater than 0");
    }
}

fn current<'a>(statuses: &'a [Value], position: usize, member: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    statuses.get(position).map_or(&NULL, |status| status.get(member).get("current"))
}

/// The metrics of a row: what is measured and what is wanted.
pub(super) fn shown(metrics: &Value, statuses: &Value) -> String {
    const SHOWN: usize = 2;
    let statuses = statuses.items();
    let text =
        |value: &Value| if value.is_null() { "<unknown>".to_owned() } else { amount(value).to_string() };
    let all: Vec<String> = metrics
        .items()
        .iter()
        .enumerate()
        .map(|(position, metric)| {
            let kind = metric.get("type").str_or_empty();
            let Some((_, member)) = SOURCES.iter().find(|(name, _)| *name == kind) else {
                return "<unknown type>".to_owned();
            };
            let source = metric.get(member);
            let (target, now) = (source.get("target"), current(statuses, position, member));
            let average = target.get("averageValue");
            if matches!(*member, "resource" | "containerResource") {
                let name = source.get("name").str_or_empty();
                if !average.is_null() {
                    return format!("{name}: {}/{}", text(now.get("averageValue")), text(average));
                }
                let percent = |value: &Value| value.as_int().map(|percent| format!("{percent}%"));
                let now = percent(now.get("averageUtilization")).unwrap_or("<unknown>".to_owned());
                let wanted = percent(target.get("averageUtilization")).unwrap_or("<auto>".to_owned());
                return format!("{name}: {now}/{wanted}");
            }
            if average.is_null() {
                format!("{}/{}", text(now.get("value")), text(target.get("value")))
            } else {
                let suffix = if *member == "pods" { "" } else { " (avg)" };
                format!("{}/{}{suffix}", text(now.get("averageValue")), text(average))
            }
        })
        .collect();
    if all.is_empty() {
        return "<none>".to_owned();
    }
    let more = all.len().saturating_sub(SHOWN);
    let listed = all[..all.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{listed} + {more} more...") } else { listed }
}

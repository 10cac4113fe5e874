//! Event, as it is seen through the core group and through `events.k8s.io`. Both see the same object.

use machinery::field::Shown;
use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw, same};
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind of the core group.
pub struct Event;
/// The kind of `events.k8s.io`.
pub struct EventV1;

const POLICY: Policy =
    Policy::namespaced(NameRule::PathSegment).create_on_update().any_finalizer().second_look(SecondLook::No);

const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const SELECTABLE_V1: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// The members that have one name in the core group and another in `events.k8s.io`.
struct Names {
    object: &'static str,
    controller: &'static str,
    source: &'static str,
    message: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

const CORE: Names = Names {
    object: "involvedObject",
    controller: "reportingComponent",
    source: "source",
    message: "message",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
};
const V1: Names = Names {
    object: "regarding",
    controller: "reportingController",
    source: "deprecatedSource",
    message: "note",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
};

impl Kind for Event {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn check(&self, object: Place<'_>) {
        check_any(object, &CORE);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| object.at(path).str_or_empty().to_owned();
        let source = match text(&["source", "component"]) {
            empty if empty.is_empty() => text(&["reportingComponent"]),
            component => component,
        };
        let values = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
            .map(|member| text(&["involvedObject", member]));
        let rest = [text(&["reason"]), text(&["reportingComponent"]), source, text(&["type"])];
        SELECTABLE.iter().copied().zip(values.into_iter().chain(rest)).collect()
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::EVENT
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs, &CORE)
    }
}

impl Kind for EventV1 {
    fn policy(&self) -> Policy {
        Policy {
            name: NameRule::Subdomain,
            known_finalizers: true,
            second_look: SecondLook::Changes,
            ..POLICY
        }
    }

    fn check(&self, object: Place<'_>) {
        check_any(object, &V1);
        check_series(object);
        if !object.get("eventTime").is_set() {
            object.get("eventTime").required("");
        }
        let kind = object.get("type");
        if !matches!(kind.text(), "Normal" | "Warning") {
            kind.invalid_as("", format!("has invalid value: {}", kind.text()));
        }
        for (member, shown) in [
            ("deprecatedFirstTimestamp", "firstTimestamp"),
            ("deprecatedLastTimestamp", "lastTimestamp"),
            ("deprecatedCount", "count"),
            ("deprecatedSource", "source"),
        ] {
            if !object.value().get(member).is_empty() {
                object.at(shown).invalid_as("", "needs to be unset");
            }
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        check_any(object, &V1);
        if !same(object.value().get("series"), old.get("series")) {
            check_series(object);
        }
        check_unchanged(object, old);
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| object.at(path).str_or_empty().to_owned();
        let values = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
            .map(|member| text(&["regarding", member]));
        let rest = [text(&["reason"]), text(&["reportingController"]), text(&["type"])];
        SELECTABLE_V1.iter().copied().zip(values.into_iter().chain(rest)).collect()
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        SELECTABLE_V1
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::EVENT
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs, &V1)
    }
}

/// What is wrong with how often an event came again.
fn check_series(object: Place<'_>) {
    let series = object.value().get("series");
    if series.is_null() {
        return;
    }
    if series.get("count").as_int().unwrap_or(0) < 2 {
        object.at("series.count").invalid_as("", "should be at least 2");
    }
    if series.get("lastObservedTime").is_null() {
        object.at("series.lastObservedTime").required("");
    }
}

const IMMUTABLE: &str = "field is immutable";
const REASON_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// What is wrong with any event. One of old lives where what it is about lives; what has no namespace has its events in
/// `default`. One of today, which has a time of its own, tells more.
fn check_any(object: Place<'_>, names: &Names) {
    let own = object.value().at(&["metadata", "namespace"]).str_or_empty();
    let about = object.value().at(&[names.object, "namespace"]).str_or_empty();
    let is_old = object.value().get("eventTime").is_null();
    let fits = match (is_old, about) {
        (true, "") => matches!(own, "" | "default"),
        (true, about) => own == about,
        (false, "") => matches!(own, "default" | "kube-system"),
        (false, _) => true,
    };
    if !fits {
        object.at("involvedObject").at("namespace").invalid_as(about, "does not match event.namespace");
    }
    if !is_old {
        check_new_style(object, names);
    }
}

fn check_new_style(object: Place<'_>, names: &Names) {
    let controller = object.get(names.controller);
    if controller.text().is_empty() {
        controller.required("");
    }
    controller.faults(names::qualified_name(controller.text()));
    for member in ["reportingInstance", "action", "reason"] {
        let place = object.get(member);
        if place.text().is_empty() {
            place.required("");
        } else if place.text().len() > REASON_MAX {
            place.invalid_as("", format!("can have at most {REASON_MAX} characters"));
        }
    }
    let message = object.value().get(names.message).str_or_empty();
    if message.len() > NOTE_MAX {
        object.at("message").invalid_as("", format!("can have at most {NOTE_MAX} characters"));
    }
}

/// What `events.k8s.io` lets nobody change, told by the names that the core group has.
fn check_unchanged(object: Place<'_>, old: &Value) {
    const STRUCTURES: [(&str, &str, &str); 2] =
        [("regarding", "involvedObject", "ObjectReference"), ("deprecatedSource", "source", "EventSource")];
    let told = |member: &str, name: &str, shown: &dyn Fn(&Value) -> String| {
        let value = object.value().get(member);
        if !same(value, old.get(member)) {
            object.at(name).invalid_as(Raw(shown(value)), IMMUTABLE);
        }
    };
    let text = |value: &Value| value.str_or_empty().shown();
    let plain = |value: &Value| value.shown();
    let number = |value: &Value| value.as_int().unwrap_or(0).to_string();
    let structure = |(member, name, layout): (&str, &str, &str)| {
        told(member, name, &|value| internal::show(layout, value));
    };
    structure(STRUCTURES[0]);
    told("reason", "reason", &text);
    told("note", "message", &text);
    structure(STRUCTURES[1]);
    told("deprecatedFirstTimestamp", "firstTimestamp", &plain);
    told("deprecatedLastTimestamp", "lastTimestamp", &plain);
    told("deprecatedCount", "count", &number);
    told("reason", "reason", &text);
    told("type", "type", &text);
    told("eventTime", "eventTime", &plain);
    told("action", "action", &text);
    told("related", "related", &|related| match related {
        Value::Null => "null".to_owned(),
        related => internal::show("ObjectReference", related),
    });
    told("reportingController", "reportingController", &text);
    told("reportingInstance", "reportingInstance", &text);
}

fn row(object: &Value, now_secs: i64, names: &Names) -> Vec<Value> {
    let series = object.get("series");
    let event_time = object.get("eventTime");
    let first = match object.get(names.first) {
        Value::Null => event_time,
        first => first,
    };
    let last = match (object.get(names.last), series.get("lastObservedTime")) {
        (_, observed) if !observed.is_null() => observed,
        (Value::Null, _) => first,
        (last, _) => last,
    };
    let count = match (series.get("count").as_int(), object.get(names.count).as_int()) {
        (Some(count), _) => count,
        (None, Some(count)) if count > 0 => count,
        _ => 1,
    };
    let about = object.get(names.object);
    let kind = about.get("kind").str_or_empty().to_lowercase();
    let target = match about.get("name").str_or_empty() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = object.get(names.source);
    let mut from: Vec<&str> = [source.get("component"), source.get("host")]
        .into_iter()
        .map(Value::str_or_empty)
        .filter(|text| !text.is_empty())
        .collect();
    if source.get("component").str_or_empty().is_empty() {
        from = [object.get(names.controller), object.get("reportingInstance")]
            .into_iter()
            .map(Value::str_or_empty)
            .filter(|text| !text.is_empty())
            .collect();
    }
    vec![
        Value::from(table::since(last, now_secs)),
        table::text(object.get("type")),
        table::text(object.get("reason")),
        Value::from(target),
        table::text(about.get("fieldPath")),
        Value::from(from.join(", ")),
        Value::from(object.get(names.message).str_or_empty().trim()),
        Value::from(table::since(first, now_secs)),
        Value::from(count),
        table::name(object),
    ]
}

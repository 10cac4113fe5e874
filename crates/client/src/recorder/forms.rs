//! The two forms an event is kept in: with a count of its own, and with a series.

use env::WallTime;
use serde_json::{Map, Value, json};

use super::{About, Source};
use crate::plan::Note;
use crate::time;

/// When it happened, and how often.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: WallTime,
    pub(super) last: WallTime,
    pub(super) count: i64,
}

/// Events about things of the cluster live in `default`.
pub(super) fn namespace(note: &Note) -> &str {
    if note.about.namespace.is_empty() { "default" } else { &note.about.namespace }
}

fn reference(about: &About) -> Value {
    let fields = [
        ("kind", &about.kind),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
        ("apiVersion", &about.api_version),
        ("resourceVersion", &about.resource_version),
        ("fieldPath", &about.field_path),
    ];
    let present = fields.into_iter().filter(|(_, text)| !text.is_empty());
    Value::Object(
        present.map(|(name, text)| (name.to_owned(), Value::from(text.as_str()))).collect::<Map<_, _>>(),
    )
}

pub(super) fn core(source: &Source, note: &Note, name: &str, span: Span) -> Value {
    let mut from = json!({ "component": source.component });
    if !source.host.is_empty() {
        from["host"] = Value::from(source.host.as_str());
    }
    json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": { "name": name, "namespace": namespace(note) },
        "involvedObject": reference(&note.about),
        "reason": note.reason,
        "message": note.message,
        "source": from,
        "firstTimestamp": time::seconds(span.first),
        "lastTimestamp": time::seconds(span.last),
        "count": span.count,
        "type": note.kind.as_str(),
        "reportingComponent": source.component,
        "reportingInstance": source.host,
    })
}

pub(super) fn core_patch(note: &Note, span: Span) -> Value {
    json!({ "count": span.count, "lastTimestamp": time::seconds(span.last), "message": note.message })
}

pub(super) fn series(source: &Source, note: &Note, name: &str, now: WallTime) -> Value {
    let instance = if source.host.is_empty() {
        source.component.to_owned()
    } else {
        format!("{}-{}", source.component, source.host)
    };
    json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": { "name": name, "namespace": namespace(note) },
        "eventTime": time::micros(now),
        "reportingComponent": source.component,
        "reportingInstance": instance,
        "action": source.action,
        "reason": note.reason,
        "involvedObject": reference(&note.about),
        "message": note.message,
        "type": note.kind.as_str(),
    })
}

pub(super) fn series_patch(count: i64, now: WallTime) -> Value {
    json!({ "series": { "count": count, "lastObservedTime": time::micros(now) } })
}

//! Events: the core group's form is stored; `events.k8s.io` calls the same things differently.

use machinery::Value;

use super::rename;

/// Names in the core group, and in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// As the core group shows it.
pub(super) fn to_core(mut event: Value) -> Value {
    rename(&mut event, &NAMES.map(|(core, new)| (new, core)));
    event
}

/// As `events.k8s.io` shows it.
pub(super) fn from_core(mut event: Value) -> Value {
    rename(&mut event, &NAMES);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_groups_see_the_same_event() {
        let core = Value::from([
            ("involvedObject", Value::from([("name", Value::from("p"))])),
            ("reason", Value::from("R")),
            ("message", Value::from("m")),
            ("count", Value::from(3i64)),
        ]);
        let new = from_core(core.clone());
        assert_eq!(new.at(&["regarding", "name"]).as_str(), Some("p"));
        assert_eq!(new.get("note").as_str(), Some("m"));
        assert!(new.get("message").is_null());
        assert_eq!(to_core(new), core);
    }
}

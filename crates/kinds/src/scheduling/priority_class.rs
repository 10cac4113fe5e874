//! PriorityClass.

use machinery::Value;

use crate::place::Place;
use crate::pod_spec::check_preemption_policy;
use crate::pod_spec::defaults::or;
use crate::policy::{self, NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct PriorityClass;

/// Above this only the system's own classes are.
const HIGHEST: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

impl Kind for PriorityClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation()
    }

    fn default(&self, object: &mut Value) {
        or(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _door: Door<'_>) {
        // What counts about a priority class cannot change; it stays in its first generation.
        policy::keep(object.entry("metadata"), old.get("metadata"), "generation");
    }

    fn check(&self, object: Place<'_>) {
        let metadata = object.get("metadata");
        let name = metadata.get("name");
        let value = object.get("value");
        if name.text().starts_with("system-") {
            let known = SYSTEM.iter().find(|(known, _)| *known == name.text());
            let problem = match known {
                None => Some(format!("{} is not a known system priority class", name.text())),
                Some((known, wanted)) if value.int() != *wanted => {
                    Some(format!("value of {known} PriorityClass must be {wanted}"))
                }
                Some((known, _)) if object.get("globalDefault").is_true() => {
                    Some(format!("globalDefault of {known} PriorityClass must be false"))
                }
                _ => None,
            };
            if let Some(problem) = problem {
                name.forbidden(format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
                ));
            }
        } else if value.int() > HIGHEST {
            value.forbidden(format!("maximum allowed value of a user defined priority is {HIGHEST}"));
        }
        if object.get("preemptionPolicy").is_set() {
            check_preemption_policy(object.get("preemptionPolicy"));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        let value = object.get("value");
        if value.int() != old.get("value").as_int().unwrap_or(0) {
            value.forbidden("may not be changed in an update.");
        }
        object.get("preemptionPolicy").immutable(old.get("preemptionPolicy"));
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::PRIORITY_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![
            table::name(object),
            table::int(object.get("value")),
            Value::from(object.get("globalDefault").is_true()),
            table::age(object, now_secs),
            table::text_or(object.get("preemptionPolicy"), "PreemptLowerPriority"),
        ]
    }
}

//! Tells of each flow schema whether its level exists.

use std::sync::Arc;
use std::time::Duration;

use machinery::time::Timestamp;
use machinery::{Status, Value};

use super::{LEVELS, SCHEMAS};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::no_such_resource;
use crate::verbs::update::{self, Change};
use crate::write::{Options, Request};

/// How often it is looked whether a schema or a level changed.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the conditions of all schemas true.
pub(super) async fn keep(core: Arc<Core>) {
    let mut seen = None;
    loop {
        core.env.clock.sleep(LOOK).await;
        let now = core.flow.revisions();
        if seen == Some(now) {
            continue;
        }
        match tell(&core).await {
            Ok(()) => seen = Some(now),
            Err(status) => tracing::debug!(%status, "the status of flow schemas could not be written yet"),
        }
    }
}

async fn tell(core: &Arc<Core>) -> Result<(), Status> {
    let (Some(schemas), Some(levels)) = (core.caches.collection(SCHEMAS), core.caches.collection(LEVELS))
    else {
        return Ok(());
    };
    let now = core.env.clock.now().secs();
    for entry in schemas.snapshot().starting_at("") {
        let schema = entry.object().to_value()?;
        let level = schema.at(&["spec", "priorityLevelConfiguration", "name"]).str_or_empty();
        let condition = Dangling { level: level.to_owned(), missing: levels.get(level).is_none(), now };
        if condition.is_told(&schema) {
            continue;
        }
        let registry = core.registry.load_full();
        let served = registry
            .find("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
            .ok_or_else(no_such_resource)?;
        let identity = Identity::server();
        let options = Options {
            manager: "api-priority-and-fairness-config-consumer-v1".to_owned(),
            ..Options::default()
        };
        let name = entry.key();
        let request = Request {
            core,
            identity: &identity,
            served,
            namespace: "",
            name,
            subresource: "status",
            options: &options,
        };
        match update::change(request, &condition).await {
            Ok(_) => {}
            // It went in the meantime.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Whether a schema points to nothing.
struct Dangling {
    level: String,
    missing: bool,
    now: i64,
}

impl Dangling {
    fn status(&self) -> &'static str {
        if self.missing { "True" } else { "False" }
    }

    fn is_told(&self, schema: &Value) -> bool {
        schema.at(&["status", "conditions"]).items().iter().any(|condition| {
            condition.get("type").as_str() == Some("Dangling")
                && condition.get("status").as_str() == Some(self.status())
        })
    }

    fn condition(&self) -> Value {
        let (reason, verb) = if self.missing {
            ("NotFound", "but there is no such object")
        } else {
            ("Found", "and it exists")
        };
        let level = machinery::field::go_quote(&self.level);
        let message =
            format!("This FlowSchema references the PriorityLevelConfiguration object named {level} {verb}");
        Value::from([
            ("type", Value::from("Dangling")),
            ("status", Value::from(self.status())),
            ("lastTransitionTime", Value::from(Timestamp::from_secs(self.now).to_rfc3339())),
            ("reason", Value::from(reason)),
            ("message", Value::from(message)),
        ])
    }
}

impl Change for Dangling {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let mut schema = current.clone();
        let conditions = schema.at_mut(&["status", "conditions"]).make_array();
        conditions.retain(|condition| condition.get("type").as_str() != Some("Dangling"));
        conditions.push(self.condition());
        Ok(schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_told_once_whether_its_level_is_there() {
        let dangling = Dangling { level: "x".to_owned(), missing: true, now: 0 };
        let schema = dangling.apply(&Value::object()).unwrap();
        assert!(dangling.is_told(&schema));
        let found = Dangling { missing: false, ..dangling };
        assert!(!found.is_told(&schema));
        let schema = found.apply(&schema).unwrap();
        let conditions = schema.at(&["status", "conditions"]).items();
        assert_eq!(conditions.len(), 1);
        assert_eq!(
            conditions[0].get("message").str_or_empty(),
            "This FlowSchema references the PriorityLevelConfiguration object named \"x\" and it exists"
        );
    }
}

//! ControllerRevision.

use machinery::Value;

use crate::place::Place;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ControllerRevision;

impl Kind for ControllerRevision {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).second_look(SecondLook::All)
    }

    fn check(&self, object: Place<'_>) {
        if !object.get("data").is_set() {
            object.get("data").required("data is mandatory");
        }
        object.get("revision").not_negative();
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        object.get("revision").not_negative();
        object.get("data").immutable(old.get("data"));
    }

    fn columns(&self) -> &'static [Column] {
        columns::apps::CONTROLLER_REVISION
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let owners = object.at(&["metadata", "ownerReferences"]).items();
        let controller = owners.iter().find(|owner| owner.get("controller").is_true());
        let shown = controller.map_or("<none>".to_owned(), |owner| {
            let version = owner.get("apiVersion").str_or_empty();
            let kind = owner.get("kind").str_or_empty().to_lowercase();
            let name = owner.get("name").str_or_empty();
            match version.split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{name}"),
                None => format!("{kind}/{name}"),
            }
        });
        vec![
            table::name(object),
            Value::from(shown),
            table::int(object.get("revision")),
            table::age(object, now_secs),
        ]
    }
}

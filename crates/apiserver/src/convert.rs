//! Resources that are seen in several versions and stored in one: how a document of one becomes one of the other.

mod autoscaling;
mod events;

use machinery::Value;
use machinery::schema::Schema;

/// Between the version that is served and the one that is stored.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// `group/version` that is stored.
    pub api_version: &'static str,
    /// What the stored version looks like.
    pub schema: Schema,
    /// From the stored version.
    pub from_stored: fn(Value) -> Value,
    /// To the stored version.
    pub to_stored: fn(Value) -> Value,
}

/// How a resource in a version is converted; `None` if it is stored as it is served.
pub fn of(table: &api::Table, api_version: &str, kind: &str) -> Option<Conversion> {
    let stored = match api_version {
        "events.k8s.io/v1" => "v1",
        "autoscaling/v1" if kind == "HorizontalPodAutoscaler" => "autoscaling/v2",
        _ => return None,
    };
    let schema = table.schema_of(table.kind_of(stored, kind)?);
    Some(if kind == "Event" {
        Conversion { api_version: stored, schema, from_stored: events::from_core, to_stored: events::to_core }
    } else {
        Conversion {
            api_version: stored,
            schema,
            from_stored: autoscaling::to_v1,
            to_stored: autoscaling::to_v2,
        }
    })
}

/// Moves members to other names; members without content go.
fn rename(document: &mut Value, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = document.remove(from) {
            document.set(to, value);
        }
    }
}

//! ComponentStatus: how the parts of the control plane are, asked at the time of reading.

use machinery::Value;

use crate::policy::{NameRule, Policy};
use crate::{Column, Kind, columns, table};

/// The kind.
pub struct ComponentStatus;

impl Kind for ComponentStatus {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain)
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::COMPONENT_STATUS
    }

    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        let healthy = object
            .get("conditions")
            .items()
            .iter()
            .find(|condition| condition.get("type").str_or_empty() == "Healthy");
        let (status, message, error) = match healthy {
            Some(condition) => {
                let status =
                    if condition.get("status").str_or_empty() == "True" { "Healthy" } else { "Unhealthy" };
                (status, table::text(condition.get("message")), table::text(condition.get("error")))
            }
            None => ("Unknown", Value::from(""), Value::from("")),
        };
        vec![table::name(object), Value::from(status), message, error]
    }
}

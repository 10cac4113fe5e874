//! ServiceAccount.

use machinery::Value;

use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Kind, columns, table};

/// The kind.
pub struct ServiceAccount;

impl Kind for ServiceAccount {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).second_look(SecondLook::All)
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
        let has = |object: &Value| !object.at(&["metadata", "annotations", MOUNTABLE]).is_null();
        if !has(object) || old.is_some_and(has) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to \
             mounted secrets"
        )]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::SERVICE_ACCOUNT
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let secrets = object.get("secrets").items().len();
        vec![
            table::name(object),
            Value::from(i64::try_from(secrets).unwrap_or(i64::MAX)),
            table::age(object, now_secs),
        ]
    }
}

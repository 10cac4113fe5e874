//! PodTemplate.

use machinery::Value;

use crate::place::Place;
use crate::pod_spec::{defaults, template};
use crate::policy::{NameRule, Policy};
use crate::{Column, Kind, columns, table};

/// The kind.
pub struct PodTemplate;

impl Kind for PodTemplate {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation()
    }

    fn default(&self, object: &mut Value) {
        defaults::template(object.entry("template"));
    }

    fn check(&self, object: Place<'_>) {
        template::check(object.get("template"));
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::POD_TEMPLATE
    }

    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        let (names, images) = table::containers(object.at(&["template", "spec"]));
        vec![
            table::name(object),
            names,
            images,
            table::labels(object.at(&["template", "metadata", "labels"])),
        ]
    }
}

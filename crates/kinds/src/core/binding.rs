//! Binding: which node a pod goes to.

use crate::Kind;
use crate::place::Place;
use crate::policy::{NameRule, Policy};
use machinery::Value;

/// The kind.
pub struct Binding;

impl Kind for Binding {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment)
    }

    fn prepare_create(&self, _object: &mut Value) {}

    fn check(&self, object: Place<'_>) {
        let target = object.get("target");
        let kind = target.get("kind");
        if !matches!(kind.text(), "" | "Node") {
            kind.unsupported_as(kind.text(), &["Node", "<empty>"]);
        }
        let name = target.get("name");
        if name.text().is_empty() {
            name.required("");
        }
    }
}

//! Eviction: the wish that a pod leaves its node.

use machinery::Value;

use crate::Kind;
use crate::policy::{NameRule, Policy};

/// The kind.
pub struct Eviction;

impl Kind for Eviction {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment)
    }

    fn prepare_create(&self, _object: &mut Value) {}
}

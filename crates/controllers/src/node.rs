//! What controllers ask of nodes again and again, worked out once per revision.

use client::Entry;
use client::cache::Facts;
use k8s_openapi::api::core::v1::Taint;
use machinery::{Object, Status};
use serde::Deserialize;
use std::sync::Arc;

/// A node in the cache.
pub type Node = Arc<Entry<NodeFacts>>;

/// What is asked of nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// `spec.taints`
    pub taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Slim {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    taints: Vec<Taint>,
}

impl Facts for NodeFacts {
    fn of(object: &Object) -> Result<NodeFacts, Status> {
        let slim: Slim = client::cache::read(object)?;
        Ok(NodeFacts { taints: slim.spec.taints })
    }
}

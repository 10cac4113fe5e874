//! What a node has to know of its cluster, published by the server where nodes can read it.

use anyhow::Context;
use client::{Call, Client, Write, resources};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::config::Addresses;

/// Where it is.
pub const NAMESPACE: &str = "kube-public";
/// What it is called.
pub const NAME: &str = "ironclad-cluster";
/// Its one key.
const KEY: &str = "addresses";

/// The object that publishes it.
pub fn document(addresses: &Addresses) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {KEY: serde_json::json!(addresses).to_string()},
    })
}

/// Reads it.
pub async fn read(client: &Client) -> anyhow::Result<Addresses> {
    let object = client.get::<ConfigMap>(NAMESPACE, NAME).await.with_context(|| {
        format!("the server does not say what addresses the cluster has ({NAMESPACE}/{NAME})")
    })?;
    let text = object.data.as_ref().and_then(|data| data.get(KEY)).context("it has no addresses")?;
    serde_json::from_str(text).with_context(|| format!("{NAMESPACE}/{NAME} cannot be read"))
}

/// Publishes it.
pub async fn publish(client: &Client, addresses: &Addresses) -> Result<(), machinery::Status> {
    let body = Write::Apply(document(addresses).to_string().into());
    client.write(resources::CONFIG_MAPS, Call::object(NAMESPACE, NAME), body).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let addresses = Addresses {
            services: vec!["10.96.0.0/16".parse().expect("a range")],
            pods: vec!["10.244.0.0/16".parse().expect("a range")],
            dns: vec!["10.96.0.10".parse().expect("an address")],
        };
        let document = document(&addresses);
        let text = document["data"][KEY].as_str().expect("a text");
        assert_eq!(serde_json::from_str::<Addresses>(text).expect("readable"), addresses);
    }
}

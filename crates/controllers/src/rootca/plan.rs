//! Whether the config map has to be made, or put right.

use client::plan::{Op, Plan, tree};
use client::resources;
use machinery::Object;
use serde_json::json;

/// Says what the map is for, in upstream's words, which tools compare.
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                           endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                           guaranteed across distributions of Kubernetes clusters.";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The namespace.
    pub namespace: Object,
    /// Its config map.
    pub map: Option<Object>,
    /// The CA's certificate, in PEM.
    pub certificate: String,
}

/// Decides about one namespace.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let header = view.namespace.header();
    if header.deleting {
        return plan;
    }
    let data = json!({ "ca.crt": view.certificate });
    let annotations = json!({ "kubernetes.io/description": DESCRIPTION });
    let op = match &view.map {
        None => {
            plan.because("its namespace has no config map \"kube-root-ca.crt\"");
            let map = json!({
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": { "name": super::NAME, "namespace": header.name.as_str(), "annotations": annotations },
                "data": data,
            });
            Ok(Some(Op::create(resources::CONFIG_MAPS, &header.name, &map).tolerating(&[409])))
        }
        Some(map) => tree(map).and_then(|document| {
            if document["data"] == data
                && !document["metadata"]["annotations"]["kubernetes.io/description"].is_null()
            {
                return Ok(None);
            }
            plan.because("its config map does not hold the cluster's CA certificate");
            Op::update(resources::CONFIG_MAPS, map, |document| {
                document["data"] = data;
                document["metadata"]["annotations"]["kubernetes.io/description"] = json!(DESCRIPTION);
            })
            .map(Some)
        }),
    };
    match op {
        Ok(op) => op.into_iter().for_each(|op| plan.push(op)),
        Err(status) => plan.retry = Some(status.message),
    }
    plan
}

//! What the object should say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::plan::{Op, Plan, tree};
use client::{Key, resources, time};
use k8s_openapi::api::core::v1::Service;
use machinery::Object;
use serde_json::{Value, json};

use super::{MANAGED_BY, MANAGER};
use crate::endpointslice::desired::{hostname, target};
use crate::endpointslice::plan::{HEADLESS, TRIGGERED, is_headless, triggered};
use crate::pod::Pod;

/// The most addresses the object may have: more would make it too large to be sent around at every change.
const MOST_ADDRESSES: usize = 1_000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Service; `None` if it is gone.
    pub service: Option<(Object, Arc<Service>)>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What there is.
    pub endpoints: Option<Object>,
}

type Port = (String, String, i32, Option<String>);

/// Decides about one Service.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let Some((object, service)) = &view.service else {
        if let Some(endpoints) = &view.endpoints {
            plan.because("its Service is gone");
            plan.push(Op::delete(resources::ENDPOINTS, &Key::of(endpoints), &endpoints.header().uid));
        }
        return plan;
    };
    if object.header().deleting {
        return plan;
    }
    let (subsets, is_truncated) = subsets(object, service, &view.pods);
    let labels = labels(service);
    let annotate = |annotations: &mut Value| {
        let created = service.metadata.creation_timestamp.as_ref().map(|at| time::wall(at.0));
        annotations[TRIGGERED] = json!(triggered(created, &view.pods));
        if is_truncated {
            annotations[OVER_CAPACITY] = json!("truncated");
        } else if let Some(annotations) = annotations.as_object_mut() {
            annotations.remove(OVER_CAPACITY);
        }
    };
    let op = match &view.endpoints {
        None => {
            let header = object.header();
            let mut annotations = json!({});
            annotate(&mut annotations);
            let document = json!({
                "kind": "Endpoints",
                "apiVersion": "v1",
                "metadata": { "name": header.name.as_str(), "namespace": header.namespace.as_str(),
                    "labels": labels, "annotations": annotations },
                "subsets": subsets,
            });
            Ok(Some(Op::create(resources::ENDPOINTS, &header.namespace, &document)))
        }
        Some(endpoints) => tree(endpoints).and_then(|known| {
            let over_capacity = &known["metadata"]["annotations"][OVER_CAPACITY];
            let has_subsets =
                known["subsets"] == json!(subsets) || (known["subsets"].is_null() && subsets.is_empty());
            if has_subsets
                && known["metadata"]["labels"] == json!(labels)
                && over_capacity.is_string() == is_truncated
            {
                return Ok(None);
            }
            Op::update(resources::ENDPOINTS, endpoints, |document| {
                document["metadata"]["labels"] = json!(labels);
                annotate(&mut document["metadata"]["annotations"]);
                document["subsets"] = json!(subsets);
            })
            .map(Some)
        }),
    };
    match op {
        Ok(None) => {}
        Ok(Some(op)) => {
            plan.because("the addresses of its pods changed");
            plan.push(op);
        }
        Err(status) => plan.retry = Some(status.message),
    }
    plan
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// One pod's address, as it is written, with whether it is ready.
type Address = (bool, String);

fn address(object: &Object, pod: &Pod) -> Option<String> {
    let header = pod.object.header();
    let mut address = json!({
        "ip": pod.facts.ips.first()?.as_str(),
        "targetRef": { "kind": "Pod", "namespace": header.namespace.as_str(), "name": header.name.as_str(),
            "uid": header.uid.as_str() },
    });
    if let Some(hostname) = hostname(&object.header().name, pod) {
        address["hostname"] = json!(hostname);
    }
    if !pod.facts.node.is_empty() {
        address["nodeName"] = json!(pod.facts.node.as_str());
    }
    Some(address.to_string())
}

/// Ports by the addresses that have them, and whether some addresses were left out.
fn subsets(object: &Object, service: &Service, pods: &[Pod]) -> (Vec<Value>, bool) {
    let spec = service.spec.clone().unwrap_or_default();
    let publishes_all = spec.publish_not_ready_addresses.unwrap_or(false);
    let service_ports = spec.ports.unwrap_or_default();
    let mut by_port: BTreeMap<Option<Port>, BTreeSet<Address>> = BTreeMap::new();
    let mut counted = 0;
    for pod in pods {
        let facts = &pod.facts;
        if facts.phase.is_terminal() || (facts.deletion.is_some() && !publishes_all) {
            continue;
        }
        let Some(address) = address(object, pod) else { continue };
        counted += 1;
        let address = (publishes_all || facts.is_ready, address);
        if service_ports.is_empty() && is_headless(service) {
            by_port.entry(None).or_default().insert(address.clone());
        }
        for port in &service_ports {
            let Some(number) = target(port, pod) else { continue };
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let key = (port.name.clone().unwrap_or_default(), protocol, number, port.app_protocol.clone());
            by_port.entry(Some(key)).or_default().insert(address.clone());
        }
    }
    let mut by_addresses: BTreeMap<BTreeSet<Address>, Vec<Port>> = BTreeMap::new();
    for (port, addresses) in by_port {
        by_addresses.entry(addresses).or_default().extend(port);
    }
    let mut room = MOST_ADDRESSES;
    let subsets =
        by_addresses.into_iter().map(|(addresses, ports)| subset(&addresses, &ports, &mut room)).collect();
    (subsets, counted > MOST_ADDRESSES)
}

fn subset(addresses: &BTreeSet<Address>, ports: &[Port], room: &mut usize) -> Value {
    let mut subset = json!({});
    for (field, is_ready) in [("addresses", true), ("notReadyAddresses", false)] {
        let texts = addresses.iter().filter(|(ready, _)| *ready == is_ready).map(|(_, text)| text);
        let values: Vec<Value> =
            texts.take(*room).filter_map(|text| serde_json::from_str(text).ok()).collect();
        *room -= values.len();
        if !values.is_empty() {
            subset[field] = json!(values);
        }
    }
    let port = |(name, protocol, number, app): &Port| {
        let mut port = json!({ "port": number, "protocol": protocol });
        if !name.is_empty() {
            port["name"] = json!(name);
        }
        if let Some(app) = app {
            port["appProtocol"] = json!(app);
        }
        port
    };
    if !ports.is_empty() {
        subset["ports"] = json!(ports.iter().map(port).collect::<Vec<_>>());
    }
    subset
}

//! From endpoints kept by hand to the slices that say the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use machinery::{Object, Status};
use serde_json::{Value, json};

use super::MANAGER;
use crate::claim::Owner;
use crate::endpointslice::plan::{Slice, TRIGGERED};
use crate::endpointslice::{MANAGED_BY, SERVICE_NAME};
use crate::template;

/// The most addresses of a subset that are copied.
const LARGEST: usize = 1_000;
/// Says that an object shall not be copied.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Is on objects that old clients use as locks.
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
/// What kubectl last applied: of the source, not of the copy.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The object kept by hand, if there is one.
    pub source: Option<(Object, Arc<Endpoints>)>,
    /// The slices we keep for it.
    pub slices: Vec<Slice>,
}

/// Endpoints that share a slice.
#[derive(Debug)]
struct Group {
    family: &'static str,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

/// Decides about one object.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let copied = view.source.as_ref().filter(|(object, typed)| !object.header().deleting && is_copied(typed));
    let Some((object, source)) = copied else {
        remove(&mut plan, view.slices.iter());
        return plan;
    };
    let mut left: Vec<&Slice> = view.slices.iter().collect();
    for group in groups(&mut plan, object, source) {
        let known = left.iter().position(|slice| {
            slice.typed.address_type == group.family
                && slice.typed.ports.as_deref().unwrap_or_default() == group.ports
        });
        let slice = known.map(|position| left.remove(position));
        if let Err(status) = settle(&mut plan, object, source, &group, slice) {
            plan.retry = Some(status.message);
        }
    }
    remove(&mut plan, left.into_iter());
    plan
}

fn is_copied(source: &Endpoints) -> bool {
    let labels = source.metadata.labels.as_ref();
    let annotations = source.metadata.annotations.as_ref();
    let skips = labels.and_then(|labels| labels.get(SKIP)).is_some_and(|value| value == "true");
    !skips && !annotations.is_some_and(|annotations| annotations.contains_key(LOCK))
}

fn remove<'a>(plan: &mut Plan, slices: impl Iterator<Item = &'a Slice>) {
    let going = slices.filter(|slice| !slice.object.header().deleting);
    let ops: Vec<Op> = going
        .map(|slice| {
            Op::delete(resources::ENDPOINT_SLICES, &Key::of(&slice.object), &slice.object.header().uid)
        })
        .collect();
    if !ops.is_empty() {
        plan.because(format!("{} slices are copies of nothing", ops.len()));
    }
    plan.push_together(ops);
}

/// The endpoints by family and ports.
fn groups(plan: &mut Plan, object: &Object, source: &Endpoints) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let (mut invalid, mut skipped) = (0, 0);
    for subset in source.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        let mut copied = 0;
        for (address, is_ready) in ready.chain(unready) {
            if copied >= LARGEST {
                skipped += 1;
                continue;
            }
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                invalid += 1;
                continue;
            };
            copied += 1;
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let endpoint = endpoint(address, ip, is_ready);
            let is_it = |group: &&mut Group| group.family == family && group.ports == ports;
            match groups.iter_mut().find(is_it) {
                Some(group) if group.endpoints.contains(&endpoint) => {}
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { family, ports: ports.clone(), endpoints: vec![endpoint] }),
            }
        }
    }
    let about = About::object(object);
    if invalid > 0 {
        let told = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
        plan.notes.push(Note::warning(&about, "InvalidIPAddress", told));
    }
    if skipped > 0 {
        let told = format!(
            "A max of {LARGEST} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
            skipped + invalid
        );
        plan.notes.push(Note::warning(&about, "TooManyAddressesToMirror", told));
    }
    groups
}

fn port(port: &k8s_openapi::api::core::v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, is_ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(is_ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn settle(
    plan: &mut Plan,
    object: &Object,
    source: &Endpoints,
    group: &Group,
    slice: Option<&Slice>,
) -> Result<(), Status> {
    let header = object.header();
    let mut labels: BTreeMap<String, String> = source.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), header.name.to_string());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations: BTreeMap<String, String> = source.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| name != TRIGGERED && name != APPLIED);
    let Some(slice) = slice else {
        let everything = machinery::selector::LabelSelector::everything();
        let owner = Owner { resource: resources::ENDPOINTS, object, selector: &everything };
        let made = json!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "generateName": template::name_prefix(&header.name),
                "namespace": header.namespace.as_str(),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [owner.reference()],
            },
            "addressType": group.family,
            "endpoints": group.endpoints,
            "ports": group.ports,
        });
        plan.because(format!("{} endpoints are in no slice yet", group.endpoints.len()));
        plan.push(Op::create(resources::ENDPOINT_SLICES, &header.namespace, &made));
        return Ok(());
    };
    let metadata = &slice.typed.metadata;
    let is_same = slice.typed.endpoints.as_deref().unwrap_or_default() == group.endpoints
        && metadata.labels.clone().unwrap_or_default() == labels
        && metadata.annotations.clone().unwrap_or_default() == annotations;
    if !is_same {
        plan.because(format!("slice {} is brought up to date", slice.object.header().name));
        plan.push(Op::update(resources::ENDPOINT_SLICES, &slice.object, |document: &mut Value| {
            document["metadata"]["labels"] = json!(labels);
            document["metadata"]["annotations"] = json!(annotations);
            document["endpoints"] = json!(group.endpoints);
        })?);
    }
    Ok(())
}

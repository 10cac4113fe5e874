//! From the slices there are to those there should be.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::plan::{Op, Plan};
use client::{Key, resources, time};
use env::WallTime;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use machinery::Object;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::desired::{self, Group};
use super::{MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::claim::Owner;
use crate::pod::Pod;

/// The most endpoints of a slice.
const LARGEST: usize = 100;
/// The label on slices of Services without an address of their own.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// When what led to a slice's last change happened.
pub const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Service.
    pub object: Object,
    /// The same, typed.
    pub service: Arc<Service>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// The zones of their nodes.
    pub zones: BTreeMap<SmolStr, SmolStr>,
    /// The slices we keep for it.
    pub slices: Vec<Slice>,
}

/// A slice there is.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The object.
    pub object: Object,
    /// The same, typed.
    pub typed: Arc<EndpointSlice>,
}

/// A slice while the plan is made.
struct Draft<'a> {
    slice: &'a Slice,
    endpoints: Vec<Endpoint>,
    is_changed: bool,
}

/// Decides about one Service.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    if view.object.header().deleting {
        return plan;
    }
    let labels = labels(view);
    let mut left: Vec<&Slice> = view.slices.iter().filter(|slice| !slice.object.header().deleting).collect();
    for group in desired::groups(view) {
        let (ours, others) = left.into_iter().partition(|slice| belongs(slice, &group));
        left = others;
        settle(&mut plan, view, &labels, &group, ours);
    }
    for slice in left {
        remove(&mut plan, slice);
    }
    plan
}

fn belongs(slice: &Slice, group: &Group) -> bool {
    slice.typed.address_type == group.family
        && slice.typed.ports.as_deref().unwrap_or_default() == group.ports
}

/// What makes two endpoints the same one.
fn identity(endpoint: &Endpoint) -> (Option<&str>, &[String]) {
    (endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()), &endpoint.addresses)
}

fn settle(
    plan: &mut Plan,
    view: &View,
    labels: &BTreeMap<String, String>,
    group: &Group,
    slices: Vec<&Slice>,
) {
    let mut missing = group.endpoints.clone();
    let mut drafts: Vec<Draft<'_>> = slices.into_iter().map(|slice| keep(slice, &mut missing)).collect();
    // Slices that are written anyway take new endpoints first, then those that are fullest.
    drafts.sort_by_key(|draft| (!draft.is_changed, std::cmp::Reverse(draft.endpoints.len())));
    for draft in &mut drafts {
        let room = LARGEST.saturating_sub(draft.endpoints.len());
        if room > 0 && !missing.is_empty() && (draft.is_changed || missing.len() <= room) {
            draft.endpoints.extend(missing.drain(..missing.len().min(room)));
            draft.is_changed = true;
        }
    }
    let is_placeholder = group.endpoints.is_empty();
    let mut has_slice = false;
    for draft in &drafts {
        if draft.endpoints.is_empty() && (!is_placeholder || has_slice) {
            remove(plan, draft.slice);
            continue;
        }
        has_slice = true;
        let known = draft.slice.typed.metadata.labels.clone().unwrap_or_default();
        if draft.is_changed || known != *labels {
            update(plan, view, labels, draft);
        }
    }
    for endpoints in missing.chunks(LARGEST) {
        create(plan, view, labels, group, endpoints);
    }
    if is_placeholder && !has_slice {
        create(plan, view, labels, group, &[]);
    }
}

/// What of a slice is still right; takes that from what is missing.
fn keep<'a>(slice: &'a Slice, missing: &mut Vec<Endpoint>) -> Draft<'a> {
    let before = slice.typed.endpoints.clone().unwrap_or_default();
    let mut endpoints = Vec::new();
    for endpoint in &before {
        if let Some(position) = missing.iter().position(|wanted| identity(wanted) == identity(endpoint)) {
            endpoints.push(missing.remove(position));
        }
    }
    let is_changed = endpoints != before;
    Draft { slice, endpoints, is_changed }
}

fn labels(view: &View) -> BTreeMap<String, String> {
    let mut labels = view.service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.to_owned(), view.object.header().name.to_string());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(&view.service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// Whether a Service has no address of its own.
pub fn is_headless(service: &Service) -> bool {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    matches!(address, None | Some("" | "None"))
}

/// When the last thing happened that endpoints tell.
pub fn triggered(created: Option<WallTime>, pods: &[Pod]) -> String {
    let pods = pods.iter().filter_map(|pod| pod.facts.ready_changed);
    time::seconds(pods.chain(created).max().unwrap_or_default())
}

fn created(view: &View) -> Option<WallTime> {
    view.service.metadata.creation_timestamp.as_ref().map(|at| time::wall(at.0))
}

fn create(
    plan: &mut Plan,
    view: &View,
    labels: &BTreeMap<String, String>,
    group: &Group,
    endpoints: &[Endpoint],
) {
    let header = view.object.header();
    let everything = machinery::selector::LabelSelector::everything();
    let owner = Owner { resource: resources::SERVICES, object: &view.object, selector: &everything };
    let slice = json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "generateName": format!("{}-", header.name),
            "namespace": header.namespace.as_str(),
            "labels": labels,
            "annotations": { TRIGGERED: triggered(created(view), &view.pods) },
            "ownerReferences": [owner.reference()],
        },
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": group.ports,
    });
    plan.because(format!("{} endpoints are in no slice yet", endpoints.len()));
    plan.push(Op::create(resources::ENDPOINT_SLICES, &header.namespace, &slice));
}

fn update(plan: &mut Plan, view: &View, labels: &BTreeMap<String, String>, draft: &Draft<'_>) {
    let (object, endpoints) = (&draft.slice.object, &draft.endpoints);
    plan.because(format!("slice {} is brought up to date", object.header().name));
    let op = Op::update(resources::ENDPOINT_SLICES, object, |document: &mut Value| {
        document["metadata"]["labels"] = json!(labels);
        document["metadata"]["annotations"][TRIGGERED] = json!(triggered(created(view), &view.pods));
        document["endpoints"] = json!(endpoints);
    });
    match op {
        Ok(op) => plan.push(op),
        Err(status) => plan.retry = Some(status.message),
    }
}

fn remove(plan: &mut Plan, slice: &Slice) {
    let header = slice.object.header();
    plan.because(format!("slice {} says nothing that is still right", header.name));
    plan.push(Op::delete(resources::ENDPOINT_SLICES, &Key::of(&slice.object), &header.uid));
}

//! Whether a range is ready, and when it may go.

use std::net::IpAddr;
use std::time::Duration;

use client::plan::{Op, Plan, tree};
use client::{Key, resources, time};
use env::WallTime;
use machinery::{Object, Status};
use serde_json::{Value, json};

/// Holds a range while it is needed.
pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// How long a range stays after its deletion was asked for: whoever gives out addresses must have heard of it.
const GRACE: Duration = Duration::from_secs(10);

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The range.
    pub object: Object,
    /// All others.
    pub others: Vec<Object>,
    /// The addresses that are taken, if the range is to go.
    pub addresses: Vec<String>,
}

/// Decides about one range.
pub fn plan(view: &View, now: WallTime) -> Plan {
    decide(view, now).unwrap_or_else(|status| Plan { retry: Some(status.message), ..Plan::default() })
}

fn decide(view: &View, now: WallTime) -> Result<Plan, Status> {
    let mut plan = Plan::nothing();
    let document = tree(&view.object)?;
    let header = view.object.header();
    let holds = header.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if !header.deleting {
        if !holds {
            plan.because("it must not go while its addresses are in use");
            let patch = json!({ "metadata": { "finalizers": [FINALIZER] } });
            plan.push(Op::strategic_patch(resources::SERVICE_CIDRS, &Key::of(&view.object), &patch));
        }
        let ready = ("True", "", "Kubernetes Service CIDR is ready");
        plan.status = condition(view, &document, ready, now)?;
        return Ok(plan);
    }
    if is_needed(view, &document)? {
        let told = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        plan.because(told);
        plan.status = condition(view, &document, ("False", "Terminating", told), now)?;
        return Ok(plan);
    }
    let asked = document["metadata"]["deletionTimestamp"].as_str().and_then(time::parse).unwrap_or(now);
    let until = asked.plus(GRACE);
    if until > now {
        plan.requeue(until.since(now));
    } else if holds {
        plan.because("nobody has an address of it");
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [FINALIZER] } });
        let op = Op::strategic_patch(resources::SERVICE_CIDRS, &Key::of(&view.object), &patch);
        plan.push(op.tolerating(&[404]));
    }
    Ok(plan)
}

/// The condition `Ready`, if it is not said already.
fn condition(
    view: &View,
    document: &Value,
    (status, reason, message): (&str, &str, &str),
    now: WallTime,
) -> Result<Option<Op>, Status> {
    let known = document["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let before = known.iter().find(|condition| condition["type"] == "Ready");
    let is_said = before.is_some_and(|before| {
        before["status"] == status
            && before["reason"].as_str().unwrap_or_default() == reason
            && before["message"] == message
    });
    if is_said {
        return Ok(None);
    }
    let same_status = before.filter(|before| before["status"] == status);
    let since =
        same_status.map_or_else(|| json!(time::seconds(now)), |before| before["lastTransitionTime"].clone());
    let ready = json!({ "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": since });
    let applied = json!({
        "apiVersion": resources::SERVICE_CIDRS.api_version(),
        "kind": resources::SERVICE_CIDRS.kind,
        "metadata": { "name": view.object.header().name.as_str() },
        "status": { "conditions": [ready] },
    });
    let mut op = Op::apply(resources::SERVICE_CIDRS, &Key::of(&view.object), &applied);
    op.call.subresource = "status";
    Ok(Some(op))
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    address: IpAddr,
    length: u8,
}

fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(four) => (u128::from(u32::from(four)), 32),
        IpAddr::V6(six) => (u128::from(six), 128),
    }
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (address, length) = text.split_once('/')?;
        let range = Range { address: address.parse().ok()?, length: length.parse().ok()? };
        (range.length <= bits(range.address).1).then_some(range)
    }

    fn has(self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        let host_bits = u32::from(width - self.length);
        width == other_width
            && own.checked_shr(host_bits).unwrap_or(0) == other.checked_shr(host_bits).unwrap_or(0)
    }

    fn contains(self, other: Range) -> bool {
        self.length <= other.length && self.has(other.address)
    }
}

fn ranges(document: &Value) -> Vec<Range> {
    let cidrs = document["spec"]["cidrs"].as_array().into_iter().flatten();
    cidrs.filter_map(|cidr| Range::parse(cidr.as_str()?)).collect()
}

/// Whether an address would belong to no range without this one. Ranges that are going themselves count, as upstream's
/// do: the last one of them to go is held.
fn is_needed(view: &View, document: &Value) -> Result<bool, Status> {
    let own = ranges(document);
    let mut others = Vec::new();
    for other in &view.others {
        others.extend(ranges(&tree(other)?));
    }
    let has_parents = own.iter().all(|range| others.iter().any(|other| other.contains(*range)));
    if has_parents {
        return Ok(false);
    }
    let is_orphaned = |address: &String| {
        let Ok(address) = address.parse::<IpAddr>() else { return false };
        own.iter().any(|range| range.has(address)) && !others.iter().any(|other| other.has(address))
    };
    Ok(view.addresses.iter().any(is_orphaned))
}

//! What policies are about: the policies themselves, pods, and namespaces' labels.

use std::net::IpAddr;

use client::Key;
use client::cache::Facts;
use ipnet::IpNet;
use machinery::json::Parts::{self, All, Of};
use machinery::selector::LabelSelector;
use machinery::{Object, Status, Value};
use smol_str::SmolStr;

use crate::view::protocol;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its namespace and name.
    pub key: Key,
    /// The pods of its namespace it is about.
    pub subjects: LabelSelector,
    /// Who may come in; `None` if it says nothing about that.
    pub ingress: Option<Vec<Rule>>,
    /// Where to they may go out; `None` if it says nothing about that.
    pub egress: Option<Vec<Rule>>,
}

/// What a policy lets through.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The other side; `None` is everybody.
    pub peers: Option<Vec<Peer>>,
    /// The ports; `None` is all.
    pub ports: Option<Vec<Ports>>,
}

/// The other side.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A block of addresses, without some.
    Block(IpNet, Vec<IpNet>),
    /// Pods: of the policy's own namespace, or of those that fit.
    Pods(Option<LabelSelector>, LabelSelector),
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// From one to another.
    Range(u8, u16, u16),
    /// What the receiving pod calls so.
    Named(u8, SmolStr),
}

impl Facts for Policy {
    fn of(object: &Object) -> Result<Policy, Status> {
        let document = object.to_value()?;
        let spec = document.get("spec");
        let read = |value: &Value| read_selector(value).map_err(Status::internal);
        let types: Vec<&str> = spec.get("policyTypes").items().iter().map(Value::str_or_empty).collect();
        let rules = |name: &str, side: &str| {
            let rules = spec.get(name).items().iter().map(|rule| read_rule(rule, side));
            rules.collect::<Result<Vec<Rule>, String>>().map_err(Status::internal)
        };
        let (ingress, egress) = (rules("ingress", "from")?, rules("egress", "to")?);
        let about_ingress = types.is_empty() || types.contains(&"Ingress");
        let about_egress = if types.is_empty() { !egress.is_empty() } else { types.contains(&"Egress") };
        Ok(Policy {
            key: Key::of(object),
            subjects: read(spec.get("podSelector"))?,
            ingress: about_ingress.then_some(ingress),
            egress: about_egress.then_some(egress),
        })
    }
}

/// A selector; in policies one that is missing selects everything.
fn read_selector(value: &Value) -> Result<LabelSelector, String> {
    if value.is_null() { Ok(LabelSelector::everything()) } else { LabelSelector::from_document(value) }
}

fn read_rule(rule: &Value, side: &str) -> Result<Rule, String> {
    let peers = rule.get(side).items();
    let ports = rule.get("ports").items();
    let peers = peers.iter().map(read_peer).collect::<Result<Vec<Peer>, String>>()?;
    let ports = ports.iter().map(read_ports).collect::<Result<Vec<Ports>, String>>()?;
    Ok(Rule { peers: (!peers.is_empty()).then_some(peers), ports: (!ports.is_empty()).then_some(ports) })
}

fn read_peer(peer: &Value) -> Result<Peer, String> {
    let block = peer.get("ipBlock");
    if !block.is_null() {
        let parse = |value: &Value| {
            let text = value.str_or_empty();
            text.parse::<IpNet>().map_err(|error| format!("{text:?}: {error}"))
        };
        let except = block.get("except").items().iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        return Ok(Peer::Block(parse(block.get("cidr"))?, except));
    }
    let namespaces = peer.get("namespaceSelector");
    let namespaces =
        if namespaces.is_null() { None } else { Some(LabelSelector::from_document(namespaces)?) };
    Ok(Peer::Pods(namespaces, read_selector(peer.get("podSelector"))?))
}

fn read_ports(ports: &Value) -> Result<Ports, String> {
    let name = ports.get("protocol").as_str();
    let number = protocol::number(name).ok_or_else(|| format!("{name:?} is no protocol"))?;
    let port = ports.get("port");
    if let Some(name) = port.as_str() {
        return Ok(Ports::Named(number, SmolStr::new(name)));
    }
    let read = |value: &Value| {
        let number = value.as_int().map(u16::try_from).transpose();
        number.map_err(|_| "a port is out of range".to_owned())
    };
    let Some(first) = read(port)? else { return Ok(Ports::Range(number, 0, u16::MAX)) };
    Ok(Ports::Range(number, first, read(ports.get("endPort"))?.unwrap_or(first).max(first)))
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace and name.
    pub key: Key,
    /// Its identity.
    pub uid: SmolStr,
    /// The node it is on.
    pub node: SmolStr,
    /// Its addresses; none if it is on its node's network, or has ended.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Vec<(SmolStr, SmolStr)>,
    /// Its ports that have names: name, protocol, number.
    pub ports: Vec<(SmolStr, u8, u16)>,
}

impl Pod {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// What of a container.
const CONTAINER: Parts = Of(&[("ports", All)]);

/// What [`Pod`] is made of beside its header: every change of every pod is read for it.
const POD_PARTS: Parts = Of(&[
    (
        "spec",
        Of(&[
            ("nodeName", All),
            ("hostNetwork", All),
            ("containers", CONTAINER),
            ("initContainers", CONTAINER),
        ]),
    ),
    ("status", Of(&[("phase", All), ("podIPs", All)])),
]);

impl Facts for Pod {
    fn of(object: &Object) -> Result<Pod, Status> {
        let document = object.parts(&POD_PARTS)?;
        let (spec, status) = (document.get("spec"), document.get("status"));
        let ended = matches!(status.get("phase").str_or_empty(), "Succeeded" | "Failed");
        let addresses = status.get("podIPs").items().iter();
        let addresses = addresses.filter_map(|entry| entry.get("ip").str_or_empty().parse().ok());
        let has_own = !ended && !spec.get("hostNetwork").is_true();
        let containers = spec.get("containers").items().iter().chain(spec.get("initContainers").items());
        let ports = containers.flat_map(|container| container.get("ports").items()).filter_map(|port| {
            let name = port.get("name").as_str()?;
            let number = u16::try_from(port.get("containerPort").as_int()?).ok()?;
            Some((SmolStr::new(name), protocol::number(port.get("protocol").as_str())?, number))
        });
        Ok(Pod {
            key: Key::of(object),
            uid: object.header().uid.clone(),
            node: SmolStr::new(spec.get("nodeName").str_or_empty()),
            addresses: if has_own { addresses.collect() } else { Vec::new() },
            labels: object.header().labels.to_vec(),
            ports: ports.collect(),
        })
    }
}

/// A namespace's labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: SmolStr,
    /// Its labels.
    pub labels: Vec<(SmolStr, SmolStr)>,
}

impl Namespace {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Facts for Namespace {
    fn of(object: &Object) -> Result<Namespace, Status> {
        Ok(Namespace { name: object.header().name.clone(), labels: object.header().labels.to_vec() })
    }
}

//! What would happen to a packet, hop by hop and with reasons: out of the same pictures and by the same decisions that
//! the names, the Service rules and the policies are made from. Pure; nothing is sent.

pub mod endpoint;
pub mod name;
pub mod policy;
pub mod world;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::proxy::compile::{Frontends, compile};
use crate::proxy::ruleset::{Balance, Frontend, Masquerade, Target};
use crate::view::{Node, Service, Slice, protocol};
use endpoint::Way;
use world::{Source, World};

/// How many endpoints are followed: of more, the others are only counted.
const ENDPOINTS: usize = 16;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who sends: `POD`, `NAMESPACE/POD` or an address.
    pub from: String,
    /// The namespace of a pod that is named without one.
    pub namespace: String,
    /// Where to: a name or an address, with or without a port.
    pub to: String,
    /// The transport protocol's number.
    pub protocol: u8,
}

/// What cannot be traced.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unclear {
    /// There is no such sender.
    #[error("there is no pod {0:?}; name it as POD, as NAMESPACE/POD, or give an address")]
    NoSource(String),
    /// The destination makes no sense.
    #[error("{0:?} is no destination: give an address or a name, and a port after a colon")]
    NoDestination(String),
    /// Nobody can say without it.
    #[error("{0:?} has no port: packets are for a port, so write {0}:PORT")]
    NoPort(String),
}

/// How it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It comes where it is to come.
    #[default]
    Arrives,
    /// Somebody outside decides.
    Leaves,
    /// It depends on the endpoint that is chosen.
    Depends,
    /// The sender is told at once that nobody is there.
    Refused,
    /// Nobody answers.
    Lost,
}

impl fmt::Display for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Fate::Arrives => "it arrives",
            Fate::Leaves => "it leaves the cluster: what is outside decides",
            Fate::Depends => "it depends on the endpoint that is chosen",
            Fate::Refused => "it is refused at once",
            Fate::Lost => "it is lost: the sender waits until it gives up",
        })
    }
}

/// A step on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What decides.
    pub topic: &'static str,
    /// What it decides, and why.
    pub text: String,
}

/// The way of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Its steps.
    pub steps: Vec<Step>,
    /// How it ends.
    pub fate: Fate,
}

impl Trace {
    /// Adds a step.
    fn say(&mut self, topic: &'static str, text: impl Into<String>) {
        self.steps.push(Step { topic, text: text.into() });
    }

    /// Adds the last step.
    fn end(mut self, topic: &'static str, text: impl Into<String>, fate: Fate) -> Trace {
        self.say(topic, text);
        self.fate = fate;
        self
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.topic.len()).max().unwrap_or(0);
        for step in &self.steps {
            writeln!(out, "{:width$}  {}", step.topic, step.text)?;
        }
        writeln!(out, "{:width$}  {}", "so", self.fate)
    }
}

/// Follows a packet.
pub fn trace(world: &World, question: &Question) -> Result<Trace, Unclear> {
    let source = world.source(&question.from, &question.namespace)?;
    let mut trace = Trace::default();
    trace.say("from", source.text());
    let (host, port) = name::split(&question.to)?;
    let address = match host.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match name::resolve(world, &source, &host) {
            name::Resolved::Address(text, address) => {
                trace.say("name", text);
                address
            }
            name::Resolved::Elsewhere(text) => return Ok(trace.end("name", text, Fate::Leaves)),
            name::Resolved::Nothing(text) => return Ok(trace.end("name", text, Fate::Refused)),
        },
    };
    let to = SocketAddr::new(address, port.ok_or_else(|| Unclear::NoPort(question.to.clone()))?);
    let packet = Packet { world, source: &source, to, protocol: question.protocol };
    Ok(packet.follow(trace))
}

/// A packet whose destination is known.
struct Packet<'a> {
    world: &'a World,
    source: &'a Source<'a>,
    to: SocketAddr,
    protocol: u8,
}

impl Packet<'_> {
    fn follow(&self, mut trace: Trace) -> Trace {
        if !self.source.speaks(self.to.is_ipv6()) {
            let family = if self.to.is_ipv6() { "IPv6" } else { "IPv4" };
            return trace.end("address", format!("the sender has no address of {family}"), Fate::Refused);
        }
        if self.world.dns.contains(&self.to.ip()) {
            return self.where_names_are(trace);
        }
        // A packet for a node comes to that node first; any other is looked at where it is sent.
        let entry = self.world.node_at(self.to.ip()).or(self.source.node).map(|host| host.facts.clone());
        let entry = entry.unwrap_or_default();
        if let Some((service, target)) = self.service(&entry) {
            let ports = format!("{}/{}", self.to.port(), protocol_name(self.protocol));
            let text = format!("{} is Service {} port {ports}", self.to.ip(), service.key);
            trace.say("service", text);
            return match target {
                Target::Reject => trace.end("service", "it has no ready endpoint", Fate::Refused),
                Target::Drop => {
                    let text =
                        format!("its traffic stays on a node, and node {} has no endpoint", entry.name);
                    trace.end("service", text, Fate::Lost)
                }
                Target::Balance(balance) => self.balance(trace, &entry, &balance),
            };
        }
        if let Some(service) = self.world.service_at(self.to.ip()) {
            let text = format!(
                "{} is Service {}, which has no port {}/{}; it has {}",
                self.to.ip(),
                service.key,
                self.to.port(),
                protocol_name(self.protocol),
                ports_of(service)
            );
            return trace.end("service", text, Fate::Refused);
        }
        if self.world.service_blocks.iter().any(|block| block.contains(&self.to.ip())) {
            let text = format!("{} is an address for Services, and no Service has it", self.to.ip());
            return trace.end("service", text, Fate::Lost);
        }
        let way =
            Way { source: self.source, entry: &entry, to: self.to, protocol: self.protocol, masked: false };
        let (steps, fate) = way.follow(self.world);
        trace.steps.extend(steps);
        trace.fate = fate;
        trace
    }

    /// The node of the sender answers names itself, whatever policies say.
    fn where_names_are(&self, trace: Trace) -> Trace {
        let answers = self.to.port() == 53 && matches!(self.protocol, protocol::TCP | protocol::UDP);
        let text = "the sender's own node answers names at this address";
        if answers {
            return trace.end("names", format!("{text}; policies do not matter"), Fate::Arrives);
        }
        trace.end("names", format!("{text}, on port 53 and no other"), Fate::Refused)
    }

    /// The Service that has this address and port, and where it leads for a node. If there are several, the first by
    /// name has it, as in the rules.
    fn service(&self, entry: &Node) -> Option<(&Service, Target)> {
        let on_node = entry.addresses.contains(&self.to.ip());
        let (address, v6) = (self.to.ip(), self.to.is_ipv6());
        let at = |address| Frontend { address, v6, protocol: self.protocol, port: self.to.port() };
        self.world.services_by_name().find_map(|service| {
            let slices: Vec<&Slice> = self.world.slices_of(service);
            let mut frontends: Frontends = compile(service, &slices, entry, &self.world.dns);
            let found = frontends.remove(&at(Some(address)));
            let target = found.or_else(|| frontends.remove(&at(None)).filter(|_| on_node))?;
            Some((service, target))
        })
    }

    fn balance(&self, mut trace: Trace, entry: &Node, balance: &Balance) -> Trace {
        let is_node = self.source.node.is_some_and(|node| node.facts.name == entry.name);
        let is_own = self.source.pod.is_none() && is_node;
        let from_cluster = self.source.pod.is_some() || is_own;
        if let Some(ranges) = &balance.sources
            && !self.source.addresses.iter().any(|one| ranges.iter().any(|range| range.contains(one)))
        {
            return trace.end("service", "its loadBalancerSourceRanges leave the sender out", Fate::Lost);
        }
        let backends = match &balance.local {
            Some(local) if !from_cluster => local,
            _ => &balance.backends,
        };
        if backends.is_empty() {
            let text = format!("externalTrafficPolicy is Local, and node {} has no endpoint", entry.name);
            return trace.end("service", text, Fate::Lost);
        }
        let masked = match balance.masquerade {
            Masquerade::Never => false,
            Masquerade::Outsiders => self.source.pod.is_none(),
            Masquerade::Always => balance.local.is_none() || is_own,
        };
        let keeps =
            balance.affinity.map_or(String::new(), |secs| format!("; a client keeps its own for {secs} s"));
        trace.say("service", format!("it chooses one of {} endpoints at random{keeps}", backends.len()));
        if masked {
            trace.say("service", format!("the endpoint sees the address of node {}", entry.name));
        }
        let mut fates = Vec::new();
        for backend in backends.iter().take(ENDPOINTS) {
            trace.say("endpoint", backend.to_string());
            let way = Way { source: self.source, entry, to: *backend, protocol: self.protocol, masked };
            let (steps, fate) = way.follow(self.world);
            trace.steps.extend(steps);
            fates.push(fate);
        }
        if backends.len() > ENDPOINTS {
            trace.say("endpoint", format!("{} more", backends.len() - ENDPOINTS));
        }
        let (best, worst) = (fates.iter().min(), fates.iter().max());
        trace.fate = if best == worst { best.copied().unwrap_or_default() } else { Fate::Depends };
        trace
    }
}

fn ports_of(service: &Service) -> String {
    let ports = service.ports.iter().map(|port| format!("{}/{}", port.port, protocol_name(port.protocol)));
    ports.collect::<Vec<_>>().join(", ")
}

/// The name of a transport protocol.
pub fn protocol_name(number: u8) -> &'static str {
    match number {
        protocol::UDP => "UDP",
        protocol::SCTP => "SCTP",
        _ => "TCP",
    }
}

#[cfg(test)]
mod tests;

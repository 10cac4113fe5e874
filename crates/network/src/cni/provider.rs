//! Our pod network as a plugin: what the process that has it answers to calls of the plugin's program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use cri::{NetworkRequest, PodId, PodNetwork, PortMapping, Protocol};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::configuration::is_at_least;
use super::entry::{Attachment, Wish};
use super::failure::{Failure, code};
use super::outcome;
use crate::netlink::link::Mac;
use crate::podnet::PodNet;
use crate::podnet::foreign::{self, Laid};
use crate::podnet::wire::{GATEWAY4, GATEWAY6};

/// What answers.
#[derive(Clone, Debug)]
pub struct Provider {
    pods: Arc<PodNet>,
}

impl Provider {
    /// Out of this pod network.
    pub fn new(pods: Arc<PodNet>) -> Provider {
        Provider { pods }
    }

    /// Does what is wanted; answers what the program is to print, if anything.
    pub async fn answer(&self, wish: Wish) -> Result<Option<Value>, Failure> {
        match wish {
            Wish::Add(attachment) => self.add(attachment).await.map(Some),
            Wish::Delete(attachment) => {
                let sandbox = foreign::id(&attachment.container, &attachment.interface);
                self.pods.detach(sandbox).await.map(|()| None).map_err(failed)
            }
            Wish::Check(attachment) => self.check(attachment).await.map(|()| None),
            Wish::Collect(listed) => {
                let kept = listed.iter().map(|one| foreign::id(&one.container, &one.interface)).collect();
                self.pods.keep_only_foreign(kept).await.map(|()| None).map_err(failed)
            }
            Wish::Status if self.pods.has_blocks() => Ok(None),
            Wish::Status => {
                Err(Failure::new(code::NOT_AVAILABLE, "the node has no block of pod addresses yet"))
            }
        }
    }

    async fn add(&self, attachment: Attachment) -> Result<Value, Failure> {
        let sandbox = foreign::id(&attachment.container, &attachment.interface);
        let of = |name: &str| attachment.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let request = NetworkRequest {
            sandbox: sandbox.clone(),
            netns: attachment.netns.clone(),
            interface: attachment.interface.clone(),
            pod: PodId {
                namespace: of("K8S_POD_NAMESPACE").to_owned(),
                name: of("K8S_POD_NAME").to_owned(),
                uid: of("K8S_POD_UID").to_owned(),
            },
            ports: ports(&attachment.configuration)?,
            ..NetworkRequest::default()
        };
        if let Err(error) = self.pods.attach(request).await {
            // The runtime need not ask for the end of what never began.
            self.pods.detach(sandbox).await.map_err(failed)?;
            return Err(failed(error));
        }
        let laid = self.pods.laid(&sandbox);
        let laid = laid.ok_or_else(|| Failure::new(code::FAILED, "it was taken off at the same time"))?;
        Ok(result(&attachment, &laid))
    }

    async fn check(&self, attachment: Attachment) -> Result<(), Failure> {
        let laid = self.pods.laid(&foreign::id(&attachment.container, &attachment.interface));
        let laid = laid.ok_or_else(|| {
            Failure::new(code::UNKNOWN_CONTAINER, format!("{} is not attached", attachment.container))
        })?;
        let told = attachment.configuration.get("prevResult").map(outcome::addresses).unwrap_or_default();
        if let Some(other) = laid.addresses.iter().find(|address| !told.contains(address)) {
            let what = format!("it has the address {other}, which the earlier result does not say");
            return Err(Failure::new(code::FAILED, what));
        }
        let fault = self.pods.fault(laid, attachment.netns, attachment.interface).await.map_err(failed)?;
        fault.map_or(Ok(()), |fault| Err(Failure::new(code::FAILED, fault)))
    }
}

fn failed(error: cri::RuntimeError) -> Failure {
    Failure::new(code::FAILED, error.to_string())
}

/// The node's ports that are to lead to the container.
fn ports(configuration: &Map<String, Value>) -> Result<Vec<PortMapping>, Failure> {
    let invalid = |what: String| Failure::new(code::INVALID_CONFIGURATION, what);
    let mappings = configuration.get("runtimeConfig").map(|wishes| &wishes["portMappings"]);
    let Some(mappings) = mappings.and_then(Value::as_array) else { return Ok(Vec::new()) };
    let port = |mapping: &Value| -> Option<PortMapping> {
        let number = |name: &str| mapping[name].as_u64().and_then(|port| u16::try_from(port).ok());
        Some(PortMapping {
            protocol: match mapping["protocol"].as_str().unwrap_or("tcp").to_ascii_lowercase().as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => return None,
            },
            container_port: number("containerPort")?,
            host_port: number("hostPort")?,
            host_ip: match mapping["hostIP"].as_str().unwrap_or_default() {
                "" => None,
                text => Some(text.parse().ok()?),
            },
        })
    };
    let wanted = mappings.iter().filter(|mapping| mapping["hostPort"].as_u64().unwrap_or_default() != 0);
    wanted
        .map(|mapping| {
            port(mapping).ok_or_else(|| invalid(format!("a port mapping makes no sense: {mapping}")))
        })
        .collect()
}

/// What was done, in the version that was asked for.
fn result(attachment: &Attachment, laid: &Laid) -> Value {
    let version = attachment.configuration.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    let mut ips = Vec::new();
    let mut routes = Vec::new();
    for address in &laid.addresses {
        let (gateway, everywhere, family) = match address {
            IpAddr::V4(_) => (IpAddr::V4(GATEWAY4), IpAddr::V4(Ipv4Addr::UNSPECIFIED), "4"),
            IpAddr::V6(_) => (IpAddr::V6(GATEWAY6), IpAddr::V6(Ipv6Addr::UNSPECIFIED), "6"),
        };
        let mut ip = json!({
            "address": IpNet::from(*address).to_string(), "gateway": gateway.to_string(), "interface": 1,
        });
        if !is_at_least(version, "1.0.0") {
            ip["version"] = json!(family);
        }
        ips.push(ip);
        routes.push(json!({"dst": format!("{everywhere}/0"), "gw": gateway.to_string()}));
    }
    json!({
        "cniVersion": version,
        "interfaces": [
            {"name": laid.link, "mac": text(laid.macs.0)},
            {"name": attachment.interface, "mac": text(laid.macs.1), "sandbox": attachment.sandbox},
        ],
        "ips": ips,
        "routes": routes,
        "dns": {},
    })
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

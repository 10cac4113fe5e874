//! Our pods on somebody else's network: plugins are run, one after the other, for each sandbox. What was done for which
//! sandbox is written down first, so that it is undone although we died, or the configuration has changed since.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri::{BoxFuture, NetworkRequest, PodId, PortMapping, Protocol, RuntimeError};
use env::Env;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Folders;
use super::configuration::{self, Configuration};
use super::failure::{Failure, code};
use super::invocation::{Invocation, Verb};
use super::outcome;
use crate::netlink::{Links, Namespace};

/// What a pod's link is called inside.
const INTERFACE: &str = "eth0";
/// Annotations of a pod that limit what it receives and sends.
const BANDWIDTH: [(&str, &str); 2] =
    [("kubernetes.io/ingress-bandwidth", "ingress"), ("kubernetes.io/egress-bandwidth", "egress")];
/// How much may come at once before a limit holds: as others who run these plugins say it.
const BURST: u64 = u32::MAX as u64;

/// The networks of pods, made by plugins.
#[derive(Debug)]
pub struct Plugins {
    shared: Arc<Shared>,
    env: Env,
}

#[derive(Debug)]
struct Shared {
    folders: Folders,
    /// Where it is written down what was done.
    records: PathBuf,
    node: Namespace,
}

/// What was done for a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    sandbox: String,
    netns: PathBuf,
    pod: PodId,
    ports: Vec<PortMapping>,
    /// Bytes a second, each way, where limited.
    bandwidth: Map<String, Value>,
    configuration: Configuration,
    /// What the last plugin answered; none if not all have answered yet.
    result: Option<Value>,
}

impl Plugins {
    /// Opens it. Whether there is a configuration is seen when the first pod comes.
    pub fn new(folders: Folders, directory: &Path, node: Namespace, env: Env) -> io::Result<Arc<Plugins>> {
        let records = directory.join("cni");
        std::fs::create_dir_all(&records)?;
        Ok(Arc::new(Plugins { shared: Arc::new(Shared { folders, records, node }), env }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> cri::Result<T> {
        let shared = self.shared.clone();
        let result = self.env.tasks.blocking(move || work(&shared)).await;
        let result = result.ok_or_else(|| RuntimeError::Failed("the pod network's work panicked".into()))?;
        result.map_err(|error| RuntimeError::Failed(error.to_string()))
    }
}

impl cri::PodNetwork for Plugins {
    fn attach(&self, request: NetworkRequest) -> BoxFuture<'_, cri::Result<Vec<IpAddr>>> {
        Box::pin(self.blocking(move |shared| shared.attach(&request)))
    }

    fn detach(&self, sandbox: String) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(self.blocking(move |shared| shared.detach(&sandbox)))
    }

    fn keep_only(&self, sandboxes: Vec<String>) -> BoxFuture<'_, cri::Result<()>> {
        Box::pin(self.blocking(move |shared| shared.keep_only(&sandboxes.into_iter().collect())))
    }
}

impl Shared {
    fn attach(&self, request: &NetworkRequest) -> Result<Vec<IpAddr>, Failure> {
        match self.record(&request.sandbox)? {
            Some(Record { result: Some(result), .. }) => return Ok(outcome::addresses(&result)),
            // Begun, and never finished.
            Some(record) => self.undo(&record)?,
            None => {}
        }
        set_up_loopback(&request.netns)?;
        let mut record = Record {
            sandbox: request.sandbox.clone(),
            netns: request.netns.clone(),
            pod: request.pod.clone(),
            ports: request.ports.clone(),
            bandwidth: bandwidth(request)?,
            configuration: configuration::load(&self.folders.configurations)?,
            result: None,
        };
        self.save(&record)?;
        let added = self.add(&mut record);
        if added.is_err()
            && let Err(error) = self.undo(&record)
        {
            tracing::warn!(sandbox = record.sandbox, %error, "what plugins began could not be undone yet");
        }
        added
    }

    fn add(&self, record: &mut Record) -> Result<Vec<IpAddr>, Failure> {
        let mut previous = None;
        for plugin in &record.configuration.plugins {
            let answer = self.ask(record, Verb::Add, plugin, previous.as_ref())?;
            previous = Some(serde_json::from_slice(&answer).map_err(|error| {
                let what = format!("{} answered what cannot be read: {error}", name_of(plugin));
                Failure::new(code::DECODING, what)
            })?);
        }
        let addresses = outcome::addresses(previous.as_ref().unwrap_or(&Value::Null));
        record.result = previous;
        self.save(record)?;
        if addresses.is_empty() {
            let what = format!("the plugins of network {:?} gave no address", record.configuration.name);
            return Err(Failure::new(code::FAILED, what));
        }
        Ok(addresses)
    }

    fn detach(&self, sandbox: &str) -> Result<(), Failure> {
        self.record(sandbox)?.map_or(Ok(()), |record| self.undo(&record))
    }

    /// Asks the plugins to take off, the last first, and forgets the sandbox when all have.
    fn undo(&self, record: &Record) -> Result<(), Failure> {
        let result = record.result.as_ref().filter(|_| record.configuration.tells_result_at_end());
        for plugin in record.configuration.plugins.iter().rev() {
            self.ask(record, Verb::Delete, plugin, result)?;
        }
        let file = self.file(&record.sandbox)?;
        std::fs::remove_file(&file).map_err(|error| failed(&file, &error))
    }

    fn keep_only(&self, wanted: &BTreeSet<String>) -> Result<(), Failure> {
        let mut kept = Vec::new();
        for sandbox in self.sandboxes()? {
            if !wanted.contains(&sandbox) {
                // What cannot be undone now, for a program that is missing say, is tried again at the next start.
                if let Err(error) = self.detach(&sandbox) {
                    tracing::warn!(sandbox, %error, "the network of a sandbox that is gone could not be taken back");
                }
            } else if let Some(record) = self.record(&sandbox)? {
                kept.push(record);
            }
        }
        for record in &kept {
            if let Err(error) = self.check(record) {
                let pod = format!("{}/{}", record.pod.namespace, record.pod.name);
                tracing::warn!(pod, %error, "the network of a pod is not as it was made");
            }
        }
        self.collect(&kept)
    }

    /// Asks the plugins whether all is as they made it.
    fn check(&self, record: &Record) -> Result<(), Failure> {
        let configuration = &record.configuration;
        for plugin in configuration.plugins.iter().filter(|_| configuration.can_check()) {
            self.ask(record, Verb::Check, plugin, record.result.as_ref())?;
        }
        Ok(())
    }

    /// Tells the plugins of today's configuration which sandboxes there are; what else they know of is left over.
    fn collect(&self, kept: &[Record]) -> Result<(), Failure> {
        let Ok(configuration) = configuration::load(&self.folders.configurations) else { return Ok(()) };
        let here = kept.iter().filter(|record| record.configuration.name == configuration.name);
        let attachments: Vec<Value> =
            here.map(|record| json!({"containerID": record.sandbox, "ifname": INTERFACE})).collect();
        let invocation = Invocation {
            node: &self.node,
            programs: &self.folders.programs,
            container: "",
            netns: None,
            interface: "",
            arguments: "",
        };
        for plugin in configuration.plugins.iter().filter(|_| configuration.can_collect()) {
            let mut told = told(&configuration, plugin);
            told.insert("cni.dev/valid-attachments".into(), json!(attachments));
            if let Err(error) = invocation.run(Verb::Collect, name_of(plugin), &Value::Object(told)) {
                tracing::warn!(plugin = name_of(plugin), %error, "a plugin could not collect what is left over");
            }
        }
        Ok(())
    }

    fn ask(
        &self,
        record: &Record,
        verb: Verb,
        plugin: &Map<String, Value>,
        previous: Option<&Value>,
    ) -> Result<Vec<u8>, Failure> {
        let mut told = told(&record.configuration, plugin);
        let wishes = wishes(record, plugin);
        if !wishes.is_empty() {
            told.insert("runtimeConfig".into(), Value::Object(wishes));
        }
        if let Some(previous) = previous {
            told.insert("prevResult".into(), previous.clone());
        }
        let arguments = arguments(record);
        let invocation = Invocation {
            node: &self.node,
            programs: &self.folders.programs,
            container: &record.sandbox,
            netns: Some(&record.netns).filter(|netns| netns.exists()).map(PathBuf::as_path),
            interface: INTERFACE,
            arguments: &arguments,
        };
        let name = name_of(plugin);
        invocation.run(verb, name, &Value::Object(told)).map_err(|error| {
            let network = &record.configuration.name;
            let verb = format!("{verb:?}").to_lowercase();
            let what = format!("plugin type={name:?} name={network:?} failed ({verb}): {}", error.msg);
            Failure { msg: what, ..error }
        })
    }

    fn file(&self, sandbox: &str) -> Result<PathBuf, Failure> {
        if !configuration::is_name(sandbox) {
            let what = format!("{sandbox:?} cannot be the id of a container");
            return Err(Failure::new(code::INVALID_ENVIRONMENT, what));
        }
        Ok(self.records.join(format!("{sandbox}.json")))
    }

    fn sandboxes(&self) -> Result<Vec<String>, Failure> {
        let entries = std::fs::read_dir(&self.records).map_err(|error| failed(&self.records, &error))?;
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&self.records, &error))?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        found.sort();
        Ok(found)
    }

    /// What was done for a sandbox. A record that cannot be read was cut short by a power cut, which ended the sandbox.
    fn record(&self, sandbox: &str) -> Result<Option<Record>, Failure> {
        let file = self.file(sandbox)?;
        match std::fs::read(&file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)
                .inspect_err(|error| tracing::warn!(file = %file.display(), %error, "it cannot be read"))
                .ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&file, &error)),
        }
    }

    fn save(&self, record: &Record) -> Result<(), Failure> {
        let file = self.file(&record.sandbox)?;
        let bytes = serde_json::to_vec(record).map_err(|error| failed(&file, &io::Error::other(error)))?;
        let next = file.with_extension("next");
        std::fs::write(&next, bytes)
            .and_then(|()| std::fs::rename(&next, &file))
            .map_err(|error| failed(&file, &error))
    }
}

/// What a plugin is told in any case.
fn told(configuration: &Configuration, plugin: &Map<String, Value>) -> Map<String, Value> {
    let mut told = plugin.clone();
    // For whoever runs plugins, not for them.
    told.remove("capabilities");
    told.insert("name".into(), json!(configuration.name));
    told.insert("cniVersion".into(), json!(configuration.version));
    told
}

/// What this sandbox wishes of what the plugin says it is capable of.
fn wishes(record: &Record, plugin: &Map<String, Value>) -> Map<String, Value> {
    let capabilities = plugin.get("capabilities");
    let can = |what: &str| capabilities.is_some_and(|all| all[what] == Value::Bool(true));
    let mut wishes = Map::new();
    if can("portMappings") && !record.ports.is_empty() {
        let mappings: Vec<Value> = record.ports.iter().map(mapping).collect();
        wishes.insert("portMappings".into(), json!(mappings));
    }
    if can("bandwidth") && !record.bandwidth.is_empty() {
        wishes.insert("bandwidth".into(), Value::Object(record.bandwidth.clone()));
    }
    wishes
}

fn mapping(port: &PortMapping) -> Value {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let mut mapping =
        json!({"hostPort": port.host_port, "containerPort": port.container_port, "protocol": protocol});
    if let Some(address) = port.host_ip {
        mapping["hostIP"] = json!(address.to_string());
    }
    mapping
}

fn bandwidth(request: &NetworkRequest) -> Result<Map<String, Value>, Failure> {
    let mut limits = Map::new();
    for (annotation, way) in BANDWIDTH {
        let Some(text) = request.annotations.get(annotation) else { continue };
        let rate =
            machinery::quantity::Quantity::parse(text).ok().and_then(|rate| u64::try_from(rate.value()).ok());
        let rate = rate.ok_or_else(|| {
            Failure::new(code::INVALID_CONFIGURATION, format!("{annotation} is no rate: {text:?}"))
        })?;
        limits.insert(format!("{way}Rate"), json!(rate));
        limits.insert(format!("{way}Burst"), json!(BURST));
    }
    Ok(limits)
}

fn arguments(record: &Record) -> String {
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        record.pod.namespace, record.pod.name, record.sandbox, record.pod.uid
    )
}

fn name_of(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn set_up_loopback(netns: &Path) -> Result<(), Failure> {
    let work = || -> crate::netlink::Result<()> {
        let mut links = Links::of(&Namespace::open(netns)?)?;
        match links.by_name("lo")? {
            Some(lo) => links.set_up(lo.index),
            None => Ok(()),
        }
    };
    work().map_err(|error| Failure::new(code::IO, format!("the pod's loopback: {error}")))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(code::IO, format!("{}: {error}", path.display()))
}

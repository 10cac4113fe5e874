//! From a pod's specification to what the runtime is told to make.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cri::{
    ContainerConfig, Mount, PortMapping, Propagation, Protocol, SandboxConfig, Security, UserNamespace,
};
use k8s_openapi::api::core::v1::VolumeMount;

use crate::config::Config;
use crate::environment::{Environment, expand, expand_all};
use crate::files;
use crate::plan::HASH_ANNOTATION;
use crate::pod::{Member, PodView};
use crate::resources;
use crate::security;

/// Annotation of a container: how its last words are found.
pub(crate) const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";

fn pod_labels(pod: &PodView) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("io.kubernetes.pod.name".to_owned(), pod.name().to_owned()),
        ("io.kubernetes.pod.namespace".to_owned(), pod.namespace().to_owned()),
        ("io.kubernetes.pod.uid".to_owned(), pod.uid().to_owned()),
    ])
}

/// How a sandbox is to be run.
pub(crate) struct Way {
    /// Which time it is.
    pub attempt: u32,
    /// The runtime's handler.
    pub handler: String,
    /// The pod's own user ids.
    pub users: Option<UserNamespace>,
}

/// The sandbox of a pod.
pub(crate) fn sandbox(config: &Config, pod: &PodView, way: Way) -> SandboxConfig {
    let spec = pod.spec();
    let mut labels: BTreeMap<String, String> = pod.pod().metadata.labels.clone().unwrap_or_default();
    labels.extend(pod_labels(pod));
    let privileged = pod.members().any(|member| {
        member.spec.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
    });
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    SandboxConfig {
        pod: pod.id(),
        attempt: way.attempt,
        hostname: if pod.host_network() {
            String::new()
        } else {
            files::hostname(pod, &config.cluster_domain)
        },
        log_directory: config.log_dir(&pod.id()),
        port_mappings: if pod.host_network() { Vec::new() } else { port_mappings(pod) },
        labels,
        annotations: pod.pod().metadata.annotations.clone().unwrap_or_default(),
        namespaces: security::namespaces(pod, way.users),
        sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        cgroup_parent: resources::cgroup_parent(&config.cgroup_root, pod),
        resources: resources::of_pod(pod),
        privileged,
        handler: way.handler,
    }
}

/// The node's ports that lead to the pod.
pub(crate) fn port_mappings(pod: &PodView) -> Vec<PortMapping> {
    let mut mappings = Vec::new();
    for member in pod.init_members().chain(pod.app_members()) {
        for port in member.spec.ports.iter().flatten() {
            let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
            let (Some(host_port), Some(container_port)) =
                (port.host_port.and_then(number), number(port.container_port))
            else {
                continue;
            };
            let any = |ip: &IpAddr| ip.is_unspecified();
            mappings.push(PortMapping {
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
                container_port,
                host_port,
                host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()).filter(|ip| !any(ip)),
            });
        }
    }
    mappings
}

/// What a container is made from, beside its specification.
pub(crate) struct Parts {
    /// How often it was made before.
    pub attempt: u32,
    /// The id of its image.
    pub image: String,
    /// Its environment.
    pub environment: Environment,
    /// What of the node it sees.
    pub mounts: Vec<Mount>,
    /// How far it is kept apart.
    pub security: Security,
    /// The node's memory in bytes.
    pub node_memory: i64,
}

/// A container of a pod.
pub(crate) fn container(pod: &PodView, member: &Member<'_>, parts: Parts) -> ContainerConfig {
    let spec = &member.spec;
    let value = |name: &str| parts.environment.get(name);
    let expanded = |words: &Option<Vec<String>>| {
        words.iter().flatten().map(|word| expand(word, &value)).collect::<Vec<_>>()
    };
    let command = expanded(&spec.command);
    let args = expanded(&spec.args);
    let mut labels = pod_labels(pod);
    labels.insert("io.kubernetes.container.name".to_owned(), spec.name.clone());
    let mut annotations = BTreeMap::from([
        (HASH_ANNOTATION.to_owned(), member.hash()),
        ("io.kubernetes.container.restartCount".to_owned(), parts.attempt.to_string()),
        (MESSAGE_PATH.to_owned(), message_path(member).to_owned()),
        (
            "io.kubernetes.container.terminationMessagePolicy".to_owned(),
            spec.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned()),
        ),
        ("io.kubernetes.pod.terminationGracePeriod".to_owned(), pod.grace_secs().to_string()),
    ]);
    if let Some(deletion) = pod.pod().metadata.deletion_grace_period_seconds {
        annotations.insert("io.kubernetes.pod.deletionGracePeriod".to_owned(), deletion.to_string());
    }
    ContainerConfig {
        name: spec.name.clone(),
        attempt: parts.attempt,
        image: parts.image,
        user_image: spec.image.clone().unwrap_or_default(),
        command,
        args,
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        envs: parts.environment.variables,
        mounts: parts.mounts,
        devices: Vec::new(),
        labels,
        annotations,
        log_path: log_path(&spec.name, parts.attempt),
        stdin: spec.stdin == Some(true),
        stdin_once: spec.stdin_once == Some(true),
        tty: spec.tty == Some(true),
        resources: resources::of_container(pod, spec.resources.as_ref(), member.role, parts.node_memory),
        security: parts.security,
        stop_signal: spec
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.stop_signal.clone())
            .unwrap_or_default(),
    }
}

/// A container's log below those of its pod.
pub(crate) fn log_path(name: &str, attempt: u32) -> PathBuf {
    Path::new(name).join(format!("{attempt}.log"))
}

/// Where a container leaves its last words.
pub(crate) fn message_path<'a>(member: &'a Member<'_>) -> &'a str {
    member
        .spec
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log")
}

/// Where they are on the node.
pub(crate) fn message_file(pod_dir: &Path, name: &str, attempt: u32) -> PathBuf {
    pod_dir.join("containers").join(name).join(attempt.to_string())
}

/// The part of a volume a mount names, with its variables put in.
pub(crate) fn sub_path(mount: &VolumeMount, environment: &Environment) -> Result<String, String> {
    if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
        return Ok(path.to_owned());
    }
    let Some(pattern) = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty()) else {
        return Ok(String::new());
    };
    let path = expand_all(pattern, &|name| environment.get(name)).map_err(|missing| {
        let missing: Vec<String> = missing.iter().map(|name| machinery::field::go_quote(name)).collect();
        format!("missing value for {}", missing.join(", "))
    })?;
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    Ok(path)
}

/// A mount of a path of the node.
pub(crate) fn mount(mount: &VolumeMount, host_path: PathBuf) -> Mount {
    let readonly = mount.read_only == Some(true);
    Mount {
        container_path: absolute(&mount.mount_path),
        host_path,
        image: String::new(),
        image_sub_path: String::new(),
        readonly,
        recursive_readonly: readonly
            && matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    }
}

/// A mount of a file that the kubelet itself wrote.
pub(crate) fn own_file(container_path: &str, host_path: PathBuf) -> Mount {
    Mount { container_path: absolute(container_path), host_path, ..Mount::default() }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Outer mounts first, so that none hides another.
pub(crate) fn order(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| Path::new(&mount.container_path).components().count());
}

//! From the wire to the port: what is to be made. What makes no sense is refused, with the field that it is about.

use std::net::IpAddr;
use std::path::PathBuf;

use super as wire;
use super::signals;
use crate::{
    ContainerConfig, Credentials, Device, Mount, NamespaceMode, Namespaces, PodId, PortMapping, Propagation,
    Protocol, Resources, Result, RuntimeError, SandboxConfig, Seccomp, Security, UserNamespace,
};

fn invalid(what: impl Into<String>) -> RuntimeError {
    RuntimeError::Invalid(what.into())
}

/// A sandbox to be made, in the way that the handler names.
pub fn sandbox(config: wire::PodSandboxConfig, handler: String) -> Result<SandboxConfig> {
    let metadata = config.metadata.ok_or_else(|| invalid("the sandbox's metadata is missing"))?;
    let linux = config.linux.unwrap_or_default();
    let security = linux.security_context.unwrap_or_default();
    let namespaces = namespaces(security.namespace_options.unwrap_or_default())?;
    let on_node = namespaces.network == NamespaceMode::Node;
    if [&linux.cgroup_parent, &metadata.uid].iter().any(|path| path.split('/').any(|part| part == "..")) {
        return Err(invalid("a path of cgroups leads upwards"));
    }
    let ports = config.port_mappings.into_iter().filter(|mapping| mapping.host_port != 0);
    Ok(SandboxConfig {
        pod: PodId { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
        attempt: metadata.attempt,
        hostname: if on_node { String::new() } else { config.hostname },
        log_directory: config.log_directory.into(),
        port_mappings: if on_node { Vec::new() } else { ports.map(port_mapping).collect::<Result<_>>()? },
        labels: config.labels,
        annotations: config.annotations,
        namespaces,
        sysctls: linux.sysctls,
        cgroup_parent: linux.cgroup_parent,
        resources: resources(linux.resources.unwrap_or_default())?,
        privileged: security.privileged,
        handler,
    })
}

fn port_mapping(mapping: wire::PortMapping) -> Result<PortMapping> {
    let port = |number: i32| u16::try_from(number).map_err(|_| invalid(format!("invalid port {number}")));
    let protocol = match mapping.protocol {
        0 => Protocol::Tcp,
        1 => Protocol::Udp,
        2 => Protocol::Sctp,
        other => return Err(invalid(format!("invalid protocol {other}"))),
    };
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(text.parse::<IpAddr>().map_err(|_| invalid(format!("invalid host IP {text:?}")))?),
    };
    Ok(PortMapping {
        protocol,
        container_port: port(mapping.container_port)?,
        host_port: port(mapping.host_port)?,
        host_ip: host_ip.filter(|ip| !ip.is_unspecified()),
    })
}

pub(super) fn namespaces(options: wire::NamespaceOption) -> Result<Namespaces> {
    let mode = |mode: i32| match mode {
        0 => Ok(NamespaceMode::Pod),
        1 => Ok(NamespaceMode::Container),
        2 => Ok(NamespaceMode::Node),
        3 if options.target_id.is_empty() => Err(invalid("the target of a namespace is missing")),
        3 => Ok(NamespaceMode::Target(options.target_id.clone())),
        other => Err(invalid(format!("invalid namespace mode {other}"))),
    };
    let (network, pid, ipc) = (mode(options.network)?, mode(options.pid)?, mode(options.ipc)?);
    Ok(Namespaces { network, pid, ipc, user: options.userns_options.map(users).transpose()?.flatten() })
}

/// The user ids of a pod's own; none if it has the node's.
fn users(options: wire::UserNamespace) -> Result<Option<UserNamespace>> {
    match (options.mode, options.uids.as_slice(), options.gids.as_slice()) {
        (2, [], []) => Ok(None),
        (2, ..) => Err(invalid("user ids are mapped, but the user namespace is the node's")),
        (0, [ids], groups) if groups == [ids.clone()] && ids.container_id == 0 => {
            Ok(Some(UserNamespace { host_id: ids.host_id, length: ids.length }))
        }
        (0, ..) => {
            Err(invalid("a user namespace needs one range, from 0, that is the same for users and groups"))
        }
        (other, ..) => Err(invalid(format!("invalid mode {other} of a user namespace"))),
    }
}

/// Limits.
pub fn resources(resources: wire::LinuxContainerResources) -> Result<Resources> {
    let positive = |name: &str, value: i64| {
        u64::try_from(value).map_err(|_| invalid(format!("{name} is negative: {value}")))
    };
    let oom_score_adj =
        i32::try_from(resources.oom_score_adj).ok().filter(|adj| (-1000..=1000).contains(adj));
    Ok(Resources {
        cpu_shares: positive("cpu_shares", resources.cpu_shares)?,
        cpu_quota: resources.cpu_quota,
        cpu_period: positive("cpu_period", resources.cpu_period)?,
        memory_limit: resources.memory_limit_in_bytes,
        oom_score_adj: oom_score_adj
            .ok_or_else(|| invalid(format!("oom_score_adj is out of range: {}", resources.oom_score_adj)))?,
        cpuset_cpus: resources.cpuset_cpus,
        cpuset_mems: resources.cpuset_mems,
        pids_limit: 0,
        hugepages: resources
            .hugepage_limits
            .into_iter()
            .map(|limit| (limit.page_size, limit.limit))
            .collect(),
        unified: resources.unified,
    })
}

/// A container to be made.
pub fn container(config: wire::ContainerConfig) -> Result<ContainerConfig> {
    let metadata = config.metadata.ok_or_else(|| invalid("the container's metadata is missing"))?;
    let image = config.image.unwrap_or_default();
    if !config.cdi_devices.is_empty() {
        return Err(invalid("devices by CDI names are not known here"));
    }
    let linux = config.linux.unwrap_or_default();
    let user_image = Some(image.user_specified_image).filter(|name| !name.is_empty());
    Ok(ContainerConfig {
        name: metadata.name,
        attempt: metadata.attempt,
        user_image: user_image.unwrap_or_else(|| image.image.clone()),
        image: image.image,
        command: config.command,
        args: config.args,
        working_dir: config.working_dir,
        envs: config.envs.into_iter().map(variable).collect::<Result<_>>()?,
        mounts: config.mounts.into_iter().map(mount).collect::<Result<_>>()?,
        devices: config.devices.into_iter().map(device).collect(),
        labels: config.labels,
        annotations: config.annotations,
        log_path: config.log_path.into(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        resources: resources(linux.resources.unwrap_or_default())?,
        security: security(linux.security_context.unwrap_or_default())?,
        stop_signal: signals::name(config.stop_signal)
            .ok_or_else(|| invalid(format!("invalid stop signal {}", config.stop_signal)))?,
    })
}

fn variable(variable: wire::KeyValue) -> Result<(String, String)> {
    let value = String::from_utf8(variable.value)
        .map_err(|_| invalid(format!("the value of {} is not UTF-8", variable.key)))?;
    Ok((variable.key, value))
}

fn mount(mount: wire::Mount) -> Result<Mount> {
    let propagation = match mount.propagation {
        0 => Propagation::Private,
        1 => Propagation::HostToContainer,
        2 => Propagation::Bidirectional,
        other => return Err(invalid(format!("invalid mount propagation {other}"))),
    };
    Ok(Mount {
        container_path: mount.container_path,
        host_path: mount.host_path.into(),
        image: mount.image.map(|image| image.image).unwrap_or_default(),
        image_sub_path: mount.image_sub_path,
        readonly: mount.readonly,
        recursive_readonly: mount.recursive_read_only,
        propagation,
    })
}

fn device(device: wire::Device) -> Device {
    Device {
        container_path: device.container_path,
        host_path: device.host_path,
        permissions: device.permissions,
    }
}

fn security(context: wire::LinuxContainerSecurityContext) -> Result<Security> {
    let capabilities = context.capabilities.unwrap_or_default();
    if !capabilities.add_ambient_capabilities.is_empty() {
        return Err(invalid("ambient capabilities are not known here"));
    }
    Ok(Security {
        privileged: context.privileged,
        add_capabilities: capabilities.add_capabilities,
        drop_capabilities: capabilities.drop_capabilities,
        run_as_user: context.run_as_user.map(|user| user.value),
        run_as_group: context.run_as_group.map(|group| group.value),
        run_as_username: context.run_as_username,
        supplemental_groups: context.supplemental_groups,
        strict_supplemental_groups: context.supplemental_groups_policy == 1,
        readonly_rootfs: context.readonly_rootfs,
        no_new_privs: context.no_new_privs,
        masked_paths: context.masked_paths,
        readonly_paths: context.readonly_paths,
        seccomp: seccomp(context.seccomp, &context.seccomp_profile_path)?,
        namespaces: namespaces(context.namespace_options.unwrap_or_default())?,
    })
}

/// Who names no profile, in the new way or the old, gets none.
fn seccomp(profile: Option<wire::SecurityProfile>, old: &str) -> Result<Seccomp> {
    let Some(profile) = profile else {
        return match old {
            "" | "unconfined" => Ok(Seccomp::Unconfined),
            "runtime/default" | "docker/default" => Ok(Seccomp::RuntimeDefault),
            path => match path.strip_prefix("localhost/") {
                Some(path) => Ok(Seccomp::Localhost(PathBuf::from(path))),
                None => Err(invalid(format!("invalid seccomp profile {path:?}"))),
            },
        };
    };
    match profile.profile_type {
        0 => Ok(Seccomp::RuntimeDefault),
        1 => Ok(Seccomp::Unconfined),
        2 => Ok(Seccomp::Localhost(profile.localhost_ref.into())),
        other => Err(invalid(format!("invalid seccomp profile type {other}"))),
    }
}

/// What opens a registry; nothing if nothing was given.
pub fn credentials(auth: Option<wire::AuthConfig>) -> Vec<Credentials> {
    let Some(auth) = auth else { return Vec::new() };
    let named =
        Credentials { username: auth.username, password: auth.password, identity_token: auth.identity_token };
    if named == Credentials::default() { Vec::new() } else { vec![named] }
}

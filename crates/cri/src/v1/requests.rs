//! From the port to the wire: what is to be made.

use super as wire;
use super::outgoing::{namespaces, resources_in_force};
use super::signals;
use crate::{
    AttachRequest, ContainerConfig, Credentials, ExecRequest, Mount, PortMapping, Propagation, Protocol,
    Result, RuntimeError, SandboxConfig, Seccomp, Security,
};

/// A sandbox to be made.
pub fn sandbox_request(config: &SandboxConfig) -> wire::PodSandboxConfig {
    let security = wire::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(&config.namespaces)),
        privileged: config.privileged,
        // The sandbox's own process is the runtime's, which needs nothing unusual.
        seccomp: Some(seccomp(&Seccomp::RuntimeDefault)),
        ..wire::LinuxSandboxSecurityContext::default()
    };
    wire::PodSandboxConfig {
        metadata: Some(wire::PodSandboxMetadata {
            name: config.pod.name.clone(),
            uid: config.pod.uid.clone(),
            namespace: config.pod.namespace.clone(),
            attempt: config.attempt,
        }),
        hostname: config.hostname.clone(),
        log_directory: config.log_directory.to_string_lossy().into_owned(),
        dns_config: None,
        port_mappings: config.port_mappings.iter().map(port_mapping).collect(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        linux: Some(wire::LinuxPodSandboxConfig {
            cgroup_parent: config.cgroup_parent.clone(),
            security_context: Some(security),
            sysctls: config.sysctls.clone(),
            overhead: None,
            resources: Some(resources_in_force(&config.resources)),
        }),
    }
}

fn port_mapping(mapping: &PortMapping) -> wire::PortMapping {
    wire::PortMapping {
        protocol: match mapping.protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => 1,
            Protocol::Sctp => 2,
        },
        container_port: i32::from(mapping.container_port),
        host_port: i32::from(mapping.host_port),
        host_ip: mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

/// A container to be made. What CRI has no word for is refused.
pub fn container_request(config: &ContainerConfig) -> Result<wire::ContainerConfig> {
    let signal = &config.stop_signal;
    let stop_signal =
        signals::number(signal).ok_or_else(|| RuntimeError::Invalid(format!("unknown signal {signal:?}")))?;
    let envs = config
        .envs
        .iter()
        .map(|(key, value)| wire::KeyValue { key: key.clone(), value: value.clone().into_bytes() });
    let devices = config.devices.iter().map(|device| wire::Device {
        container_path: device.container_path.clone(),
        host_path: device.host_path.clone(),
        permissions: device.permissions.clone(),
    });
    Ok(wire::ContainerConfig {
        metadata: Some(wire::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(wire::ImageSpec {
            image: config.image.clone(),
            user_specified_image: config.user_image.clone(),
            ..wire::ImageSpec::default()
        }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: envs.collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        devices: devices.collect(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        log_path: config.log_path.to_string_lossy().into_owned(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(wire::LinuxContainerConfig {
            resources: Some(resources_in_force(&config.resources)),
            security_context: Some(security(&config.security)),
        }),
        cdi_devices: Vec::new(),
        stop_signal,
    })
}

fn mount(mount: &Mount) -> wire::Mount {
    wire::Mount {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.readonly,
        propagation: match mount.propagation {
            Propagation::Private => 0,
            Propagation::HostToContainer => 1,
            Propagation::Bidirectional => 2,
        },
        recursive_read_only: mount.recursive_readonly,
        image: (!mount.image.is_empty()).then(|| image_spec(&mount.image)),
        image_sub_path: mount.image_sub_path.clone(),
    }
}

fn security(security: &Security) -> wire::LinuxContainerSecurityContext {
    let number = |number: Option<i64>| number.map(|value| wire::Int64Value { value });
    wire::LinuxContainerSecurityContext {
        capabilities: Some(wire::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(&security.namespaces)),
        run_as_user: number(security.run_as_user),
        run_as_username: security.run_as_username.clone(),
        readonly_rootfs: security.readonly_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        no_new_privs: security.no_new_privs,
        run_as_group: number(security.run_as_group),
        masked_paths: security.masked_paths.clone(),
        readonly_paths: security.readonly_paths.clone(),
        seccomp: Some(seccomp(&security.seccomp)),
        supplemental_groups_policy: i32::from(security.strict_supplemental_groups),
        ..wire::LinuxContainerSecurityContext::default()
    }
}

fn seccomp(seccomp: &Seccomp) -> wire::SecurityProfile {
    match seccomp {
        Seccomp::RuntimeDefault => wire::SecurityProfile::default(),
        Seccomp::Unconfined => wire::SecurityProfile { profile_type: 1, localhost_ref: String::new() },
        Seccomp::Localhost(path) => {
            wire::SecurityProfile { profile_type: 2, localhost_ref: path.to_string_lossy().into_owned() }
        }
    }
}

/// An image by its reference or id.
pub fn image_spec(image: &str) -> wire::ImageSpec {
    wire::ImageSpec { image: image.to_owned(), ..wire::ImageSpec::default() }
}

/// What opens a registry.
pub fn auth(credentials: &Credentials) -> wire::AuthConfig {
    wire::AuthConfig {
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        identity_token: credentials.identity_token.clone(),
        ..wire::AuthConfig::default()
    }
}

/// A command to be connected to.
pub fn exec_request(container_id: String, request: ExecRequest) -> wire::ExecRequest {
    wire::ExecRequest {
        container_id,
        cmd: request.command,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    }
}

/// A main process to be connected to.
pub fn attach_request(container_id: String, request: &AttachRequest) -> wire::AttachRequest {
    wire::AttachRequest {
        container_id,
        stdin: request.stdin,
        tty: request.tty,
        stdout: request.stdout,
        stderr: request.stderr && !request.tty,
    }
}

#[cfg(test)]
mod tests;

//! From the port to the wire: what there is.

use super as wire;
use crate::{
    Container, ContainerState, ContainerStats, Image, NamespaceMode, Namespaces, Resources, Sandbox,
    SandboxState,
};

fn state_of_sandbox(state: SandboxState) -> i32 {
    match state {
        SandboxState::Ready => 0,
        SandboxState::NotReady => 1,
    }
}

fn state_of_container(state: ContainerState) -> i32 {
    match state {
        ContainerState::Created => 0,
        ContainerState::Running => 1,
        ContainerState::Exited => 2,
        ContainerState::Unknown => 3,
    }
}

fn metadata_of_sandbox(sandbox: &Sandbox) -> wire::PodSandboxMetadata {
    wire::PodSandboxMetadata {
        name: sandbox.pod.name.clone(),
        uid: sandbox.pod.uid.clone(),
        namespace: sandbox.pod.namespace.clone(),
        attempt: sandbox.attempt,
    }
}

/// A sandbox in a list.
pub fn sandbox_summary(sandbox: &Sandbox) -> wire::PodSandbox {
    wire::PodSandbox {
        id: sandbox.id.clone(),
        metadata: Some(metadata_of_sandbox(sandbox)),
        state: state_of_sandbox(sandbox.state),
        created_at: sandbox.created_at,
        labels: sandbox.labels.clone(),
        annotations: sandbox.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

/// A sandbox by itself.
pub fn sandbox_status(sandbox: &Sandbox) -> wire::PodSandboxStatus {
    let mut ips = sandbox.ips.iter().map(ToString::to_string);
    let first = ips.next().unwrap_or_default();
    let options = Some(namespaces(&sandbox.namespaces));
    wire::PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: Some(metadata_of_sandbox(sandbox)),
        state: state_of_sandbox(sandbox.state),
        created_at: sandbox.created_at,
        network: Some(wire::PodSandboxNetworkStatus {
            ip: first,
            additional_ips: ips.map(|ip| wire::PodIP { ip }).collect(),
        }),
        linux: Some(wire::LinuxPodSandboxStatus { namespaces: Some(wire::Namespace { options }) }),
        labels: sandbox.labels.clone(),
        annotations: sandbox.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

pub(super) fn namespaces(namespaces: &Namespaces) -> wire::NamespaceOption {
    let mut target_id = String::new();
    let mut mode = |mode: &NamespaceMode| match mode {
        NamespaceMode::Pod => 0,
        NamespaceMode::Container => 1,
        NamespaceMode::Node => 2,
        NamespaceMode::Target(id) => {
            target_id.clone_from(id);
            3
        }
    };
    let (network, pid, ipc) = (mode(&namespaces.network), mode(&namespaces.pid), mode(&namespaces.ipc));
    let userns_options = namespaces.user.as_ref().map(|user| {
        let ids = wire::IDMapping { host_id: user.host_id, container_id: 0, length: user.length };
        wire::UserNamespace { mode: 0, uids: vec![ids.clone()], gids: vec![ids] }
    });
    wire::NamespaceOption { network, pid, ipc, target_id, userns_options }
}

fn metadata_of_container(container: &Container) -> wire::ContainerMetadata {
    wire::ContainerMetadata { name: container.name.clone(), attempt: container.attempt }
}

fn spec(container: &Container) -> wire::ImageSpec {
    wire::ImageSpec {
        image: container.image.clone(),
        user_specified_image: container.image.clone(),
        ..wire::ImageSpec::default()
    }
}

/// A container in a list.
pub fn container_summary(container: &Container) -> wire::Container {
    wire::Container {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox.clone(),
        metadata: Some(metadata_of_container(container)),
        image: Some(spec(container)),
        image_ref: container.image_ref.clone(),
        state: state_of_container(container.state),
        created_at: container.created_at,
        labels: container.labels.clone(),
        annotations: container.annotations.clone(),
        image_id: container.image_id.clone(),
    }
}

/// A container by itself.
pub fn container_status(container: &Container) -> wire::ContainerStatus {
    let user = container.user.as_ref().map(|user| wire::LinuxContainerUser {
        uid: user.uid,
        gid: user.gid,
        supplemental_groups: user.supplemental_groups.clone(),
    });
    wire::ContainerStatus {
        id: container.id.clone(),
        metadata: Some(metadata_of_container(container)),
        state: state_of_container(container.state),
        created_at: container.created_at,
        started_at: container.started_at,
        finished_at: container.finished_at,
        exit_code: container.exit_code,
        image: Some(spec(container)),
        image_ref: container.image_ref.clone(),
        reason: container.reason.clone(),
        message: container.message.clone(),
        labels: container.labels.clone(),
        annotations: container.annotations.clone(),
        log_path: container.log_path.to_string_lossy().into_owned(),
        resources: Some(wire::ContainerResources { linux: Some(resources_in_force(&container.resources)) }),
        image_id: container.image_id.clone(),
        user: user.map(|user| wire::ContainerUser { linux: Some(user) }),
    }
}

/// Limits.
pub fn resources_in_force(resources: &Resources) -> wire::LinuxContainerResources {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    wire::LinuxContainerResources {
        cpu_period: signed(resources.cpu_period),
        cpu_quota: resources.cpu_quota,
        cpu_shares: signed(resources.cpu_shares),
        memory_limit_in_bytes: resources.memory_limit,
        oom_score_adj: i64::from(resources.oom_score_adj),
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        hugepage_limits: resources
            .hugepages
            .iter()
            .map(|(size, limit)| wire::HugepageLimit { page_size: size.clone(), limit: *limit })
            .collect(),
        unified: resources.unified.clone(),
        memory_swap_limit_in_bytes: 0,
    }
}

/// An image.
pub fn image(image: &Image) -> wire::Image {
    wire::Image {
        id: image.id.clone(),
        repo_tags: image.tags.clone(),
        repo_digests: image.digests.clone(),
        size: image.size,
        uid: image.uid.map(|value| wire::Int64Value { value }),
        username: image.username.clone(),
        spec: Some(wire::ImageSpec { image: image.id.clone(), ..wire::ImageSpec::default() }),
        pinned: image.pinned,
    }
}

/// What a container uses.
pub fn stats_of(container: &Container, stats: &ContainerStats, mountpoint: &str) -> wire::ContainerStats {
    let some = |value| Some(wire::UInt64Value { value });
    let timestamp = stats.timestamp;
    wire::ContainerStats {
        attributes: Some(wire::ContainerAttributes {
            id: container.id.clone(),
            metadata: Some(metadata_of_container(container)),
            labels: container.labels.clone(),
            annotations: container.annotations.clone(),
        }),
        cpu: Some(wire::CpuUsage { timestamp, usage_core_nano_seconds: some(stats.cpu_usage_nanos) }),
        memory: Some(wire::MemoryUsage {
            timestamp,
            working_set_bytes: some(stats.memory_working_set),
            usage_bytes: some(stats.memory_usage),
            rss_bytes: some(stats.memory_rss),
        }),
        writable_layer: Some(wire::FilesystemUsage {
            timestamp,
            fs_id: Some(wire::FilesystemIdentifier { mountpoint: mountpoint.to_owned() }),
            used_bytes: some(stats.rootfs_used),
            inodes_used: some(stats.rootfs_inodes),
        }),
    }
}

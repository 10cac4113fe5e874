//! From the wire to the port: what there is. A runtime that says what makes no sense has failed.

use std::net::IpAddr;

use super as wire;
use super::incoming::{namespaces, resources};
use crate::{
    Container, ContainerState, ContainerStats, ContainerUser, Handler, Image, NamespaceMode, PodId, Result,
    RuntimeError, Sandbox, SandboxState,
};

fn nonsense(what: &str) -> RuntimeError {
    RuntimeError::Failed(format!("the container runtime's answer makes no sense: {what}"))
}

/// The state of a sandbox.
pub fn sandbox_state(state: i32) -> SandboxState {
    if state == 0 { SandboxState::Ready } else { SandboxState::NotReady }
}

/// The state of a container.
pub fn container_state(state: i32) -> ContainerState {
    match state {
        0 => ContainerState::Created,
        1 => ContainerState::Running,
        2 => ContainerState::Exited,
        _ => ContainerState::Unknown,
    }
}

/// Which pod a sandbox is of.
pub fn pod_of(metadata: &wire::PodSandboxMetadata) -> PodId {
    PodId { namespace: metadata.namespace.clone(), name: metadata.name.clone(), uid: metadata.uid.clone() }
}

/// A sandbox by itself. The limits of the pod as a whole are not told.
pub fn sandbox_answer(status: wire::PodSandboxStatus) -> Result<Sandbox> {
    let metadata = status.metadata.ok_or_else(|| nonsense("a sandbox has no metadata"))?;
    let network = status.network.unwrap_or_default();
    let texts = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|more| more.ip));
    let address =
        |text: String| text.parse::<IpAddr>().map_err(|_| nonsense(&format!("the address {text:?}")));
    let ips = texts.filter(|text| !text.is_empty()).map(address).collect::<Result<_>>()?;
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    let namespaces = namespaces(options.unwrap_or_default())?;
    Ok(Sandbox {
        id: status.id,
        pod: pod_of(&metadata),
        attempt: metadata.attempt,
        state: sandbox_state(status.state),
        created_at: status.created_at,
        ips,
        host_network: namespaces.network == NamespaceMode::Node,
        namespaces,
        handler: status.runtime_handler,
        labels: status.labels,
        annotations: status.annotations,
        ..Sandbox::default()
    })
}

/// A container by itself. Its sandbox, pod and process are not told here.
pub fn container_answer(status: wire::ContainerStatus) -> Result<Container> {
    let metadata = status.metadata.ok_or_else(|| nonsense("a container has no metadata"))?;
    let image = status.image.unwrap_or_default();
    let limits = status.resources.and_then(|resources| resources.linux);
    let user = status.user.and_then(|user| user.linux).map(|user| ContainerUser {
        uid: user.uid,
        gid: user.gid,
        supplemental_groups: user.supplemental_groups,
    });
    let either = |first: String, second: &str| if first.is_empty() { second.to_owned() } else { first };
    Ok(Container {
        id: status.id,
        name: metadata.name,
        attempt: metadata.attempt,
        state: container_state(status.state),
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: either(image.user_specified_image, &image.image),
        // Runtimes before CRI knew of it tell the reference only.
        image_id: either(status.image_id, &status.image_ref),
        image_ref: status.image_ref,
        labels: status.labels,
        annotations: status.annotations,
        log_path: status.log_path.into(),
        resources: resources(limits.unwrap_or_default())?,
        user,
        ..Container::default()
    })
}

/// An image.
pub fn image_answer(image: wire::Image) -> Image {
    Image {
        id: image.id,
        tags: image.repo_tags,
        digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        pinned: image.pinned,
    }
}

/// What a container uses.
pub fn stats_answer(stats: wire::ContainerStats) -> ContainerStats {
    let number = |value: Option<wire::UInt64Value>| value.map_or(0, |value| value.value);
    let (cpu, memory) = (stats.cpu.unwrap_or_default(), stats.memory.unwrap_or_default());
    let layer = stats.writable_layer.unwrap_or_default();
    ContainerStats {
        timestamp: cpu.timestamp.max(memory.timestamp),
        cpu_usage_nanos: number(cpu.usage_core_nano_seconds),
        memory_working_set: number(memory.working_set_bytes),
        memory_usage: number(memory.usage_bytes),
        memory_rss: number(memory.rss_bytes),
        rootfs_used: number(layer.used_bytes),
        rootfs_inodes: number(layer.inodes_used),
        pids: 0,
    }
}

/// The ways in which it can run a pod. A runtime that tells none has the default one.
pub fn handlers(handlers: Vec<wire::RuntimeHandler>) -> Vec<Handler> {
    if handlers.is_empty() {
        return vec![Handler::default()];
    }
    let describe = |handler: wire::RuntimeHandler| {
        let features = handler.features.unwrap_or_default();
        Handler {
            name: handler.name,
            recursive_readonly_mounts: features.recursive_read_only_mounts,
            user_namespaces: features.user_namespaces,
        }
    };
    handlers.into_iter().map(describe).collect()
}

/// What keeps a runtime from running pods, in the words that a node's `Ready` condition has for it.
pub fn obstacles(status: wire::RuntimeStatus) -> Vec<String> {
    let wanted = [
        ("RuntimeReady", "container runtime not ready"),
        ("NetworkReady", "container runtime network not ready"),
    ];
    let mut obstacles = Vec::new();
    for (kind, what) in wanted {
        match status.conditions.iter().find(|condition| condition.r#type == kind) {
            Some(condition) if condition.status => {}
            Some(condition) => obstacles.push(format!(
                "{what}: {kind}=false reason:{} message:{}",
                condition.reason, condition.message
            )),
            None => obstacles.push(format!("{what}: {kind} condition not set")),
        }
    }
    obstacles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespaces, Resources, v1};

    #[test]
    fn sandboxes_and_containers_come_out_as_they_went_in() {
        let sandbox = Sandbox {
            id: "s1".to_owned(),
            pod: PodId { namespace: "ns".to_owned(), name: "web".to_owned(), uid: "u".to_owned() },
            attempt: 4,
            state: SandboxState::Ready,
            created_at: 7,
            ips: ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()).to_vec(),
            namespaces: Namespaces { pid: NamespaceMode::Container, ..Namespaces::default() },
            handler: "fast".to_owned(),
            ..Sandbox::default()
        };
        assert_eq!(sandbox_answer(v1::sandbox_status(&sandbox)), Ok(sandbox));
        for (state, exit_code) in [
            (ContainerState::Created, 0),
            (ContainerState::Running, 0),
            (ContainerState::Exited, 137),
            (ContainerState::Unknown, -1),
        ] {
            let container = Container {
                id: "c1".to_owned(),
                name: "app".to_owned(),
                attempt: 1,
                state,
                created_at: 1,
                started_at: 2,
                finished_at: 3,
                exit_code,
                reason: "OOMKilled".to_owned(),
                image: "img:1".to_owned(),
                image_id: "sha256:1".to_owned(),
                image_ref: "img@sha256:2".to_owned(),
                log_path: "/l/0.log".into(),
                resources: Resources { memory_limit: 5, ..Resources::default() },
                user: Some(ContainerUser { uid: 1, gid: 2, supplemental_groups: vec![3] }),
                ..Container::default()
            };
            assert_eq!(container_answer(v1::container_status(&container)), Ok(container));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let metadata = Some(wire::PodSandboxMetadata::default());
        let network = Some(wire::PodSandboxNetworkStatus { ip: "here".to_owned(), ..Default::default() });
        for status in [
            wire::PodSandboxStatus::default(),
            wire::PodSandboxStatus { metadata, network, ..Default::default() },
        ] {
            assert!(matches!(sandbox_answer(status), Err(RuntimeError::Failed(_))));
        }
        assert!(container_answer(wire::ContainerStatus::default()).is_err());
    }

    #[test]
    fn what_is_not_ready_is_told_as_nodes_tell_it() {
        let condition = |kind: &str, status| wire::RuntimeCondition {
            r#type: kind.to_owned(),
            status,
            reason: "R".to_owned(),
            message: "m".to_owned(),
        };
        let told = |conditions| obstacles(wire::RuntimeStatus { conditions });
        let runtime = condition("RuntimeReady", true);
        assert!(told(vec![runtime.clone(), condition("NetworkReady", true)]).is_empty());
        assert_eq!(
            told(vec![runtime, condition("NetworkReady", false)]),
            ["container runtime network not ready: NetworkReady=false reason:R message:m"]
        );
        assert_eq!(told(Vec::new()).len(), 2);
    }
}

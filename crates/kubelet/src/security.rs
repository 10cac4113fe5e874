//! From security contexts to what the runtime is told.

use std::path::{Path, PathBuf};

use cri::{Image, NamespaceMode, Namespaces, Seccomp, Security, UserNamespace};
use k8s_openapi::api::core::v1::{PodSecurityContext, SeccompProfile, SecurityContext};

use crate::pod::{Member, PodView};

/// What a container must not see of the node.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// One more, where the kernel shows processors' events.
const MASKED_POWERCAP: &str = "/sys/devices/virtual/powercap";

/// What a container must not change of the node.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a container's security is made from.
pub(crate) struct Needs<'a> {
    /// The pod.
    pub pod: &'a PodView,
    /// The container.
    pub member: &'a Member<'a>,
    /// Its image.
    pub image: &'a Image,
    /// Where profiles of the node are.
    pub profiles: &'a Path,
    /// The pod's own user ids.
    pub users: Option<UserNamespace>,
    /// The id of the container whose processes it shares; empty if none.
    pub target: &'a str,
}

/// The namespaces of a pod, which may have user ids of its own.
pub(crate) fn namespaces(pod: &PodView, user: Option<UserNamespace>) -> Namespaces {
    let spec = pod.spec();
    let node_or = |node: bool, other: NamespaceMode| if node { NamespaceMode::Node } else { other };
    let pid = if spec.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    Namespaces {
        network: node_or(pod.host_network(), NamespaceMode::Pod),
        pid: node_or(spec.host_pid == Some(true), pid),
        ipc: node_or(spec.host_ipc == Some(true), NamespaceMode::Pod),
        user,
    }
}

/// The security of a container. The error is what the user is shown.
pub(crate) fn security(needs: &Needs<'_>) -> Result<Security, String> {
    let empty_pod = PodSecurityContext::default();
    let empty = SecurityContext::default();
    let of_pod = needs.pod.spec().security_context.as_ref().unwrap_or(&empty_pod);
    let own = needs.member.spec.security_context.as_ref().unwrap_or(&empty);
    let privileged = own.privileged == Some(true);
    let run_as_user = own.run_as_user.or(of_pod.run_as_user);
    let run_as_group = own.run_as_group.or(of_pod.run_as_group);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        refuse_root(needs, run_as_user)?;
    }
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let plain = |names: Option<Vec<String>>| {
        names.unwrap_or_default().into_iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    let unmasked = privileged || own.proc_mount.as_deref() == Some("Unmasked");
    let listed = |paths: &[&str]| {
        if unmasked { Vec::new() } else { paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>() }
    };
    let mut masked_paths = listed(&MASKED);
    masked_paths.extend(listed(&[MASKED_POWERCAP]));
    let mut supplemental_groups = of_pod.supplemental_groups.clone().unwrap_or_default();
    supplemental_groups.extend(of_pod.fs_group);
    let mut namespaces = namespaces(needs.pod, needs.users.clone());
    if !needs.target.is_empty() {
        namespaces.pid = NamespaceMode::Target(needs.target.to_owned());
    }
    Ok(Security {
        privileged,
        add_capabilities: plain(capabilities.add),
        drop_capabilities: plain(capabilities.drop),
        run_as_user,
        run_as_group,
        run_as_username: String::new(),
        supplemental_groups,
        strict_supplemental_groups: of_pod.supplemental_groups_policy.as_deref() == Some("Strict"),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths,
        readonly_paths: listed(&READ_ONLY),
        seccomp: seccomp(
            needs,
            own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()),
            privileged,
        )?,
        namespaces,
    })
}

fn refuse_root(needs: &Needs<'_>, run_as_user: Option<i64>) -> Result<(), String> {
    let pod = format!(
        "(pod: \"{}_{}({})\", container: {})",
        needs.pod.name(),
        needs.pod.namespace(),
        needs.pod.uid(),
        needs.member.name()
    );
    match run_as_user {
        Some(0) => Err(format!("container's runAsUser breaks non-root policy {pod}")),
        Some(_) => Ok(()),
        None if needs.image.uid == Some(0) => {
            Err(format!("container has runAsNonRoot and image will run as root {pod}"))
        }
        None if needs.image.uid.is_none() && !needs.image.username.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {pod}",
            needs.image.username
        )),
        // An image that names no user runs as root.
        None if needs.image.uid.is_none() => {
            Err(format!("container has runAsNonRoot and image will run as root {pod}"))
        }
        None => Ok(()),
    }
}

fn seccomp(needs: &Needs<'_>, profile: Option<&SeccompProfile>, privileged: bool) -> Result<Seccomp, String> {
    if privileged {
        return Ok(Seccomp::Unconfined);
    }
    // A pod that says nothing gets the runtime's profile: a safe default costs nothing here.
    let Some(profile) = profile else { return Ok(Seccomp::RuntimeDefault) };
    match profile.type_.as_str() {
        "Unconfined" => Ok(Seccomp::Unconfined),
        "Localhost" => {
            let name = profile.localhost_profile.as_deref().unwrap_or_default();
            let inside =
                Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if name.is_empty() || !inside {
                return Err("localhostProfile must be set if seccompProfile type is Localhost.".to_owned());
            }
            Ok(Seccomp::Localhost(PathBuf::from(needs.profiles).join(name)))
        }
        _ => Ok(Seccomp::RuntimeDefault),
    }
}

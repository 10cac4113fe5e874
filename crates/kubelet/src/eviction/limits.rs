//! Whether a pod keeps to the limits of what it may write on the node's disk.

use std::collections::BTreeMap;

use super::Usage;
use crate::amounts;
use crate::pod::PodView;
use crate::resources;

/// Whether anything limits what the pod may write.
pub(crate) fn has_any(pod: &PodView) -> bool {
    let sized = |volume: &k8s_openapi::api::core::v1::Volume| {
        volume.empty_dir.as_ref().is_some_and(|source| source.size_limit.is_some())
    };
    pod.spec().volumes.iter().flatten().any(sized) || limit(pod) > 0
}

/// What all of the pod's containers may write together; zero without a limit.
fn limit(pod: &PodView) -> i64 {
    resources::limit_of_all(pod, "ephemeral-storage") / 1_000
}

/// What the pod writes more than it may, in words for people. `volumes` are the bytes in its scratch volumes.
pub(crate) fn exceeded(pod: &PodView, usage: &Usage, volumes: &BTreeMap<String, i64>) -> Option<String> {
    for volume in pod.spec().volumes.iter().flatten() {
        let wanted = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
        let Some(wanted) = wanted.filter(|size| amounts::whole(size) > 0) else { continue };
        if volumes.get(&volume.name).is_some_and(|used| *used > amounts::whole(wanted)) {
            let name = machinery::field::go_quote(&volume.name);
            let size = machinery::field::go_quote(&wanted.0);
            return Some(format!("Usage of EmptyDir volume {name} exceeds the limit {size}. "));
        }
    }
    let total = limit(pod);
    if total > 0 && usage.disk.0 > total {
        let shown = amounts::from_bytes(total).0;
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
        ));
    }
    for member in pod.init_members().chain(pod.app_members()) {
        let limits = member.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let Some(limit) = limits.and_then(|limits| limits.get("ephemeral-storage")) else { continue };
        let used = usage.members.iter().find(|used| used.name == member.name()).map_or(0, |used| used.disk.0);
        if used > amounts::whole(limit) {
            let shown = machinery::field::go_quote(&limit.0);
            let name = member.name();
            return Some(format!("Container {name} exceeded its local ephemeral storage limit {shown}. "));
        }
    }
    None
}

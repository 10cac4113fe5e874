//! What an update may change of a pod, door by door.

use machinery::Value;
use machinery::names;

use super::pod::{MIRROR, quality_of_service};
use crate::diff;
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::containers::check_changed_images;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The specification as errors show it.
fn shown(spec: &Value) -> String {
    internal::show_indented("PodSpec", spec)
}

/// Changes through the main door.
pub(super) fn check(object: Place<'_>, old: &Value) {
    let spec = object.get("spec");
    let old_spec = old.get("spec");
    for list in ["containers", "initContainers"] {
        if check_changed_images(spec.get(list), old_spec.get(list)) {
            return;
        }
    }
    if check_deadline(spec, old_spec) {
        return;
    }
    check_tolerations(spec.get("tolerations"), old_spec.get("tolerations"));
    check_gates(spec.get("schedulingGates"), old_spec.get("schedulingGates"));
    if same(spec.value(), old_spec) {
        return;
    }
    let mut munged = spec.value().clone();
    for list in ["containers", "initContainers"] {
        keep_images(&mut munged, old_spec, list);
    }
    for member in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        crate::policy::keep(&mut munged, old_spec, member);
    }
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").as_int();
    if grace(old_spec).is_some_and(|seconds| seconds < 0) && grace(&munged) == Some(1) {
        crate::policy::keep(&mut munged, old_spec, "terminationGracePeriodSeconds");
    }
    if !old_spec.get("schedulingGates").is_empty() {
        check_gated(spec, old_spec, &mut munged);
    }
    if !same(&munged, old_spec) {
        let difference = diff::unified(&shown(old_spec), &shown(&munged));
        spec.forbidden(format!("pod updates may not change fields other than {UPDATABLE}\n{difference}"));
    }
}

fn keep_images(munged: &mut Value, old: &Value, list: &str) {
    let containers = munged.get_mut(list).map(Value::items_mut).unwrap_or_default();
    for (container, old) in containers.iter_mut().zip(old.get(list).items()) {
        container.set("image", old.get("image").clone());
    }
}

/// Answers whether the comparison ends here.
fn check_deadline(spec: Place<'_>, old: &Value) -> bool {
    let deadline = spec.get("activeDeadlineSeconds");
    let max = i64::from(i32::MAX);
    match (deadline.number(), old.get("activeDeadlineSeconds").as_int()) {
        (Some(new), _) if !(0..=max).contains(&new) => {
            deadline.invalid(names::between(0, max));
            true
        }
        (Some(new), Some(old)) if old < new => {
            deadline.invalid("must be less than or equal to previous value");
            true
        }
        (None, Some(_)) => {
            deadline.invalid_as(&Value::Null, "must not update from a positive integer to nil value");
            false
        }
        _ => false,
    }
}

fn check_tolerations(tolerations: Place<'_>, old: &Value) {
    let alike = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|member| same(a.get(member), b.get(member)))
    };
    let new = tolerations.value().items();
    if !old.items().iter().all(|old| new.iter().any(|new| alike(new, old))) {
        tolerations.forbidden("existing toleration can not be modified except its tolerationSeconds");
    }
}

fn check_gates(gates: Place<'_>, old: &Value) {
    for gate in gates.items() {
        let name = gate.get("name");
        if !old.items().iter().any(|old| old.get("name").str_or_empty() == name.text()) {
            let added = name.text();
            name.forbidden(format!("only deletion is allowed, but found new scheduling gate '{added}'"));
        }
    }
}

/// A pod that waits at a gate may still narrow where it runs.
fn check_gated(spec: Place<'_>, old: &Value, munged: &mut Value) {
    let selector = spec.get("nodeSelector");
    if !same(selector.value(), old.get("nodeSelector")) {
        let kept = old.get("nodeSelector").members().all(|(key, value)| selector.value().get(key) == value);
        if !kept {
            selector.invalid("only additions to spec.nodeSelector are allowed (no mutations or deletions)");
        }
        crate::policy::keep(munged, old, "nodeSelector");
    }
    let path = ["affinity", "nodeAffinity"];
    if same(spec.value().at(&path), old.at(&path)) {
        return;
    }
    let affinity = spec.get("affinity");
    let nodes = affinity.get("nodeAffinity");
    check_narrowed(nodes, old.at(&path));
    match old.at(&path) {
        Value::Null if same(&without_node_affinity(spec.value().get("affinity")), &Value::object()) => {
            crate::policy::keep(munged, old, "affinity");
        }
        old_nodes => *munged.at_mut(&path) = old_nodes.clone(),
    }
}

fn without_node_affinity(affinity: &Value) -> Value {
    let mut rest = affinity.clone();
    rest.remove("nodeAffinity");
    rest
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn check_narrowed(nodes: Place<'_>, old: &Value) {
    let required = nodes.get(REQUIRED);
    let terms = required.get("nodeSelectorTerms");
    let old_terms = old.at(&[REQUIRED, "nodeSelectorTerms"]).items();
    if old_terms.is_empty() {
        return;
    }
    if terms.len() != old_terms.len() {
        let shown = Raw(internal::show_list("NodeSelectorTerm", terms.value()));
        return terms
            .invalid_as(shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    }
    for (term, old) in terms.items().zip(old_terms) {
        let kept = ["matchExpressions", "matchFields"].iter().all(|list| {
            let new = term.value().get(list).items();
            old.get(list).items().iter().all(|requirement| new.contains(requirement))
        });
        if !kept {
            let shown = Raw(internal::show("NodeSelectorTerm", term.value()));
            term.invalid_as(shown, "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// Changes through the door of ephemeral containers: more of them may come.
pub(super) fn check_ephemeral(object: Place<'_>, old: &Value) {
    if !old.at(&["metadata", "annotations", MIRROR]).is_null() {
        object.forbidden("static pods do not support ephemeral containers");
    }
    let spec = object.get("spec");
    let place = spec.get("ephemeralContainers");
    for old in old.at(&["spec", "ephemeralContainers"]).items() {
        let name = old.get("name").str_or_empty();
        match place.value().items().iter().find(|new| new.get("name").str_or_empty() == name) {
            None => place.forbidden(format!("existing ephemeral containers \"{name}\" may not be removed\n")),
            Some(new) if !same(new, old) => {
                let shown = |container: &Value| internal::show_indented("EphemeralContainer", container);
                let difference = diff::unified(&shown(old), &shown(new));
                place.forbidden(format!(
                    "existing ephemeral containers \"{name}\" may not be changed\n{difference}"
                ));
            }
            Some(_) => {}
        }
    }
}

/// Everything as it was, but for which version the writer saw and who wrote.
pub(super) fn restore(object: &mut Value, old: &Value) {
    crate::policy::keep_all_but(object, old, &[]);
    let written = object.entry("metadata");
    let mut metadata = old.get("metadata").clone();
    for member in ["name", "namespace", "uid", "resourceVersion", "managedFields"] {
        crate::policy::keep(&mut metadata, written, member);
    }
    *written = metadata;
}

/// Of a resize only the resources and what happens when they change are taken. Containers that come, go, or change their
/// names or places are left as they are wanted, so that the check finds them.
pub(super) fn prepare_resize(object: &mut Value, old: &Value) {
    const LISTS: [&str; 2] = ["containers", "initContainers"];
    let wanted = object.get("spec").clone();
    let before = old.get("spec");
    if LISTS.iter().any(|list| wanted.get(list).items().len() != before.get(list).items().len()) {
        return;
    }
    restore(object, old);
    let spec = object.entry("spec");
    for list in LISTS {
        let new = wanted.get(list).items();
        let moved = |(new, old): (&Value, &Value)| new.get("name") != old.get("name");
        if new.iter().zip(before.get(list).items()).any(moved) {
            crate::policy::keep(spec, &wanted, list);
            continue;
        }
        for (container, new) in
            spec.get_mut(list).map(Value::items_mut).unwrap_or_default().iter_mut().zip(new)
        {
            for member in ["resources", "resizePolicy"] {
                crate::policy::keep(container, new, member);
            }
        }
    }
    crate::policy::keep(spec, &wanted, "resources");
}

/// Whether a pod can be resized at all. If it cannot, nothing else is told.
pub(super) fn check_resizable(object: Place<'_>, old: &Value) -> bool {
    let nowhere = object.at_key("");
    let is_static = !old.at(&["metadata", "annotations", MIRROR]).is_null();
    let is_windows = old.at(&["spec", "os", "name"]).str_or_empty() == "windows";
    if is_static {
        nowhere.forbidden("static pods cannot be resized");
    } else if is_windows {
        nowhere.forbidden("windows pods cannot be resized");
    }
    !is_static && !is_windows
}

/// Changes through the door of resizes: amounts of compute resources only.
pub(super) fn check_resize(object: Place<'_>, old: &Value) {
    let spec = object.get("spec");
    let old_spec = old.get("spec");
    let class = old.at(&["status", "qosClass"]).str_or_empty();
    let class = if class.is_empty() { quality_of_service(old_spec) } else { class };
    if quality_of_service(spec.value()) != class {
        spec.invalid_as(class, "Pod QOS Class may not change as a result of resizing");
    }
    let before = spec.error_count();
    check_pod_amounts(spec, old_spec);
    let in_order = spec.error_count();
    for list in ["containers", "initContainers"] {
        check_order(spec.get(list), old_spec.get(list), list);
    }
    if spec.error_count() > in_order {
        return;
    }
    for list in ["initContainers", "containers"] {
        for (container, old) in spec.get(list).items().zip(old_spec.get(list).items()) {
            check_kept_amounts(container.get("resources"), old.get("resources"));
        }
    }
    let mut munged = spec.value().clone();
    for list in ["containers", "initContainers"] {
        let containers = munged.get_mut(list).map(Value::items_mut).unwrap_or_default();
        for (container, old) in containers.iter_mut().zip(old_spec.get(list).items()) {
            for kind in ["limits", "requests"] {
                restore_compute(container.entry("resources"), old.get("resources"), kind);
            }
        }
    }
    crate::policy::keep(&mut munged, old_spec, "resources");
    for (container, old) in munged.get("containers").items().iter().zip(old_spec.get("containers").items()) {
        if !same(container, old) {
            spec.forbidden(ONLY_COMPUTE);
        }
    }
    let initial = spec.get("initContainers");
    let munged_initial = munged.get("initContainers").items().iter();
    for ((place, container), old) in
        initial.items().zip(munged_initial).zip(old_spec.get("initContainers").items())
    {
        if !same(container, old) {
            place.forbidden("only cpu and memory resources for init or sidecar containers are mutable");
        }
    }
    // Amounts of the whole pod that are there and empty are not the same as none.
    let came = spec.get("resources").is_set() == old_spec.get("resources").is_null();
    if spec.error_count() == before && (came || !same(&munged, old_spec)) {
        spec.forbidden(ONLY_COMPUTE);
    }
}

const ONLY_COMPUTE: &str = "only cpu and memory resources are mutable";

/// What the pod as a whole asks for.
fn check_pod_amounts(spec: Place<'_>, old_spec: &Value) {
    let (resources, old) = (spec.get("resources"), old_spec.get("resources"));
    let asks = |resources: &Value| {
        ["limits", "requests"].iter().any(|kind| resources.get(kind).members().next().is_some())
    };
    if !asks(resources.value()) && !asks(old) {
        return;
    }
    if !old.is_null() && !resources.is_set() {
        return resources.forbidden("pod-level resources cannot be removed");
    }
    for (kind, told) in [
        ("requests", "pod-level resource requests cannot be removed"),
        ("limits", "pod-level resource limits cannot be removed"),
    ] {
        let new = resources.value().get(kind);
        if old.get(kind).members().any(|(name, _)| new.get(name).is_null()) {
            resources.get(kind).forbidden(told);
        }
    }
    let mut munged = resources.value().clone();
    for kind in ["limits", "requests"] {
        restore_compute(&mut munged, old, kind);
    }
    if !same(&munged, old) {
        spec.forbidden("only cpu and memory resources are mutable at pod-level");
    }
}

fn check_order(containers: Place<'_>, old: &Value, list: &str) {
    if containers.len() != old.items().len() {
        return containers.forbidden(format!("{list} may not be added or removed on resize"));
    }
    for (container, old) in containers.items().zip(old.items()) {
        if container.value().get("name") != old.get("name") {
            container.get("name").forbidden(format!("{list} may not be renamed or reordered on resize"));
        }
    }
}

fn check_kept_amounts(resources: Place<'_>, old: &Value) {
    for (kind, told) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let list = resources.get(kind);
        let removed = ["cpu", "memory"]
            .iter()
            .any(|name| !old.at(&[kind, name]).is_null() && list.value().get(name).is_null());
        if removed {
            list.forbidden(told);
        }
    }
}

fn restore_compute(resources: &mut Value, old: &Value, kind: &str) {
    for name in ["cpu", "memory"] {
        match old.at(&[kind, name]) {
            Value::Null => {
                if let Some(list) = resources.get_mut(kind) {
                    list.remove(name);
                }
            }
            amount => *resources.at_mut(&[kind, name]) = amount.clone(),
        }
    }
    if resources.get(kind).is_empty() && old.get(kind).is_null() {
        resources.remove(kind);
    }
}

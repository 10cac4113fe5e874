//! What `restricted` forbids beyond `baseline`: all that a well-made pod can do without.

use machinery::Value;

use super::baseline::{OWN_USERS, added, confines, masked_proc, seccomp_kind, unconfined};
use super::evaluate::{Check, Pod, Violation, containers, number_of, quoted, setters, sorted};

/// Since when what Windows does not know is not asked of its pods.
const WINDOWS: u32 = 25;

const fn check(id: &'static str, since: u32, run: fn(Pod<'_>, u32) -> Option<Violation>) -> Check {
    Check { id, since, overrides: None, run }
}

/// In the order in which they are told of.
pub const CHECKS: [Check; 7] = [
    check("allowPrivilegeEscalation", 8, escalation),
    Check { overrides: Some("capabilities_baseline"), ..check("capabilities_restricted", 22, capabilities) },
    Check { overrides: Some("procMount"), ..check("procMount_restricted", OWN_USERS, proc_mount) },
    Check { overrides: Some("hostPathVolumes"), ..check("restrictedVolumes", 0, volumes) },
    check("runAsNonRoot", 0, non_root),
    check("runAsUser", 23, user),
    Check { overrides: Some("seccompProfile_baseline"), ..check("seccompProfile_restricted", 19, seccomp) },
];

fn escalation(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= WINDOWS && pod.is_windows() {
        return None;
    }
    let field = ["securityContext", "allowPrivilegeEscalation"];
    let who = pod.containers_where(|one| one.at(&field).as_bool() != Some(false));
    (!who.is_empty()).then(|| {
        let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&who));
        Violation::new("allowPrivilegeEscalation != false", detail)
    })
}

fn capabilities(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= WINDOWS && pod.is_windows() {
        return None;
    }
    let drops_all = |one: &Value| {
        let dropped = one.at(&["securityContext", "capabilities", "drop"]).items();
        dropped.iter().any(|name| name.as_str() == Some("ALL"))
    };
    let mut details = Vec::new();
    let keeping = pod.containers_where(|one| !drops_all(one));
    if !keeping.is_empty() {
        let who = containers(&keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    let more = |one| added(one).filter(|name| *name != "NET_BIND_SERVICE");
    let adding: Vec<&str> = pod
        .containers()
        .filter(|one| more(one).next().is_some())
        .map(|one| one.get("name").str_or_empty())
        .collect();
    if !adding.is_empty() {
        let what = sorted(pod.containers().flat_map(more));
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(&what)
        ));
    }
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

fn proc_mount(pod: Pod<'_>, _: u32) -> Option<Violation> {
    masked_proc(pod)
}

/// Volumes that a pod may name itself.
const PLAIN: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// All others, in the order in which they are looked for.
const OTHERS: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn volumes(pod: Pod<'_>, _: u32) -> Option<Violation> {
    let has = |volume: &Value, kinds: &[&'static str]| {
        kinds.iter().copied().find(|kind| !volume.get(kind).is_null())
    };
    let volumes = pod.spec.get("volumes").items().iter();
    let (names, kinds): (Vec<&str>, Vec<&str>) = volumes
        .filter(|volume| has(volume, &PLAIN).is_none())
        .map(|volume| (volume.get("name").str_or_empty(), has(volume, &OTHERS).unwrap_or("unknown")))
        .unzip();
    if names.is_empty() {
        return None;
    }
    let kinds = sorted(kinds);
    let detail = format!(
        "{} {} {} {} {}",
        number_of(names.len(), "volume", "volumes"),
        quoted(&names),
        number_of(names.len(), "uses", "use"),
        number_of(kinds.len(), "restricted volume type", "restricted volume types"),
        quoted(&kinds)
    );
    Some(Violation::new("restricted volume types", detail))
}

fn non_root(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if minor >= OWN_USERS && pod.has_own_users() {
        return None;
    }
    let said = |context: &Value| context.get("runAsNonRoot").as_bool();
    let of_pod = said(pod.context());
    let denying = pod.containers_where(|one| said(one.get("securityContext")) == Some(false));
    if let Some(who) = setters(of_pod == Some(false), &denying) {
        return Some(Violation::new(
            REASON,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        ));
    }
    let silent = pod.containers_where(|one| said(one.get("securityContext")).is_none());
    (of_pod != Some(true) && !silent.is_empty()).then(|| {
        let who = containers(&silent);
        Violation::new(REASON, format!("pod or {who} must set securityContext.runAsNonRoot=true"))
    })
}

fn user(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= OWN_USERS && pod.has_own_users() {
        return None;
    }
    let is_root = |context: &Value| context.get("runAsUser").as_int() == Some(0);
    let who = pod.containers_where(|one| is_root(one.get("securityContext")));
    let who = setters(is_root(pod.context()), &who)?;
    Some(Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

fn seccomp(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    if minor >= WINDOWS && pod.is_windows() {
        return None;
    }
    if let Some(found) = unconfined(pod) {
        return Some(found);
    }
    let of_pod = seccomp_kind(pod.context()).is_some_and(confines);
    let silent = pod.containers_where(|one| seccomp_kind(one.get("securityContext")).is_none());
    (!of_pod && !silent.is_empty()).then(|| {
        let detail = format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            containers(&silent)
        );
        Violation::new("seccompProfile", detail)
    })
}

//! The rules that depend on the operating system a pod is for.

use crate::place::Place;

const NOT_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_LINUX: &str = "windows options cannot be set for a linux pod";

/// What is wrong with a pod for the system it names.
pub(super) fn check(spec: Place<'_>) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    match name.text() {
        "" => name.required(""),
        "linux" => check_linux(spec),
        "windows" => check_windows(spec),
        other => os.unsupported_as(other, &["linux", "windows"]),
    }
}

fn each_context<'a>(spec: &'a Place<'a>, mut check: impl FnMut(Place<'_>)) {
    check(spec.get("securityContext"));
    for member in ["containers", "initContainers", "ephemeralContainers"] {
        let containers = spec.get(member);
        for container in containers.items() {
            check(container.get("securityContext"));
        }
    }
}

fn check_linux(spec: Place<'_>) {
    each_context(&spec, |context| {
        if context.get("windowsOptions").is_set() {
            context.get("windowsOptions").forbidden(NOT_LINUX);
        }
    });
}

fn check_windows(spec: Place<'_>) {
    let context = spec.get("securityContext");
    for member in
        ["appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"]
    {
        if !context.get(member).is_empty() {
            context.get(member).forbidden(NOT_WINDOWS);
        }
    }
    for member in ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"] {
        let value = spec.value().get(member);
        let place = if member == "hostUsers" { spec } else { context };
        let set = if member == "hostUsers" || member == "shareProcessNamespace" {
            !value.is_null()
        } else {
            value.is_true()
        };
        if set {
            place.at(member).forbidden(NOT_WINDOWS);
        }
    }
    for member in ["runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy"] {
        if !context.get(member).is_empty() {
            context.get(member).forbidden(NOT_WINDOWS);
        }
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            let context = container.get("securityContext");
            for member in [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "capabilities",
                "readOnlyRootFilesystem",
                "privileged",
                "allowPrivilegeEscalation",
                "procMount",
                "runAsUser",
                "runAsGroup",
            ] {
                if context.get(member).is_set() {
                    context.get(member).forbidden(NOT_WINDOWS);
                }
            }
        }
    }
}

/// A pod that runs on a Windows host itself must do so with all its containers and on the host's network.
pub(super) fn check_windows_host_process(spec: Place<'_>) {
    let pod = spec.value().at(&["securityContext", "windowsOptions", "hostProcess"]);
    let mut any = pod.is_true();
    let mut all = true;
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).items() {
            let own = container.value().at(&["securityContext", "windowsOptions", "hostProcess"]);
            if let (Some(pod), Some(own)) = (pod.as_bool(), own.as_bool())
                && pod != own
            {
                let context = container.get("securityContext");
                let options = context.get("windowsOptions");
                options.get("hostProcess").invalid(format!(
                    "pod hostProcess value must be identical if both are specified, was {pod}"
                ));
            }
            let effective = own.as_bool().or(pod.as_bool()).unwrap_or(false);
            any |= effective;
            all &= effective;
        }
    }
    if !any {
        return;
    }
    if !all {
        spec.invalid_as(
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        );
    }
    if !spec.get("hostNetwork").is_true() {
        spec.get("hostNetwork")
            .invalid_as(false, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

//! The rules of mounts and devices.

use std::collections::BTreeSet;

use machinery::Value;

use super::Surroundings;
use super::volumes::{check_descending_path, has_backsteps};
use crate::place::Place;

fn holds(list: &Value, member: &str, wanted: &str) -> bool {
    list.items().iter().any(|item| item.get(member).str_or_empty() == wanted)
}

pub(super) fn check(container: Place<'_>, around: &Surroundings<'_>) {
    let mounts = container.get("volumeMounts");
    let devices = container.value().get("volumeDevices");
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        if name.text().is_empty() {
            name.required("");
        }
        let source = around.volumes.iter().find(|(known, _)| *known == name.text());
        if source.is_none() {
            name.invalid_or_missing();
        }
        if path.text().is_empty() {
            path.required("");
        }
        if !paths.insert(path.key()) {
            path.invalid_as(path.text(), "must be unique");
        }
        if holds(devices, "name", name.text()) {
            name.invalid("must not already exist in volumeDevices");
        }
        if holds(devices, "devicePath", path.text()) {
            path.invalid("must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
        if !sub_path.text().is_empty() {
            check_descending_path(mounts.with(sub_path.value()).at("subPath"));
        }
        if !expression.text().is_empty() {
            if !sub_path.text().is_empty() {
                expression.invalid("subPathExpr and subPath are mutually exclusive");
            }
            check_descending_path(mounts.with(expression.value()).at("subPathExpr"));
        }
        check_propagation(mounts, mount, container);
        check_recursive_read_only(mounts, mount);
    }
}

impl Place<'_> {
    /// A name that must be that of a volume is not.
    fn invalid_or_missing(&self) {
        self.report(machinery::field::Error::not_found(&self.path(), self.text()));
    }
}

fn check_propagation(mounts: Place<'_>, mount: Place<'_>, container: Place<'_>) {
    let propagation = mount.value().get("mountPropagation");
    if propagation.is_null() {
        return;
    }
    let mounts = mounts.with(propagation);
    let place = mounts.at("mountPropagation");
    place.one_of(&["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.value().at(&["securityContext", "privileged"]).is_true();
    if place.text() == "Bidirectional" && !privileged {
        place.forbidden("Bidirectional mount propagation is available only to privileged containers");
    }
}

fn check_recursive_read_only(mounts: Place<'_>, mount: Place<'_>) {
    let mode = mount.value().get("recursiveReadOnly");
    if mode.is_null() {
        return;
    }
    let mounts = mounts.with(mode);
    let place = mounts.at("recursiveReadOnly");
    match place.text() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.get("readOnly").is_true() {
                place.forbidden("may only be specified when readOnly is true");
            }
            if !matches!(mount.get("mountPropagation").text(), "" | "None") {
                place.forbidden("may only be specified when mountPropagation is None or not specified");
            }
        }
        _ => place.unsupported(&["Disabled", "Enabled", "IfPossible"]),
    }
}

pub(super) fn check_devices(container: Place<'_>, around: &Surroundings<'_>) {
    let mounts = container.value().get("volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let devices = container.get("volumeDevices");
    for device in devices.items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        let source =
            around.volumes.iter().find(|(known, _)| *known == name.text()).map(|(_, source)| *source);
        if name.text().is_empty() {
            name.required("");
        }
        if names.contains(name.text()) {
            name.invalid("must be unique");
        }
        match source {
            Some("persistentVolumeClaim" | "ephemeral") => {}
            Some(_) => name.invalid(
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ),
            None => name.invalid_or_missing(),
        }
        if path.text().is_empty() {
            path.required("");
        }
        if paths.contains(path.text()) {
            path.invalid("must be unique");
        }
        if has_backsteps(path.text()) {
            path.invalid("can not contain backsteps ('..')");
        } else {
            paths.insert(path.key());
        }
        if holds(mounts, "name", name.text()) {
            name.invalid("must not already exist in volumeMounts");
        }
        if holds(mounts, "mountPath", path.text()) {
            path.invalid("must not already exist as a path in volumeMounts");
        }
        if !name.text().is_empty() {
            names.insert(name.key());
        }
    }
}

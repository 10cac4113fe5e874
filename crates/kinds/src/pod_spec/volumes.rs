//! The rules of volumes.

use std::collections::BTreeSet;

use machinery::{Value, names};

use super::network_storage::{
    self, NAME_AND_PORTAL, NAME_AND_PORTAL_MAX, Owner, name_of_source, name_of_surplus, need,
};
use super::{Within, environment, resources};
use crate::place::Place;

/// Every way a volume can come about, in the order they are looked at.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
const ONE_TYPE: &str = "may not specify more than 1 volume type";
const MODE_RANGE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// What is wrong with volumes. Answers with the names and sources of those that are right.
pub(super) fn check<'a>(volumes: Place<'a>, within: Within, pod_name: &str) -> Vec<(&'a str, &'a str)> {
    let mut right: Vec<(&str, &str)> = Vec::new();
    for (position, value) in volumes.value().items().iter().enumerate() {
        let at = volumes.with(volumes.value());
        let indexed = at.at_index(position);
        let volume = indexed.with(value);
        let before = volume.error_count();
        let source = check_source(volume, within);
        let name = volume.get("name");
        let portal = value.at(&["iscsi", "targetPortal"]).str_or_empty();
        if !value.at(&["iscsi", "initiatorName"]).is_null()
            && name.text().len() + 1 + portal.len() > NAME_AND_PORTAL_MAX
        {
            name.invalid_as(name.text(), NAME_AND_PORTAL);
        }
        if source == "ephemeral" && !pod_name.is_empty() && !name.text().is_empty() {
            let claim = format!("{pod_name}-{}", name.text());
            for fault in names::dns1123_subdomain(&claim) {
                name.invalid(format!("PVC name \"{claim}\": {fault}"));
            }
        }
        if name.text().is_empty() {
            name.required("");
        } else {
            name.faults(names::dns1123_label(name.text()));
        }
        let text = value.get("name").str_or_empty();
        if right.iter().any(|(known, _)| *known == text) {
            name.duplicate();
        }
        if volume.error_count() == before {
            right.push((text, source));
        }
    }
    right
}

fn check_source(volume: Place<'_>, within: Within) -> &'static str {
    let mut first = "";
    for kind in SOURCES {
        let source = volume.get(kind);
        if !source.is_set() {
            continue;
        }
        if !first.is_empty() {
            volume.with(source.value()).at(name_of_surplus(kind)).forbidden(ONE_TYPE);
            continue;
        }
        first = kind;
        let told = volume.with(source.value());
        check_one(kind, told.at(name_of_source(kind)), within);
    }
    if first.is_empty() {
        volume.required("must specify a volume type");
    }
    first
}

fn check_one(kind: &str, source: Place<'_>, within: Within) {
    match kind {
        "emptyDir" => {
            let limit = source.get("sizeLimit");
            if limit.is_set() && resources::amount(limit.value()).signum() < 0 {
                limit.forbidden("SizeLimit field must be a valid resource quantity");
            }
        }
        "hostPath" => check_host_path(source),
        "gitRepo" => {
            need(source, &["repository"]);
            check_local_path(source.get("directory"));
        }
        "secret" => {
            need(source, &["secretName"]);
            check_mode_and_items(source);
        }
        "configMap" => {
            need(source, &["name"]);
            check_mode_and_items(source);
        }
        "downwardAPI" => {
            check_mode(source.get("defaultMode"));
            for file in source.value().get("items").items() {
                check_downward_file(source.with(file));
            }
        }
        "projected" => check_projected(source),
        "persistentVolumeClaim" => need(source, &["claimName"]),
        "csi" => {
            check_csi_driver_name(source.get("driver"));
            let secret = source.get("nodePublishSecretRef");
            let name = secret.get("name");
            if secret.is_set() && name.text().is_empty() {
                name.required("");
            } else if secret.is_set() {
                // Told where the driver's own name would be.
                source.with(name.value()).at("name").faults(names::dns1123_subdomain(name.text()));
            }
        }
        "ephemeral" => check_ephemeral(source),
        "image" => {
            if within == Within::Pod {
                need(source, &["reference"]);
            }
            super::containers::check_pull_policy(source.get("pullPolicy"));
        }
        _ => network_storage::check(kind, source, Owner::Pod),
    }
}

/// What is wrong with a path on the node.
pub fn check_host_path(source: Place<'_>) {
    let path = source.get("path");
    if path.text().is_empty() {
        return path.required("");
    }
    check_backsteps(path);
    let kind = source.get("type");
    if kind.is_set() {
        kind.one_of(&[
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ]);
    }
}

/// What is wrong with the name of a CSI driver.
pub fn check_csi_driver_name(driver: Place<'_>) {
    if driver.text().is_empty() {
        return driver.required("");
    }
    if driver.text().len() > names::LABEL_MAX {
        driver.too_long(names::LABEL_MAX);
    }
    driver.faults(names::dns1123_subdomain(&driver.text().to_lowercase()));
}

fn check_ephemeral(source: Place<'_>) {
    let template = source.get("volumeClaimTemplate");
    if template.is_set() {
        crate::core::check_claim_template(template);
    } else {
        template.required("");
    }
}

fn check_mode(mode: Place<'_>) {
    if mode.number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        mode.invalid(MODE_RANGE);
    }
}

fn check_mode_and_items(source: Place<'_>) {
    check_mode(source.get("defaultMode"));
    for item in source.get("items").items() {
        check_key_to_path(item);
    }
}

fn check_key_to_path(item: Place<'_>) {
    need(item, &["key", "path"]);
    check_local_path(item.get("path"));
    check_mode(item.get("mode"));
}

/// Whether a path leads upwards somewhere.
pub fn has_backsteps(path: &str) -> bool {
    path.replace('\\', "/").split('/').any(|part| part == "..")
}

fn check_backsteps(path: Place<'_>) {
    if has_backsteps(path.text()) {
        path.invalid("must not contain '..'");
    }
}

/// What is wrong with a path that must lead downwards from where it starts.
pub fn check_descending_path(path: Place<'_>) {
    if path.text().starts_with('/') {
        path.invalid("must be a relative path");
    }
    check_backsteps(path);
}

/// The same, for a name that must not look like what volumes use themselves.
pub fn check_local_path(path: Place<'_>) {
    check_descending_path(path);
    if path.text().starts_with("..") && !path.text().starts_with("../") && path.text() != ".." {
        path.invalid("must not start with '..'");
    }
}

fn check_downward_file(file: Place<'_>) {
    need(file, &["path"]);
    check_local_path(file.get("path"));
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    if field.is_set() {
        environment::check_field(field, environment::VOLUME_FIELDS);
        if resource.is_set() {
            file.invalid_as("resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.is_set() {
        environment::check_resource(resource, environment::Needs::ContainerName);
    } else {
        file.required("one of fieldRef and resourceFieldRef is required");
    }
    check_mode(file.get("mode"));
}

fn check_projected(source: Place<'_>) {
    check_mode(source.get("defaultMode"));
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for (position, value) in source.value().get("sources").items().iter().enumerate() {
        let sources = source.get("sources");
        let indexed = sources.at_index(position);
        let projection = indexed.with(value);
        let mut kinds = 0;
        for kind in [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ] {
            let part = projection.get(kind);
            if !part.is_set() {
                continue;
            }
            kinds += 1;
            if kind == "serviceAccountToken" {
                check_token(part, source);
            } else {
                check_projection(kind, part);
            }
            for (path, shown) in projected_paths(kind, value.get(kind)) {
                if !path.is_empty() && !paths.insert(path) {
                    source.invalid_as(shown, "conflicting duplicate paths");
                }
            }
        }
        if kinds > 1 {
            projection.forbidden("may not specify more than 1 volume type per source");
        }
    }
}

/// The paths that a projection fills, each with what an error shows of a clash.
fn projected_paths<'a>(kind: &str, part: &'a Value) -> Vec<(&'a str, &'a str)> {
    let path_of = |item: &'a Value| item.get("path").str_or_empty();
    match kind {
        "secret" | "configMap" => {
            let name = part.get("name").str_or_empty();
            part.get("items").items().iter().map(|item| (path_of(item), name)).collect()
        }
        "downwardAPI" => {
            part.get("items").items().iter().map(|item| (path_of(item), path_of(item))).collect()
        }
        "podCertificate" => ["credentialBundlePath", "keyPath", "certificateChainPath"]
            .into_iter()
            .map(|member| part.get(member).str_or_empty())
            .map(|path| (path, path))
            .collect(),
        _ => vec![(path_of(part), path_of(part))],
    }
}

/// What is wrong with a token that is projected. Its path is told as if it were the whole volume's.
fn check_token(part: Place<'_>, volume: Place<'_>) {
    let seconds = part.get("expirationSeconds");
    if seconds.is_set() && seconds.int() < 600 {
        seconds.invalid("may not specify a duration less than 10 minutes");
    }
    if seconds.int() > 1 << 32 {
        seconds.invalid("may not specify a duration larger than 2^32 seconds");
    }
    let path = volume.with(part.value().get("path"));
    let path = path.at("path");
    if path.text().is_empty() {
        path.required("");
    } else {
        check_local_path(path);
    }
}

fn check_projection(kind: &str, part: Place<'_>) {
    match kind {
        "secret" | "configMap" => {
            need(part, &["name"]);
            for item in part.get("items").items() {
                check_key_to_path(item);
            }
        }
        "downwardAPI" => {
            for file in part.value().get("items").items() {
                check_downward_file(part.with(file));
            }
        }
        "clusterTrustBundle" => {
            match (part.get("name").is_set(), part.get("signerName").is_set()) {
                (true, true) => part.invalid("only one of name and signerName may be used"),
                (false, false) => part.required("either name or signerName must be specified"),
                _ => {}
            }
            need(part, &["path"]);
            check_local_path(part.get("path"));
        }
        _ => {
            need(part, &["signerName"]);
            part.get("keyType").required_one_of(&[
                "ECDSAP256",
                "ECDSAP384",
                "ECDSAP521",
                "ED25519",
                "RSA3072",
                "RSA4096",
            ]);
            for member in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
                check_local_path(part.get(member));
            }
        }
    }
}

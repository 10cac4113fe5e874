//! The rules of storage that is reached over the network or through a driver of old, in pods and persistent volumes.

use machinery::names;

use crate::place::Place;

/// What a complaint calls a source that is one too many: some have another name there.
pub fn name_of_surplus(kind: &str) -> &str {
    match kind {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        other => other,
    }
}

/// What complaints about what is in a source call it.
pub fn name_of_source(kind: &str) -> &str {
    if kind == "gcePersistentDisk" { "persistentDisk" } else { kind }
}

/// These members must be there.
pub(super) fn need(source: Place<'_>, members: &[&str]) {
    for member in members {
        let place = source.get(member);
        if place.is_empty() {
            place.required("");
        }
    }
}

/// What is wrong with storage that is reached over the network or through a driver of old.
pub fn check(kind: &str, source: Place<'_>) {
    match kind {
        "nfs" => {
            need(source, &["server", "path"]);
            let path = source.get("path");
            if !path.text().starts_with('/') {
                path.invalid_as(path.text(), "must be an absolute path");
            }
        }
        "gcePersistentDisk" => {
            need(source, &["pdName"]);
            check_partition(source);
        }
        "awsElasticBlockStore" => {
            need(source, &["volumeID"]);
            check_partition(source);
        }
        "iscsi" => check_iscsi(source),
        "glusterfs" => need(source, &["endpoints", "path"]),
        "rbd" => need(source, &["monitors", "image"]),
        "cinder" => need(source, &["volumeID"]),
        "cephfs" => need(source, &["monitors"]),
        "flocker" => match (source.get("datasetName").is_empty(), source.get("datasetUUID").is_empty()) {
            (true, true) => source.required("one of datasetName and datasetUUID is required"),
            (false, false) => source
                .invalid_as("resource", "datasetName and datasetUUID can not be specified simultaneously"),
            _ => {}
        },
        "quobyte" => check_quobyte(source),
        "fc" => check_fibre_channel(source),
        "flexVolume" => need(source, &["driver"]),
        "azureFile" => need(source, &["secretName", "shareName"]),
        "vsphereVolume" => need(source, &["volumePath"]),
        "photonPersistentDisk" => need(source, &["pdID"]),
        "portworxVolume" => need(source, &["volumeID"]),
        "azureDisk" => check_azure_disk(source),
        "scaleIO" => need(source, &["gateway", "system", "volumeName"]),
        _ => {}
    }
}

fn check_quobyte(source: Place<'_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, tenant) = (source.get("registry"), source.get("tenant"));
    if registry.text().is_empty() {
        registry.required(PAIRS);
    } else if tenant.text().len() > 64 {
        tenant.required("must be a UUID and may not exceed a length of 64 characters");
    } else {
        let is_pair = |pair: &str| {
            let host = pair.rsplit_once(':').map(|(host, _)| host);
            host.is_some_and(|host| !host.contains(':') || host.starts_with('[') && host.ends_with(']'))
        };
        for _ in registry.text().split(',').filter(|pair| !is_pair(pair)) {
            registry.invalid(PAIRS);
        }
    }
    need(source, &["volume"]);
}

fn check_azure_disk(source: Place<'_>) {
    need(source, &["diskName", "diskURI"]);
    for (member, allowed) in
        [("cachingMode", ["None", "ReadOnly", "ReadWrite"]), ("kind", ["Dedicated", "Managed", "Shared"])]
    {
        let place = source.get(member);
        if place.is_set() {
            place.one_of(&allowed);
        }
    }
    let (kind, uri) = (source.get("kind"), source.get("diskURI"));
    if kind.text() == "Managed" && !uri.text().starts_with("/subscriptions/") {
        uri.unsupported(&[
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ]);
    }
    if kind.is_set() && kind.text() != "Managed" && !uri.text().starts_with("https://") {
        uri.unsupported(&["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"]);
    }
}

fn check_partition(source: Place<'_>) {
    let partition = source.get("partition");
    if !(0..=255).contains(&partition.int()) {
        partition.invalid(names::between(0, 255));
    }
}

fn check_iscsi(source: Place<'_>) {
    need(source, &["targetPortal"]);
    let name = source.get("iqn");
    if name.is_empty() {
        name.required("");
    } else if !["iqn", "eui", "naa"].iter().any(|prefix| name.text().starts_with(prefix)) {
        name.invalid("must be valid format starting with iqn, eui, or naa");
    }
    let lun = source.get("lun");
    if !(0..=255).contains(&lun.int()) {
        lun.invalid(names::between(0, 255));
    }
    let chap = source.get("chapAuthDiscovery").is_true() || source.get("chapAuthSession").is_true();
    if chap && !source.get("secretRef").is_set() {
        source.get("secretRef").required("");
    }
}

fn check_fibre_channel(source: Place<'_>) {
    let (targets, ids) = (source.get("targetWWNs"), source.get("wwids"));
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => targets.required("must specify either targetWWNs or wwids, but not both"),
        (false, false) => {
            targets.invalid("targetWWNs and wwids can not be specified simultaneously");
        }
        (false, true) => {
            let lun = source.get("lun");
            if !lun.is_set() {
                lun.required("lun is required if targetWWNs is specified");
            } else if !(0..=255).contains(&lun.int()) {
                lun.invalid(names::between(0, 255));
            }
        }
        (true, false) => {}
    }
}

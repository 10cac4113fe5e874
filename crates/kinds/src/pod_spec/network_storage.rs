//! The rules of storage that is reached over the network or through a driver of old, in pods and persistent volumes.

use machinery::names;

use crate::place::Place;

/// How long the name of a volume, a colon and its portal may be together.
pub(super) const NAME_AND_PORTAL_MAX: usize = 64;
pub(super) const NAME_AND_PORTAL: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 \
     characters if iscsi.initiatorName is specified.";

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
pub fn need(source: Place<'_>, members: &[&str]) {
    for member in members {
        let place = source.get(member);
        if place.is_empty() {
            place.required("");
        }
    }
}

/// Whose storage it is: a few rules differ.
#[derive(Clone, Copy)]
pub enum Owner<'a> {
    /// A pod, which finds secrets in its own namespace.
    Pod,
    /// The persistent volume of this name.
    Volume(&'a str),
}

impl Owner<'_> {
    /// What a reference to a secret must name.
    fn secret(self) -> &'static [&'static str] {
        match self {
            Owner::Pod => &["name"],
            Owner::Volume(_) => &["name", "namespace"],
        }
    }
}

/// What is wrong with storage that is reached over the network or through a driver of old.
pub fn check(kind: &str, source: Place<'_>, owner: Owner<'_>) {
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
        "iscsi" => check_iscsi(source, owner),
        "glusterfs" => check_glusterfs(source),
        "rbd" => need(source, &["monitors", "image"]),
        "cinder" => {
            need(source, &["volumeID"]);
            need_of_secret(source, owner.secret());
        }
        "cephfs" => need(source, &["monitors"]),
        "flocker" => check_flocker(source),
        "quobyte" => check_quobyte(source),
        "fc" => check_fibre_channel(source),
        "flexVolume" => check_flex(source),
        "azureFile" => {
            need(source, &["secretName", "shareName"]);
            let namespace = source.get("secretNamespace");
            if namespace.is_set() && namespace.is_empty() {
                namespace.required("");
            }
        }
        "vsphereVolume" => need(source, &["volumePath"]),
        "photonPersistentDisk" => need(source, &["pdID"]),
        "portworxVolume" => need(source, &["volumeID"]),
        "azureDisk" => check_azure_disk(source),
        "scaleIO" => need(source, &["gateway", "system", "volumeName"]),
        "storageos" => check_storage_os(source, owner),
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
        // What is told leaves out zero, as upstream does.
        partition.invalid(names::between(1, 255));
    }
}

fn check_iscsi(source: Place<'_>, owner: Owner<'_>) {
    need(source, &["targetPortal"]);
    let initiator = source.get("initiatorName");
    let portal = source.get("targetPortal");
    if let Owner::Volume(volume) = owner
        && initiator.is_set()
        && volume.len() + 1 + portal.text().len() > NAME_AND_PORTAL_MAX
    {
        source.with(portal.value()).at("targetportal").invalid(NAME_AND_PORTAL);
    }
    let unknown = match owner {
        Owner::Pod => "must be valid format starting with iqn, eui, or naa",
        Owner::Volume(_) => "must be valid format",
    };
    let name = source.get("iqn");
    if name.is_empty() {
        name.required("");
    } else {
        check_iscsi_name(name, unknown);
    }
    let lun = source.get("lun");
    if !(0..=255).contains(&lun.int()) {
        lun.invalid(names::between(0, 255));
    }
    let chap = source.get("chapAuthDiscovery").is_true() || source.get("chapAuthSession").is_true();
    if chap && !source.get("secretRef").is_set() {
        source.get("secretRef").required("");
    }
    if matches!(owner, Owner::Volume(_)) {
        need_of_secret(source, &["name"]);
    }
    if initiator.is_set() {
        check_iscsi_name(source.with(initiator.value()).at("initiatorname"), unknown);
    }
}

fn check_iscsi_name(name: Place<'_>, unknown: &str) {
    let text = name.text();
    let fits = match text.get(..3) {
        Some("iqn") => is_iqn(text),
        Some("eui") => is_identifier(text, 16),
        Some("naa") => is_identifier(text, 32),
        _ => return name.invalid(unknown),
    };
    if !fits {
        name.invalid("must be valid format");
    }
}

/// Whether a name ends as `iqn.2001-04.com.example:storage` does; what stands before does not count.
fn is_iqn(text: &str) -> bool {
    let digits = |text: &str, from: usize, to: usize| {
        text.get(from..to).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.match_indices("iqn.").any(|(at, begin)| {
        let rest = &text[at + begin.len()..];
        let dated = digits(rest, 0, 4) && rest.get(4..5) == Some("-") && digits(rest, 5, 7);
        let Some(rest) = rest.get(8..).filter(|_| dated && rest.get(7..8) == Some(".")) else { return false };
        let Some((authority, unique)) = rest.split_once(':') else { return false };
        let in_authority = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        !authority.is_empty()
            && authority.bytes().all(in_authority)
            && !unique.is_empty()
            && !unique.contains([',', ';', '*', '&', '$', '|', '\t', '\n', '\u{c}', '\r', ' '])
    })
}

/// Whether a name of three letters, anything and so many letters and digits.
fn is_identifier(text: &str, length: usize) -> bool {
    let mut rest = text.chars();
    let separator = rest.nth(3);
    let rest = rest.as_str();
    separator.is_some_and(|letter| letter != '\n')
        && rest.len() == length
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn check_glusterfs(source: Place<'_>) {
    need(source, &["endpoints", "path"]);
    let namespace = source.get("endpointsNamespace");
    if namespace.is_set() && namespace.is_empty() {
        namespace.invalid("if the endpointnamespace is set, it must be a valid namespace name");
    } else if namespace.is_set() {
        namespace.faults(names::dns1123_label(namespace.text()));
    }
}

fn check_flocker(source: Place<'_>) {
    let name = source.get("datasetName");
    match (name.is_empty(), source.get("datasetUUID").is_empty()) {
        (true, true) => source.required("one of datasetName and datasetUUID is required"),
        (false, false) => {
            source.invalid_as("resource", "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.text().contains('/') {
        name.invalid("must not contain '/'");
    }
}

fn check_flex(source: Place<'_>) {
    need(source, &["driver"]);
    for (key, option) in source.get("options").entries() {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let normalized = format!(".{}", namespace.to_lowercase());
        if normalized.ends_with(".kubernetes.io") || normalized.ends_with(".k8s.io") {
            option.invalid_as(key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn check_storage_os(source: Place<'_>, owner: Owner<'_>) {
    let (name, namespace) = (source.get("volumeName"), source.get("volumeNamespace"));
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_label(name.text()));
    }
    if !namespace.text().is_empty() {
        namespace.faults(names::dns1123_label(namespace.text()));
    }
    need_of_secret(source, owner.secret());
}

/// A reference to a secret, where there is one, must name these.
fn need_of_secret(source: Place<'_>, members: &[&str]) {
    let secret = source.get("secretRef");
    if secret.is_set() {
        need(secret, members);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_iscsi_have_three_forms() {
        for (name, fits) in [
            ("iqn.2001-04.com.example:storage.disk2", true),
            ("iqn.2001-04.com.example", false),
            ("iqn.2001-04.com.example:", false),
            ("iqn.2001-04.com.example:a b", false),
            ("iqn.2001-04.com_example:a", false),
            ("iqn.201-04.com.example:a", false),
            ("iqn.x.iqn.2001-04.com.example:a", true),
        ] {
            assert_eq!(is_iqn(name), fits, "{name}");
        }
        assert!(is_identifier("eui.0123456789abcdef", 16));
        assert!(!is_identifier("eui.0123456789abcde", 16) && !is_identifier("eui.0123456789abcdeg.", 16));
        assert!(is_identifier("naa.0123456789abcdef0123456789abcdef", 32));
    }
}

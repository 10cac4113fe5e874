//! The documents images are made of: configurations, manifests, lists of manifests; docker's and OCI's alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// No document of an image is longer; what is longer is refused unread.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;

/// How containers of an image run unless told otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ImageConfig {
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
}

/// A whole configuration document.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ConfigDocument {
    #[serde(default, deserialize_with = "or_default")]
    pub config: ImageConfig,
    #[serde(default)]
    pub rootfs: RootFs,
}

/// The digests of an image's layers when unpacked, the bottommost first.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

/// What something is, by its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// For which machines a manifest is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A manifest of one image, or a list of manifests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Descriptor>,
}

impl Manifest {
    /// The best manifest of a list for this machine.
    pub fn for_this_machine(&self) -> Option<&Descriptor> {
        let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let fits = |descriptor: &&Descriptor| {
            descriptor
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "linux" && platform.architecture == own)
        };
        // Several differ by variant; the plainest first, since it runs on all.
        let variant = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().and_then(|platform| platform.variant.clone())
        };
        let unnamed = || self.manifests.iter().find(|descriptor| descriptor.platform.is_none());
        self.manifests.iter().filter(fits).min_by_key(variant).or_else(unnamed)
    }

    pub fn is_list(&self) -> bool {
        !self.manifests.is_empty() || self.media_type == OCI_INDEX || self.media_type == DOCKER_LIST
    }
}

/// `null` is taken for absent, as many images have it.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

/// `sha256:` and the digest of some bytes.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format_digest(digest.as_ref())
}

pub(super) fn format_digest(digest: &[u8]) -> String {
    digest.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
}

/// The hexadecimal part of a well-formed digest. What is not well-formed must never become a file's name.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_absences_are_the_same() {
        let texts = [
            "{}",
            r#"{"config":null}"#,
            r#"{"config":{"Env":null,"Cmd":null,"Entrypoint":null,"Volumes":null,"User":null}}"#,
        ];
        for text in texts {
            let document: ConfigDocument = serde_json::from_str(text).unwrap();
            assert_eq!(document.config, ImageConfig::default(), "{text}");
        }
    }

    #[test]
    fn the_manifest_for_this_machine_is_found() {
        let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let one = |digest: &str, os: &str, architecture: &str, variant: Option<&str>| {
            let platform = Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: variant.map(str::to_owned),
            };
            Descriptor { digest: digest.into(), platform: Some(platform), ..Descriptor::default() }
        };
        let list = |manifests: Vec<Descriptor>| Manifest { manifests, ..Manifest::default() };
        let found =
            |manifests: Vec<Descriptor>| list(manifests).for_this_machine().map(|found| found.digest.clone());
        assert_eq!(
            found(vec![one("a", "windows", own, None), one("b", "linux", own, None)]),
            Some("b".into())
        );
        assert_eq!(
            found(vec![one("a", "linux", own, Some("v3")), one("b", "linux", own, None)]),
            Some("b".into())
        );
        assert_eq!(found(vec![one("a", "linux", "s390x", None)]), None);
        assert_eq!(found(vec![Descriptor { digest: "x".into(), ..Descriptor::default() }]), Some("x".into()));
    }

    #[test]
    fn only_digests_are_digests() {
        let good = digest_of(b"");
        assert_eq!(good, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(hex_of(&good).is_some());
        for bad in ["sha256:../../etc/passwd", "sha512:00", "", "sha256:", &good[..70], &good.to_uppercase()]
        {
            assert!(hex_of(bad).is_none(), "{bad}");
        }
    }
}

//! `EncryptionConfiguration`: which kinds are sealed, with what. What is wrong with it is told in upstream's words, and
//! never with a secret.

mod kinds;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Value;
use machinery::field::{Error, Errors, Path, listed};

use super::kms;
use super::provider::{Cipher, Key};

/// How long a call to a plugin may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What the file says.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Kinds, and what seals and opens them.
    pub(super) entries: Vec<(Vec<String>, Vec<Described>)>,
}

/// A provider as the file describes it.
#[derive(Debug)]
pub(super) enum Described {
    Identity,
    Keys(Cipher, Vec<Key>),
    Kms(kms::Settings),
}

/// Reads the file.
pub fn parse(text: &str) -> Result<Configuration, ConfigError> {
    let wrong = |why: String| ConfigError(format!("the encryption configuration is wrong: {why}"));
    let document = machinery::yaml::decode(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let kind = document.get("kind").str_or_empty();
    if kind != "EncryptionConfiguration"
        || document.get("apiVersion").str_or_empty() != "apiserver.config.k8s.io/v1"
    {
        return Err(wrong("it is no EncryptionConfiguration of apiserver.config.k8s.io/v1".to_owned()));
    }
    let mut reader = Reader::default();
    let entries = reader.entries(&document);
    if !reader.errors.is_empty() {
        return Err(wrong(listed(&reader.errors)));
    }
    if let Some(masked) = kinds::masked(entries.iter().map(|(kinds, _)| kinds.as_slice())) {
        return Err(wrong(masked));
    }
    Ok(Configuration { entries })
}

/// Reads and collects what is wrong.
#[derive(Default)]
struct Reader {
    errors: Errors,
    /// The names of plugins.
    plugins: BTreeSet<String>,
}

impl Reader {
    fn entries(&mut self, document: &Value) -> Vec<(Vec<String>, Vec<Described>)> {
        let root = Path::new("resources");
        self.only(document, &Path::root(), &["kind", "apiVersion", "resources"]);
        if document.get("resources").items().is_empty() {
            self.required(&root, "at least one resources is required".to_owned());
        }
        let mut entries = Vec::new();
        for (at, entry) in document.get("resources").items().iter().enumerate() {
            let path = root.index(at);
            self.only(entry, &path, &["resources", "providers"]);
            let (kinds_path, providers_path) = (path.child("resources"), path.child("providers"));
            let kinds: Vec<String> =
                entry.get("resources").items().iter().map(|kind| kind.str_or_empty().to_owned()).collect();
            if kinds.is_empty() {
                self.required(&kinds_path, format!("at least one {kinds_path} is required"));
            }
            self.errors.extend(kinds::check(&kinds, entry.get("resources"), &kinds_path));
            let described = entry.get("providers").items();
            if described.is_empty() {
                self.required(&providers_path, format!("at least one {providers_path} is required"));
            }
            let providers = described
                .iter()
                .enumerate()
                .filter_map(|(number, document)| self.provider(document, &providers_path.index(number)))
                .collect();
            entries.push((kinds, providers));
        }
        entries
    }

    fn provider(&mut self, document: &Value, path: &Path) -> Option<Described> {
        let known = ["aesgcm", "aescbc", "secretbox", "identity", "kms"];
        self.only(document, path, &known);
        let named: Vec<&str> = known
            .into_iter()
            .filter(|name| document.members().any(|(member, value)| member == name && !value.is_null()))
            .collect();
        let path_of = |name: &str| path.child(name);
        match named.as_slice() {
            [] => {
                let why = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, \
                           Identity";
                self.errors.push(Error::invalid(path, "", why));
                None
            }
            ["identity"] => Some(Described::Identity),
            ["kms"] => self.kms(document.get("kms"), &path_of("kms")),
            ["aesgcm"] => self.keys(Cipher::AesGcm, document.get("aesgcm"), &path_of("aesgcm")),
            ["aescbc"] => self.keys(Cipher::AesCbc, document.get("aescbc"), &path_of("aescbc")),
            ["secretbox"] => self.keys(Cipher::Secretbox, document.get("secretbox"), &path_of("secretbox")),
            many => {
                let why = "more than one provider specified in a single element, should split into different list \
                           elements";
                self.errors.push(Error::invalid(path, many.join(",").as_str(), why));
                None
            }
        }
    }

    fn keys(&mut self, cipher: Cipher, document: &Value, path: &Path) -> Option<Described> {
        self.only(document, path, &["keys"]);
        let path = path.child("keys");
        let described = document.get("keys").items();
        if described.is_empty() {
            self.required(&path, "at least one keys is required".to_owned());
        }
        let keys = described.iter().enumerate();
        let keys = keys.filter_map(|(at, key)| self.key(cipher, key, &path.index(at))).collect();
        Some(Described::Keys(cipher, keys))
    }

    fn key(&mut self, cipher: Cipher, document: &Value, path: &Path) -> Option<Key> {
        self.only(document, path, &["name", "secret"]);
        let name = document.get("name").str_or_empty();
        if name.is_empty() {
            self.required(&path.child("name"), "name is a mandatory field for a key".to_owned());
        }
        if name.contains(':') {
            self.errors.push(Error::invalid(&path.child("name"), name, "must not contain ':'"));
        }
        let path = path.child("secret");
        let secret = document.get("secret").str_or_empty();
        if secret.is_empty() {
            self.required(&path, "secret is a mandatory field for a key".to_owned());
            return None;
        }
        // What is wrong with a secret is told without the secret.
        let mut redacted = |why: String| self.errors.push(Error::invalid(&path, "REDACTED", why));
        let Ok(secret) = STANDARD.decode(secret) else {
            redacted("secrets must be base64 encoded".to_owned());
            return None;
        };
        let sizes = cipher.key_sizes();
        if !sizes.contains(&secret.len()) {
            let expected: Vec<String> = sizes.iter().map(usize::to_string).collect();
            redacted(format!(
                "secret is not of the expected length, got {}, expected one of [{}]",
                secret.len(),
                expected.join(" ")
            ));
        }
        Some(Key::new(cipher, name, secret))
    }

    fn kms(&mut self, document: &Value, path: &Path) -> Option<Described> {
        self.only(document, path, &["apiVersion", "name", "endpoint", "timeout", "cachesize"]);
        let version = document.get("apiVersion").as_str().filter(|text| !text.is_empty()).unwrap_or("v1");
        let name = document.get("name").str_or_empty();
        self.plugin_name(name, &path.child("name"));
        let timeout = self.timeout(document.get("timeout"), &path.child("timeout"));
        let endpoint = document.get("endpoint").str_or_empty();
        self.endpoint(endpoint, &path.child("endpoint"));
        let cache = document.get("cachesize");
        if version != "v1" && !cache.is_null() {
            self.errors.push(Error::invalid(
                &path.child("cachesize"),
                cache,
                "cachesize is not supported in v2",
            ));
        }
        match version {
            "v2" => {}
            "v1" => {
                let why = "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.";
                self.errors.push(Error::forbidden(&path.child("apiVersion"), why));
            }
            other => {
                // Upstream names the field where it means its value.
                let why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
                self.errors.push(Error::invalid(&path.child("apiVersion"), other, why));
            }
        }
        Some(Described::Kms(kms::Settings { name: name.to_owned(), endpoint: endpoint.to_owned(), timeout }))
    }

    fn plugin_name(&mut self, name: &str, path: &Path) {
        if name.is_empty() {
            self.required(path, "name is a mandatory field for a provider".to_owned());
        }
        if name.contains(':') {
            let why = format!("invalid KMS provider name {name}, must not contain ':'");
            self.errors.push(Error::invalid(path, name, why));
        }
        if !self.plugins.insert(name.to_owned()) {
            let why = format!("duplicate KMS provider name {name}, names must be unique");
            self.errors.push(Error::invalid(path, name, why));
        }
    }

    fn timeout(&mut self, document: &Value, path: &Path) -> Duration {
        if document.is_null() {
            return TIMEOUT;
        }
        let nanos = document.as_str().and_then(machinery::time::parse_duration);
        match nanos.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => {
                self.errors.push(Error::invalid(path, document, "timeout should be a positive value"));
                TIMEOUT
            }
        }
    }

    fn endpoint(&mut self, endpoint: &str, path: &Path) {
        if endpoint.is_empty() {
            self.errors.push(Error::invalid(path, "", "endpoint is a mandatory field for a kms"));
            return;
        }
        let scheme = endpoint.split_once(':').map_or("", |(scheme, _)| scheme);
        if scheme != "unix" {
            let why = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
            self.errors.push(Error::invalid(path, endpoint, why));
        }
    }

    fn required(&mut self, path: &Path, why: String) {
        self.errors.push(Error::required(path, why));
    }

    /// What nobody knows is a mistake: it would be left out of account silently.
    fn only(&mut self, document: &Value, path: &Path, known: &[&str]) {
        for (name, _) in document.members().filter(|(name, _)| !known.contains(&name.as_str())) {
            self.errors.push(Error::forbidden(&path.child(name), "unknown field"));
        }
    }
}

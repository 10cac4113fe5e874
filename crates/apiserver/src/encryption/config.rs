//! `EncryptionConfiguration`: which kinds are sealed, with what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Value;

use super::provider::{Cipher, Key, Provider};
use crate::cache::ROOT;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Which kinds are sealed, with what.
#[derive(Debug, Default)]
pub struct Rules {
    entries: Vec<(Vec<String>, Vec<Provider>)>,
}

impl Rules {
    /// The providers for a key of the store; `None` if its kind is not sealed.
    pub fn of(&self, key: &[u8]) -> Option<&[Provider]> {
        if self.entries.is_empty() {
            return None;
        }
        let key = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
        let (group, rest) = key.split_once('/')?;
        let plural = rest.split('/').next()?;
        let group = if group == "core" { "" } else { group };
        let entry =
            self.entries.iter().find(|(kinds, _)| kinds.iter().any(|kind| is_of(kind, group, plural)));
        entry.map(|(_, providers)| providers.as_slice())
    }

    /// All providers: what one kind's key sealed may belong to another kind's rules by now.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.entries.iter().flat_map(|(_, providers)| providers)
    }
}

/// Whether `secrets`, `deployments.apps`, `*.apps`, `*.` or `*.*` means a kind.
fn is_of(pattern: &str, group: &str, plural: &str) -> bool {
    match pattern.split_once('.') {
        None => group.is_empty() && pattern == plural,
        Some(("*", "*")) => true,
        Some(("*", of)) => of == group,
        Some((name, of)) => name == plural && of == group,
    }
}

/// Reads the file.
pub fn parse(text: &str) -> Result<Rules, ConfigError> {
    let wrong = |why: String| ConfigError(format!("the encryption configuration is wrong: {why}"));
    let document = machinery::yaml::decode(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let kind = document.get("kind").str_or_empty();
    if kind != "EncryptionConfiguration"
        || document.get("apiVersion").str_or_empty() != "apiserver.config.k8s.io/v1"
    {
        return Err(wrong("it is no EncryptionConfiguration of apiserver.config.k8s.io/v1".to_owned()));
    }
    let mut entries = Vec::new();
    for (at, entry) in document.get("resources").items().iter().enumerate() {
        let kinds: Vec<String> =
            entry.get("resources").items().iter().map(|kind| kind.str_or_empty().to_owned()).collect();
        if kinds.is_empty() {
            return Err(wrong(format!("resources[{at}].resources: it must name at least one resource")));
        }
        let providers = entry.get("providers").items().iter().enumerate();
        let providers: Vec<Provider> = providers
            .map(|(number, document)| {
                read(document).map_err(|why| wrong(format!("resources[{at}].providers[{number}]: {why}")))
            })
            .collect::<Result<_, _>>()?;
        if providers.is_empty() {
            return Err(wrong(format!("resources[{at}].providers: it must name at least one provider")));
        }
        entries.push((kinds, providers));
    }
    Ok(Rules { entries })
}

fn read(document: &Value) -> Result<Provider, String> {
    let names: Vec<&str> = document.members().map(|(name, _)| name.as_str()).collect();
    let [name] = names.as_slice() else {
        return Err("it must be exactly one of aesgcm, aescbc, secretbox and identity".to_owned());
    };
    let cipher = match *name {
        "identity" => return Ok(Provider::Identity),
        "aesgcm" => Cipher::AesGcm,
        "aescbc" => Cipher::AesCbc,
        "secretbox" => Cipher::Secretbox,
        other => return Err(format!("{other} is not supported; use aesgcm, aescbc, secretbox or identity")),
    };
    let mut keys = Vec::new();
    for key in document.at(&[name, "keys"]).items() {
        let called = key.get("name").str_or_empty();
        if called.is_empty() || called.contains(':') {
            return Err("a key needs a name, without colons".to_owned());
        }
        let secret = STANDARD.decode(key.get("secret").str_or_empty());
        // What is wrong with a secret is told without the secret.
        let secret = secret.map_err(|_| format!("the secret of key {called} must be base64 encoded"))?;
        let sizes = cipher.key_sizes();
        if !sizes.contains(&secret.len()) {
            let length = secret.len();
            return Err(format!(
                "the secret of key {called} has {length} bytes; it must have one of {sizes:?}"
            ));
        }
        keys.push(Key::new(cipher, called, secret));
    }
    if keys.is_empty() {
        return Err("it needs at least one key".to_owned());
    }
    Ok(Provider::Keys(cipher, keys))
}

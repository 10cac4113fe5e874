//! Which kinds are sealed, with what: the configuration, once it is in use.

use std::sync::Arc;
use std::time::Duration;

use env::Env;

use super::config::{Configuration, Described};
use super::kms::plugin::Plugin;
use super::kms::{self, Kms};
use super::provider::Provider;
use crate::cache::ROOT;

/// How plugins are reached.
pub type Connect<'a> = &'a dyn Fn(&kms::Settings) -> Arc<dyn Plugin>;

/// Which kinds are sealed, with what.
#[derive(Debug, Default)]
pub struct Rules {
    entries: Vec<(Vec<String>, Vec<Provider>)>,
}

impl Rules {
    /// Takes a configuration in use. Plugins are not asked anything yet.
    pub fn new(configuration: Configuration, env: &Env, connect: Connect<'_>) -> Rules {
        let open = |described| match described {
            Described::Identity => Provider::Identity,
            Described::Keys(cipher, keys) => Provider::Keys(cipher, keys),
            Described::Kms(settings) => {
                let plugin = connect(&settings);
                Provider::Kms(Kms::new(settings, plugin, env))
            }
        };
        let entries = configuration.entries.into_iter();
        Rules { entries: entries.map(|(kinds, all)| (kinds, all.into_iter().map(open).collect())).collect() }
    }

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

    /// The plugins, in the order of the configuration.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Kms>> {
        self.all().filter_map(|provider| match provider {
            Provider::Kms(kms) => Some(kms),
            Provider::Identity | Provider::Keys(..) => None,
        })
    }

    /// Asks all plugins once, and goes on asking them for as long as the rules hold. One that does not answer will be
    /// heard later.
    pub async fn begin(&self) {
        for kms in self.plugins() {
            if let Err(error) = kms.check().await {
                tracing::warn!(error, "a plugin that keeps keys is not well; it is asked again");
            }
            kms::attend(kms);
        }
    }

    /// Whether all plugins are well; `None` if there are none.
    pub async fn health(&self) -> Option<Result<(), String>> {
        let mut wrong = Vec::new();
        let mut count = 0;
        for (number, kms) in self.plugins().enumerate() {
            count += 1;
            wrong.extend(kms.check().await.err().map(|why| format!("kms-provider-{number}: {why}")));
        }
        (count > 0).then(|| kms::joined(wrong).map_or(Ok(()), Err))
    }

    /// How long plugins may take to answer, all of them one after the other.
    pub fn patience(&self) -> Duration {
        self.plugins().map(|kms| kms.timeout()).sum()
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

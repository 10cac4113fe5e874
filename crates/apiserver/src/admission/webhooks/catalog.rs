//! All webhooks of a kind, in the order in which they are asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinds::admission::expressions::{self, Scope};
use machinery::Value;
use machinery::cel::Type;

use super::super::policies::catalog::Expression;
use super::super::policies::criteria::Criteria;
use super::super::rounds::Key;
use crate::cache::{Caches, Entry};
use crate::hook::Hook;

/// How long a webhook has if it does not say.
const TIMEOUT_SECS: i64 = 10;

/// Webhooks of one kind.
#[derive(Debug)]
pub(super) struct Catalog {
    configurations: &'static str,
    state: Mutex<State>,
}

/// The newest revision of what is in here, and the webhooks.
type State = (Option<u64>, Arc<Vec<Webhook>>);

/// A webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    pub name: String,
    pub configuration: String,
    position: usize,
    /// The way to it.
    pub hook: Hook,
    pub criteria: Result<Criteria, String>,
    pub conditions: Result<Vec<Expression>, String>,
    pub is_ignoring_failures: bool,
    /// It cannot be asked about what will not be written.
    pub has_side_effects: bool,
    /// It wants to be asked again if something is changed after it.
    pub is_reinvoked: bool,
    /// The version of the question: `v1` or `v1beta1`.
    pub version: &'static str,
}

impl Catalog {
    /// Of configurations with this plural.
    pub fn new(configurations: &'static str) -> Catalog {
        Catalog { configurations, state: Mutex::default() }
    }

    /// All webhooks: by the names of their configurations, then as those list them.
    pub fn webhooks(&self, caches: &Caches) -> Arc<Vec<Webhook>> {
        let name = format!("admissionregistration.k8s.io/{}", self.configurations);
        let Some(configurations) = caches.collection(&name) else { return Arc::default() };
        if configurations.len() == 0 {
            return Arc::default();
        }
        let newest = configurations.newest();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != Some(newest) {
            let snapshot = configurations.snapshot();
            let webhooks = snapshot.starting_at("").flat_map(|entry| read(&entry)).collect();
            *state = (Some(newest), Arc::new(webhooks));
        }
        state.1.clone()
    }
}

fn read(entry: &Entry) -> Vec<Webhook> {
    let Ok(document) = entry.object().to_value() else { return Vec::new() };
    let webhooks = document.get("webhooks").items().iter().enumerate();
    webhooks.map(|(position, webhook)| Webhook::read(entry.key(), position, webhook)).collect()
}

impl Webhook {
    fn read(configuration: &str, position: usize, document: &Value) -> Webhook {
        let text = |name: &str| document.get(name).str_or_empty();
        let seconds = document.get("timeoutSeconds").as_int().unwrap_or(TIMEOUT_SECS);
        let versions = document.get("admissionReviewVersions").items();
        let is_first = |version: &str| {
            versions
                .iter()
                .find(|own| matches!(own.str_or_empty(), "v1" | "v1beta1"))
                .is_some_and(|own| own.str_or_empty() == version)
        };
        Webhook {
            name: text("name").to_owned(),
            configuration: configuration.to_owned(),
            position,
            hook: Hook::new(
                document.get("clientConfig"),
                Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            ),
            criteria: Criteria::of_webhook(document),
            conditions: conditions(document),
            is_ignoring_failures: text("failurePolicy") == "Ignore",
            has_side_effects: !matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            is_reinvoked: text("reinvocationPolicy") == "IfNeeded",
            version: if is_first("v1beta1") { "v1beta1" } else { "v1" },
        }
    }

    /// What tells it from all others.
    pub fn key(&self) -> Key {
        (self.configuration.clone(), self.name.clone(), self.position)
    }
}

fn conditions(document: &Value) -> Result<Vec<Expression>, String> {
    let environment = expressions::environment(&Scope { authorizer: true, ..Scope::default() });
    let conditions = document.get("matchConditions").items().iter();
    conditions
        .map(|condition| {
            Expression::read(&environment, condition.get("expression").str_or_empty(), &[Type::Bool])
        })
        .collect()
}

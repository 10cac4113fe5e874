//! What is written on sandboxes and containers because CRI gives it back otherwise not at all, or not everywhere: whose they
//! are, and parts of what they were made from.

use std::collections::BTreeMap;

use cri::{Resources, Result, RuntimeError, SandboxConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The label that says whose something is.
const OWNER: &str = "runtime.ironclad.local/owner";
/// The annotation of a sandbox that says what it was made from.
const SANDBOX: &str = "runtime.ironclad.local/sandbox";
/// The annotation of a container that says its limits.
const LIMITS: &str = "runtime.ironclad.local/resources";

type Texts = BTreeMap<String, String>;

/// The labels that all have which are of this owner.
pub(crate) fn of_owner(owner: &str) -> Texts {
    BTreeMap::from([(OWNER.to_owned(), owner.to_owned())])
}

/// Writes on a sandbox that is to be made.
pub(crate) fn note_sandbox(config: &mut SandboxConfig, owner: &str) -> Result<()> {
    // Those come back by themselves.
    let essence = SandboxConfig { labels: Texts::new(), annotations: Texts::new(), ..config.clone() };
    config.annotations.insert(SANDBOX.to_owned(), written(&essence)?);
    config.labels.extend(of_owner(owner));
    Ok(())
}

/// Takes from a sandbox what was written on it.
pub(crate) fn take_sandbox(labels: &mut Texts, annotations: &mut Texts) -> Result<SandboxConfig> {
    labels.remove(OWNER);
    read(annotations.remove(SANDBOX))
}

/// Writes on a container that is to be made.
pub(crate) fn note_container(
    labels: &mut Texts,
    annotations: &mut Texts,
    resources: &Resources,
    owner: &str,
) -> Result<()> {
    annotations.insert(LIMITS.to_owned(), written(resources)?);
    labels.extend(of_owner(owner));
    Ok(())
}

/// Takes from a container what was written on it: the limits it was made with.
pub(crate) fn take_container(labels: &mut Texts, annotations: &mut Texts) -> Result<Resources> {
    labels.remove(OWNER);
    read(annotations.remove(LIMITS))
}

fn written(what: &impl Serialize) -> Result<String> {
    serde_json::to_string(what).map_err(|error| RuntimeError::Failed(error.to_string()))
}

fn read<T: DeserializeOwned>(text: Option<String>) -> Result<T> {
    let text = text.ok_or_else(|| RuntimeError::Failed("its annotations were taken away".to_owned()))?;
    serde_json::from_str(&text)
        .map_err(|error| RuntimeError::Failed(format!("its annotations were changed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_on_a_sandbox_is_taken_from_it() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let config = SandboxConfig {
            hostname: "web".to_owned(),
            labels: labels.clone(),
            annotations: labels.clone(),
            ..SandboxConfig::default()
        };
        let mut noted = config.clone();
        note_sandbox(&mut noted, "n1").unwrap();
        assert_eq!(noted.labels.len(), 2);
        let taken = take_sandbox(&mut noted.labels, &mut noted.annotations).unwrap();
        assert_eq!(noted, config);
        assert_eq!(taken.hostname, "web");
        assert!(take_sandbox(&mut noted.labels, &mut noted.annotations).is_err());
        let mut changed = BTreeMap::from([(SANDBOX.to_owned(), "?".to_owned())]);
        assert!(take_sandbox(&mut noted.labels, &mut changed).is_err());
    }
}

//! `kubectl set image` and `set env`: a part of a pod template.

use http::Method;
use machinery::Value;

use crate::args::{DryRun, Files};
use crate::resource::{Target, targets};
use crate::session::{Change, Session};
use crate::{Failure, manifest};

/// What to change.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Args {
    /// Change images: set image deployment/web web=nginx:1.27
    Image(Part),
    /// Change variables: set env deployment/web MODE=fast OLD-
    Env(Part),
}

/// Flags of both.
#[derive(clap::Args, Clone, Debug)]
pub struct Part {
    /// The object, and what to change: container=image (or *=image), NAME=value (or NAME-)
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Only in this container (set env)
    #[arg(long, short = 'c', default_value = "*")]
    pub containers: String,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// The name of a container or variable, and what it shall be; `None` takes it away.
type PartChange = (String, Option<String>);

/// From an object, the changes, and the containers they are for to the patch; `None` if nothing changes.
type Patcher = fn(&Value, &[PartChange], &str) -> Option<Value>;

/// Changes it.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let (part, what, patch): (_, _, Patcher) = match args {
        Args::Image(part) => (part, "image", images),
        Args::Env(part) => (part, "env", variables),
    };
    let is_change = |word: &String| word.contains('=') || word.ends_with('-');
    let (changes, objects): (Vec<String>, Vec<String>) = part.words.iter().cloned().partition(is_change);
    if changes.is_empty() {
        return Err(Failure::client(format!("at least one {what} update is required")));
    }
    let changes: Vec<PartChange> = changes.iter().map(|word| split_change(word)).collect();
    for target in chosen(session, &objects, &part.files).await? {
        let path = target.served.path(session.namespace(), &target.name, "");
        let object = session.get(&path, &[]).await?;
        let shown = target.served.result_name(&target.name);
        if what == "image" {
            check_containers(&object, &changes, &shown)?;
        }
        let Some(patch) = patch(&object, &changes, &part.containers) else { continue };
        if !part.dry_run.client() {
            let mut body = Vec::new();
            machinery::json::encode(&patch, &mut body);
            let query: Vec<_> =
                part.dry_run.query().iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let content_type = "application/strategic-merge-patch+json";
            session
                .change(Change { method: Method::PATCH, path: &path, query: &query, content_type, body })
                .await?;
        }
        println!("{shown} {what} updated{}", part.dry_run.suffix());
    }
    Ok(())
}

/// The objects that words or files name; each must have a name.
pub async fn chosen(session: &Session, words: &[String], files: &Files) -> Result<Vec<Target>, Failure> {
    let discovery = session.discovery().await?;
    let found = if files.filenames.is_empty() {
        targets(discovery, words)?
    } else {
        let mut found = Vec::new();
        for document in manifest::read(files)? {
            let text = |name: &str| document.get(name).str_or_empty();
            let served = discovery.of_kind(text("apiVersion"), text("kind"))?;
            found.push(Target { served, name: document.at(&["metadata", "name"]).str_or_empty().to_owned() });
        }
        found
    };
    if found.is_empty() || found.iter().any(|target| target.name.is_empty()) {
        return Err(Failure::client("resource(s) were provided, but no name was specified"));
    }
    Ok(found)
}

fn split_change(word: &str) -> PartChange {
    match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (word.trim_end_matches('-').to_owned(), None),
    }
}

/// Where a kind keeps its pod's spec.
fn pod_spec_path(object: &Value) -> &'static [&'static str] {
    match object.get("kind").str_or_empty() {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    }
}

fn check_containers(object: &Value, changes: &[PartChange], shown: &str) -> Result<(), Failure> {
    let spec = object.at(pod_spec_path(object));
    let has = |name: &str| {
        ["containers", "initContainers"].iter().any(|list| {
            spec.get(list).items().iter().any(|container| container.get("name").as_str() == Some(name))
        })
    };
    match changes.iter().find(|(name, _)| name != "*" && !has(name)) {
        Some((name, _)) => {
            Err(Failure::client(format!("unable to find container named \"{name}\" in {shown}")))
        }
        None => Ok(()),
    }
}

fn patch_of(object: &Value, containers: Vec<(&'static str, Vec<Value>)>) -> Option<Value> {
    let mut patch = Value::object();
    for (list, items) in containers {
        if !items.is_empty() {
            patch.at_mut(pod_spec_path(object)).set(list, items);
        }
    }
    (!patch.is_empty()).then_some(patch)
}

fn images(object: &Value, changes: &[PartChange], _containers: &str) -> Option<Value> {
    let spec = object.at(pod_spec_path(object));
    let changed = |list: &'static str| {
        let items = spec.get(list).items().iter().filter_map(|container| {
            let name = container.get("name").str_or_empty();
            let (_, image) = changes.iter().rev().find(|(wanted, _)| wanted == name || wanted == "*")?;
            let image = image.as_deref()?;
            (container.get("image").as_str() != Some(image))
                .then(|| Value::from([("name", Value::from(name)), ("image", Value::from(image))]))
        });
        (list, items.collect())
    };
    patch_of(object, vec![changed("initContainers"), changed("containers")])
}

fn variables(object: &Value, changes: &[PartChange], containers: &str) -> Option<Value> {
    let spec = object.at(pod_spec_path(object));
    let items = spec.get("containers").items().iter().filter_map(|container| {
        let name = container.get("name").str_or_empty();
        if containers != "*" && containers != name {
            return None;
        }
        let env: Vec<Value> = changes
            .iter()
            .map(|(variable, value)| match value {
                Some(value) => Value::from([
                    ("name", Value::from(variable.as_str())),
                    ("value", Value::from(value.as_str())),
                ]),
                None => {
                    Value::from([("$patch", Value::from("delete")), ("name", Value::from(variable.as_str()))])
                }
            })
            .collect();
        Some(Value::from([("name", Value::from(name)), ("env", Value::from(env))]))
    });
    patch_of(object, vec![("containers", items.collect())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        let container = Value::from([("name", Value::from("web")), ("image", Value::from("a:1"))]);
        let mut object = Value::from([("kind", Value::from("Deployment"))]);
        *object.at_mut(&["spec", "template", "spec", "containers"]) = Value::from(vec![container]);
        object
    }

    #[test]
    fn only_what_changes_is_patched() {
        let change = |word: &str| vec![split_change(word)];
        let patch = images(&deployment(), &change("web=a:2"), "*").expect("another image");
        let container = &patch.at(&["spec", "template", "spec", "containers"]).items()[0];
        assert_eq!(container.get("image").as_str(), Some("a:2"));
        assert_eq!(images(&deployment(), &change("*=a:1"), "*"), None);
        assert!(check_containers(&deployment(), &change("db=a:1"), "deployment.apps/web").is_err());
    }

    #[test]
    fn variables_are_set_and_taken_away() {
        let changes = [split_change("A=1=2"), split_change("B-")];
        let patch = variables(&deployment(), &changes, "*").expect("variables");
        let env = patch.at(&["spec", "template", "spec", "containers"]).items()[0].get("env").clone();
        assert_eq!(env.items()[0].get("value").as_str(), Some("1=2"));
        assert_eq!(env.items()[1].get("$patch").as_str(), Some("delete"));
    }
}

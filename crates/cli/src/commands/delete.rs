//! `kubectl delete`: objects by name, by label, all of a kind, or as files describe them; and waiting until they are gone.

use std::time::Duration;

use http::Method;
use machinery::Value;

use crate::Failure;
use crate::args::{DryRun, Files, Selection};
use crate::commands::{get, set};
use crate::resource::{Target, targets};
use crate::session::{Change, Session, Watched};

/// Flags of `delete`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// What to remove: pod/web, pods a b, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub files: Files,
    /// All of the kind in the namespace
    #[arg(long)]
    pub all: bool,
    /// Seconds they get to end by themselves
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, default_value_t = -1)]
    pub grace_period: i64,
    /// Do not wait for the node
    #[arg(long)]
    pub force: bool,
    /// Give them one second
    #[arg(long)]
    pub now: bool,
    /// background, foreground or orphan
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_value = "background", default_missing_value = "background")]
    pub cascade: String,
    /// Answer when they are gone
    #[arg(long, default_value = "true", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait: 30s, 5m; 0 means for ever
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// What does not exist is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// name: only names
    #[arg(long, short = 'o')]
    pub output: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// Removes them.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let many = args.all || args.selection.selector.is_some() || args.selection.field_selector.is_some();
    let wanted = if many && args.files.filenames.is_empty() {
        listed(session, args).await?
    } else {
        let named = set::chosen(session, &args.words, &args.files).await?;
        named.into_iter().map(|target| (session.namespace().to_owned(), target)).collect()
    };
    if wanted.is_empty() {
        println!("No resources found");
        return Ok(());
    }
    if args.force && args.grace_period <= 0 {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. \
             The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut going = Vec::new();
    for (namespace, target) in &wanted {
        match remove(session, args, namespace, target).await {
            Ok(uid) => going.push((namespace, target, uid)),
            Err(failure) if failure.is_not_found() && (args.ignore_not_found || many) => {}
            Err(failure) => return Err(failure),
        }
    }
    if args.wait && !args.dry_run.client() && args.dry_run.query().is_empty() {
        let limit = super::wait::duration(&args.timeout)?;
        for (namespace, target, uid) in going {
            until_gone(session, namespace, target, &uid, limit).await?;
        }
    }
    Ok(())
}

async fn listed(session: &Session, args: &Args) -> Result<Vec<(String, Target)>, Failure> {
    let mut found = Vec::new();
    for target in targets(session.discovery().await?, &args.words)? {
        let namespace = if args.selection.all_namespaces { "" } else { session.namespace() };
        let mut query = Vec::new();
        query.extend(args.selection.selector.clone().map(|selector| ("labelSelector", selector)));
        query.extend(args.selection.field_selector.clone().map(|selector| ("fieldSelector", selector)));
        let list = session.get(&target.served.path(namespace, "", ""), &query).await?;
        for item in get::list_items(&list) {
            let text = |name: &str| item.at(&["metadata", name]).str_or_empty().to_owned();
            found.push((text("namespace"), Target { served: target.served.clone(), name: text("name") }));
        }
    }
    Ok(found)
}

/// Asks for the removal; answers the object's identity.
async fn remove(session: &Session, args: &Args, namespace: &str, target: &Target) -> Result<String, Failure> {
    let path = target.served.path(namespace, &target.name, "");
    let mut uid = String::new();
    if !args.dry_run.client() {
        let query: Vec<_> =
            args.dry_run.query().iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut body = Vec::new();
        machinery::json::encode(&options(args)?, &mut body);
        let content_type = "application/json";
        let change = Change { method: Method::DELETE, path: &path, query: &query, content_type, body };
        let answer = session.change(change).await?;
        let of_object = answer.at(&["metadata", "uid"]).as_str();
        uid = of_object.unwrap_or(answer.at(&["details", "uid"]).str_or_empty()).to_owned();
    }
    if args.output.as_deref() == Some("name") {
        println!("{}", target.served.result_name(&target.name));
    } else {
        let forced = if args.force && args.grace_period <= 0 { " force" } else { "" };
        println!(
            "{} \"{}\"{forced} deleted{}",
            target.served.qualified(),
            target.name,
            args.dry_run.suffix()
        );
    }
    Ok(uid)
}

fn options(args: &Args) -> Result<Value, Failure> {
    let propagation = match args.cascade.as_str() {
        "background" | "true" => "Background",
        "foreground" => "Foreground",
        "orphan" | "false" => "Orphan",
        other => {
            return Err(Failure::client(format!(
                "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
            )));
        }
    };
    let mut options = Value::from([
        ("kind", Value::from("DeleteOptions")),
        ("apiVersion", Value::from("v1")),
        ("propagationPolicy", Value::from(propagation)),
    ]);
    let grace = match (args.grace_period, args.now, args.force) {
        (seconds, ..) if seconds >= 0 => Some(seconds),
        (_, true, _) => Some(1),
        (_, _, true) => Some(0),
        _ => None,
    };
    if let Some(seconds) = grace {
        options.set("gracePeriodSeconds", seconds);
    }
    Ok(options)
}

/// Waits until the object is gone, or is another one of the same name.
async fn until_gone(
    session: &Session,
    namespace: &str,
    target: &Target,
    uid: &str,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let path = target.served.path(namespace, &target.name, "");
    let is_there = |object: &Value| uid.is_empty() || object.at(&["metadata", "uid"]).as_str() == Some(uid);
    let waiting = async {
        loop {
            let collection = target.served.path(namespace, "", "");
            let query = [("fieldSelector", format!("metadata.name={}", target.name))];
            let list = session.get(&collection, &query).await?;
            if !list.get("items").items().iter().any(is_there) {
                return Ok(());
            }
            let revision = list.at(&["metadata", "resourceVersion"]).str_or_empty();
            let watched = session
                .watch((&collection, &query), revision, Watched::Objects, |event| {
                    Ok(event.get("type").as_str() != Some("DELETED") && is_there(event.get("object")))
                })
                .await;
            match watched {
                Ok(()) => return Ok(()),
                // Forgotten history: look again.
                Err(Failure::Server(status)) if status.code == 410 => {}
                Err(failure) => return Err(failure),
            }
        }
    };
    match limit {
        None => waiting.await,
        Some(limit) => session.env.clock.timeout(limit, waiting).await.unwrap_or_else(|| {
            Err(Failure::client(format!("timed out waiting for the condition on {path}")))
        }),
    }
}

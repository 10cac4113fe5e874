//! `kubectl rollout`: follow, list, undo, pause and restart the rollout of a workload.

mod history;
mod status;

use http::Method;
use machinery::Value;

use crate::Failure;
use crate::args::Files;
use crate::commands::set;
use crate::resource::Target;
use crate::session::{Change, Session};

/// What to do.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Args {
    /// Follow a rollout to its end
    Status(Status),
    /// List revisions
    History(History),
    /// Go back to an earlier revision
    Undo(Undo),
    /// Replace every pod, a few at a time
    Restart(Objects),
    /// Hold a rollout
    Pause(Objects),
    /// Let a held rollout go on
    Resume(Objects),
}

/// Which workloads.
#[derive(clap::Args, Clone, Debug)]
pub struct Objects {
    /// deployment/web, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
}

/// Flags of `rollout status`.
#[derive(clap::Args, Clone, Debug)]
pub struct Status {
    #[command(flatten)]
    pub objects: Objects,
    /// Go on until it is done
    #[arg(long, short = 'w', default_value = "true", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub watch: bool,
    /// How long to wait; 0 means for ever
    #[arg(long, default_value = "0s")]
    pub timeout: String,
}

/// Flags of `rollout history`.
#[derive(clap::Args, Clone, Debug)]
pub struct History {
    #[command(flatten)]
    pub objects: Objects,
    /// Show this revision's pod template
    #[arg(long)]
    pub revision: Option<u64>,
}

/// Flags of `rollout undo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Undo {
    #[command(flatten)]
    pub objects: Objects,
    /// The revision to go back to; the one before if not given
    #[arg(long, default_value_t = 0)]
    pub to_revision: u64,
}

/// Does it.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match args {
        Args::Status(flags) => {
            for target in set::chosen(session, &flags.objects.words, &flags.objects.files).await? {
                status::follow(session, &target, flags).await?;
            }
        }
        Args::History(flags) => {
            for target in set::chosen(session, &flags.objects.words, &flags.objects.files).await? {
                history::show(session, &target, flags.revision).await?;
            }
        }
        Args::Undo(flags) => {
            for target in set::chosen(session, &flags.objects.words, &flags.objects.files).await? {
                history::undo(session, &target, flags.to_revision).await?;
            }
        }
        Args::Restart(objects) => restart(session, objects).await?,
        Args::Pause(objects) => hold(session, objects, true).await?,
        Args::Resume(objects) => hold(session, objects, false).await?,
    }
    Ok(())
}

async fn restart(session: &Session, objects: &Objects) -> Result<(), Failure> {
    let now = session.env.clock.now();
    let moment = jiff::Timestamp::from_second(now.secs()).unwrap_or_default().to_string();
    for target in set::chosen(session, &objects.words, &objects.files).await? {
        let mut patch = Value::object();
        patch
            .at_mut(&["spec", "template", "metadata", "annotations"])
            .set("kubectl.kubernetes.io/restartedAt", moment.as_str());
        patch_object(session, &target, &patch).await?;
        println!("{} restarted", target.served.result_name(&target.name));
    }
    Ok(())
}

async fn hold(session: &Session, objects: &Objects, paused: bool) -> Result<(), Failure> {
    let word = if paused { "paused" } else { "resumed" };
    for target in set::chosen(session, &objects.words, &objects.files).await? {
        let shown = target.served.result_name(&target.name);
        if target.served.kind != "Deployment" {
            return Err(Failure::client(format!("{shown} cannot be {word}")));
        }
        let object = session.get(&target.served.path(session.namespace(), &target.name, ""), &[]).await?;
        if object.at(&["spec", "paused"]).is_true() == paused {
            let state = if paused { "already paused" } else { "not paused" };
            return Err(Failure::client(format!(
                "{} \"{}\" is {state}",
                target.served.qualified(),
                target.name
            )));
        }
        let patch = Value::from([(
            "spec",
            Value::from([("paused", if paused { true.into() } else { Value::Null })]),
        )]);
        patch_object(session, &target, &patch).await?;
        println!("{shown} {word}");
    }
    Ok(())
}

async fn patch_object(session: &Session, target: &Target, patch: &Value) -> Result<Value, Failure> {
    let mut body = Vec::new();
    machinery::json::encode(patch, &mut body);
    let path = target.served.path(session.namespace(), &target.name, "");
    let content_type = "application/strategic-merge-patch+json";
    session.change(Change { method: Method::PATCH, path: &path, query: &[], content_type, body }).await
}

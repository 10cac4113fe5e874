//! `kubectl scale`: the number of replicas, through the scale subresource.

use http::Method;
use machinery::Value;

use crate::Failure;
use crate::args::{DryRun, Files};
use crate::commands::set::chosen;
use crate::session::{Change, Session};

/// Flags of `scale`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// What to scale: deployment/web, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// How many there shall be
    #[arg(long)]
    pub replicas: u32,
    /// Only if there are so many now
    #[arg(long)]
    pub current_replicas: Option<i64>,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// Scales.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    for target in chosen(session, &args.words, &args.files).await? {
        let path = target.served.path(session.namespace(), &target.name, "scale");
        if let Some(expected) = args.current_replicas {
            let now = session.get(&path, &[]).await?.at(&["spec", "replicas"]).as_int().unwrap_or(0);
            if now != expected {
                return Err(Failure::client(format!("Expected replicas to be {expected}, was {now}")));
            }
        }
        if !args.dry_run.client() {
            let spec = Value::from([("replicas", Value::Int(i64::from(args.replicas)))]);
            let mut body = Vec::new();
            machinery::json::encode(&Value::from([("spec", spec)]), &mut body);
            let query: Vec<_> =
                args.dry_run.query().iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            session
                .change(Change {
                    method: Method::PATCH,
                    path: &path,
                    query: &query,
                    content_type: "application/merge-patch+json",
                    body,
                })
                .await?;
        }
        println!("{} scaled{}", target.served.result_name(&target.name), args.dry_run.suffix());
    }
    Ok(())
}

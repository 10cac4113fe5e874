//! `kubectl create`: an object from a file, or one of the usual kinds from flags.

mod build;

use http::Method;
use machinery::Value;

use crate::args::{DryRun, Files};
use crate::printers::output::Output;
use crate::session::{Change, Session};
use crate::{Failure, manifest};

/// Flags of `create`.
#[derive(clap::Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub common: Common,
    /// One of the usual kinds
    #[command(subcommand)]
    pub kind: Option<Kind>,
}

/// Flags of all kinds.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Common {
    /// yaml, json, name, …
    #[arg(long, short = 'o', value_name = "FORM")]
    pub output: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// The usual kinds.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Kind {
    /// create deployment web --image=nginx
    #[command(visible_alias = "deploy")]
    Deployment(Deployment),
    /// create namespace shop
    #[command(visible_alias = "ns")]
    Namespace(Named),
    /// create serviceaccount robot
    #[command(visible_alias = "sa")]
    Serviceaccount(Named),
    /// create configmap settings --from-literal=a=b --from-file=path
    #[command(visible_alias = "cm")]
    Configmap(Data),
    /// create secret generic keys --from-literal=a=b
    #[command(subcommand)]
    Secret(Secret),
    /// create service clusterip web --tcp=80:8080
    #[command(subcommand, visible_alias = "svc")]
    Service(Service),
    /// create job once --image=busybox -- echo hi
    Job(Job),
}

/// A name and nothing else.
#[derive(clap::Args, Clone, Debug)]
pub struct Named {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub common: Common,
}

/// Flags of `create deployment`.
#[derive(clap::Args, Clone, Debug)]
pub struct Deployment {
    #[command(flatten)]
    pub named: Named,
    /// The image; may be given more than once
    #[arg(long, required = true)]
    pub image: Vec<String>,
    /// How many pods
    #[arg(long, short = 'r', default_value_t = 1)]
    pub replicas: i64,
    /// The port of the container
    #[arg(long)]
    pub port: Option<i64>,
    /// The command, after --
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// Flags of `create job`.
#[derive(clap::Args, Clone, Debug)]
pub struct Job {
    #[command(flatten)]
    pub named: Named,
    /// The image
    #[arg(long)]
    pub image: String,
    /// The command, after --
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// Flags of `create configmap` and `create secret generic`.
#[derive(clap::Args, Clone, Debug)]
pub struct Data {
    #[command(flatten)]
    pub named: Named,
    /// key=value
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// path, or key=path
    #[arg(long, value_name = "[KEY=]PATH")]
    pub from_file: Vec<String>,
    /// A secret's type
    #[arg(long = "type", value_name = "TYPE")]
    pub secret_type: Option<String>,
}

/// The kinds of secrets.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Secret {
    /// Of whatever content
    Generic(Data),
}

/// The types of Services.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Service {
    /// Inside the cluster
    Clusterip(Ports),
    /// On every node
    Nodeport(Ports),
}

/// Flags of `create service`.
#[derive(clap::Args, Clone, Debug)]
pub struct Ports {
    #[command(flatten)]
    pub named: Named,
    /// port, or port:targetPort
    #[arg(long, value_delimiter = ',', value_name = "PORT[:TARGET]")]
    pub tcp: Vec<String>,
    /// The port on the nodes
    #[arg(long)]
    pub node_port: Option<i64>,
}

/// Makes it.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.kind {
        Some(kind) => {
            let (document, common) = build::document(kind)?;
            create(session, document, common).await
        }
        None if args.files.filenames.is_empty() => Err(Failure::client("must specify one of -f and -k")),
        None => {
            for document in manifest::read(&args.files)? {
                create(session, document, &args.common).await?;
            }
            Ok(())
        }
    }
}

async fn create(session: &Session, document: Value, common: &Common) -> Result<(), Failure> {
    let text = |path: &[&str]| document.at(path).str_or_empty().to_owned();
    let served = session.discovery().await?.of_kind(&text(&["apiVersion"]), &text(&["kind"]))?;
    let named = text(&["metadata", "namespace"]);
    let namespace = if named.is_empty() { session.namespace().to_owned() } else { named };
    let object = if common.dry_run.client() {
        document
    } else {
        let mut query =
            vec![("fieldManager", "kubectl-create".to_owned()), ("fieldValidation", "Strict".to_owned())];
        query.extend(common.dry_run.query().iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut body = Vec::new();
        machinery::json::encode(&document, &mut body);
        let path = served.path(&namespace, "", "");
        let content_type = "application/json";
        session
            .change(Change { method: Method::POST, path: &path, query: &query, content_type, body })
            .await?
    };
    let name = served.result_name(object.at(&["metadata", "name"]).str_or_empty());
    let output = Output::parse(common.output.as_deref())?;
    if output.is_table() {
        println!("{name} created{}", common.dry_run.suffix());
    } else {
        print!("{}", output.document(&object, &name)?);
    }
    Ok(())
}

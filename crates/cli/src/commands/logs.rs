//! `kubectl logs`: what containers printed, and go on printing.

use std::io::Write;

use machinery::Value;

use crate::Failure;
use crate::commands::exec::pod_of;
use crate::resource::Served;
use crate::session::{Session, next_chunk};

/// Flags of `logs`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The pod, or deployment/web for one of its pods
    pub pod: Option<String>,
    /// The container, if there are several
    pub container_name: Option<String>,
    /// The container, if there are several
    #[arg(long, short = 'c')]
    pub container: Option<String>,
    /// All containers of the pod
    #[arg(long)]
    pub all_containers: bool,
    /// Pods with these labels
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Go on as more is printed
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// What the container printed before it was restarted
    #[arg(long, short = 'p')]
    pub previous: bool,
    /// Only the last lines; -1 means all
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub tail: i64,
    /// Only what is younger: 30s, 5m, 1h
    #[arg(long)]
    pub since: Option<String>,
    /// Only what is younger than this moment (RFC 3339)
    #[arg(long)]
    pub since_time: Option<String>,
    /// At most so many bytes
    #[arg(long, default_value_t = 0)]
    pub limit_bytes: i64,
    /// Begin each line with its time
    #[arg(long)]
    pub timestamps: bool,
    /// Begin each line with its pod and container
    #[arg(long)]
    pub prefix: bool,
}

/// Prints them.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let pods = session.discovery().await?.find("pods")?[0].clone();
    let chosen = match (&args.selector, &args.pod) {
        (Some(selector), _) => {
            let query = [("labelSelector", selector.clone())];
            let list = session.get(&pods.path(session.namespace(), "", ""), &query).await?;
            if list.get("items").items().is_empty() {
                println!("No resources found in {} namespace.", session.namespace());
            }
            list.get("items").items().to_vec()
        }
        (None, Some(word)) => vec![pod_of(session, word).await?],
        (None, None) => {
            return Err(Failure::client("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'"));
        }
    };
    for pod in &chosen {
        for container in containers(args, pod)? {
            print_log(session, args, &pods, pod, &container).await?;
        }
    }
    Ok(())
}

/// Which containers of a pod; an empty name leaves the choice to the server.
fn containers(args: &Args, pod: &Value) -> Result<Vec<String>, Failure> {
    if let Some(name) = args.container.as_ref().or(args.container_name.as_ref()) {
        return Ok(vec![name.clone()]);
    }
    let names = |list: &str| -> Vec<String> {
        let containers = pod.at(&["spec", list]).items().iter();
        containers.map(|container| container.get("name").str_or_empty().to_owned()).collect()
    };
    if args.all_containers {
        return Ok([names("initContainers"), names("containers")].concat());
    }
    let all = names("containers");
    let default = pod.at(&["metadata", "annotations", "kubectl.kubernetes.io/default-container"]).as_str();
    let chosen = default.map(str::to_owned).or_else(|| all.first().cloned()).unwrap_or_default();
    if all.len() > 1 && default.is_none() {
        eprintln!("Defaulted container \"{chosen}\" out of: {}", all.join(", "));
    }
    Ok(vec![chosen])
}

fn query(args: &Args, container: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut query = vec![("container", container.to_owned())];
    for (name, set) in [("follow", args.follow), ("previous", args.previous), ("timestamps", args.timestamps)]
    {
        if set {
            query.push((name, "true".to_owned()));
        }
    }
    if args.tail >= 0 {
        query.push(("tailLines", args.tail.to_string()));
    }
    if args.limit_bytes > 0 {
        query.push(("limitBytes", args.limit_bytes.to_string()));
    }
    if let Some(since) = &args.since {
        let seconds = super::wait::duration(since)?.map_or(0, |duration| duration.as_secs().max(1));
        query.push(("sinceSeconds", seconds.to_string()));
    }
    query.extend(args.since_time.clone().map(|time| ("sinceTime", time)));
    Ok(query)
}

async fn print_log(
    session: &Session,
    args: &Args,
    pods: &Served,
    pod: &Value,
    container: &str,
) -> Result<(), Failure> {
    let metadata = pod.get("metadata");
    let name = metadata.get("name").str_or_empty();
    let path = pods.path(metadata.get("namespace").str_or_empty(), name, "log");
    let mut body = session.stream(&path, &query(args, container)?).await?;
    let mut at_line_start = true;
    let prefix = format!("[pod/{name}/{container}] ");
    while let Some(chunk) = next_chunk(&mut body).await? {
        let mut out = std::io::stdout().lock();
        if !args.prefix {
            out.write_all(&chunk)?;
            out.flush()?;
            continue;
        }
        for line in chunk.split_inclusive(|byte| *byte == b'\n') {
            if at_line_start {
                out.write_all(prefix.as_bytes())?;
            }
            out.write_all(line)?;
            at_line_start = line.ends_with(b"\n");
        }
        out.flush()?;
    }
    Ok(())
}

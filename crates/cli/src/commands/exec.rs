//! `kubectl exec`: a command in a container, connected to this terminal.

mod stream;
mod terminal;

use machinery::Value;

use crate::Failure;
use crate::resource::{encode, targets};
use crate::session::Session;

/// Flags of `exec`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The pod, or deployment/web for one of its pods
    pub pod: String,
    /// The container, if there are several
    #[arg(long, short = 'c')]
    pub container: Option<String>,
    /// Send what is typed to the command
    #[arg(long, short = 'i')]
    pub stdin: bool,
    /// Give the command a terminal
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Say less
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// The command, after --
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Runs the command and ends with its exit code.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let pod = pod_of(session, &args.pod).await?;
    let phase = pod.at(&["status", "phase"]).str_or_empty();
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Failure::client(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = container_of(&pod, args)?;
    let wants_terminal = args.tty && terminal::is_terminal();
    if args.tty && !wants_terminal && args.stdin && !args.quiet {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let tty = args.tty && (wants_terminal || !args.stdin);
    let metadata = pod.get("metadata");
    let pods = session.discovery().await?.find("pods")?[0];
    let base =
        pods.path(metadata.get("namespace").str_or_empty(), metadata.get("name").str_or_empty(), "exec");
    let mut query: Vec<String> =
        args.command.iter().map(|word| format!("command={}", encode(word))).collect();
    query.push(format!("container={}", encode(&container)));
    let streams = [("stdin", args.stdin), ("stdout", true), ("stderr", !tty), ("tty", tty)];
    query.extend(streams.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| format!("{name}=true")));
    let raw = if wants_terminal && args.stdin { Some(terminal::Raw::enter()?) } else { None };
    let result = stream::run(session, &format!("{base}?{}", query.join("&")), args.stdin, tty).await;
    drop(raw);
    result
}

fn container_of(pod: &Value, args: &Args) -> Result<String, Failure> {
    let names: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| pod.at(&["spec", list]).items())
        .map(|container| container.get("name").str_or_empty())
        .collect();
    if let Some(wanted) = &args.container {
        return if names.contains(&wanted.as_str()) {
            Ok(wanted.clone())
        } else {
            let pod_name = pod.at(&["metadata", "name"]).str_or_empty();
            Err(Failure::client(format!("container {wanted} not found in pod {pod_name}")))
        };
    }
    let default = pod.at(&["metadata", "annotations", "kubectl.kubernetes.io/default-container"]).as_str();
    let regular: Vec<&str> = pod
        .at(&["spec", "containers"])
        .items()
        .iter()
        .map(|container| container.get("name").str_or_empty())
        .collect();
    let chosen = default.or(regular.first().copied()).unwrap_or_default().to_owned();
    if regular.len() > 1 && default.is_none() && !args.quiet {
        eprintln!("Defaulted container \"{chosen}\" out of: {}", names.join(", "));
    }
    Ok(chosen)
}

/// The pod that a word names: itself, or one of those that a workload or Service selects.
pub async fn pod_of(session: &Session, word: &str) -> Result<Value, Failure> {
    let discovery = session.discovery().await?;
    let words =
        if word.contains('/') { vec![word.to_owned()] } else { vec!["pods".to_owned(), word.to_owned()] };
    let found = targets(discovery, &words)?;
    let target = found.first().ok_or_else(|| Failure::client(format!("{word:?} names nothing")))?;
    let object = session.get(&target.served.path(session.namespace(), &target.name, ""), &[]).await?;
    if target.served.kind == "Pod" {
        return Ok(object);
    }
    let spec = object.get("spec");
    let labels = match spec.at(&["selector", "matchLabels"]) {
        Value::Null => spec.get("selector"),
        labels => labels,
    };
    let selector: Vec<String> =
        labels.members().map(|(name, value)| format!("{name}={}", value.str_or_empty())).collect();
    if selector.is_empty() {
        return Err(Failure::client(format!("cannot find pods of {word}: it has no selector")));
    }
    let pods = discovery.find("pods")?[0].path(session.namespace(), "", "");
    let list = session.get(&pods, &[("labelSelector", selector.join(","))]).await?;
    best(list.get("items").items())
        .cloned()
        .ok_or_else(|| Failure::client(format!("timed out waiting for the condition: {word} has no pods")))
}

/// The pod to talk to among several: one that is ready, else one that runs, else any; the first by name of those.
fn best(pods: &[Value]) -> Option<&Value> {
    let rank = |pod: &&Value| {
        let ready = pod.at(&["status", "conditions"]).items().iter().any(|condition| {
            condition.get("type").as_str() == Some("Ready")
                && condition.get("status").as_str() == Some("True")
        });
        let deleting = !pod.at(&["metadata", "deletionTimestamp"]).is_null();
        (deleting, !ready, pod.at(&["status", "phase"]).as_str() != Some("Running"))
    };
    pods.iter().min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_pod_is_preferred() {
        let pod = |name: &str, ready: &str| {
            let condition = Value::from([("type", Value::from("Ready")), ("status", Value::from(ready))]);
            let mut pod = Value::object();
            *pod.at_mut(&["metadata", "name"]) = Value::from(name);
            *pod.at_mut(&["status", "conditions"]) = Value::from(vec![condition]);
            pod
        };
        let pods = [pod("a", "False"), pod("b", "True"), pod("c", "True")];
        assert_eq!(best(&pods).map(|pod| pod.at(&["metadata", "name"]).str_or_empty()), Some("b"));
    }
}

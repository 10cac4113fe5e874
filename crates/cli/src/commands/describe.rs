//! `kubectl describe`: an object in words, and what happened around it.

mod node;
mod pod;
mod text;
mod workload;

use machinery::Value;

use crate::Failure;
use crate::args::{Files, Selection};
use crate::commands::get;
use crate::printers::table::Table;
use crate::resource::{Served, targets};
use crate::session::Session;
use text::Text;

/// Flags of `describe`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// What to describe: pod/web, pods, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub files: Files,
}

/// Describes each object.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let discovery = session.discovery().await?;
    let mut described = 0;
    for target in targets(discovery, &args.words)? {
        let namespace = if args.selection.all_namespaces { "" } else { session.namespace() };
        let mut query = Vec::new();
        query.extend(args.selection.selector.clone().map(|selector| ("labelSelector", selector)));
        let document = session.get(&target.served.path(namespace, &target.name, ""), &query).await?;
        let objects = if target.name.is_empty() { get::list_items(&document) } else { vec![document] };
        for object in objects {
            let events = events(session, &object).await?;
            print!(
                "{}{}",
                if described > 0 { "\n\n" } else { "" },
                describe(&target.served, &object, &events, now(session))
            );
            described += 1;
        }
    }
    if described == 0 {
        eprintln!("No resources found in {} namespace.", session.namespace());
    }
    Ok(())
}

fn now(session: &Session) -> i64 {
    session.env.clock.now().secs()
}

fn describe(served: &Served, object: &Value, events: &[Value], now_secs: i64) -> String {
    let mut text = Text::new();
    head(&mut text, served, object);
    match served.kind.as_str() {
        "Pod" => pod::describe(&mut text, object),
        "Node" => node::describe(&mut text, object),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => workload::describe(&mut text, object),
        "Service" => workload::service(&mut text, object),
        _ => rest(&mut text, object),
    }
    let mut described = text.finish();
    described.push_str(&event_table(events, now_secs));
    described
}

fn head(text: &mut Text, served: &Served, object: &Value) {
    let metadata = object.get("metadata");
    text.field("Name", metadata.get("name").str_or_empty());
    if served.namespaced {
        text.field("Namespace", metadata.get("namespace").str_or_empty());
    }
    if served.kind == "Pod" {
        pod::placement(text, object);
    }
    text.pairs("Labels", metadata.get("labels"), "=");
    let mut annotations = metadata.get("annotations").clone();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    text.pairs("Annotations", &annotations, ": ");
}

/// Whatever else an object holds, member by member.
fn rest(text: &mut Text, object: &Value) {
    for (name, value) in object.members() {
        if !["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            text.tree(name, value);
        }
    }
}

/// The events about an object, oldest first.
async fn events(session: &Session, object: &Value) -> Result<Vec<Value>, Failure> {
    let metadata = object.get("metadata");
    let selector = format!(
        "involvedObject.uid={},involvedObject.name={}",
        metadata.get("uid").str_or_empty(),
        metadata.get("name").str_or_empty()
    );
    let namespace = metadata.get("namespace").str_or_empty();
    let served = session.discovery().await?.find("events")?[0];
    let list = session.get(&served.path(namespace, "", ""), &[("fieldSelector", selector)]).await?;
    let mut events = list.get("items").items().to_vec();
    events.sort_by_key(|event| last_seen(event).to_owned());
    Ok(events)
}

fn last_seen(event: &Value) -> &str {
    [event.get("lastTimestamp"), event.at(&["series", "lastObservedTime"]), event.get("eventTime")]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_else(|| event.at(&["metadata", "creationTimestamp"]).str_or_empty())
}

fn event_table(events: &[Value], now_secs: i64) -> String {
    if events.is_empty() {
        return format!("{:<17}<none>\n", "Events:");
    }
    let mut table = Table::new(&["  Type", "Reason", "Age", "From", "Message"]);
    table.row(["  ----", "------", "----", "----", "-------"].map(str::to_owned));
    for event in events {
        let word = |name: &str| event.get(name).str_or_empty().to_owned();
        let from = match event.at(&["source", "component"]).str_or_empty() {
            "" => word("reportingComponent"),
            component => component.to_owned(),
        };
        let row = [
            format!("  {}", word("type")),
            word("reason"),
            event_age(event, now_secs),
            from,
            word("message"),
        ];
        table.row(row.map(|cell| cell.trim_end().to_owned()));
    }
    format!("Events:\n{}", table.print_apart(2, true))
}

fn event_age(event: &Value, now_secs: i64) -> String {
    let last = text::age(last_seen(event), now_secs);
    let count = event.get("count").as_int().or(event.at(&["series", "count"]).as_int()).unwrap_or(1);
    let first = event.get("firstTimestamp").as_str().or(event.get("eventTime").as_str());
    match first {
        Some(first) if count > 1 => format!("{last} (x{count} over {})", text::age(first, now_secs)),
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_with_their_age() {
        let event = machinery::yaml::decode(
            b"{type: Normal, reason: Pulled, message: m, count: 3, source: {component: kubelet},
               firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:01:00Z'}",
        )
        .expect("YAML");
        let shown = event_table(&[event], 1_767_225_720);
        assert!(shown.contains("  Normal  Pulled  60s (x3 over 2m)  kubelet  m"), "{shown}");
        assert!(event_table(&[], 0).starts_with("Events:          <none>"));
    }
}

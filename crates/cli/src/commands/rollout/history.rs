//! The revisions of a Deployment: its ReplicaSets, and going back to one of them.

use http::Method;
use machinery::Value;

use crate::Failure;
use crate::printers::table::Table;
use crate::resource::Target;
use crate::session::{Change, Session};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotations that belong to a ReplicaSet or to kubectl, and do not travel back with a template.
const NOT_RESTORED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
];

/// Lists the revisions, or shows one.
pub async fn show(session: &Session, target: &Target, wanted: Option<u64>) -> Result<(), Failure> {
    let shown = target.served.result_name(&target.name);
    let (_, mut sets) = revisions(session, target).await?;
    if let Some(wanted) = wanted {
        let (_, set) = sets
            .into_iter()
            .find(|(revision, _)| *revision == wanted)
            .ok_or_else(|| Failure::client("unable to find the specified revision"))?;
        println!("{shown} with revision #{wanted}");
        print!("{}", describe_template(set.at(&["spec", "template"])));
        return Ok(());
    }
    sets.sort_by_key(|(revision, _)| *revision);
    println!("{shown} ");
    let mut table = Table::new(&["REVISION", "CHANGE-CAUSE"]);
    for (revision, set) in &sets {
        let cause = set.at(&["metadata", "annotations", CHANGE_CAUSE]).as_str().unwrap_or("<none>");
        table.row([revision.to_string(), cause.to_owned()]);
    }
    println!("{}", table.print_apart(2, true));
    Ok(())
}

/// Goes back to a revision, or to the one before.
pub async fn undo(session: &Session, target: &Target, to: u64) -> Result<(), Failure> {
    let shown = target.served.result_name(&target.name);
    let (deployment, mut sets) = revisions(session, target).await?;
    sets.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    let found = if to == 0 { sets.get(1) } else { sets.iter().find(|(revision, _)| *revision == to) };
    let Some((_, set)) = found else {
        let what = if to == 0 {
            format!("no rollout history found for deployment \"{}\"", target.name)
        } else {
            format!("unable to find specified revision {to} in history")
        };
        return Err(Failure::client(what));
    };
    if deployment.at(&["spec", "paused"]).is_true() {
        return Err(Failure::client(format!(
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume {}' and try again",
            target.served.result_name(&target.name)
        )));
    }
    let template = template_of(set);
    if template == template_of(&deployment) {
        println!("{shown} skipped rollback (current template already matches revision {to})");
        return Ok(());
    }
    let body = rollback_patch(template, &deployment, set);
    let mut bytes = Vec::new();
    machinery::json::encode(&body, &mut bytes);
    let path = target.served.path(session.namespace(), &target.name, "");
    let content_type = "application/json-patch+json";
    session
        .change(Change { method: Method::PATCH, path: &path, query: &[], content_type, body: bytes })
        .await?;
    println!("{shown} rolled back");
    Ok(())
}

/// The Deployment, and its ReplicaSets by revision.
async fn revisions(session: &Session, target: &Target) -> Result<(Value, Vec<(u64, Value)>), Failure> {
    if target.served.kind != "Deployment" {
        return Err(Failure::client(format!(
            "no history viewer has been implemented for {}",
            target.served.kind
        )));
    }
    let deployment = session.get(&target.served.path(session.namespace(), &target.name, ""), &[]).await?;
    let uid = deployment.at(&["metadata", "uid"]);
    let sets = session.discovery().await?.find("replicasets.apps")?[0].path(session.namespace(), "", "");
    let list = session.get(&sets, &[]).await?;
    let owned = |set: &&Value| {
        let owners = set.at(&["metadata", "ownerReferences"]).items();
        owners.iter().any(|owner| owner.get("controller").is_true() && owner.get("uid") == uid)
    };
    let revision = |set: &Value| set.at(&["metadata", "annotations", REVISION]).str_or_empty().parse().ok();
    let sets = list.get("items").items().iter().filter(owned);
    let sets = sets.filter_map(|set| Some((revision(set)?, set.clone()))).collect();
    Ok((deployment, sets))
}

/// The pod template without the label that tells ReplicaSets apart.
fn template_of(object: &Value) -> Value {
    let mut template = object.at(&["spec", "template"]).clone();
    if let Some(labels) = template.at_mut(&["metadata"]).get_mut("labels") {
        labels.remove(TEMPLATE_HASH);
    }
    template
}

fn rollback_patch(template: Value, deployment: &Value, set: &Value) -> Value {
    let mut annotations = Value::object();
    for (name, value) in deployment.at(&["metadata", "annotations"]).members() {
        if NOT_RESTORED.contains(&name.as_str()) {
            annotations.set(name, value.clone());
        }
    }
    for (name, value) in set.at(&["metadata", "annotations"]).members() {
        if !NOT_RESTORED.contains(&name.as_str()) {
            annotations.set(name, value.clone());
        }
    }
    let replace = |path: &str, value: Value| {
        Value::from([("op", Value::from("replace")), ("path", Value::from(path)), ("value", value)])
    };
    Value::from(vec![replace("/spec/template", template), replace("/metadata/annotations", annotations)])
}

fn describe_template(template: &Value) -> String {
    let mut text = String::from("Pod Template:\n");
    let labels = template.at(&["metadata", "labels"]);
    for (position, (name, value)) in labels.members().enumerate() {
        let heading = if position == 0 { "  Labels:\t" } else { "\t" };
        text.push_str(&format!("{heading}{name}={}\n", value.str_or_empty()));
    }
    text.push_str("  Containers:\n");
    for container in template.at(&["spec", "containers"]).items() {
        text.push_str(&format!("   {}:\n", container.get("name").str_or_empty()));
        text.push_str(&format!("    Image:\t{}\n", container.get("image").str_or_empty()));
        for port in container.get("ports").items() {
            let number = port.get("containerPort").as_int().unwrap_or(0);
            text.push_str(&format!(
                "    Port:\t{number}/{}\n",
                port.get("protocol").as_str().unwrap_or("TCP")
            ));
        }
    }
    text
}

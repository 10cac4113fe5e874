//! How far a rollout is, in kubectl's words.

use machinery::Value;

use super::Status;
use crate::Failure;
use crate::commands::wait::duration;
use crate::resource::Target;
use crate::session::{Session, Watched};

/// Prints how far it is until it is done.
pub async fn follow(session: &Session, target: &Target, flags: &Status) -> Result<(), Failure> {
    let limit = duration(&flags.timeout)?;
    let watching = watch(session, target, flags.watch);
    match limit {
        None => watching.await,
        Some(limit) => match session.env.clock.timeout(limit, watching).await {
            Some(result) => result,
            None => Err(Failure::client("timed out waiting for the condition")),
        },
    }
}

async fn watch(session: &Session, target: &Target, to_the_end: bool) -> Result<(), Failure> {
    let collection = target.served.path(session.namespace(), "", "");
    let query = [("fieldSelector", format!("metadata.name={}", target.name))];
    let mut told = String::new();
    let mut tell = |object: &Value| -> Result<bool, Failure> {
        let (text, done) = progress(object)?;
        if text != told {
            println!("{text}");
            told = text;
        }
        Ok(!done && to_the_end)
    };
    loop {
        let list = session.get(&collection, &query).await?;
        let revision = list.at(&["metadata", "resourceVersion"]).str_or_empty().to_owned();
        let Some(object) = super::super::get::list_items(&list).into_iter().next() else {
            session.get(&target.served.path(session.namespace(), &target.name, ""), &[]).await?;
            continue;
        };
        if !tell(&object)? {
            return Ok(());
        }
        let watched = session
            .watch((&collection, &query), &revision, Watched::Objects, |event| {
                if event.get("type").as_str() == Some("DELETED") {
                    return Err(Failure::client("object has been deleted"));
                }
                tell(event.get("object"))
            })
            .await;
        match watched {
            Err(Failure::Server(status)) if status.code == 410 => {}
            result => return result,
        }
    }
}

/// What to say about an object's rollout, and whether it is done.
fn progress(object: &Value) -> Result<(String, bool), Failure> {
    let kind = object.get("kind").str_or_empty();
    let number = |path: &[&str]| object.at(path).as_int().unwrap_or(0);
    if number(&["metadata", "generation"]) > number(&["status", "observedGeneration"]) {
        let what = match kind {
            "DaemonSet" => "daemon set",
            "StatefulSet" => "statefulset",
            _ => "deployment",
        };
        return Ok((format!("Waiting for {what} spec update to be observed..."), false));
    }
    match kind {
        "Deployment" => deployment(object),
        "DaemonSet" => Ok(daemon_set(object)),
        "StatefulSet" => Ok(stateful_set(object)),
        _ => Err(Failure::client(format!("no status viewer has been implemented for {kind}"))),
    }
}

fn deployment(object: &Value) -> Result<(String, bool), Failure> {
    let name = object.at(&["metadata", "name"]).str_or_empty();
    let status = |field: &str| object.at(&["status", field]).as_int().unwrap_or(0);
    let stuck = object.at(&["status", "conditions"]).items().iter().any(|condition| {
        condition.get("type").as_str() == Some("Progressing")
            && condition.get("reason").as_str() == Some("ProgressDeadlineExceeded")
    });
    if stuck {
        return Err(Failure::client(format!("deployment \"{name}\" exceeded its progress deadline")));
    }
    let wanted = object.at(&["spec", "replicas"]).as_int().unwrap_or(1);
    let (updated, available, all) =
        (status("updatedReplicas"), status("availableReplicas"), status("replicas"));
    let waiting =
        |what: String| Ok((format!("Waiting for deployment \"{name}\" rollout to finish: {what}..."), false));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment \"{name}\" successfully rolled out"), true))
}

fn daemon_set(object: &Value) -> (String, bool) {
    let name = object.at(&["metadata", "name"]).str_or_empty();
    let status = |field: &str| object.at(&["status", field]).as_int().unwrap_or(0);
    let wanted = status("desiredNumberScheduled");
    let (updated, available) = (status("updatedNumberScheduled"), status("numberAvailable"));
    let text = if updated < wanted {
        format!("{updated} out of {wanted} new pods have been updated")
    } else if available < wanted {
        format!("{available} of {wanted} updated pods are available")
    } else {
        return (format!("daemon set \"{name}\" successfully rolled out"), true);
    };
    (format!("Waiting for daemon set \"{name}\" rollout to finish: {text}..."), false)
}

fn stateful_set(object: &Value) -> (String, bool) {
    let status = |field: &str| object.at(&["status", field]).as_int().unwrap_or(0);
    let wanted = object.at(&["spec", "replicas"]).as_int().unwrap_or(1);
    if status("readyReplicas") < wanted {
        return (format!("Waiting for {} pods to be ready...", wanted - status("readyReplicas")), false);
    }
    let revision = |field: &str| object.at(&["status", field]).str_or_empty().to_owned();
    let partition =
        object.at(&["spec", "updateStrategy", "rollingUpdate", "partition"]).as_int().unwrap_or(0);
    if partition > 0 {
        let updated = status("updatedReplicas");
        if updated < wanted - partition {
            let text = format!("{updated} out of {} new pods have been updated...", wanted - partition);
            return (format!("Waiting for partitioned roll out to finish: {text}"), false);
        }
        return (format!("partitioned roll out complete: {updated} new pods have been updated..."), true);
    }
    if revision("updateRevision") != revision("currentRevision") {
        let text = format!(
            "waiting for statefulset rolling update to complete {} pods at revision {}...",
            status("updatedReplicas"),
            revision("updateRevision")
        );
        return (text, false);
    }
    let text = format!(
        "statefulset rolling update complete {} pods at revision {}...",
        status("currentReplicas"),
        revision("currentRevision")
    );
    (text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(status: &[(&str, i64)]) -> Value {
        let mut object = Value::from([("kind", Value::from("Deployment"))]);
        *object.at_mut(&["metadata", "name"]) = Value::from("web");
        *object.at_mut(&["spec", "replicas"]) = Value::Int(3);
        for (field, value) in status {
            *object.at_mut(&["status", field]) = Value::Int(*value);
        }
        object
    }

    fn told(status: &[(&str, i64)]) -> String {
        progress(&object(status)).expect("a deployment").0
    }

    #[test]
    fn a_rollout_is_told_step_by_step() {
        let some = [("updatedReplicas", 1), ("replicas", 4), ("availableReplicas", 3)];
        assert_eq!(
            told(&some),
            "Waiting for deployment \"web\" rollout to finish: 1 out of 3 new replicas have been updated..."
        );
        let old = [("updatedReplicas", 3), ("replicas", 4), ("availableReplicas", 3)];
        assert!(told(&old).contains("1 old replicas are pending termination"));
        let starting = [("updatedReplicas", 3), ("replicas", 3), ("availableReplicas", 2)];
        assert!(told(&starting).contains("2 of 3 updated replicas are available"));
        let done = [("updatedReplicas", 3), ("replicas", 3), ("availableReplicas", 3)];
        assert_eq!(told(&done), "deployment \"web\" successfully rolled out");
    }
}

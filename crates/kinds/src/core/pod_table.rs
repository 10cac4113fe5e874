//! The row of a pod: how far it has come, in one word.

use machinery::Value;
use machinery::json::Parts::{self, All, Of};
use machinery::time::Timestamp;

use crate::table;

/// What the row is made of: little of a pod's specification, and none of the rest of its metadata.
pub(super) const PARTS: Parts = Of(&[
    ("metadata", Of(&[("name", All), ("creationTimestamp", All), ("deletionTimestamp", All)])),
    (
        "spec",
        Of(&[
            ("initContainers", Of(&[("name", All), ("restartPolicy", All)])),
            ("containers", Of(&[])),
            ("nodeName", All),
            ("readinessGates", All),
        ]),
    ),
    (
        "status",
        Of(&[
            ("phase", All),
            ("conditions", Of(&[("type", All), ("status", All), ("reason", All)])),
            ("reason", All),
            ("nominatedNodeName", All),
            ("podIP", All),
            ("podIPs", All),
            ("initContainerStatuses", CONTAINER),
            ("containerStatuses", CONTAINER),
        ]),
    ),
]);

/// What of a container's status.
const CONTAINER: Parts = Of(&[
    ("name", All),
    ("state", STATE),
    ("lastState", STATE),
    ("ready", All),
    ("restartCount", All),
    ("started", All),
]);

const STATE: Parts = Of(&[
    ("waiting", Of(&[("reason", All)])),
    ("running", Of(&[])),
    ("terminated", Of(&[("exitCode", All), ("signal", All), ("reason", All), ("finishedAt", All)])),
]);

/// What is counted while the containers are looked at.
#[derive(Default)]
struct Tally {
    restarts: i64,
    last_restart: Option<Timestamp>,
    ready: usize,
}

impl Tally {
    fn count(&mut self, status: &Value) {
        self.restarts += status.get("restartCount").as_int().unwrap_or(0);
        let finished = status.at(&["lastState", "terminated", "finishedAt"]);
        self.last_restart = self.last_restart.max(Timestamp::parse(finished.str_or_empty()));
    }

    fn shown_restarts(&self, now_secs: i64) -> String {
        match self.last_restart {
            Some(last) if self.restarts != 0 => {
                let ago = machinery::time::human_duration(now_secs - last.secs);
                format!("{} ({ago} ago)", self.restarts)
            }
            _ => self.restarts.to_string(),
        }
    }
}

fn ended(terminated: &Value) -> String {
    let number = |member: &str| terminated.get(member).as_int().unwrap_or(0);
    match (terminated.get("reason").str_or_empty(), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn is_sidecar(spec: &Value, name: &Value) -> bool {
    let found = spec.get("initContainers").items().iter().find(|container| container.get("name") == name);
    found.is_some_and(|container| container.get("restartPolicy").str_or_empty() == "Always")
}

/// The state of the init container that the pod waits for, if it waits for one.
fn initializing(object: &Value, all: &mut Tally, sidecars: &mut Tally) -> Option<String> {
    let spec = object.get("spec");
    let total = spec.get("initContainers").items().len();
    for (position, status) in object.at(&["status", "initContainerStatuses"]).items().iter().enumerate() {
        all.count(status);
        let sidecar = is_sidecar(spec, status.get("name"));
        if sidecar {
            sidecars.count(status);
        }
        let terminated = status.at(&["state", "terminated"]);
        if !terminated.is_null() && terminated.get("exitCode").as_int().unwrap_or(0) == 0 {
            continue;
        }
        if sidecar && status.get("started").is_true() {
            all.ready += usize::from(status.get("ready").is_true());
            continue;
        }
        if !terminated.is_null() {
            return Some(format!("Init:{}", ended(terminated)));
        }
        return Some(match status.at(&["state", "waiting", "reason"]).str_or_empty() {
            "" | "PodInitializing" => format!("Init:{position}/{total}"),
            reason => format!("Init:{reason}"),
        });
    }
    None
}

fn condition_is_true(object: &Value, kind: &str) -> bool {
    object.at(&["status", "conditions"]).items().iter().any(|condition| {
        condition.get("type").str_or_empty() == kind && condition.get("status").str_or_empty() == "True"
    })
}

/// What the regular containers say, from the last to the first.
fn running(object: &Value, tally: &mut Tally, reason: &mut String) {
    let mut any_running = false;
    for status in object.at(&["status", "containerStatuses"]).items().iter().rev() {
        tally.count(status);
        let state = status.get("state");
        let waiting = state.at(&["waiting", "reason"]).str_or_empty();
        if !waiting.is_empty() {
            *reason = waiting.to_owned();
        } else if !state.get("terminated").is_null() {
            *reason = ended(state.get("terminated"));
        } else if status.get("ready").is_true() && !state.get("running").is_null() {
            any_running = true;
            tally.ready += 1;
        }
    }
    if reason == "Completed" && any_running {
        let ready = condition_is_true(object, "Ready");
        *reason = if ready { "Running" } else { "NotReady" }.to_owned();
    }
}

/// The cells of the row.
pub(super) fn row(object: &Value, now_secs: i64) -> Vec<Value> {
    let (spec, status) = (object.get("spec"), object.get("status"));
    let phase = status.get("phase").str_or_empty();
    let mut reason = match status.get("reason").str_or_empty() {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let gated = status.get("conditions").items().iter().any(|condition| {
        condition.get("type").str_or_empty() == "PodScheduled"
            && condition.get("reason").str_or_empty() == "SchedulingGated"
    });
    if gated {
        reason = "SchedulingGated".to_owned();
    }
    let (mut tally, mut sidecars) = (Tally::default(), Tally::default());
    let waits_for = initializing(object, &mut tally, &mut sidecars);
    if let Some(state) = &waits_for {
        reason.clone_from(state);
    }
    if waits_for.is_none() || condition_is_true(object, "Initialized") {
        tally.restarts = sidecars.restarts;
        tally.last_restart = sidecars.last_restart;
        running(object, &mut tally, &mut reason);
    }
    if !object.at(&["metadata", "deletionTimestamp"]).is_null() {
        if status.get("reason").str_or_empty() == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            reason = "Terminating".to_owned();
        }
    }
    let init = spec.get("initContainers").items();
    let total = spec.get("containers").items().len()
        + init.iter().filter(|container| container.get("restartPolicy").str_or_empty() == "Always").count();
    let address = status.get("podIPs").items().first().map_or(status.get("podIP"), |first| first.get("ip"));
    vec![
        table::name(object),
        Value::from(format!("{}/{total}", tally.ready)),
        Value::from(reason),
        Value::from(tally.shown_restarts(now_secs)),
        table::age(object, now_secs),
        table::text_or(address, "<none>"),
        table::text_or(spec.get("nodeName"), "<none>"),
        table::text_or(status.get("nominatedNodeName"), "<none>"),
        Value::from(gates(object)),
    ]
}

fn gates(object: &Value) -> String {
    let gates = object.at(&["spec", "readinessGates"]).items();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open =
        gates.iter().filter(|gate| condition_is_true(object, gate.get("conditionType").str_or_empty()));
    format!("{}/{}", open.count(), gates.len())
}

#[cfg(test)]
mod tests;

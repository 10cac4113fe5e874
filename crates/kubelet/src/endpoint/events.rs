//! What happens to sandboxes and containers, told to whoever listens. The runtime says which pods changed; what happened to
//! them is seen by looking before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cri::wire::Message;
use cri::{Container, ContainerState, Events, Runtime, Sandbox, SandboxState, v1};
use env::{Env, WallTime};
use tokio::sync::mpsc;

use super::Endpoint;
use super::grpc::{Answer, Outcome};

/// How many events may wait for who listens. Whoever is slower than that sees what is left of them by a later look.
const WAITING: usize = 64;

/// What there is.
#[derive(Clone, Debug, Default)]
struct Picture {
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
}

/// Tells everything from now on.
pub(super) async fn follow(endpoint: &Endpoint) -> Outcome {
    let (runtime, env) = (endpoint.runtime.clone(), endpoint.env.clone());
    // Nothing that happens after the first look is missed: it is asked for before.
    let events = runtime.events().await?;
    let picture = look(runtime.as_ref()).await?;
    let (told, coming) = mpsc::channel(WAITING);
    endpoint.env.tasks.spawn("cri events", tell(runtime, events, picture, told, env));
    Ok(Answer::Coming(coming))
}

async fn look(runtime: &dyn Runtime) -> cri::Result<Picture> {
    let containers = runtime.list_containers().await?;
    let sandboxes = runtime.list_sandboxes().await?;
    Ok(Picture {
        sandboxes: sandboxes.into_iter().map(|sandbox| (sandbox.id.clone(), sandbox)).collect(),
        containers: containers.into_iter().map(|container| (container.id.clone(), container)).collect(),
    })
}

async fn tell(
    runtime: Arc<dyn Runtime>,
    mut events: Box<dyn Events>,
    mut before: Picture,
    told: mpsc::Sender<Vec<u8>>,
    env: Env,
) {
    loop {
        let event = tokio::select! {
            biased;
            () = told.closed() => return,
            event = events.next() => event,
        };
        if event.is_none() {
            return;
        }
        let after = match look(runtime.as_ref()).await {
            Ok(after) => after,
            Err(error) => {
                tracing::warn!("who listens to the runtime's events is sent away: {error}");
                return;
            }
        };
        for message in changes(&before, &after, env.clock.now()) {
            if told.send(message.encode()).await.is_err() {
                return;
            }
        }
        before = after;
    }
}

/// How far something has come: nothing of it, made, running, ended, gone.
type Stage = usize;
const NOTHING: Stage = 0;
const GONE: Stage = 4;
/// What is told when a stage is reached: the one after nothing is first.
const TOLD: [i32; GONE] = [v1::CREATED, v1::STARTED, v1::STOPPED, v1::DELETED];
const RUNNING: Stage = 2;
const ENDED: Stage = 3;

fn of_container(container: &Container) -> Stage {
    match container.state {
        ContainerState::Created => 1,
        ContainerState::Running => RUNNING,
        ContainerState::Exited | ContainerState::Unknown => ENDED,
    }
}

fn of_sandbox(sandbox: &Sandbox) -> Stage {
    if sandbox.state == SandboxState::Ready { RUNNING } else { ENDED }
}

/// The stages that were reached meanwhile. What never ran is neither told to have started nor to have stopped.
fn reached(before: Option<Stage>, after: Option<Stage>, ran: bool) -> impl Iterator<Item = i32> {
    let (from, to) = (before.unwrap_or(NOTHING), after.unwrap_or(GONE));
    let stages = TOLD.into_iter().enumerate().take(to).skip(from);
    stages.filter(move |(_, told)| ran || matches!(*told, v1::CREATED | v1::DELETED)).map(|(_, told)| told)
}

/// What happened between two looks.
fn changes(before: &Picture, after: &Picture, now: WallTime) -> Vec<v1::ContainerEventResponse> {
    let mut all = Vec::new();
    let ids: BTreeSet<&String> = before.sandboxes.keys().chain(after.sandboxes.keys()).collect();
    for id in ids {
        let (was, is) = (before.sandboxes.get(id), after.sandboxes.get(id));
        let of_pod: Vec<i32> = reached(was.map(of_sandbox), is.map(of_sandbox), true).collect();
        // A sandbox begins before its containers do, and ends after them.
        let begins = of_pod.iter().filter(|told| matches!(**told, v1::CREATED | v1::STARTED));
        let ends = of_pod.iter().filter(|told| matches!(**told, v1::STOPPED | v1::DELETED));
        let inside = of_containers(id, before, after);
        let own = |told: &i32| (id.clone(), *told);
        let happened = begins.map(own).chain(inside).chain(ends.map(own));
        let Some(sandbox) = is.or(was) else { continue };
        let statuses: Vec<v1::ContainerStatus> = after
            .containers
            .values()
            .filter(|container| container.sandbox == *id)
            .map(v1::container_status)
            .collect();
        all.extend(happened.map(|(container_id, container_event_type)| v1::ContainerEventResponse {
            container_id,
            container_event_type,
            created_at: now.0,
            pod_sandbox_status: Some(v1::sandbox_status(sandbox)),
            containers_statuses: statuses.clone(),
        }));
    }
    all
}

/// What happened to the containers of a sandbox.
fn of_containers(sandbox: &str, before: &Picture, after: &Picture) -> Vec<(String, i32)> {
    let all = before.containers.values().chain(after.containers.values());
    let ids: BTreeSet<&String> =
        all.filter(|container| container.sandbox == sandbox).map(|container| &container.id).collect();
    let mut happened = Vec::new();
    for id in ids {
        let (was, is) = (before.containers.get(id), after.containers.get(id));
        let ran = is.or(was).is_some_and(|container| container.started_at != 0);
        let stages = reached(was.map(of_container), is.map(of_container), ran);
        happened.extend(stages.map(|told| (id.clone(), told)));
    }
    happened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_that_was_passed_is_told() {
        let all = |before, after, ran| reached(before, after, ran).collect::<Vec<_>>();
        let (created, running, ended) = (Some(1), Some(RUNNING), Some(ENDED));
        for (before, after, ran, wanted) in [
            (None, created, false, &[v1::CREATED][..]),
            (None, running, true, &[v1::CREATED, v1::STARTED]),
            (None, ended, true, &[v1::CREATED, v1::STARTED, v1::STOPPED]),
            (None, ended, false, &[v1::CREATED]),
            (created, running, true, &[v1::STARTED]),
            (created, None, false, &[v1::DELETED]),
            (running, running, true, &[]),
            (running, ended, true, &[v1::STOPPED]),
            (running, None, true, &[v1::STOPPED, v1::DELETED]),
            (ended, None, true, &[v1::DELETED]),
            (ended, None, false, &[v1::DELETED]),
        ] {
            assert_eq!(all(before, after, ran), wanted, "{before:?} {after:?} {ran}");
        }
    }

    #[test]
    fn a_sandbox_begins_before_its_containers_and_ends_after_them() {
        let sandbox =
            |id: &str, state| (id.to_owned(), Sandbox { id: id.to_owned(), state, ..Sandbox::default() });
        let container = |id: &str, sandbox: &str, state, started_at| {
            let (id, sandbox) = (id.to_owned(), sandbox.to_owned());
            (id.clone(), Container { id, sandbox, state, started_at, ..Container::default() })
        };
        let nothing = Picture::default();
        let running = Picture {
            sandboxes: [sandbox("s1", SandboxState::Ready), sandbox("s2", SandboxState::Ready)].into(),
            containers: [
                container("a", "s1", ContainerState::Running, 5),
                container("b", "s2", ContainerState::Created, 0),
            ]
            .into(),
        };
        let told = |before: &Picture, after: &Picture| -> Vec<(String, i32, usize)> {
            changes(before, after, WallTime(7))
                .into_iter()
                .map(|event| {
                    assert_eq!(event.created_at, 7);
                    (event.container_id, event.container_event_type, event.containers_statuses.len())
                })
                .collect()
        };
        let wanted = |all: &[(&str, i32, usize)]| -> Vec<(String, i32, usize)> {
            all.iter().map(|(id, kind, statuses)| ((*id).to_owned(), *kind, *statuses)).collect()
        };
        assert_eq!(
            told(&nothing, &running),
            wanted(&[
                ("s1", v1::CREATED, 1),
                ("s1", v1::STARTED, 1),
                ("a", v1::CREATED, 1),
                ("a", v1::STARTED, 1),
                ("s2", v1::CREATED, 1),
                ("s2", v1::STARTED, 1),
                ("b", v1::CREATED, 1),
            ])
        );
        assert_eq!(
            told(&running, &nothing),
            wanted(&[
                ("a", v1::STOPPED, 0),
                ("a", v1::DELETED, 0),
                ("s1", v1::STOPPED, 0),
                ("s1", v1::DELETED, 0),
                ("b", v1::DELETED, 0),
                ("s2", v1::STOPPED, 0),
                ("s2", v1::DELETED, 0),
            ])
        );
        assert_eq!(told(&running, &running), []);
    }
}

//! What changed, found out by looking every second: what kubelets do with every runtime unless told otherwise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cri::{BoxFuture, Event, Events, PodId, Result, v1};
use env::Env;

use crate::service::Connection;
use crate::{Remote, containers, sandboxes};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// What is seen at a look: of each sandbox and container its pod and its state.
type Seen = BTreeMap<String, (PodId, i32)>;

struct Looker {
    connection: Arc<Connection>,
    owner: String,
    env: Env,
    seen: Seen,
    untold: VecDeque<PodId>,
}

/// Begins to look.
pub(crate) async fn follow(remote: &Remote) -> Result<Box<dyn Events>> {
    let seen = look(&remote.connection, &remote.owner).await?;
    Ok(Box::new(Looker {
        connection: remote.connection.clone(),
        owner: remote.owner.clone(),
        env: remote.env.clone(),
        seen,
        untold: VecDeque::new(),
    }))
}

async fn look(connection: &Connection, owner: &str) -> Result<Seen> {
    let containers = containers::summaries(connection, owner).await?;
    let sandboxes = sandboxes::summaries(connection, owner).await?;
    Ok(picture(sandboxes, containers))
}

fn picture(sandboxes: Vec<v1::PodSandbox>, containers: Vec<v1::Container>) -> Seen {
    let mut seen = Seen::new();
    for sandbox in sandboxes {
        seen.insert(sandbox.id, (v1::pod_of(&sandbox.metadata.unwrap_or_default()), sandbox.state));
    }
    for container in containers {
        // One whose sandbox is not there is seen by the next look, if it is there at all.
        if let Some((pod, _)) = seen.get(&container.pod_sandbox_id) {
            let pod = pod.clone();
            seen.insert(container.id, (pod, container.state));
        }
    }
    seen
}

/// The pods of which something came, went or is in another state.
fn changed(before: &Seen, after: &Seen) -> BTreeSet<PodId> {
    let new = after.iter().filter(|(id, now)| before.get(*id) != Some(now));
    let gone = before.iter().filter(|(id, _)| !after.contains_key(*id));
    new.chain(gone).map(|(_, (pod, _))| pod.clone()).collect()
}

impl Events for Looker {
    fn next(&mut self) -> BoxFuture<'_, Option<Event>> {
        Box::pin(async {
            loop {
                if let Some(pod) = self.untold.pop_front() {
                    return Some(Event::Pod(pod));
                }
                self.env.clock.sleep(EVERY).await;
                match look(&self.connection, &self.owner).await {
                    Ok(seen) => {
                        self.untold.extend(changed(&self.seen, &seen));
                        self.seen = seen;
                    }
                    Err(error) => {
                        tracing::warn!("the container runtime does not say what it has: {error}");
                        return None;
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_told_of_whatever_happens_to_their_parts() {
        let sandbox = |name: &str, state| v1::PodSandbox {
            id: format!("s-{name}"),
            metadata: Some(v1::PodSandboxMetadata { name: name.to_owned(), ..Default::default() }),
            state,
            ..Default::default()
        };
        let container = |id: &str, of: &str, state| v1::Container {
            id: id.to_owned(),
            pod_sandbox_id: format!("s-{of}"),
            state,
            ..Default::default()
        };
        let before = picture(
            vec![sandbox("a", 0), sandbox("b", 0), sandbox("c", 0), sandbox("d", 0)],
            vec![container("1", "a", 1), container("2", "b", 1), container("3", "lost", 1)],
        );
        let after = picture(
            vec![sandbox("a", 0), sandbox("b", 0), sandbox("c", 1), sandbox("e", 0)],
            vec![container("1", "a", 2), container("2", "b", 1)],
        );
        let names = |pods: BTreeSet<PodId>| pods.into_iter().map(|pod| pod.name).collect::<Vec<_>>();
        assert_eq!(names(changed(&before, &after)), ["a", "c", "d", "e"]);
        assert!(changed(&after, &after).is_empty());
    }
}

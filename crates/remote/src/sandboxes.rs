//! Sandboxes of another's runtime. What one looks like is asked once for each state it is in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{PodGroups, Resources, Result, RuntimeError, Sandbox, SandboxConfig, v1};
use grpc::Code;

use crate::service::{Connection, Service};
use crate::{LIMIT, Remote, notes};

/// What they are called in errors.
pub(crate) const WHAT: &str = "sandbox";
/// How long a sandbox may take to be made: kubelets give it twice the usual time.
const MAKING: Duration = LIMIT.saturating_mul(2);

/// Sandboxes as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Sandboxes {
    known: Mutex<BTreeMap<String, Known>>,
    /// The groups of pods whose sandboxes are being made, and so not told of yet.
    making: Mutex<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Known {
    sandbox: Sandbox,
    config: SandboxConfig,
}

impl Sandboxes {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn making(&self) -> MutexGuard<'_, Vec<String>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says, as long as it is there, that a group is needed.
struct Needed<'a> {
    sandboxes: &'a Sandboxes,
    group: String,
}

impl<'a> Needed<'a> {
    fn new(sandboxes: &'a Sandboxes, group: &str) -> Needed<'a> {
        sandboxes.making().push(group.to_owned());
        Needed { sandboxes, group: group.to_owned() }
    }
}

impl Drop for Needed<'_> {
    fn drop(&mut self) {
        let mut making = self.sandboxes.making();
        if let Some(place) = making.iter().position(|group| *group == self.group) {
            making.swap_remove(place);
        }
    }
}

fn by_id(id: &str) -> v1::PodSandboxId {
    v1::PodSandboxId { pod_sandbox_id: id.to_owned() }
}

pub(crate) async fn run(remote: &Remote, mut config: SandboxConfig) -> Result<String> {
    notes::note_sandbox(&mut config, &remote.owner)?;
    let _needed = Needed::new(&remote.sandboxes, &config.cgroup_parent);
    let (group, resources) = (config.cgroup_parent.clone(), config.resources.clone());
    at_groups(remote, move |groups| groups.make(&group, &resources)).await?;
    let request = v1::RunPodSandboxRequest {
        config: Some(v1::sandbox_request(&config)),
        runtime_handler: config.handler.clone(),
    };
    let made: v1::PodSandboxId =
        remote.connection.call(Service::Runtime, "RunPodSandbox", &request, MAKING).await?;
    Ok(made.pod_sandbox_id)
}

/// Does something with the groups of pods, which blocks.
async fn at_groups<T: Send + 'static>(
    remote: &Remote,
    act: impl FnOnce(&dyn PodGroups) -> Result<T> + Send + 'static,
) -> Result<T> {
    let groups = remote.groups.clone();
    let done = remote.env.tasks.blocking(move || act(groups.as_ref())).await;
    done.ok_or_else(|| RuntimeError::Failed("the work at the pods' cgroups panicked".to_owned()))?
}

/// Removes what earlier processes left of pods that are gone. Before any is made.
pub(crate) async fn keep_groups(remote: &Remote) -> Result<()> {
    list(remote).await?;
    let kept = groups(remote);
    at_groups(remote, move |groups| {
        groups.keep_only(&kept);
        Ok(())
    })
    .await
}

/// The groups of the sandboxes that there were at the last look.
fn groups(remote: &Remote) -> Vec<String> {
    remote.sandboxes.known().values().map(|known| known.config.cgroup_parent.clone()).collect()
}

pub(crate) async fn stop(remote: &Remote, id: String) -> Result<()> {
    end(remote, id, "StopPodSandbox").await
}

pub(crate) async fn remove(remote: &Remote, id: String) -> Result<()> {
    let made_from = match config(remote, &id).await {
        Err(RuntimeError::NotFound { .. }) => return Ok(()),
        made_from => made_from?,
    };
    end(remote, id, "RemovePodSandbox").await?;
    // Another sandbox of the same pod, a later attempt, has the same group.
    list(remote).await?;
    let group = made_from.cgroup_parent;
    if groups(remote).contains(&group) || remote.sandboxes.making().contains(&group) {
        return Ok(());
    }
    at_groups(remote, move |groups| {
        groups.remove(&group);
        Ok(())
    })
    .await
}

/// What is gone already is no error.
async fn end(remote: &Remote, id: String, method: &str) -> Result<()> {
    match remote.connection.call::<v1::Nothing>(Service::Runtime, method, &by_id(&id), MAKING).await {
        Err(failure) if failure.code == Code::NOT_FOUND => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Changes the limits of a pod as a whole. Most runtimes do not want to know of them, and say so.
pub(crate) async fn update(remote: &Remote, id: String, resources: Resources) -> Result<()> {
    let (group, limits) = (config(remote, &id).await?.cgroup_parent, resources.clone());
    at_groups(remote, move |groups| groups.limit(&group, &limits)).await?;
    let request = v1::UpdatePodSandboxResourcesRequest {
        pod_sandbox_id: id.clone(),
        overhead: None,
        resources: Some(v1::resources_in_force(&resources)),
    };
    let method = "UpdatePodSandboxResources";
    match remote.connection.call(Service::Runtime, method, &request, LIMIT).await {
        Err(failure) if failure.code == Code::UNIMPLEMENTED => {
            tracing::debug!("this runtime need not know the limits of pods as a whole: {failure}");
        }
        Err(failure) => return Err(failure.about(WHAT, &id)),
        Ok(v1::Nothing {}) => {}
    }
    if let Some(known) = remote.sandboxes.known().get_mut(&id) {
        known.sandbox.resources = resources;
    }
    Ok(())
}

/// Those of ours, without what is only told of one by itself.
pub(crate) async fn summaries(connection: &Connection, owner: &str) -> Result<Vec<v1::PodSandbox>> {
    let filter = v1::PodSandboxFilter { label_selector: notes::of_owner(owner), ..Default::default() };
    let request = v1::ListPodSandboxRequest { filter: Some(filter) };
    let answer: v1::ListPodSandboxResponse =
        connection.call(Service::Runtime, "ListPodSandbox", &request, LIMIT).await?;
    Ok(answer.items)
}

pub(crate) async fn list(remote: &Remote) -> Result<Vec<Sandbox>> {
    let summaries = summaries(&remote.connection, &remote.owner).await?;
    remote.sandboxes.known().retain(|id, _| summaries.iter().any(|summary| summary.id == *id));
    let mut all = Vec::with_capacity(summaries.len());
    for summary in summaries {
        let same = |known: &&Known| known.sandbox.state == v1::sandbox_state(summary.state);
        let known = remote.sandboxes.known().get(&summary.id).filter(same).cloned();
        match known {
            Some(known) => all.push(known.sandbox),
            // One that was removed meanwhile is left out.
            None => all.extend(look(remote, &summary.id).await?.map(|known| known.sandbox)),
        }
    }
    Ok(all)
}

async fn look(remote: &Remote, id: &str) -> Result<Option<Known>> {
    let asked = remote.connection.call(Service::Runtime, "PodSandboxStatus", &by_id(id), LIMIT).await;
    let answer: v1::PodSandboxStatusResponse = match asked {
        Err(failure) if failure.code == Code::NOT_FOUND => return Ok(None),
        asked => asked?,
    };
    let mut sandbox = v1::sandbox_answer(answer.status.unwrap_or_default())?;
    let config = notes::take_sandbox(&mut sandbox.labels, &mut sandbox.annotations)?;
    let before = remote.sandboxes.known().get(id).map(|known| known.sandbox.resources.clone());
    sandbox.resources = before.unwrap_or_else(|| config.resources.clone());
    let known = Known { sandbox, config };
    remote.sandboxes.known().insert(id.to_owned(), known.clone());
    Ok(Some(known))
}

/// What a sandbox was made from.
pub(crate) async fn config(remote: &Remote, id: &str) -> Result<SandboxConfig> {
    let known = remote.sandboxes.known().get(id).cloned();
    let known = match known {
        Some(known) => Some(known),
        None => look(remote, id).await?,
    };
    let known = known.ok_or_else(|| RuntimeError::NotFound { what: WHAT, id: id.to_owned() })?;
    Ok(SandboxConfig { labels: known.sandbox.labels, annotations: known.sandbox.annotations, ..known.config })
}

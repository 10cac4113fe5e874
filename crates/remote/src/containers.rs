//! Containers of another's runtime. What one looks like is asked once for each state it is in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{Container, ContainerConfig, ContainerStats, ExecOutput, PodId, Resources, Result, v1};
use grpc::Code;

use crate::service::{Connection, Service};
use crate::{LIMIT, Remote, notes, sandboxes};

/// What they are called in errors.
pub(crate) const WHAT: &str = "container";
/// How long a command may take that has no limit.
const FOR_EVER: Duration = Duration::from_secs(99_999_999);

/// Containers as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    known: Mutex<BTreeMap<String, Container>>,
    /// Limits that were changed since they were written on the container.
    changed: Mutex<BTreeMap<String, Resources>>,
}

impl Containers {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Container>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, Resources>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_id(id: &str) -> v1::ContainerId {
    v1::ContainerId { container_id: id.to_owned() }
}

pub(crate) async fn create(remote: &Remote, sandbox: String, mut config: ContainerConfig) -> Result<String> {
    let of_sandbox = sandboxes::config(remote, &sandbox).await?;
    let resources = config.resources.clone();
    notes::note_container(&mut config.labels, &mut config.annotations, &resources, &remote.owner)?;
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(v1::container_request(&config)?),
        sandbox_config: Some(v1::sandbox_request(&of_sandbox)),
    };
    let made = remote.connection.call(Service::Runtime, "CreateContainer", &request, LIMIT).await;
    // Which of the two is missing, sandbox or image, only the text says.
    let made: v1::ContainerId = made?;
    Ok(made.container_id)
}

async fn change(remote: &Remote, id: &str, method: &str) -> Result<()> {
    let done = remote.connection.call::<v1::Nothing>(Service::Runtime, method, &by_id(id), LIMIT).await;
    done.map(drop).map_err(|failure| failure.about(WHAT, id))
}

pub(crate) async fn start(remote: &Remote, id: String) -> Result<()> {
    change(remote, &id, "StartContainer").await
}

pub(crate) async fn reopen_log(remote: &Remote, id: String) -> Result<()> {
    change(remote, &id, "ReopenContainerLog").await
}

/// What is gone already is no error.
pub(crate) async fn remove(remote: &Remote, id: String) -> Result<()> {
    match change(remote, &id, "RemoveContainer").await {
        Err(cri::RuntimeError::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// What is gone already is no error.
pub(crate) async fn stop(remote: &Remote, id: String, grace_secs: u32) -> Result<()> {
    let request = v1::StopContainerRequest { container_id: id, timeout: i64::from(grace_secs) };
    let limit = LIMIT + Duration::from_secs(u64::from(grace_secs));
    match remote.connection.call::<v1::Nothing>(Service::Runtime, "StopContainer", &request, limit).await {
        Err(failure) if failure.code == Code::NOT_FOUND => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

pub(crate) async fn update(remote: &Remote, id: String, resources: Resources) -> Result<()> {
    let request = v1::UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: Some(v1::resources_in_force(&resources)),
    };
    let method = "UpdateContainerResources";
    let done = remote.connection.call::<v1::Nothing>(Service::Runtime, method, &request, LIMIT).await;
    done.map_err(|failure| failure.about(WHAT, &id))?;
    remote.containers.changed().insert(id.clone(), resources);
    remote.containers.known().remove(&id);
    Ok(())
}

/// Those of ours, without what is only told of one by itself.
pub(crate) async fn summaries(connection: &Connection, owner: &str) -> Result<Vec<v1::Container>> {
    let filter = v1::ContainerFilter { label_selector: notes::of_owner(owner), ..Default::default() };
    let request = v1::ListContainersRequest { filter: Some(filter) };
    let answer: v1::ListContainersResponse =
        connection.call(Service::Runtime, "ListContainers", &request, LIMIT).await?;
    Ok(answer.containers)
}

pub(crate) async fn list(remote: &Remote) -> Result<Vec<Container>> {
    let summaries = summaries(&remote.connection, &remote.owner).await?;
    let is_there = |id: &String| summaries.iter().any(|summary| summary.id == *id);
    remote.containers.known().retain(|id, _| is_there(id));
    remote.containers.changed().retain(|id, _| is_there(id));
    // The sandbox of one that is listed now may be made or removed meanwhile: its pod is then told by the next look.
    let pods: BTreeMap<String, PodId> = sandboxes::summaries(&remote.connection, &remote.owner)
        .await?
        .into_iter()
        .filter_map(|sandbox| Some((sandbox.id, v1::pod_of(&sandbox.metadata?))))
        .collect();
    let mut all = Vec::with_capacity(summaries.len());
    for summary in summaries {
        let Some(pod) = pods.get(&summary.pod_sandbox_id) else { continue };
        let same = |known: &&Container| known.state == v1::container_state(summary.state);
        let known = remote.containers.known().get(&summary.id).filter(same).cloned();
        match known {
            Some(known) => all.push(known),
            // One that was removed meanwhile is left out.
            None => all.extend(look(remote, &summary, pod).await?),
        }
    }
    Ok(all)
}

async fn look(remote: &Remote, summary: &v1::Container, pod: &PodId) -> Result<Option<Container>> {
    let id = &summary.id;
    let asked = remote.connection.call(Service::Runtime, "ContainerStatus", &by_id(id), LIMIT).await;
    let answer: v1::ContainerStatusResponse = match asked {
        Err(failure) if failure.code == Code::NOT_FOUND => return Ok(None),
        asked => asked?,
    };
    let status = answer.status.unwrap_or_default();
    let limits_told = status.resources.is_some();
    let mut container = v1::container_answer(status)?;
    let made_with = notes::take_container(&mut container.labels, &mut container.annotations)?;
    if !limits_told {
        let changed = remote.containers.changed().get(id).cloned();
        container.resources = changed.unwrap_or(made_with);
    }
    container.sandbox.clone_from(&summary.pod_sandbox_id);
    container.pod = pod.clone();
    remote.containers.known().insert(id.clone(), container.clone());
    Ok(Some(container))
}

pub(crate) async fn exec_sync(
    remote: &Remote,
    id: String,
    command: Vec<String>,
    limit_secs: u32,
) -> Result<ExecOutput> {
    let request =
        v1::ExecSyncRequest { container_id: id.clone(), cmd: command, timeout: i64::from(limit_secs) };
    // The runtime keeps the limit; ours is for a runtime that hangs.
    let limit = match limit_secs {
        0 => FOR_EVER,
        secs => LIMIT + Duration::from_secs(u64::from(secs)),
    };
    let asked = remote.connection.call(Service::Runtime, "ExecSync", &request, limit).await;
    let output: v1::ExecSyncResponse = asked.map_err(|failure| failure.about(WHAT, &id))?;
    Ok(ExecOutput { stdout: output.stdout, stderr: output.stderr, exit_code: output.exit_code })
}

pub(crate) async fn stats(remote: &Remote, id: String) -> Result<ContainerStats> {
    let asked = remote.connection.call(Service::Runtime, "ContainerStats", &by_id(&id), LIMIT).await;
    let answer: v1::ContainerStatsResponse = asked.map_err(|failure| failure.about(WHAT, &id))?;
    Ok(v1::stats_answer(answer.stats.unwrap_or_default()))
}

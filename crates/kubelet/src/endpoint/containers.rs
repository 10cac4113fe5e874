//! Questions about containers, and commands in them.

use cri::wire::Message;
use cri::{AttachRequest, Container, ExecRequest, RuntimeError, v1};

use super::sandboxes::PIECE;
use super::{Endpoint, Known, Refusal, decode, files, one, selection};

/// The most that a command's output is told, of each stream: as much as CRI says.
const MOST_OUTPUT: usize = 16 << 20;

/// Answers what is about containers; `None` if it is not.
pub(super) async fn call(endpoint: &Endpoint, method: &str, body: &[u8]) -> Known {
    match method {
        "CreateContainer" => create(endpoint, decode(body)?).await,
        "StartContainer" => {
            endpoint.runtime.start_container(whole_id(endpoint, body).await?).await?;
            one(&v1::Nothing {})
        }
        "StopContainer" => {
            let asked: v1::StopContainerRequest = decode(body)?;
            let grace_secs = u32::try_from(asked.timeout.max(0)).unwrap_or(u32::MAX);
            if let Some(id) = known(endpoint, &asked.container_id).await? {
                endpoint.runtime.stop_container(id, grace_secs).await?;
            }
            one(&v1::Nothing {})
        }
        "RemoveContainer" => {
            let asked: v1::ContainerId = decode(body)?;
            if let Some(id) = known(endpoint, &asked.container_id).await? {
                endpoint.runtime.remove_container(id).await?;
            }
            one(&v1::Nothing {})
        }
        "UpdateContainerResources" => {
            let asked: v1::UpdateContainerResourcesRequest = decode(body)?;
            let container = selection::container(endpoint.runtime.as_ref(), &asked.container_id).await?;
            let resources = v1::resources(asked.linux.unwrap_or_default())?;
            endpoint.runtime.update_resources(container.id, resources).await?;
            one(&v1::Nothing {})
        }
        "ReopenContainerLog" => {
            endpoint.runtime.reopen_log(whole_id(endpoint, body).await?).await?;
            one(&v1::Nothing {})
        }
        "ExecSync" => exec_sync(endpoint, decode(body)?).await,
        "Exec" => exec(endpoint, decode(body)?).await,
        "Attach" => attach(endpoint, decode(body)?).await,
        _ => look(endpoint, method, body).await,
    }
}

/// Answers what changes nothing.
async fn look(endpoint: &Endpoint, method: &str, body: &[u8]) -> Known {
    match method {
        "ContainerStatus" => {
            let container = asked_for(endpoint, body).await?;
            let status = Some(v1::container_status(&container));
            one(&v1::ContainerStatusResponse { status, info: Default::default() })
        }
        "ListContainers" => {
            let filter = decode::<v1::ListContainersRequest>(body)?.filter.unwrap_or_default();
            let containers = list(endpoint, &filter).await?.iter().map(v1::container_summary).collect();
            one(&v1::ListContainersResponse { containers })
        }
        "StreamContainers" => {
            let filter = decode::<v1::ListContainersRequest>(body)?.filter.unwrap_or_default();
            let all = list(endpoint, &filter).await?;
            let summaries = |part: &[Container]| part.iter().map(v1::container_summary).collect();
            let pieces = all.chunks(PIECE);
            Ok(Some(
                pieces
                    .map(|part| v1::ListContainersResponse { containers: summaries(part) }.encode())
                    .collect(),
            ))
        }
        "ContainerStats" => {
            let container = asked_for(endpoint, body).await?;
            one(&v1::ContainerStatsResponse { stats: Some(stats(endpoint, &container).await?) })
        }
        "ListContainerStats" => {
            one(&v1::ListContainerStatsResponse { stats: all_stats(endpoint, body).await? })
        }
        "StreamContainerStats" => {
            let all = all_stats(endpoint, body).await?;
            let pieces =
                all.chunks(PIECE).map(|part| v1::ListContainerStatsResponse { stats: part.to_vec() });
            Ok(Some(pieces.map(|piece| piece.encode()).collect()))
        }
        _ => Ok(None),
    }
}

async fn asked_for(endpoint: &Endpoint, body: &[u8]) -> Result<Container, Refusal> {
    let asked: v1::ContainerId = decode(body)?;
    Ok(selection::container(endpoint.runtime.as_ref(), &asked.container_id).await?)
}

async fn whole_id(endpoint: &Endpoint, body: &[u8]) -> Result<String, Refusal> {
    Ok(asked_for(endpoint, body).await?.id)
}

/// The whole id of a container; `None` if there is none, which for its end is as good.
async fn known(endpoint: &Endpoint, id: &str) -> cri::Result<Option<String>> {
    match selection::container(endpoint.runtime.as_ref(), id).await {
        Ok(container) => Ok(Some(container.id)),
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create(endpoint: &Endpoint, asked: v1::CreateContainerRequest) -> Known {
    let sandbox = selection::sandbox(endpoint.runtime.as_ref(), &asked.pod_sandbox_id).await?;
    let missing = || RuntimeError::Invalid("the container's config is missing".to_owned());
    let mut config = v1::container(asked.config.ok_or_else(missing)?)?;
    files::add(&files::directory(&endpoint.config.files, &sandbox.id), &mut config.mounts);
    let container_id = endpoint.runtime.create_container(sandbox.id, config).await?;
    one(&v1::ContainerId { container_id })
}

async fn list(endpoint: &Endpoint, filter: &v1::ContainerFilter) -> Result<Vec<Container>, Refusal> {
    let mut all = endpoint.runtime.list_containers().await?;
    all.retain(|container| selection::takes_container(filter, &v1::container_summary(container)));
    all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(all)
}

async fn stats(endpoint: &Endpoint, container: &Container) -> cri::Result<v1::ContainerStats> {
    let stats = endpoint.runtime.container_stats(container.id.clone()).await?;
    Ok(v1::stats_of(container, &stats, &endpoint.config.store.to_string_lossy()))
}

/// What the running containers of a filter use. One that ends meanwhile is left out.
async fn all_stats(endpoint: &Endpoint, body: &[u8]) -> Result<Vec<v1::ContainerStats>, Refusal> {
    let asked = decode::<v1::ListContainerStatsRequest>(body)?.filter.unwrap_or_default();
    let filter = v1::ContainerFilter {
        id: asked.id,
        state: Some(v1::ContainerStateValue { state: 1 }),
        pod_sandbox_id: asked.pod_sandbox_id,
        label_selector: asked.label_selector,
    };
    let mut all = Vec::new();
    for container in list(endpoint, &filter).await? {
        match stats(endpoint, &container).await {
            Ok(stats) => all.push(stats),
            Err(error) => tracing::debug!(container = container.id, "it does not say what it uses: {error}"),
        }
    }
    Ok(all)
}

async fn exec_sync(endpoint: &Endpoint, asked: v1::ExecSyncRequest) -> Known {
    let container = selection::container(endpoint.runtime.as_ref(), &asked.container_id).await?;
    let limit_secs = u32::try_from(asked.timeout.max(0)).unwrap_or(u32::MAX);
    let mut output = endpoint.runtime.exec_sync(container.id, asked.cmd, limit_secs).await?;
    output.stdout.truncate(MOST_OUTPUT);
    output.stderr.truncate(MOST_OUTPUT);
    one(&v1::ExecSyncResponse { stdout: output.stdout, stderr: output.stderr, exit_code: output.exit_code })
}

fn check(tty: bool, stderr: bool, any: bool) -> cri::Result<()> {
    if tty && stderr {
        return Err(RuntimeError::Invalid("tty and stderr cannot both be true".to_owned()));
    }
    if !any {
        return Err(RuntimeError::Invalid("one of stdin, stdout, or stderr must be set".to_owned()));
    }
    Ok(())
}

async fn exec(endpoint: &Endpoint, asked: v1::ExecRequest) -> Known {
    check(asked.tty, asked.stderr, asked.stdin || asked.stdout || asked.stderr)?;
    let container = selection::container(endpoint.runtime.as_ref(), &asked.container_id).await?;
    let request = ExecRequest {
        command: asked.cmd,
        tty: asked.tty,
        stdin: asked.stdin,
        stdout: asked.stdout,
        stderr: asked.stderr,
    };
    one(&v1::StreamAddress { url: endpoint.streaming.exec(container.id, request)? })
}

async fn attach(endpoint: &Endpoint, asked: v1::AttachRequest) -> Known {
    check(asked.tty, asked.stderr, asked.stdin || asked.stdout || asked.stderr)?;
    let container = selection::container(endpoint.runtime.as_ref(), &asked.container_id).await?;
    let request =
        AttachRequest { tty: asked.tty, stdin: asked.stdin, stdout: asked.stdout, stderr: asked.stderr };
    one(&v1::StreamAddress { url: endpoint.streaming.attach(container.id, request)? })
}

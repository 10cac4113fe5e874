//! Questions about sandboxes.

use cri::RuntimeError;
use cri::v1;

use super::{Endpoint, Known, decode, files, one, selection};

/// So many are described in one message where a list comes in pieces.
pub(super) const PIECE: usize = 256;

/// Answers what is about sandboxes; `None` if it is not.
pub(super) async fn call(endpoint: &Endpoint, method: &str, body: &[u8]) -> Known {
    match method {
        "RunPodSandbox" => run(endpoint, decode(body)?).await,
        "StopPodSandbox" => {
            if let Some(id) = known(endpoint, decode(body)?).await? {
                endpoint.runtime.stop_sandbox(id).await?;
            }
            one(&v1::Nothing {})
        }
        "RemovePodSandbox" => {
            if let Some(id) = known(endpoint, decode(body)?).await? {
                remove(endpoint, id).await?;
            }
            one(&v1::Nothing {})
        }
        "PodSandboxStatus" => status(endpoint, decode(body)?).await,
        "ListPodSandbox" => one(&v1::ListPodSandboxResponse { items: list(endpoint, body).await? }),
        "StreamPodSandboxes" => {
            let all = list(endpoint, body).await?;
            let pieces = all.chunks(PIECE).map(|items| v1::ListPodSandboxResponse { items: items.to_vec() });
            Ok(Some(pieces.map(|piece| cri::wire::Message::encode(&piece)).collect()))
        }
        "UpdatePodSandboxResources" => {
            let asked: v1::UpdatePodSandboxResourcesRequest = decode(body)?;
            let sandbox = selection::sandbox(endpoint.runtime.as_ref(), &asked.pod_sandbox_id).await?;
            let resources = v1::resources(asked.resources.unwrap_or_default())?;
            endpoint.runtime.update_sandbox_resources(sandbox.id, resources).await?;
            one(&v1::Nothing {})
        }
        "PortForward" => {
            let asked: v1::PortForwardRequest = decode(body)?;
            let sandbox = selection::sandbox(endpoint.runtime.as_ref(), &asked.pod_sandbox_id).await?;
            one(&v1::StreamAddress { url: endpoint.streaming.forward(sandbox, &asked.port)? })
        }
        _ => Ok(None),
    }
}

async fn run(endpoint: &Endpoint, asked: v1::RunPodSandboxRequest) -> Known {
    let config =
        asked.config.ok_or_else(|| RuntimeError::Invalid("the sandbox's config is missing".to_owned()))?;
    let id = endpoint.runtime.run_sandbox(v1::sandbox(config.clone(), asked.runtime_handler)?).await?;
    let directory = files::directory(&endpoint.config.files, &id);
    if let Err(error) = files::make(&directory, &config, &endpoint.config.resolv_conf) {
        // Without its files it is of no use, and nobody would know its id.
        remove(endpoint, id).await?;
        return Err(RuntimeError::Failed(format!("cannot write {}: {error}", directory.display())).into());
    }
    one(&v1::PodSandboxId { pod_sandbox_id: id })
}

async fn remove(endpoint: &Endpoint, id: String) -> cri::Result<()> {
    endpoint.runtime.remove_sandbox(id.clone()).await?;
    let directory = files::directory(&endpoint.config.files, &id);
    files::remove(&directory)
        .map_err(|error| RuntimeError::Failed(format!("cannot remove {}: {error}", directory.display())))
}

/// The whole id of a sandbox; `None` if there is none, which for its end is as good.
async fn known(endpoint: &Endpoint, asked: v1::PodSandboxId) -> cri::Result<Option<String>> {
    match selection::sandbox(endpoint.runtime.as_ref(), &asked.pod_sandbox_id).await {
        Ok(sandbox) => Ok(Some(sandbox.id)),
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn status(endpoint: &Endpoint, asked: v1::PodSandboxId) -> Known {
    let sandbox = selection::sandbox(endpoint.runtime.as_ref(), &asked.pod_sandbox_id).await?;
    let timestamp = endpoint.env.clock.now().0;
    let containers = endpoint.runtime.list_containers().await?;
    let inside = containers.iter().filter(|container| container.sandbox == sandbox.id);
    one(&v1::PodSandboxStatusResponse {
        status: Some(v1::sandbox_status(&sandbox)),
        containers_statuses: inside.map(v1::container_status).collect(),
        timestamp,
    })
}

async fn list(endpoint: &Endpoint, body: &[u8]) -> Result<Vec<v1::PodSandbox>, super::Refusal> {
    let filter = decode::<v1::ListPodSandboxRequest>(body)?.filter.unwrap_or_default();
    let mut all = endpoint.runtime.list_sandboxes().await?;
    all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let summaries = all.iter().map(v1::sandbox_summary);
    Ok(summaries.filter(|summary| selection::takes_sandbox(&filter, summary)).collect())
}

//! The container runtime's own door: CRI v1 over a Unix socket, for `crictl` and for kubelets that are not this one.
//!
//! What is asked goes to the port ([`cri::Runtime`]) as the kubelet's own questions do. Beside that, this door keeps
//! what CRI leaves to the runtime: the small files that pods find, and the server of streams.

mod containers;
mod events;
mod files;
mod grpc;
mod images;
mod sandboxes;
mod selection;
mod streaming;
#[cfg(test)]
mod tests;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use cri::v1;
use cri::wire::Message;
use cri::{Runtime, RuntimeError};
use env::Env;
use tokio::net::UnixListener;

use grpc::{Answer, Outcome, Refusal};
use streaming::Streaming;

/// The service of all but images.
const RUNTIME: &str = "runtime.v1.RuntimeService";

/// Where the door is, and what it keeps where.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The socket.
    pub socket: PathBuf,
    /// A directory for the files of pods.
    pub files: PathBuf,
    /// Where the runtime keeps images and containers.
    pub store: PathBuf,
    /// The node's own resolver configuration.
    pub resolv_conf: PathBuf,
}

#[derive(Debug)]
struct Endpoint {
    config: EndpointConfig,
    runtime: Arc<dyn Runtime>,
    env: Env,
    streaming: Streaming,
}

/// Opens the door. It is shut when the tasks of `env` stop.
pub async fn serve_cri(config: EndpointConfig, runtime: Arc<dyn Runtime>, env: Env) -> std::io::Result<()> {
    match std::fs::remove_file(&config.socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&config.socket)?;
    std::fs::set_permissions(&config.socket, std::fs::Permissions::from_mode(0o600))?;
    let streaming = Streaming::start(runtime.clone(), env.child("streams")).await?;
    let endpoint = Arc::new(Endpoint { config, runtime, env: env.clone(), streaming });
    env.tasks.spawn("cri endpoint", grpc::serve(listener, endpoint));
    Ok(())
}

impl Endpoint {
    /// Answers a question by the name of its service and method.
    async fn call(&self, service: &str, method: &str, body: &[u8]) -> Outcome {
        if (service, method) == (RUNTIME, "GetContainerEvents") {
            return events::follow(self).await;
        }
        let answer = match service {
            RUNTIME => match self.about_runtime(method, body)? {
                Some(answer) => Some(answer),
                None => match sandboxes::call(self, method, body).await? {
                    Some(answer) => Some(answer),
                    None => containers::call(self, method, body).await?,
                },
            },
            "runtime.v1.ImageService" => images::call(self, method, body).await?,
            _ => return Err(Refusal::unimplemented(format!("unknown service {service}"))),
        };
        answer
            .map(Answer::Whole)
            .ok_or_else(|| Refusal::unimplemented(format!("unknown method {method} for service {service}")))
    }

    fn about_runtime(&self, method: &str, body: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Refusal> {
        match method {
            "Version" => {
                let asked: v1::VersionRequest = decode(body)?;
                let (runtime_name, runtime_version) = self.runtime.version();
                one(&v1::VersionResponse {
                    version: if asked.version.is_empty() { "0.1.0".to_owned() } else { asked.version },
                    runtime_name,
                    runtime_version,
                    runtime_api_version: "v1".to_owned(),
                })
            }
            "Status" => one(&self.status()),
            "RuntimeConfig" => {
                let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: v1::CGROUPFS };
                one(&v1::RuntimeConfigResponse { linux: Some(linux) })
            }
            // The only thing it can tell are the addresses of pods, which the pod network knows by itself.
            "UpdateRuntimeConfig" => one(&v1::Nothing {}),
            _ => Ok(None),
        }
    }

    fn status(&self) -> v1::StatusResponse {
        let ready = |kind: &str| v1::RuntimeCondition {
            r#type: kind.to_owned(),
            status: true,
            ..v1::RuntimeCondition::default()
        };
        let handlers = self.runtime.handlers().into_iter().map(|handler| v1::RuntimeHandler {
            name: handler.name,
            features: Some(v1::RuntimeHandlerFeatures {
                recursive_read_only_mounts: handler.recursive_readonly_mounts,
                user_namespaces: handler.user_namespaces,
            }),
        });
        v1::StatusResponse {
            status: Some(v1::RuntimeStatus {
                conditions: vec![ready("RuntimeReady"), ready("NetworkReady")],
            }),
            runtime_handlers: handlers.collect(),
            features: Some(v1::RuntimeFeatures {
                supplemental_groups_policy: true,
                user_namespaces_host_network: false,
            }),
        }
    }
}

impl From<RuntimeError> for Refusal {
    fn from(error: RuntimeError) -> Refusal {
        let code = match &error {
            RuntimeError::NotFound { .. } => grpc::NOT_FOUND,
            RuntimeError::Invalid(_) => grpc::INVALID_ARGUMENT,
            RuntimeError::Timeout(_) => grpc::DEADLINE_EXCEEDED,
            RuntimeError::Image(_) | RuntimeError::Failed(_) => grpc::UNKNOWN,
        };
        Refusal { code, message: error.to_string() }
    }
}

/// What an answer is made of, if the method is known.
type Known = Result<Option<Vec<Vec<u8>>>, Refusal>;

/// An answer of one message.
fn one(message: &impl Message) -> Known {
    Ok(Some(vec![message.encode()]))
}

fn decode<M: Message>(body: &[u8]) -> Result<M, Refusal> {
    M::decode(body).map_err(|error| Refusal { code: grpc::INTERNAL, message: error.to_string() })
}

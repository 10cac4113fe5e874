//! A container runtime that is not ours (containerd, CRI-O), asked over CRI v1: the same port as the built-in one.
//!
//! What CRI does not give back, and the port needs, stands in labels and annotations of what is made: so it is there after
//! any restart, of ours or of the runtime's. They also say whose something is: what others made with the same runtime
//! is neither shown nor touched.

mod containers;
mod events;
mod images;
mod notes;
mod sandboxes;
mod service;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cri::{
    AttachRequest, BoxFuture, Container, ContainerConfig, ContainerStats, Credentials, Duplex, Events,
    ExecOutput, ExecRequest, Handler, Image, PodGroups, Resources, Result, Runtime, RuntimeError, Sandbox,
    SandboxConfig, Session, v1,
};
use env::Env;

use containers::Containers;
use grpc::Code;
use sandboxes::Sandboxes;
use service::{Connection, Service};

/// How long a question may take: what kubelets give a runtime.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a runtime may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before a runtime that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Which runtime, and who asks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its socket.
    pub socket: PathBuf,
    /// Who asks: only what was made under the same name is shown.
    pub owner: String,
    /// What makes the cgroups of pods: that is left to whoever asks.
    pub groups: Arc<dyn PodGroups>,
}

/// The runtime.
#[derive(Debug)]
pub struct Remote {
    connection: Arc<Connection>,
    owner: String,
    groups: Arc<dyn PodGroups>,
    env: Env,
    version: (String, String),
    handlers: Vec<Handler>,
    sandboxes: Sandboxes,
    containers: Containers,
}

impl Remote {
    /// Asks it who it is. One that is only just starting is waited for.
    pub async fn connect(config: Config, env: Env) -> Result<Remote> {
        let connection = Arc::new(Connection::new(config.socket, &env));
        let deadline = env.clock.monotonic() + PATIENCE;
        let version: v1::VersionResponse = loop {
            let asked = v1::VersionRequest { version: "v1".to_owned() };
            match connection.call(Service::Runtime, "Version", &asked, LIMIT).await {
                Ok(version) => break version,
                Err(failure) if env.clock.monotonic() >= deadline => return Err(failure.into()),
                Err(failure) => tracing::debug!("the container runtime does not answer yet: {failure}"),
            }
            env.clock.sleep(PAUSE).await;
        };
        check_driver(&connection).await?;
        let status = status(&connection).await?;
        let remote = Remote {
            connection,
            owner: config.owner,
            groups: config.groups,
            env,
            version: (version.runtime_name, version.runtime_version),
            handlers: v1::handlers(status.runtime_handlers),
            sandboxes: Sandboxes::default(),
            containers: Containers::default(),
        };
        sandboxes::keep_groups(&remote).await?;
        Ok(remote)
    }

    /// Ends and removes everything that was made under our name.
    pub async fn teardown(&self) -> Result<()> {
        for sandbox in self.list_sandboxes().await? {
            self.stop_sandbox(sandbox.id.clone()).await?;
            self.remove_sandbox(sandbox.id).await?;
        }
        Ok(())
    }
}

async fn status(connection: &Connection) -> Result<v1::StatusResponse> {
    Ok(connection.call(Service::Runtime, "Status", &v1::StatusRequest { verbose: false }, LIMIT).await?)
}

/// Refuses a runtime that has cgroups made by systemd, and so cannot put containers where their pod is. Those that do not
/// say are found out by the first pod.
async fn check_driver(connection: &Connection) -> Result<()> {
    let asked = connection.call(Service::Runtime, "RuntimeConfig", &v1::Nothing {}, LIMIT).await;
    let config: v1::RuntimeConfigResponse = match asked {
        Err(failure) if failure.code == Code::UNIMPLEMENTED => return Ok(()),
        asked => asked?,
    };
    match config.linux {
        Some(linux) if linux.cgroup_driver != v1::CGROUPFS => Err(RuntimeError::Invalid(
            "it has systemd make cgroups; configure it to make them itself (cgroupfs: SystemdCgroup = false of containerd's \
             runc, cgroup_manager of CRI-O)"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

impl Runtime for Remote {
    fn version(&self) -> (String, String) {
        self.version.clone()
    }

    fn handlers(&self) -> Vec<Handler> {
        self.handlers.clone()
    }

    fn obstacles(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            match status(&self.connection).await {
                Ok(status) => v1::obstacles(status.status.unwrap_or_default()),
                Err(error) => {
                    tracing::warn!("the container runtime does not say how it is: {error}");
                    vec!["container runtime is down".to_owned()]
                }
            }
        })
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<String>> {
        Box::pin(sandboxes::run(self, config))
    }

    fn stop_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(sandboxes::stop(self, id))
    }

    fn remove_sandbox(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(sandboxes::remove(self, id))
    }

    fn update_sandbox_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(sandboxes::update(self, id, resources))
    }

    fn list_sandboxes(&self) -> BoxFuture<'_, Result<Vec<Sandbox>>> {
        Box::pin(sandboxes::list(self))
    }

    fn create_container(&self, sandbox: String, config: ContainerConfig) -> BoxFuture<'_, Result<String>> {
        Box::pin(containers::create(self, sandbox, config))
    }

    fn start_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(containers::start(self, id))
    }

    fn stop_container(&self, id: String, grace_secs: u32) -> BoxFuture<'_, Result<()>> {
        Box::pin(containers::stop(self, id, grace_secs))
    }

    fn remove_container(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(containers::remove(self, id))
    }

    fn list_containers(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        Box::pin(containers::list(self))
    }

    fn container(&self, id: String) -> BoxFuture<'_, Result<Container>> {
        Box::pin(async move {
            let all = containers::list(self).await?;
            let missing = || RuntimeError::NotFound { what: containers::WHAT, id: id.clone() };
            all.into_iter().find(|container| container.id == id).ok_or_else(missing)
        })
    }

    fn update_resources(&self, id: String, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(containers::update(self, id, resources))
    }

    fn reopen_log(&self, id: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(containers::reopen_log(self, id))
    }

    fn exec_sync(
        &self,
        id: String,
        command: Vec<String>,
        limit_secs: u32,
    ) -> BoxFuture<'_, Result<ExecOutput>> {
        Box::pin(containers::exec_sync(self, id, command, limit_secs))
    }

    fn exec(&self, id: String, request: ExecRequest) -> BoxFuture<'_, Result<Session>> {
        Box::pin(streams::exec(self, id, request))
    }

    fn attach(&self, id: String, request: AttachRequest) -> BoxFuture<'_, Result<Session>> {
        Box::pin(streams::attach(self, id, request))
    }

    fn port_forward(&self, sandbox: String, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        Box::pin(streams::port_forward(self, sandbox, port))
    }

    fn events(&self) -> BoxFuture<'_, Result<Box<dyn Events>>> {
        Box::pin(events::follow(self))
    }

    fn list_images(&self) -> BoxFuture<'_, Result<Vec<Image>>> {
        Box::pin(images::list(self))
    }

    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>> {
        Box::pin(images::find(self, reference))
    }

    fn pull_image(&self, reference: String, credentials: Vec<Credentials>) -> BoxFuture<'_, Result<String>> {
        Box::pin(images::pull(self, reference, credentials))
    }

    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(images::remove(self, reference))
    }

    fn image_usage(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(images::usage(self))
    }

    fn container_stats(&self, id: String) -> BoxFuture<'_, Result<ContainerStats>> {
        Box::pin(containers::stats(self, id))
    }
}

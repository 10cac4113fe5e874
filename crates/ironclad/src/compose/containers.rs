//! What runs a node's containers: our runtime, or another's that is asked over CRI.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use cri::Runtime;
use env::Env;
use network::Pods;

use crate::config::Instance;

/// What runs containers.
#[derive(Clone, Debug)]
pub enum Containers {
    /// We do.
    Ours(Arc<runtime::Engine>),
    /// Another does: images, and pods' ways onto the network, are its affair too.
    Theirs(Arc<Foreign>),
}

/// Another's runtime.
#[derive(Debug)]
pub struct Foreign {
    runtime: Arc<remote::Remote>,
    groups: Arc<runtime::PodGroups>,
    socket: PathBuf,
}

impl Containers {
    /// Starts our runtime.
    pub async fn start(config: runtime::Config, pods: &Pods, env: &Env) -> anyhow::Result<Containers> {
        let engine = runtime::Engine::start(config, pods.port(), env.child("runtime")).await;
        Ok(Containers::Ours(engine.context("the container runtime did not start")?))
    }

    /// Connects to another's, in which what is made for this instance bears its name.
    pub async fn connect(socket: PathBuf, instance: &Instance, env: &Env) -> anyhow::Result<Containers> {
        let groups = Arc::new(runtime::PodGroups::below(&instance.cgroup_root())?);
        let owner = instance.id.clone();
        let config = remote::Config { socket: socket.clone(), owner, groups: groups.clone() };
        let runtime = remote::Remote::connect(config, env.child("runtime")).await;
        let runtime = runtime.with_context(|| {
            format!("the container runtime at {} cannot be used; does it run?", socket.display())
        })?;
        Ok(Containers::Theirs(Arc::new(Foreign { runtime: Arc::new(runtime), groups, socket })))
    }

    /// What kubelets are given.
    pub fn port(&self) -> Arc<dyn Runtime> {
        match self {
            Containers::Ours(engine) => engine.clone(),
            Containers::Theirs(foreign) => foreign.runtime.clone(),
        }
    }

    /// Takes an archive's images in.
    pub async fn import(&self, archive: PathBuf) -> anyhow::Result<Vec<String>> {
        match self {
            Containers::Ours(engine) => Ok(engine.import_archive(archive).await?),
            Containers::Theirs(foreign) => anyhow::bail!(
                "this node's images are those of {} at {}, which takes no archives over CRI; use its own tool (for \
                 containerd: ctr --address {} --namespace k8s.io images import {})",
                foreign.runtime.version().0,
                foreign.socket.display(),
                foreign.socket.display(),
                archive.display()
            ),
        }
    }

    /// Ends everything of the instance.
    pub async fn teardown(&self) -> anyhow::Result<()> {
        match self {
            Containers::Ours(engine) => engine.teardown().await?,
            Containers::Theirs(foreign) => {
                foreign.runtime.teardown().await?;
                foreign.groups.teardown()?;
            }
        }
        Ok(())
    }
}

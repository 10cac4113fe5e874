//! The engine: what the node's process keeps of the runtime. It holds no state that is not on disk or in a shim, so it
//! may die at any moment and be started again.

mod adopt;
mod compile;
mod containers;
mod images;
mod link;
mod runtime;
mod sandboxes;
mod sessions;
mod spawn;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cri::{ContainerState, PodId, PodNetwork, RuntimeError, SandboxState};
use tokio::sync::{broadcast, watch};

use self::link::Link;
use self::spawn::HelperProgram;
use crate::cgroup::Cgroups;
use crate::image::{ImageStore, RegistryConfig};
use crate::state::{ContainerRecord, ExitState, Layout, RunState, SandboxRecord};

/// How many events a slow consumer may be behind before it is told to look at everything.
const EVENT_BACKLOG: usize = 1024;

/// What an engine is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything of this instance is kept. Must not be on an overlay file system.
    pub root: PathBuf,
    /// Tells this instance from others on the machine.
    pub instance: String,
    /// The cgroup below which all of this instance's are made: `/ironclad-<instance>`.
    pub cgroup_root: String,
    /// A program that calls [`crate::helper_main`]; usually `/proc/self/exe`.
    pub helper_exe: PathBuf,
    /// Names of tools that the built-in image has as links to this program.
    pub builtin_tools: Vec<String>,
    /// Registries that are spoken to otherwise than by default, by `host[:port]`.
    pub registries: BTreeMap<String, RegistryConfig>,
}

impl Config {
    /// The usual configuration for an instance that keeps its things in `root`.
    pub fn new(root: impl Into<PathBuf>, instance: impl Into<String>) -> Config {
        let instance = instance.into();
        Config {
            root: root.into(),
            cgroup_root: format!("/ironclad-{instance}"),
            instance,
            helper_exe: "/proc/self/exe".into(),
            builtin_tools: Vec::new(),
            registries: BTreeMap::new(),
        }
    }
}

/// The runtime. Dropping it leaves all containers running.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What tasks of the engine share.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    env: env::Env,
    network: Arc<dyn PodNetwork>,
    cgroups: Cgroups,
    images: Arc<ImageStore>,
    helper: HelperProgram,
    state: Mutex<State>,
    commands: Mutex<sessions::Commands>,
    events: broadcast::Sender<PodId>,
    /// Who deletes deletes alone: two at one directory leave half of it.
    deleting: Mutex<()>,
    /// Held as long as this engine lives: two must not serve one directory.
    _lock: std::fs::File,
}

#[derive(Debug, Default)]
struct State {
    sandboxes: BTreeMap<String, Arc<Sandbox>>,
    containers: BTreeMap<String, Arc<Container>>,
}

/// A sandbox that exists.
#[derive(Debug)]
struct Sandbox {
    id: String,
    record: SandboxRecord,
    live: Mutex<Live>,
    /// Changes to what is in it come one after the other.
    gate: tokio::sync::Mutex<()>,
    /// Set when its shim is gone.
    gone: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Live {
    state: SandboxState,
    ips: Vec<std::net::IpAddr>,
    link: Option<Arc<Link>>,
    shim: Option<crate::state::ShimState>,
    resources: cri::Resources,
}

/// A container that exists.
#[derive(Debug)]
struct Container {
    id: String,
    record: ContainerRecord,
    life: watch::Sender<Life>,
}

/// Where a container is in its life.
#[derive(Clone, Debug, Default)]
struct Life {
    state: ContainerState,
    run: RunState,
    exit: ExitState,
    resources: cri::Resources,
}

impl Engine {
    /// Starts the engine: takes over what runs, and sweeps away what a crash left half done.
    pub async fn start(
        config: Config,
        network: Arc<dyn PodNetwork>,
        env: env::Env,
    ) -> cri::Result<Arc<Engine>> {
        let layout = Layout { root: config.root.clone() };
        let lock = storage::prepare(&layout)?;
        let cgroups = Cgroups::detect(&config.cgroup_root)
            .map_err(|error| RuntimeError::Failed(format!("cannot read /proc/self/mountinfo: {error}")))?;
        let helper = HelperProgram::open(&config.helper_exe);
        let images = Arc::new(ImageStore::open(&layout, &config)?);
        let shared = Arc::new(Shared {
            layout,
            env,
            network,
            cgroups,
            images,
            helper,
            state: Mutex::new(State::default()),
            commands: Mutex::default(),
            events: broadcast::channel(EVENT_BACKLOG).0,
            deleting: Mutex::default(),
            _lock: lock,
        });
        shared.adopt_all().await?;
        Ok(Arc::new(Engine { shared }))
    }

    /// Ends everything of this instance: containers are killed, and every mount, namespace and cgroup is given back.
    /// Images stay.
    pub async fn teardown(&self) -> cri::Result<()> {
        self.shared.teardown().await
    }

    /// Takes the images of a docker or OCI archive. Answers their names.
    pub async fn import_archive(&self, archive: PathBuf) -> cri::Result<Vec<String>> {
        let shared = self.shared.clone();
        self.shared.blocking(move || shared.images.import_archive(&archive)).await
    }

    /// Writes an image as an archive that is both a docker and an OCI one.
    pub async fn export_archive(&self, reference: String, archive: PathBuf) -> cri::Result<()> {
        let shared = self.shared.clone();
        self.shared.blocking(move || shared.images.export_archive(&reference, &archive)).await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandbox(&self, id: &str) -> cri::Result<Arc<Sandbox>> {
        let found = self.state().sandboxes.get(id).cloned();
        found.ok_or_else(|| RuntimeError::NotFound { what: "sandbox", id: id.to_owned() })
    }

    fn container(&self, id: &str) -> cri::Result<Arc<Container>> {
        let found = self.state().containers.get(id).cloned();
        found.ok_or_else(|| RuntimeError::NotFound { what: "container", id: id.to_owned() })
    }

    fn containers_of(&self, sandbox: &str) -> Vec<Arc<Container>> {
        let state = self.state();
        state.containers.values().filter(|container| container.record.sandbox == sandbox).cloned().collect()
    }

    fn changed(&self, pod: &PodId) {
        // Nobody may be listening.
        let _ = self.events.send(pod.clone());
    }

    fn now(&self) -> i64 {
        self.env.clock.now().0
    }

    /// Deletes what was discarded. Blocks.
    fn empty_trash(&self) {
        let _deleting = self.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        storage::empty_trash(&self.layout);
    }

    /// Runs work that blocks on a thread where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> cri::Result<T> + Send + 'static,
    ) -> cri::Result<T> {
        self.env.tasks.blocking(work).await.unwrap_or_else(|| {
            Err(RuntimeError::Failed("the work panicked; this is a defect, please report it".into()))
        })
    }

    /// An id as runtimes use them: 256 random bits.
    fn new_id(&self) -> String {
        (0..4).map(|_| format!("{:016x}", self.env.entropy.next_u64())).collect()
    }
}

impl Live {
    /// What was found out about it with its shim's help, which may be gone meanwhile: then it is not ready any more,
    /// whatever was found.
    fn settle(&mut self, state: SandboxState, ips: Vec<std::net::IpAddr>) {
        self.ips = ips;
        if self.link.is_some() {
            self.state = state;
        }
    }
}

impl Sandbox {
    fn new(id: String, record: SandboxRecord) -> Sandbox {
        let live = Live { resources: record.config.resources.clone(), ..Live::default() };
        Sandbox {
            id,
            record,
            live: Mutex::new(live),
            gate: tokio::sync::Mutex::new(()),
            gone: watch::Sender::new(true),
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> cri::Result<Arc<Link>> {
        let link = self.live().link.clone();
        link.ok_or_else(|| RuntimeError::Failed(format!("sandbox {} is not ready", self.id)))
    }

    fn pod(&self) -> &PodId {
        &self.record.config.pod
    }
}

impl Container {
    fn life(&self) -> Life {
        self.life.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_whose_shim_is_gone_does_not_become_ready_by_what_was_found_out_before() {
        let ips = vec![std::net::IpAddr::from([10, 0, 0, 7])];
        let mut live = Live::default();
        live.settle(SandboxState::Ready, ips.clone());
        assert_eq!((live.state, live.ips), (SandboxState::NotReady, ips));
    }
}

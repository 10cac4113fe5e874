//! The start and the end of an engine: what runs is taken over, what a crash left is swept away, and at the end of
//! the instance all of it is given back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cri::{ContainerState, SandboxState};
use tokio::sync::watch;

use super::containers::RESOURCES;
use super::sandboxes::{SHIMS, kill_shim};
use super::{Container, Life, Sandbox, Shared, storage};
use crate::protocol::{Answer, Request};
use crate::state::{
    self, ContainerRecord, EXIT, ExitState, READY, RECORD, RUN, ReadyState, RunState, SHIM, STOPPED,
    SandboxRecord, ShimState,
};
use crate::sys::{mount, process};

/// How often, and after which pause, it is looked again whether containers that are being started have come to run.
const LAUNCHES: usize = 1_000;
const LAUNCH: Duration = Duration::from_millis(10);

/// What was seen of a sandbox's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Settled,
    /// Some are being started.
    Launching,
}

impl Shared {
    /// Takes over what is on disk and what runs.
    pub(super) async fn adopt_all(self: &Arc<Self>) -> cri::Result<()> {
        let shared = self.clone();
        self.blocking(move || {
            shared.load()?;
            shared.empty_trash();
            Ok(())
        })
        .await?;
        let sandboxes: Vec<Arc<Sandbox>> = self.state().sandboxes.values().cloned().collect();
        for sandbox in &sandboxes {
            self.adopt(sandbox).await?;
        }
        let shared = self.clone();
        self.blocking(move || shared.sweep()).await?;
        let live: Vec<String> = {
            let state = self.state();
            let is_live = |sandbox: &&Arc<Sandbox>| sandbox.live().state == SandboxState::Ready;
            state.sandboxes.values().filter(is_live).map(|sandbox| sandbox.id.clone()).collect()
        };
        self.network.keep_only(live).await
    }

    /// Reads the records. What is only half made has none, or never became ready.
    fn load(&self) -> cri::Result<()> {
        for id in storage::names_in(&self.layout.sandboxes())? {
            let directory = self.layout.sandbox(&id);
            let record = read_record::<SandboxRecord>(&directory);
            let is_ready = directory.join(READY).exists();
            match record {
                Some(record) if is_ready => {
                    let sandbox = Sandbox::new(id.clone(), record);
                    if let Some(resources) = state::read(&directory, RESOURCES).ok().flatten() {
                        sandbox.live().resources = resources;
                    }
                    self.state().sandboxes.insert(id, Arc::new(sandbox));
                }
                record => self.drop_half_made(&id, record.as_ref())?,
            }
        }
        for id in storage::names_in(&self.layout.containers())? {
            let directory = self.layout.container(&id);
            let record = read_record::<ContainerRecord>(&directory);
            let record = record.filter(|record| self.state().sandboxes.contains_key(&record.sandbox));
            let Some(record) = record else {
                storage::discard(&self.layout, &directory, &id)?;
                continue;
            };
            let resources = state::read(&directory, RESOURCES).ok().flatten();
            let life = Life {
                state: ContainerState::Created,
                run: state::read::<RunState>(&directory, RUN).ok().flatten().unwrap_or_default(),
                exit: ExitState::default(),
                resources: resources.unwrap_or_else(|| record.config.resources.clone()),
            };
            let container = Container { id: id.clone(), record, life: watch::Sender::new(life) };
            self.state().containers.insert(id, Arc::new(container));
        }
        Ok(())
    }

    /// Takes back a sandbox whose making was interrupted. Its shim may just be starting, and be known to nobody: first
    /// the directory goes, without which a shim ends by itself, then whoever got there before.
    fn drop_half_made(&self, id: &str, record: Option<&SandboxRecord>) -> cri::Result<()> {
        let directory = self.layout.sandbox(id);
        self.free_sandbox(id, None)?;
        storage::discard(&self.layout, &directory, id)?;
        super::spawn::kill_shims_of(&directory);
        self.free_sandbox(id, record.map(|record| record.cgroup.as_str()))
    }

    /// Connects to a sandbox's shim if it lives, and learns how its containers are.
    async fn adopt(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> cri::Result<()> {
        let directory = self.layout.sandbox(&sandbox.id);
        let shim: Option<ShimState> = state::read(&directory, SHIM).ok().flatten();
        let lives = shim.as_ref().is_some_and(ShimState::runs);
        let stopped = directory.join(STOPPED).exists();
        if !lives || self.connect(sandbox, None).is_err() {
            if let Some(shim) = shim {
                kill_shim(&shim);
            }
            self.end_lost(sandbox).await?;
            let (shared, dead) = (self.clone(), sandbox.clone());
            return self.blocking(move || shared.free_sandbox(&dead.id, Some(&dead.record.cgroup))).await;
        }
        self.learn(sandbox).await;
        let ready: ReadyState = state::read(&directory, READY).ok().flatten().unwrap_or_default();
        let state = if stopped { SandboxState::NotReady } else { SandboxState::Ready };
        sandbox.live().settle(state, ready.ips);
        if stopped {
            // Its stop was interrupted.
            return self.stop_sandbox(&sandbox.id).await;
        }
        self.restore_netns(sandbox)
    }

    /// Learns from a sandbox's shim how its containers are. What it tells later comes as news. One whose start an engine
    /// before us asked for may be on its way: it is waited for, so that it is not taken for one that was never started.
    pub(super) async fn learn(&self, sandbox: &Sandbox) {
        for _ in 0..LAUNCHES {
            if self.look(sandbox).await == Look::Settled {
                return;
            }
            self.env.clock.sleep(LAUNCH).await;
        }
        tracing::warn!(sandbox = sandbox.id, "a container is being started and does not come to run");
    }

    async fn look(&self, sandbox: &Sandbox) -> Look {
        let Ok(link) = sandbox.link() else { return Look::Settled };
        let running = match link.call(Request::Report).await {
            Ok(Answer::Report { running }) => running,
            // It is gone again, and that is noted elsewhere.
            _ => return Look::Settled,
        };
        let mut look = Look::Settled;
        for container in self.containers_of(&sandbox.id) {
            let directory = self.layout.container(&container.id);
            let run: Option<RunState> = state::read(&directory, RUN).ok().flatten();
            let exit: Option<ExitState> = state::read(&directory, EXIT).ok().flatten();
            let is_running = running.contains(&container.id);
            if is_running && run.is_none() && exit.is_none() {
                look = Look::Launching;
            }
            container.life.send_modify(|life| {
                life.run = run.unwrap_or_default();
                match exit {
                    Some(exit) => {
                        life.state =
                            if exit.unknown { ContainerState::Unknown } else { ContainerState::Exited };
                        life.exit = exit;
                    }
                    // One without a run is being started; its news will come.
                    None if is_running && life.run.pid != 0 && life.state == ContainerState::Created => {
                        life.state = ContainerState::Running;
                    }
                    None => {}
                }
            });
        }
        look
    }

    /// Notes the end of containers whose shim is gone.
    async fn end_lost(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> cri::Result<()> {
        let (shared, dead) = (self.clone(), sandbox.clone());
        self.blocking(move || {
            shared.end_lost_containers(&dead);
            Ok(())
        })
        .await
    }

    /// The file that keeps a network namespace may be missing from our mounts if we were started elsewhere.
    fn restore_netns(&self, sandbox: &Sandbox) -> cri::Result<()> {
        let file = self.layout.sandbox(&sandbox.id).join(state::NETNS);
        let shim = sandbox.live().shim.clone();
        let (Some(shim), true) = (shim, sandbox.record.plan.own_network) else { return Ok(()) };
        let failed = |error: rustix::io::Errno| storage::failed("keep", &file, &error.into());
        const NSFS_MAGIC: u64 = 0x6e73_6673;
        if rustix::fs::statfs(&file).map_err(failed)?.f_type as u64 != NSFS_MAGIC {
            rustix::mount::mount_bind(format!("/proc/{}/ns/net", shim.pid), &file).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes what nobody knows any more: cgroups, shims, mounts, directories of this instance.
    fn sweep(&self) -> cri::Result<()> {
        let live_pids: Vec<i32> = {
            let state = self.state();
            let live = state.sandboxes.values().filter(|sandbox| sandbox.live().link.is_some());
            live.filter_map(|sandbox| sandbox.live().shim.as_ref().map(|shim| shim.pid)).collect()
        };
        for pid in self.cgroups.processes(SHIMS) {
            // A shim's children are there until they joined their container's, and its process 1 for ever.
            let is_shims_child = process::parent(pid).is_none_or(|parent| live_pids.contains(&parent));
            if !live_pids.contains(&pid) && !is_shims_child {
                tracing::info!(pid, "a shim without a sandbox is killed");
                // It may have ended meanwhile.
                let _ = process::signal(pid, libc::SIGKILL);
            }
        }
        self.sweep_cgroups();
        for mounted in mount::mounts_below(&self.layout.sandboxes()).unwrap_or_default().iter().rev() {
            if !self.belongs_to_live_sandbox(mounted) {
                mount::unmount_all(mounted).map_err(|error| storage::failed("unmount", mounted, &error))?;
            }
        }
        self.empty_trash();
        Ok(())
    }

    /// A container's group carries its id, and a pod's begins with `pod`; others are the kubelet's.
    fn sweep_cgroups(&self) {
        let of_pods: BTreeSet<String> = {
            let state = self.state();
            let live = state.sandboxes.values().filter(|sandbox| sandbox.live().link.is_some());
            live.map(|sandbox| sandbox.record.cgroup.trim_start_matches('/').to_owned()).collect()
        };
        for path in self.cgroups.existing().iter().rev() {
            let is_container =
                |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            if above.split('/').any(is_container) {
                // What a container makes below its own group is its affair, and goes with it.
                continue;
            }
            if is_container(name) && !self.is_running(name) {
                self.cgroups.kill_tree(path);
                self.cgroups.remove_tree(path);
            } else if name.starts_with("pod") && !of_pods.contains(path) {
                // Empty, or it stays.
                self.cgroups.remove_tree(path);
            }
        }
    }

    fn is_running(&self, container: &str) -> bool {
        self.container(container).is_ok_and(|container| {
            matches!(container.life().state, ContainerState::Running | ContainerState::Created)
        })
    }

    fn belongs_to_live_sandbox(&self, path: &Path) -> bool {
        let relative = path.strip_prefix(self.layout.sandboxes()).unwrap_or(path);
        let id = relative.components().next().map(|name| name.as_os_str().to_string_lossy().into_owned());
        id.and_then(|id| self.sandbox(&id).ok()).is_some_and(|sandbox| sandbox.live().link.is_some())
    }

    /// Ends everything of this instance.
    pub(super) async fn teardown(self: &Arc<Self>) -> cri::Result<()> {
        let ids: Vec<String> = self.state().sandboxes.keys().cloned().collect();
        for id in ids {
            self.remove_sandbox(&id).await?;
        }
        self.network.keep_only(Vec::new()).await?;
        let shared = self.clone();
        self.blocking(move || {
            shared.cgroups.kill_tree("");
            let clean = shared.cgroups.remove_tree_when_empty("");
            for mounted in mount::mounts_below(&shared.layout.root).unwrap_or_default().iter().rev() {
                mount::unmount_all(mounted).map_err(|error| storage::failed("unmount", mounted, &error))?;
            }
            shared.empty_trash();
            if clean {
                return Ok(());
            }
            Err(cri::RuntimeError::Failed(format!(
                "some cgroups below {} are still in use by processes that do not end",
                shared.cgroups.root()
            )))
        })
        .await
    }
}

fn read_record<T: serde::de::DeserializeOwned>(directory: &Path) -> Option<T> {
    match state::read(directory, RECORD) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "a record is not understood; what it is about is removed");
            None
        }
    }
}

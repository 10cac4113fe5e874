//! Sandboxes: made, stopped, removed.

use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use cri::{NetworkRequest, RuntimeError, SandboxConfig, SandboxState};
use tokio::sync::mpsc;

use super::containers::{RESOURCES, merge};
use super::link::{Link, News};
use super::{Live, Sandbox, Shared, compile, storage};
use crate::cgroup::place;
use crate::protocol::{Answer, Request};
use crate::state::{
    self, Durability, NETNS, READY, RECORD, ReadyState, SHIM, SHM, STOPPED, SandboxRecord, ShimState,
    StoppedState,
};
use crate::sys::{mount, process};

/// How long a shim may take to kill its containers and end, before it is killed itself.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The cgroup shims are in: not that of their pod, whose limits are not theirs.
pub(super) const SHIMS: &str = "shims";

/// What a pod may ask to be run by: us, without a name or with it.
pub(super) const HANDLERS: [&str; 2] = ["", "ironclad"];

impl Shared {
    pub(super) async fn run_sandbox(self: &Arc<Self>, config: SandboxConfig) -> cri::Result<String> {
        let id = self.new_id();
        let made = self.make_sandbox(&id, config).await;
        if made.is_err() {
            self.undo_sandbox(&id).await;
        }
        made.map(|()| id)
    }

    async fn make_sandbox(self: &Arc<Self>, id: &str, config: SandboxConfig) -> cri::Result<()> {
        if !HANDLERS.contains(&config.handler.as_str()) {
            let why = format!("no runtime for {:?} is configured", config.handler);
            return Err(RuntimeError::Invalid(format!("failed to get sandbox runtime: {why}")));
        }
        let mut plan = compile::sandbox(id, &config);
        let named = &config.cgroup_parent;
        let cgroup = place::of_pod(self.cgroups.root(), named, &config.pod.uid)
            .ok_or_else(|| RuntimeError::Invalid(format!("invalid cgroup parent {named:?}")))?;
        plan.shim_cgroups = self.cgroups.plan(SHIMS).join;
        let record = SandboxRecord { config, plan, created_at: self.now(), cgroup };
        let directory = self.layout.sandbox(id);
        let (shared, to_write) = (self.clone(), record.clone());
        let child = self
            .blocking(move || {
                let directory = shared.layout.sandbox(&to_write.plan.id);
                storage::make_directory(&directory, 0o700)?;
                state::write(&directory, RECORD, &to_write, Durability::Power)
                    .map_err(|error| storage::failed("write", &directory, &error))?;
                shared.make_sandbox_cgroups(&to_write)?;
                shared
                    .helper
                    .start_shim(&directory)
                    .map_err(|why| RuntimeError::Failed(format!("cannot make the sandbox: {why}")))
            })
            .await?;
        let sandbox = Arc::new(Sandbox::new(id.to_owned(), record));
        self.connect(&sandbox, Some(child))?;
        // From here on what fails is undone through the list.
        self.state().sandboxes.insert(id.to_owned(), sandbox.clone());
        let ips = self.attach_network(&sandbox).await?;
        let ready = ReadyState { ips: ips.clone() };
        state::write(&directory, READY, &ready, Durability::Power)
            .map_err(|error| storage::failed("write", &directory, &error))?;
        sandbox.live().settle(SandboxState::Ready, ips);
        self.changed(sandbox.pod());
        Ok(())
    }

    fn make_sandbox_cgroups(&self, record: &SandboxRecord) -> cri::Result<()> {
        let failed = |error: crate::cgroup::CgroupError| RuntimeError::Failed(error.to_string());
        self.cgroups.make(SHIMS).map_err(failed)?;
        self.cgroups.make(&record.cgroup).map_err(failed)?;
        match place::is_ours(&record.cgroup) {
            true => self.cgroups.limit(&record.cgroup, &record.config.resources).map_err(failed),
            false => Ok(()),
        }
    }

    pub(super) async fn update_sandbox_resources(
        self: &Arc<Self>,
        id: &str,
        resources: cri::Resources,
    ) -> cri::Result<()> {
        let sandbox = self.sandbox(id)?;
        let shared = self.clone();
        self.blocking(move || {
            let directory = shared.layout.sandbox(&sandbox.id);
            if sandbox.live().state == SandboxState::Ready && place::is_ours(&sandbox.record.cgroup) {
                let failed = |error: crate::cgroup::CgroupError| RuntimeError::Failed(error.to_string());
                shared.cgroups.limit(&sandbox.record.cgroup, &resources).map_err(failed)?;
            }
            let merged = merge(&sandbox.live().resources, resources);
            state::write(&directory, RESOURCES, &merged, Durability::Power)
                .map_err(|error| storage::failed("write", &directory, &error))?;
            sandbox.live().resources = merged;
            Ok(())
        })
        .await
    }

    async fn attach_network(&self, sandbox: &Sandbox) -> cri::Result<Vec<std::net::IpAddr>> {
        if !sandbox.record.plan.own_network {
            return Ok(Vec::new());
        }
        let config = &sandbox.record.config;
        let request = NetworkRequest {
            sandbox: sandbox.id.clone(),
            netns: self.layout.sandbox(&sandbox.id).join(NETNS),
            interface: String::new(),
            pod: config.pod.clone(),
            ports: config.port_mappings.clone(),
            annotations: config.annotations.clone(),
        };
        self.network.attach(request).await
    }

    /// Connects to a sandbox's shim and follows what it tells. `child` is the shim if this engine started it.
    pub(super) fn connect(self: &Arc<Self>, sandbox: &Arc<Sandbox>, child: Option<Child>) -> cri::Result<()> {
        let directory = self.layout.sandbox(&sandbox.id);
        let shim: Option<ShimState> =
            state::read(&directory, SHIM).map_err(|error| storage::failed("read", &directory, &error))?;
        let (sender, news) = mpsc::unbounded_channel();
        let connected = Link::connect(&directory, &self.env.tasks, sender);
        let link = match connected {
            Ok(link) => link,
            Err(error) => {
                if let Some(mut child) = child {
                    // Not of use, and nobody else's.
                    let _ = child.kill();
                    let _ = child.wait();
                }
                return Err(RuntimeError::Failed(format!("cannot reach the pod's shim: {error}")));
            }
        };
        {
            let mut live = sandbox.live();
            let resources = live.resources.clone();
            *live = Live { link: Some(link), shim, resources, ..Live::default() };
        }
        sandbox.gone.send_replace(false);
        let (shared, followed) = (self.clone(), sandbox.clone());
        self.env.tasks.spawn("shim news", async move { shared.follow(followed, news, child).await });
        Ok(())
    }

    async fn follow(
        self: Arc<Self>,
        sandbox: Arc<Sandbox>,
        mut news: mpsc::UnboundedReceiver<News>,
        child: Option<Child>,
    ) {
        loop {
            let told = match news.recv().await {
                Some(News::Told(told)) => *told,
                Some(News::Closed) => break,
                // The engine ends, the shim goes on.
                None => return,
            };
            match told {
                Answer::Ended { container, exit } => self.container_ended(&sandbox, &container, exit),
                Answer::Running { container, run } => self.container_runs(&sandbox, &container, run),
                Answer::ExecEnded { exec, code } => self.exec_ended(&sandbox.id, exec, code),
                other => tracing::warn!(?other, "a shim told something unasked"),
            }
        }
        if !self.shim_ends(&sandbox).await {
            // It lives: the connection broke, or it took us for hung.
            let again = self.clone().follow_again(sandbox.clone());
            self.env.tasks.spawn("shim reconnection", again);
        } else {
            self.shim_gone(&sandbox).await;
        }
        if let Some(mut child) = child {
            // Collected whenever it ends; it may outlive this connection.
            self.env.tasks.blocking(move || child.wait()).await;
        }
    }

    /// Whether a shim that closed its connection ends, as it should.
    async fn shim_ends(&self, sandbox: &Sandbox) -> bool {
        let shim = sandbox.live().shim.clone();
        let Some(shim) = shim else { return true };
        for _ in 0..100 {
            if !shim.runs() {
                return true;
            }
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Connects once more to a shim that lives; one that does not answer is killed.
    fn follow_again(self: Arc<Self>, sandbox: Arc<Sandbox>) -> cri::BoxFuture<'static, ()> {
        Box::pin(async move {
            let (state, ips, shim) = {
                let live = sandbox.live();
                (live.state, live.ips.clone(), live.shim.clone())
            };
            if self.connect(&sandbox, None).is_ok() {
                sandbox.live().settle(state, ips);
                self.learn(&sandbox).await;
                return;
            }
            if let Some(shim) = shim {
                kill_shim(&shim);
            }
            self.shim_gone(&sandbox).await;
        })
    }

    /// A sandbox without its shim is not ready, and nothing of it may run on.
    async fn shim_gone(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        {
            let mut live = sandbox.live();
            live.link = None;
            live.state = SandboxState::NotReady;
        }
        let (shared, dead) = (self.clone(), sandbox.clone());
        let swept = self.blocking(move || {
            shared.end_lost_containers(&dead);
            Ok(())
        });
        if let Err(error) = swept.await {
            tracing::error!(sandbox = sandbox.id, %error, "cannot clean up after a dead shim");
        }
        sandbox.gone.send_replace(true);
        self.changed(sandbox.pod());
    }

    pub(super) async fn stop_sandbox(self: &Arc<Self>, id: &str) -> cri::Result<()> {
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        let _gate = sandbox.gate.lock().await;
        self.stop_locked(&sandbox).await
    }

    async fn stop_locked(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> cri::Result<()> {
        let directory = self.layout.sandbox(&sandbox.id);
        if !directory.join(STOPPED).exists() {
            state::write(&directory, STOPPED, &StoppedState { at: self.now() }, Durability::Processes)
                .map_err(|error| storage::failed("write", &directory, &error))?;
        }
        self.end_shim(sandbox).await;
        self.network.detach(sandbox.id.clone()).await?;
        let (shared, stopped) = (self.clone(), sandbox.clone());
        self.blocking(move || shared.free_sandbox(&stopped.id, Some(&stopped.record.cgroup))).await?;
        sandbox.live().state = SandboxState::NotReady;
        self.changed(sandbox.pod());
        Ok(())
    }

    /// Ends a sandbox's shim with all it runs.
    pub(super) async fn end_shim(&self, sandbox: &Sandbox) {
        let (link, shim) = {
            let live = sandbox.live();
            (live.link.clone(), live.shim.clone())
        };
        let Some(link) = link else { return };
        let mut gone = sandbox.gone.subscribe();
        // The answer does not matter: it ends or it is killed.
        let ended = async {
            let _ = link.call(Request::Shutdown).await;
            let _ = gone.wait_for(|gone| *gone).await;
        };
        if self.env.clock.timeout(SHUTDOWN, ended).await.is_none() {
            tracing::warn!(sandbox = sandbox.id, "the shim does not end; it is killed");
            if let Some(shim) = shim {
                kill_shim(&shim);
            }
            let mut gone = sandbox.gone.subscribe();
            let _ = self.env.clock.timeout(SHUTDOWN, gone.wait_for(|gone| *gone)).await;
        }
    }

    /// Gives back what a sandbox without a shim holds of the machine.
    pub(super) fn free_sandbox(&self, id: &str, cgroup: Option<&str>) -> cri::Result<()> {
        let directory = self.layout.sandbox(id);
        for name in [NETNS, SHM] {
            let path = directory.join(name);
            mount::unmount_all(&path).map_err(|error| storage::failed("unmount", &path, &error))?;
        }
        for container in self.containers_of(id) {
            self.cgroups.kill_tree(&container.record.cgroup);
            self.cgroups.remove_tree(&container.record.cgroup);
        }
        if let Some(cgroup) = cgroup
            && !self.is_cgroup_to_stay(id, cgroup)
            && !self.cgroups.remove_tree(cgroup)
        {
            tracing::debug!(cgroup, "the pod's cgroup is still in use; it goes with the sandbox");
        }
        Ok(())
    }

    /// Whether a sandbox's cgroup outlives it: it is another kubelet's, or another ready sandbox (a later attempt of the
    /// same pod) has the same.
    fn is_cgroup_to_stay(&self, id: &str, cgroup: &str) -> bool {
        let state = self.state();
        let mut all = state.sandboxes.values();
        !place::is_ours(cgroup)
            || all.any(|other| other.id != id && other.record.cgroup == cgroup && other.live().link.is_some())
    }

    pub(super) async fn remove_sandbox(self: &Arc<Self>, id: &str) -> cri::Result<()> {
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        let _gate = sandbox.gate.lock().await;
        self.stop_locked(&sandbox).await?;
        for container in self.containers_of(id) {
            storage::discard(&self.layout, &self.layout.container(&container.id), &container.id)?;
            self.state().containers.remove(&container.id);
        }
        storage::discard(&self.layout, &self.layout.sandbox(id), id)?;
        self.state().sandboxes.remove(id);
        self.changed(sandbox.pod());
        let (shared, removed) = (self.clone(), sandbox.clone());
        self.blocking(move || {
            shared.empty_trash();
            let cgroup = &removed.record.cgroup;
            if !shared.is_cgroup_to_stay(&removed.id, cgroup)
                && !shared.cgroups.remove_tree_when_empty(cgroup)
            {
                tracing::warn!(cgroup, "the pod's cgroup is still in use; the next start removes it");
            }
            Ok(())
        })
        .await
    }

    /// Takes back what a sandbox that could not be made holds already.
    async fn undo_sandbox(self: &Arc<Self>, id: &str) {
        if self.sandbox(id).is_ok() {
            if let Err(error) = self.remove_sandbox(id).await {
                tracing::warn!(sandbox = id, %error, "cannot take a failed sandbox back; the next start will");
            }
            return;
        }
        let (shared, lost) = (self.clone(), id.to_owned());
        let freed = self.blocking(move || {
            let record: Option<SandboxRecord> =
                state::read(&shared.layout.sandbox(&lost), RECORD).unwrap_or_default();
            shared.free_sandbox(&lost, record.as_ref().map(|record| record.cgroup.as_str()))?;
            storage::discard(&shared.layout, &shared.layout.sandbox(&lost), &lost)?;
            shared.empty_trash();
            Ok(())
        });
        if let Err(error) = freed.await {
            tracing::warn!(sandbox = id, %error, "cannot take a failed sandbox back; the next start will");
        }
    }

    pub(super) fn describe_sandbox(&self, sandbox: &Sandbox) -> cri::Sandbox {
        let (config, live) = (&sandbox.record.config, sandbox.live());
        cri::Sandbox {
            id: sandbox.id.clone(),
            pod: config.pod.clone(),
            attempt: config.attempt,
            state: live.state,
            created_at: sandbox.record.created_at,
            ips: live.ips.clone(),
            host_network: !sandbox.record.plan.own_network,
            namespaces: config.namespaces.clone(),
            handler: config.handler.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            resources: live.resources.clone(),
        }
    }
}

/// Kills that very shim, and no later process with its id.
pub(super) fn kill_shim(shim: &ShimState) {
    // Opened first, looked at then: what is looked at is what is killed.
    if let Ok(opened) = process::pidfd(shim.pid)
        && shim.runs()
        && let Err(error) = process::signal_pidfd(opened, libc::SIGKILL)
    {
        tracing::warn!(pid = shim.pid, %error, "cannot kill a shim");
    }
}

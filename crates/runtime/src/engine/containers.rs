//! Containers: made, started, ended, removed.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cri::{ContainerConfig, ContainerState, RuntimeError};
use tokio::sync::watch;

use super::link::LinkError;
use super::{Container, Life, Sandbox, Shared, compile, storage};
use crate::cgroup::{CgroupError, DeviceRule};
use crate::image::StoredImage;
use crate::plan::{ContainerPlan, DevicePlan, MountSource, SeccompPlan};
use crate::protocol::{Answer, Request};
use crate::state::{self, ContainerRecord, Durability, EXIT, ExitState, RECORD, RUN, RunState};

/// How long a killed container may take to end: its processes can be stuck in the kernel.
const KILL: Duration = Duration::from_secs(30);

/// The limits in force, where they were changed after the start.
pub(super) const RESOURCES: &str = "resources.json";

fn cgroup_failed(error: CgroupError) -> RuntimeError {
    RuntimeError::Failed(error.to_string())
}

impl Shared {
    pub(super) async fn create_container(
        self: &Arc<Self>,
        sandbox: &str,
        config: ContainerConfig,
    ) -> cri::Result<String> {
        let sandbox = self.sandbox(sandbox)?;
        let _gate = sandbox.gate.lock().await;
        sandbox.link()?;
        let id = self.new_id();
        let (shared, made, of) = (self.clone(), id.clone(), sandbox.clone());
        let record = self.blocking(move || shared.make_container(&made, &of, config)).await;
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                storage::discard(&self.layout, &self.layout.container(&id), &id)?;
                return Err(error);
            }
        };
        let life = Life {
            state: ContainerState::Created,
            resources: record.config.resources.clone(),
            ..Life::default()
        };
        let container = Container { id: id.clone(), record, life: watch::Sender::new(life) };
        self.state().containers.insert(id.clone(), Arc::new(container));
        self.changed(sandbox.pod());
        Ok(id)
    }

    fn make_container(
        &self,
        id: &str,
        sandbox: &Sandbox,
        config: ContainerConfig,
    ) -> cri::Result<ContainerRecord> {
        let image = self.images.require(&config.image)?;
        let mut plan = compile::container(id, &config, &image.config, &sandbox.record.config)?;
        plan.layers = image.layers.clone();
        for mount in config.mounts.iter().filter(|mount| !mount.image.is_empty()) {
            let source = self.images.require(&mount.image)?;
            let source = MountSource::Layers(source.layers.clone(), mount.image_sub_path.clone());
            plan.mounts.push(compile::target_of(mount, source));
        }
        plan.devices = devices(&config)?;
        if let cri::Seccomp::Localhost(path) = &config.security.seccomp
            && !config.security.privileged
        {
            plan.process.seccomp = SeccompPlan::Profile(seccomp_profile(path)?);
        }
        let cgroup = format!("{}/{id}", sandbox.record.cgroup);
        plan.cgroup = self.cgroups.plan(&cgroup);
        let record = ContainerRecord {
            sandbox: sandbox.id.clone(),
            stop_signal: stop_signal(&config, &image)?,
            created_at: self.now(),
            image_id: image.id.clone(),
            image_ref: image.reference(&config.image),
            config,
            plan,
            cgroup,
        };
        let directory = self.layout.container(id);
        storage::make_directory(&directory, 0o700)?;
        // The writable layer's root is the container's root: everyone may enter it.
        for (name, mode) in [("upper", 0o755), ("work", 0o700), ("rootfs", 0o700)] {
            storage::make_directory(&directory.join(name), mode)?;
        }
        if let Some(log) = record.plan.log.as_deref().and_then(Path::parent) {
            storage::make_directory(log, 0o755)?;
        }
        state::write(&directory, RECORD, &record, Durability::Power)
            .map_err(|error| storage::failed("write", &directory, &error))?;
        Ok(record)
    }

    pub(super) async fn start_container(self: &Arc<Self>, id: &str) -> cri::Result<()> {
        let container = self.container(id)?;
        let sandbox = self.sandbox(&container.record.sandbox)?;
        let _gate = sandbox.gate.lock().await;
        let now = container.life().state;
        if now != ContainerState::Created {
            return Err(RuntimeError::Failed(format!("container {id} cannot be started: it is {now:?}")));
        }
        let link = sandbox.link()?;
        let (shared, started) = (self.clone(), container.clone());
        self.blocking(move || {
            shared.make_cgroup(&started.record.cgroup, &started.record.config, &started.record.plan)
        })
        .await?;
        let answer = link.call(Request::Start { container: id.to_owned() }).await;
        let started = match answer {
            Ok(Answer::Started(run)) => Ok(run),
            Ok(other) => Err(format!("the shim gave an answer that makes no sense: {other:?}")),
            Err(LinkError::Failed(failure)) => {
                Err(format!("unable to start container process: {}", failure.text))
            }
            Err(error) => Err(error.to_string()),
        };
        match started {
            Ok(run) => {
                self.container_runs(&sandbox, id, run);
                Ok(())
            }
            Err(text) => {
                let exit = ExitState {
                    exit_code: 128,
                    finished_at: self.now(),
                    reason: "StartError".into(),
                    message: text.clone(),
                    unknown: false,
                };
                self.write_exit(id, &exit);
                self.note_exit(&container, exit);
                self.changed(sandbox.pod());
                Err(RuntimeError::Failed(text))
            }
        }
    }

    fn make_cgroup(&self, cgroup: &str, config: &ContainerConfig, plan: &ContainerPlan) -> cri::Result<()> {
        self.cgroups.make(cgroup).map_err(cgroup_failed)?;
        self.cgroups.limit(cgroup, &config.resources).map_err(cgroup_failed)?;
        let mut rules = DeviceRule::defaults();
        rules.extend(
            plan.devices
                .iter()
                .map(|device| DeviceRule::of(device.block, device.major, device.minor, &device.permissions)),
        );
        let rules = (!config.security.privileged).then_some(rules.as_slice());
        self.cgroups.allow_devices(cgroup, rules).map_err(cgroup_failed)
    }

    fn write_exit(&self, id: &str, exit: &ExitState) {
        if let Err(error) = state::write(&self.layout.container(id), EXIT, exit, Durability::Power) {
            tracing::error!(container = id, %error, "cannot write down how a container ended");
        }
    }

    fn note_exit(&self, container: &Container, exit: ExitState) {
        container.life.send_modify(|life| {
            life.state = if exit.unknown { ContainerState::Unknown } else { ContainerState::Exited };
            life.exit = exit;
        });
    }

    /// The shim saw its program begin, and wrote it down.
    pub(super) fn container_runs(&self, sandbox: &Sandbox, id: &str, run: RunState) {
        let Ok(container) = self.container(id) else { return };
        let first = container.life.send_if_modified(|life| {
            // It is told twice, and may have ended between.
            let first = life.state == ContainerState::Created;
            if first {
                life.state = ContainerState::Running;
            }
            life.run = run;
            first
        });
        if first {
            self.changed(sandbox.pod());
        }
    }

    /// The shim saw it end, and wrote it down.
    pub(super) fn container_ended(self: &Arc<Self>, sandbox: &Sandbox, id: &str, exit: ExitState) {
        let Ok(container) = self.container(id) else { return };
        if container.life().run.pid == 0
            && let Ok(Some(run)) = state::read::<RunState>(&self.layout.container(id), RUN)
        {
            container.life.send_modify(|life| life.run = run);
        }
        self.note_exit(&container, exit);
        self.changed(sandbox.pod());
        // Gone when the last of its processes is; until then the removal of the container tries again.
        if let Err(error) = self.cgroups.remove(&container.record.cgroup) {
            tracing::debug!(container = id, %error, "a cgroup is still in use");
        }
    }

    /// Kills what is left of containers whose shim is gone. Nobody saw how they ended. Blocks.
    pub(super) fn end_lost_containers(&self, sandbox: &Sandbox) {
        for container in self.containers_of(&sandbox.id) {
            if matches!(container.life().state, ContainerState::Exited | ContainerState::Unknown) {
                continue;
            }
            self.cgroups.kill_tree(&container.record.cgroup);
            let directory = self.layout.container(&container.id);
            let known: Option<ExitState> = state::read(&directory, EXIT).unwrap_or_default();
            let ran = directory.join(RUN).exists();
            let exit = match known {
                Some(exit) => exit,
                // Made but never run: it stays so.
                None if !ran => continue,
                None => {
                    let exit = lost(self.now());
                    self.write_exit(&container.id, &exit);
                    exit
                }
            };
            self.note_exit(&container, exit);
        }
    }

    pub(super) async fn stop_container(self: &Arc<Self>, id: &str, grace_secs: u32) -> cri::Result<()> {
        let container = self.container(id)?;
        if container.life().state != ContainerState::Running {
            return Ok(());
        }
        let sandbox = self.sandbox(&container.record.sandbox)?;
        let Ok(link) = sandbox.link() else { return Ok(()) };
        if grace_secs > 0 {
            let signal = Request::Signal { container: id.to_owned(), signal: container.record.stop_signal };
            // If it cannot be told it is gone, or the kill below finds it.
            let _ = link.call(signal).await;
            if self.ends_within(&container, Duration::from_secs(grace_secs.into())).await {
                return Ok(());
            }
        }
        let _ = link.call(Request::Kill { container: id.to_owned() }).await;
        if self.ends_within(&container, KILL).await {
            return Ok(());
        }
        Err(RuntimeError::Timeout(format!("container {id} was killed but does not end")))
    }

    async fn ends_within(&self, container: &Container, limit: Duration) -> bool {
        let mut life = container.life.subscribe();
        let ended = life.wait_for(|life| life.state != ContainerState::Running);
        self.env.clock.timeout(limit, ended).await.is_some()
    }

    pub(super) async fn remove_container(self: &Arc<Self>, id: &str) -> cri::Result<()> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        self.stop_container(id, 0).await?;
        let Ok(sandbox) = self.sandbox(&container.record.sandbox) else { return Ok(()) };
        let _gate = sandbox.gate.lock().await;
        let (shared, removed) = (self.clone(), container.clone());
        self.blocking(move || {
            shared.cgroups.kill_tree(&removed.record.cgroup);
            shared.cgroups.remove_tree(&removed.record.cgroup);
            storage::discard(&shared.layout, &shared.layout.container(&removed.id), &removed.id)?;
            shared.state().containers.remove(&removed.id);
            shared.empty_trash();
            Ok(())
        })
        .await?;
        self.changed(sandbox.pod());
        Ok(())
    }

    pub(super) async fn update_resources(
        self: &Arc<Self>,
        id: &str,
        resources: cri::Resources,
    ) -> cri::Result<()> {
        let container = self.container(id)?;
        let shared = self.clone();
        self.blocking(move || {
            let directory = shared.layout.container(&container.id);
            if container.life().state == ContainerState::Running {
                shared.cgroups.limit(&container.record.cgroup, &resources).map_err(cgroup_failed)?;
            }
            let merged = merge(&container.life().resources, resources);
            state::write(&directory, RESOURCES, &merged, Durability::Power)
                .map_err(|error| storage::failed("write", &directory, &error))?;
            container.life.send_modify(|life| life.resources = merged);
            Ok(())
        })
        .await
    }

    pub(super) async fn reopen_log(&self, id: &str) -> cri::Result<()> {
        let container = self.container(id)?;
        let link = self.sandbox(&container.record.sandbox)?.link()?;
        match link.call(Request::ReopenLog { container: id.to_owned() }).await {
            Ok(_) => Ok(()),
            Err(error) => Err(RuntimeError::Failed(error.to_string())),
        }
    }

    pub(super) fn describe_container(&self, container: &Container) -> cri::Container {
        let (record, life) = (&container.record, container.life());
        let ended = matches!(life.state, ContainerState::Exited | ContainerState::Unknown);
        let pod = self.sandbox(&record.sandbox).map(|sandbox| sandbox.pod().clone()).unwrap_or_default();
        let started = life.run.pid != 0;
        cri::Container {
            id: container.id.clone(),
            sandbox: record.sandbox.clone(),
            pod,
            name: record.config.name.clone(),
            attempt: record.config.attempt,
            state: life.state,
            created_at: record.created_at,
            started_at: life.run.started_at,
            finished_at: life.exit.finished_at,
            exit_code: life.exit.exit_code,
            reason: life.exit.reason,
            message: life.exit.message,
            image: record.config.user_image.clone(),
            image_id: record.image_id.clone(),
            image_ref: record.image_ref.clone(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            log_path: record.plan.log.clone().unwrap_or_default(),
            resources: life.resources,
            user: started.then_some(life.run.user),
            pid: if started && !ended { life.run.pid as u32 } else { 0 },
        }
    }

    /// What a container uses, its writable layer included. Blocks.
    pub(super) fn container_stats(&self, container: &Container) -> cri::ContainerStats {
        let usage = self.cgroups.usage(&container.record.cgroup);
        let (rootfs_used, rootfs_inodes) =
            crate::image::disk_usage(&self.layout.container(&container.id).join("upper"));
        cri::ContainerStats {
            timestamp: self.now(),
            cpu_usage_nanos: usage.cpu_nanos,
            memory_working_set: usage.working_set,
            memory_usage: usage.memory,
            memory_rss: usage.rss,
            rootfs_used,
            rootfs_inodes,
            pids: usage.pids,
        }
    }
}

/// The end of a container that nobody saw.
pub(super) fn lost(now: i64) -> ExitState {
    ExitState {
        exit_code: 137,
        finished_at: now,
        reason: "ContainerStatusUnknown".into(),
        message: "The container could not be located when it ended; its shim was gone".into(),
        unknown: true,
    }
}

/// Limits after a change: what the change leaves open stays.
pub(super) fn merge(before: &cri::Resources, change: cri::Resources) -> cri::Resources {
    let mut merged = before.clone();
    macro_rules! take {
        ($($field:ident: $unset:expr),*) => { $(if change.$field != $unset { merged.$field = change.$field; })* };
    }
    take!(cpu_shares: 0, cpu_quota: 0, cpu_period: 0, memory_limit: 0, oom_score_adj: 0, pids_limit: 0);
    take!(cpuset_cpus: "", cpuset_mems: "");
    merged.hugepages.extend(change.hugepages);
    merged.unified.extend(change.unified);
    merged
}

fn stop_signal(config: &ContainerConfig, image: &StoredImage) -> cri::Result<i32> {
    let named = [&config.stop_signal, &image.config.stop_signal].into_iter().find(|name| !name.is_empty());
    let Some(name) = named else { return Ok(libc::SIGTERM) };
    compile::signal_number(name).ok_or_else(|| RuntimeError::Invalid(format!("unknown stop signal {name:?}")))
}

fn seccomp_profile(path: &Path) -> cri::Result<serde_json::Value> {
    let failed = |error: &dyn std::fmt::Display| {
        RuntimeError::Invalid(format!("seccomp profile {}: {error}", path.display()))
    };
    let text = fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

/// The devices a container asks for; a directory stands for all devices in it.
fn devices(config: &ContainerConfig) -> cri::Result<Vec<DevicePlan>> {
    let mut plans = Vec::new();
    for device in &config.devices {
        let at = PathBuf::from(&device.container_path);
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        add_devices(Path::new(&device.host_path), &at, permissions, &mut plans)?;
    }
    Ok(plans)
}

fn add_devices(host: &Path, at: &Path, permissions: &str, plans: &mut Vec<DevicePlan>) -> cri::Result<()> {
    let found = fs::metadata(host)
        .map_err(|error| RuntimeError::Invalid(format!("device {} of the node: {error}", host.display())))?;
    let kind = found.file_type();
    if kind.is_dir() {
        for name in storage::names_in(host)? {
            add_devices(&host.join(&name), &at.join(&name), permissions, plans)?;
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        plans.push(DevicePlan {
            path: at.to_string_lossy().into_owned(),
            block: kind.is_block_device(),
            major: rustix::fs::major(found.rdev()),
            minor: rustix::fs::minor(found.rdev()),
            mode: found.permissions().mode() & 0o777,
            uid: found.uid(),
            gid: found.gid(),
            permissions: permissions.to_owned(),
        });
    } else if plans.is_empty() {
        return Err(RuntimeError::Invalid(format!("{} of the node is not a device", host.display())));
    }
    Ok(())
}

//! The sandbox itself: the namespaces all containers of a pod share.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::mount::MountFlags;

use super::failure::{Context, Result};
use super::users;
use crate::plan::SandboxPlan;
use crate::state::{NETNS, SHM};
use crate::sys::{mount, process};

/// What the shim holds on to of a sandbox.
pub(crate) struct Made {
    /// Process 1 of a shared process-id namespace.
    pub pause: Option<OwnedFd>,
    /// A user namespace of its own.
    pub users: Option<OwnedFd>,
}

/// Moves this process into the sandbox's namespaces.
pub(crate) fn make(directory: &Path, plan: &SandboxPlan) -> Result<Made> {
    for cgroup in &plan.shim_cgroups {
        fs::write(cgroup.join("cgroup.procs"), "0").context(format_args!("join {}", cgroup.display()))?;
    }
    let mut flags = 0;
    if plan.own_network {
        flags |= libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
    }
    if plan.own_ipc {
        flags |= libc::CLONE_NEWIPC;
    }
    let users = match plan.users {
        Some(range) => Some(users::make(range, flags)?),
        None => process::unshare(flags).context("unshare namespaces").map(|()| None)?,
    };
    if plan.own_network {
        process::loopback_up().context("bring the loopback up")?;
        let file = directory.join(NETNS);
        fs::File::create(&file).context("make the network namespace's file")?;
        rustix::mount::mount_bind("/proc/self/ns/net", &file).context("keep the network namespace")?;
    }
    if plan.own_ipc {
        let shm = directory.join(SHM);
        fs::create_dir(&shm).context("make shm")?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let owner = plan.users.map_or(0, |range| range.first);
        let options = format!("mode=1777,size=67108864,uid={owner},gid={owner}");
        mount::mount_kernel("tmpfs", &shm, flags, &options).context("mount shm")?;
    }
    if !plan.hostname.is_empty() {
        process::set_hostname(&plan.hostname).context("set the hostname")?;
    }
    match &users {
        // Some of them only the root of the namespace may set.
        Some(users) if !plan.sysctls.is_empty() => users::as_root(users, || set_sysctls(plan))?,
        _ => set_sysctls(plan)?,
    }
    let pause = if plan.shared_pids { Some(pause(users.as_ref())?) } else { None };
    Ok(Made { pause, users })
}

fn set_sysctls(plan: &SandboxPlan) -> Result<()> {
    plan.sysctls.iter().try_for_each(|(name, value)| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).context(format_args!("set sysctl {name} to {value:?}"))
    })
}

/// Starts process 1 of the containers' common process-id namespace, whose only work is to collect orphans.
fn pause(users: Option<&OwnedFd>) -> Result<OwnedFd> {
    match process::fork(libc::CLONE_NEWPID).context("start process 1")? {
        process::Fork::Parent(pid) => process::pidfd(pid).context("open process 1"),
        process::Fork::Child => collect_orphans(users),
    }
}

fn collect_orphans(users: Option<&OwnedFd>) -> ! {
    // What the pod's processes see belongs to the pod.
    if users.is_some_and(|users| users::become_root(users).is_err()) {
        process::exit_now(1);
    }
    // Without its shim the pod's processes have nobody who would write down their end.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = rustix::thread::set_name(c"pause");
    // The starter waits for the end of our output, and must not wait for this copy of it.
    let null = fs::File::open("/dev/null").map(|null| process::place_stdio(&null, 1));
    if !matches!(null, Ok(Ok(()))) {
        process::exit_now(1);
    }
    let Ok(signals) = process::child_signals() else { process::exit_now(1) };
    loop {
        let mut polled = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut polled, None);
        let mut drained = [0u8; 1024];
        let _ = rustix::io::read(&signals, &mut drained);
        while process::reap().is_some() {}
    }
}

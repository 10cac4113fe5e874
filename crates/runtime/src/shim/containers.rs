//! Containers of the pod: their start, their end, and what is written down about both.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::PollFlags;

use super::child::{self, Report, Role, Stdio};
use super::clients::Asker;
use super::failure::{Context, Failed, Result};
use super::log::{LogFile, Stream};
use super::streams::Streams;
use super::{Shim, Source};
use crate::cgroup;
use crate::plan::{CgroupPlan, ContainerPlan, PidPlan};
use crate::protocol::Answer;
use crate::state::{self, ContainerRecord, Durability, EXIT, ExitState, RECORD, RUN, RunState};
use crate::sys::process::{self, Fork};
use crate::sys::socket;

/// How long the last output of an ended container may take: something may hold its streams that a kill does not end.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// A container whose process was started.
pub(super) struct Container {
    pub pid: i32,
    directory: PathBuf,
    cgroup: CgroupPlan,
    /// While its process is not yet the user's.
    launch: Option<Launch>,
    run: RunState,
    pub streams: Streams,
    ended: Option<Ended>,
}

struct Launch {
    link: OwnedFd,
    asker: Asker,
}

struct Ended {
    exit: ExitState,
    deadline: Duration,
}

impl Container {
    pub fn watched<'a>(&'a self, id: &'a str) -> Vec<(Source, BorrowedFd<'a>, PollFlags)> {
        let mut watched = self.streams.watched(id);
        if let Some(launch) = &self.launch {
            watched.push((Source::Launch(id.to_owned()), launch.link.as_fd(), PollFlags::IN));
        }
        watched
    }

    pub fn has_deadline(&self) -> bool {
        self.ended.is_some() || self.streams.has_stalled_reader()
    }

    pub fn drop_slow_readers(&mut self, now: Duration) {
        self.streams.drop_slow_readers(now);
    }

    /// Whether it ended and all it said is written down.
    pub fn is_complete(&self, now: Duration) -> bool {
        self.ended.as_ref().is_some_and(|ended| self.streams.outputs_closed() || now >= ended.deadline)
    }

    pub fn reopen_log(&mut self) -> io::Result<()> {
        self.streams.log.as_mut().map_or(Ok(()), LogFile::reopen)
    }

    fn kill(&self) {
        cgroup::kill(&self.cgroup);
        // It may not have joined its cgroup yet.
        if self.ended.is_none() {
            let _ = process::signal(self.pid, libc::SIGKILL);
        }
    }
}

/// How many processes of a cgroup the kernel killed for want of memory.
fn oom_kills(cgroup: &CgroupPlan) -> u64 {
    let text = cgroup.oom.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

impl Shim {
    /// The main process of a container that runs.
    pub(super) fn running(&self, id: &str) -> Option<i32> {
        self.containers.get(id).filter(|container| container.ended.is_none()).map(|container| container.pid)
    }

    pub(super) fn kill_container(&mut self, id: &str) {
        if let Some(container) = self.containers.get(id) {
            container.kill();
        }
    }

    pub(super) fn start_container(&mut self, asker: Asker, id: &str) {
        if self.ending || self.containers.contains_key(id) {
            self.refuse(asker, format!("container {id} was started already"));
            return;
        }
        match self.launch(asker, id) {
            Ok(container) => {
                self.containers.insert(id.to_owned(), container);
            }
            Err(Failed(text)) => self.start_failed(asker, id, text),
        }
    }

    /// Writes down that a container could not be started, and says so.
    fn start_failed(&mut self, asker: Asker, id: &str, text: String) {
        let exit = ExitState {
            exit_code: 128,
            finished_at: self.clock.now().0,
            reason: "StartError".into(),
            message: text.clone(),
            unknown: false,
        };
        self.write_exit(id, &exit);
        self.announce(&Answer::Ended { container: id.to_owned(), exit });
        self.refuse(asker, text);
    }

    fn write_exit(&self, id: &str, exit: &ExitState) {
        if let Err(error) = state::write(&self.layout.container(id), EXIT, exit, Durability::Power) {
            // The engine hears it and writes it down as well; the directory may be gone already.
            eprintln!("cannot write down the end of {id}: {error}");
        }
    }

    fn launch(&mut self, asker: Asker, id: &str) -> Result<Container> {
        let directory = self.layout.container(id);
        let record: ContainerRecord = state::read(&directory, RECORD)
            .context("read the container's record")?
            .ok_or_else(|| "the container has no record".to_owned())?;
        let plan = &record.plan;
        let log = match &plan.log {
            Some(path) => {
                Some(LogFile::open(path).context(format_args!("open log file {}", path.display()))?)
            }
            None => None,
        };
        let (streams, stdio) = Streams::make(plan, log)?;
        let (link, childs_link) = link_pair()?;
        let pid = self.spawn(plan, stdio, childs_link)?;
        Ok(Container {
            pid,
            directory,
            cgroup: plan.cgroup.clone(),
            launch: Some(Launch { link, asker }),
            run: RunState::default(),
            streams,
            ended: None,
        })
    }

    /// Forks the container's process in the process-id namespace it is to be in.
    fn spawn(&self, plan: &ContainerPlan, stdio: Stdio, link: OwnedFd) -> Result<i32> {
        let other = match &plan.pids {
            PidPlan::Own | PidPlan::Node => None,
            PidPlan::Sandbox => Some(
                self.pause
                    .as_ref()
                    .ok_or_else(|| "the sandbox does not share processes".to_owned())?
                    .try_clone(),
            ),
            PidPlan::Container(target) => {
                let pid = self.running(target).ok_or_else(|| format!("container {target} is not running"))?;
                Some(process::pidfd(pid))
            }
        };
        let flags = if matches!(plan.pids, PidPlan::Own) { libc::CLONE_NEWPID } else { 0 };
        let other = other.transpose().context("open the process-id namespace")?;
        let forked = self.fork_in(other, flags)?;
        match forked {
            Fork::Parent(pid) => Ok(pid),
            Fork::Child => {
                let users = self.users.as_ref().map(AsFd::as_fd);
                let role = Role::Main { layout: &self.layout, sandbox: &self.directory, plan, users };
                child::run(&role, stdio, link)
            }
        }
    }

    /// Forks into the process-id namespace of another process. Only children enter it: the shim stays where it is.
    pub(super) fn fork_in(&self, other: Option<OwnedFd>, flags: i32) -> Result<Fork> {
        if let Some(other) = &other {
            process::enter(other, libc::CLONE_NEWPID).context("enter the process-id namespace")?;
        }
        let forked = process::fork(flags);
        if other.is_some() && !matches!(forked, Ok(Fork::Child)) {
            process::enter(&self.own_pids, libc::CLONE_NEWPID).context("leave the process-id namespace")?;
        }
        forked.context("fork")
    }

    /// A starting child said something, or its link closed: then its program runs.
    pub(super) fn launch_ready(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(launch) = &container.launch else { return };
        let asker = launch.asker;
        match receive_report(&launch.link) {
            Some((Report::Ready { uid, gid, groups }, terminal)) => {
                let user = cri::ContainerUser {
                    uid: i64::from(uid),
                    gid: i64::from(gid),
                    supplemental_groups: groups.into_iter().map(i64::from).collect(),
                };
                container.run = RunState { pid: container.pid, started_at: self.clock.now().0, user };
                if let Some(terminal) = terminal {
                    container.streams.set_terminal(terminal);
                }
                // Written before the word to go: what has no such file never ran.
                let written = state::write(&container.directory, RUN, &container.run, Durability::Processes);
                if let Err(error) = written.and_then(|()| socket::send(&launch.link, &[1], &[]).map(drop)) {
                    eprintln!("cannot start {id}: {error}");
                    container.kill();
                }
            }
            Some((Report::Failed(text), _)) => {
                container.launch = None;
                // Nobody asks for its end: it never began.
                self.containers.remove(id);
                self.start_failed(asker, id, text);
            }
            None => {
                container.launch = None;
                if container.run.pid == 0 {
                    self.containers.remove(id);
                    self.start_failed(asker, id, "its process was killed while it was being made".into());
                } else {
                    let run = container.run.clone();
                    self.announce(&Answer::Running { container: id.to_owned(), run: run.clone() });
                    self.answer(asker, Answer::Started(run), Vec::new());
                }
            }
        }
    }

    /// Its main process ended: nothing of it may live on, and its last words are collected.
    pub(super) fn container_ended(&mut self, id: &str, code: i32) {
        // The report of a failed start, or the word that it did start, may wait unread.
        for _ in 0..3 {
            if self.containers.get(id).is_some_and(|container| container.launch.is_some()) {
                self.launch_ready(id);
            }
        }
        let finished_at = self.clock.now().0;
        let deadline = self.clock.monotonic() + LAST_OUTPUT;
        let Some(container) = self.containers.get_mut(id) else { return };
        let killed_by_oom = oom_kills(&container.cgroup) > 0;
        let reason = match code {
            _ if killed_by_oom => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        let exit = ExitState { exit_code: code, finished_at, reason: reason.into(), ..ExitState::default() };
        cgroup::kill(&container.cgroup);
        container.ended = Some(Ended { exit: exit.clone(), deadline });
        self.write_exit(id, &exit);
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.pump_output(id, stream);
        }
    }

    /// Tells that a container ended, after all it said was written down.
    pub(super) fn announce_end(&mut self, id: &str) {
        let Some(mut container) = self.containers.remove(id) else { return };
        container.streams.finish(self.clock.now());
        if let Some(ended) = container.ended {
            self.announce(&Answer::Ended { container: id.to_owned(), exit: ended.exit });
        }
    }
}

/// A pair of connected sockets that keep messages apart.
pub(super) fn link_pair() -> Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).context("make a link")
}

/// The next report of a child with its terminal; `None` when the link is closed.
pub(super) fn receive_report(link: &OwnedFd) -> Option<(Report, Option<OwnedFd>)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut descriptors = Vec::new();
    let count = socket::receive(link, &mut buffer, &mut descriptors).ok().filter(|count| *count > 0)?;
    let report =
        serde_json::from_slice(&buffer[..count]).unwrap_or_else(|error| Report::Failed(error.to_string()));
    Some((report, descriptors.into_iter().next()))
}

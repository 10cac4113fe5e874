//! The shim: one small process per pod that owns its namespaces, processes, logs and exit codes, and outlives the engine.
//!
//! It is this same program executed again, with a single thread and no async runtime: so it can fork copies of itself
//! that become containers, without executing a helper first. It waits for nobody: whoever talks to it and stops
//! reading is let go. It lives in the sandbox's own network, IPC and UTS namespaces, so that containers simply
//! inherit them, and in the node's mount namespace, so that it sees volumes that come later.

mod child;
mod clients;
mod containers;
mod execs;
mod failure;
mod layers;
mod log;
mod rootfs;
mod sandbox;
mod streams;
mod users;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use self::clients::Client;
use self::containers::Container;
use self::execs::Exec;
use self::failure::{Context, Result};
use self::log::Stream;
use crate::state::{self, Durability, Layout, SandboxRecord, ShimState};
use crate::sys::process;

/// The hidden subcommand that makes a process a shim.
pub(crate) const COMMAND: &str = "__shim";

/// What is written to the starter when the sandbox is made.
pub(crate) const READY_WORD: &str = "ready";

/// How often to look at deadlines while there are any.
const TICK: Duration = Duration::from_millis(100);

/// Becomes the shim of the sandbox whose directory is given.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let Some(directory) = arguments.first() else { return ExitCode::from(2) };
    let result = Shim::start(Path::new(directory));
    let mut starter = io::stdout();
    // A starter that is gone kills or adopts us later; either way it looks at what is on disk.
    match result {
        Ok(mut shim) => {
            let _ = starter.write_all(READY_WORD.as_bytes()).and_then(|()| starter.flush());
            if let Err(error) = detach_stdio() {
                eprintln!("cannot let go of the starter: {}", error.0);
            }
            shim.serve()
        }
        Err(error) => {
            let _ = starter.write_all(error.0.as_bytes()).and_then(|()| starter.flush());
            ExitCode::FAILURE
        }
    }
}

/// The starter waits for the end of our output.
fn detach_stdio() -> Result<()> {
    let null = std::fs::File::open("/dev/null").context("open /dev/null")?;
    process::place_stdio(&null, 1).context("let go of the output")
}

/// What a descriptor that became ready belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Listener,
    Client(u64),
    Launch(String),
    ExecLaunch(u64, u64),
    Output(String, Stream),
    /// A container's input takes bytes again.
    Input(String),
    /// Someone attached sent input.
    Attached(String, usize),
    /// Someone attached takes output again.
    Reader(String, usize),
}

/// The process's whole state.
pub(crate) struct Shim {
    layout: Layout,
    directory: PathBuf,
    clock: env::Clock,
    listener: UnixListener,
    signals: OwnedFd,
    /// The process-id namespace the shim itself is in.
    own_pids: OwnedFd,
    /// Process 1 of the sandbox's shared process-id namespace.
    pause: Option<OwnedFd>,
    /// The sandbox's own user namespace.
    users: Option<OwnedFd>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    containers: BTreeMap<String, Container>,
    /// By client and the client's number.
    execs: BTreeMap<(u64, u64), Exec>,
    /// What streams are read into; one for all.
    buffer: Vec<u8>,
    ending: bool,
}

impl Shim {
    fn start(directory: &Path) -> Result<Shim> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        rustix::process::setsid().context("start a session")?;
        process::become_subreaper().context("become a subreaper")?;
        process::hide_from_ptrace().context("hide from ptrace")?;
        process::ignore_signal(libc::SIGPIPE);
        let signals = process::child_signals().context("watch for signals")?;
        let record: SandboxRecord = state::read(directory, state::RECORD)
            .context("read the sandbox's record")?
            .ok_or_else(|| "the sandbox has no record".to_owned())?;
        let root = directory.parent().and_then(Path::parent).ok_or_else(|| "no such directory".to_owned())?;
        // Names relative to it stay short: a socket's may have 108 bytes.
        rustix::process::chdir(directory).context("enter the sandbox's directory")?;
        let own = ShimState::of_this_process();
        state::write(directory, state::SHIM, &own, Durability::Processes)
            .context("write the shim's state")?;
        let own_pids =
            std::fs::File::open("/proc/self/ns/pid").context("open the process-id namespace")?.into();
        let made = sandbox::make(directory, &record.plan)?;
        let listener = UnixListener::bind(state::SOCKET).context("listen")?;
        listener.set_nonblocking(true).context("listen")?;
        Ok(Shim {
            layout: Layout { root: root.to_owned() },
            directory: directory.to_owned(),
            clock: env::Clock::real(),
            listener,
            signals,
            own_pids,
            pause: made.pause,
            users: made.users,
            clients: BTreeMap::new(),
            next_client: 1,
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            buffer: vec![0; 32 * 1024],
            ending: false,
        })
    }

    fn serve(&mut self) -> ExitCode {
        while !(self.ending && self.containers.is_empty() && self.clients.values().all(Client::is_flushed)) {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    eprintln!("poll: {error}");
                    return ExitCode::FAILURE;
                }
            };
            for (source, flags) in ready {
                self.dispatch(&source, flags);
            }
            self.settle();
        }
        ExitCode::SUCCESS
    }

    fn wait(&self) -> rustix::io::Result<Vec<(Source, PollFlags)>> {
        let mut watched: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![
            (Source::Signals, self.signals.as_fd(), PollFlags::IN),
            (Source::Listener, self.listener.as_fd(), PollFlags::IN),
        ];
        watched.extend(
            self.clients
                .iter()
                .map(|(id, client)| (Source::Client(*id), client.socket.as_fd(), client.interest())),
        );
        watched.extend(self.containers.iter().flat_map(|(id, container)| container.watched(id)));
        watched.extend(self.execs.iter().filter_map(|((client, exec), launch)| {
            let link = launch.link.as_ref()?;
            Some((Source::ExecLaunch(*client, *exec), link.as_fd(), PollFlags::IN))
        }));
        let mut polled: Vec<PollFd<'_>> =
            watched.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 };
        let limit = self.containers.values().any(Container::has_deadline).then_some(&tick);
        rustix::event::poll(&mut polled, limit)?;
        let flags: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        Ok(watched
            .into_iter()
            .zip(flags)
            .filter(|(_, flags)| !flags.is_empty())
            .map(|((source, _, _), flags)| (source, flags))
            .collect())
    }

    fn dispatch(&mut self, source: &Source, flags: PollFlags) {
        match source {
            Source::Signals => self.reap(),
            Source::Listener => self.accept(),
            Source::Client(id) => self.client_ready(*id, flags),
            Source::Launch(id) => self.launch_ready(id),
            Source::ExecLaunch(client, exec) => self.exec_ready((*client, *exec)),
            Source::Output(id, stream) => self.pump_output(id, *stream),
            Source::Input(id) => self.pump_input(id),
            Source::Attached(id, index) => self.read_attached(id, *index),
            Source::Reader(id, index) => self.flush_reader(id, *index, flags),
        }
    }

    /// Collects every process that ended: containers, commands, and orphans that became ours.
    fn reap(&mut self) {
        let mut drained = [0u8; 1024];
        while rustix::io::read(&self.signals, &mut drained).is_ok_and(|count| count > 0) {}
        while let Some(ended) = process::reap() {
            let container = self.containers.iter().find(|(_, container)| container.pid == ended.pid);
            let exec = self.execs.iter().find(|(_, exec)| exec.pid == ended.pid).map(|(key, _)| *key);
            match (container.map(|(id, _)| id.clone()), exec) {
                (Some(id), _) => self.container_ended(&id, ended.code),
                (None, Some(key)) => self.exec_ended(key, ended.code),
                (None, None) => {}
            }
        }
    }

    /// What is due after each round: ended containers whose output is complete, readers that were too slow.
    fn settle(&mut self) {
        let now = self.clock.monotonic();
        for container in self.containers.values_mut() {
            container.drop_slow_readers(now);
        }
        let complete: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, container)| container.is_complete(now))
            .map(|(id, _)| id.clone())
            .collect();
        complete.iter().for_each(|id| self.announce_end(id));
        self.clients.retain(|_, client| !client.gone);
    }
}

//! Connections to containers: commands run in them, their own streams, and their ports.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::{AttachRequest, ContainerState, Duplex, ExecOutput, ExecRequest, RuntimeError, Session};
use rustix::pipe::PipeFlags;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};

use super::link::{Link, LinkError};
use super::{Container, Shared};
use crate::plan::ProcessPlan;
use crate::protocol::Request;
use crate::sys::reactor;

/// What a command whose output is collected may print before the rest is dropped.
const MAX_OUTPUT: usize = 16 << 20;

/// Chunks a session's stream may be ahead of its reader: beyond that the container waits.
const CHUNKS: usize = 16;

/// How long the output of an ended command may take to come to its end: something it started may hold its streams.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Commands that run, by sandbox and number, and where their end is waited for.
#[derive(Debug, Default)]
pub(super) struct Commands {
    next: u64,
    waiting: BTreeMap<(String, u64), oneshot::Sender<i32>>,
}

/// A command that was started.
struct Started {
    link: Arc<Link>,
    number: u64,
    end: oneshot::Receiver<i32>,
    terminal: Option<OwnedFd>,
}

/// The engine's ends of a command's streams.
#[derive(Default)]
struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

fn failed(what: &str, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed(format!("{what}: {error}"))
}

impl Shared {
    fn commands(&self) -> std::sync::MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shim saw a command end.
    pub(super) fn exec_ended(&self, sandbox: &str, exec: u64, code: i32) {
        let waiting = self.commands().waiting.remove(&(sandbox.to_owned(), exec));
        if let Some(waiting) = waiting {
            // Who waited may have given up.
            let _ = waiting.send(code);
        }
    }

    fn running(&self, id: &str) -> cri::Result<(Arc<Container>, Arc<Link>)> {
        let container = self.container(id)?;
        let state = container.life().state;
        if state != ContainerState::Running {
            let what = format!("container is in {} state", state_name(state));
            return Err(RuntimeError::Failed(what));
        }
        let link = self.sandbox(&container.record.sandbox)?.link()?;
        Ok((container, link))
    }

    /// Starts a command with the given ends of its streams.
    async fn start_command(
        &self,
        id: &str,
        argv: Vec<String>,
        terminal: bool,
        streams: [Option<OwnedFd>; 3],
    ) -> cri::Result<Started> {
        let (container, link) = self.running(id)?;
        let sandbox = container.record.sandbox.clone();
        let (sender, end) = oneshot::channel();
        let number = {
            let mut commands = self.commands();
            commands.next += 1;
            let number = commands.next;
            commands.waiting.insert((sandbox.clone(), number), sender);
            number
        };
        let request = Request::Exec {
            container: id.to_owned(),
            exec: number,
            process: Box::new(command_plan(&container, argv, terminal)),
            cgroup: Box::new(container.record.plan.cgroup.clone()),
        };
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = OwnedFd::from(null.map_err(|error| failed("cannot open /dev/null", error))?);
        let descriptors: Vec<_> = if terminal {
            Vec::new()
        } else {
            streams.iter().map(|stream| stream.as_ref().unwrap_or(&null).as_fd()).collect()
        };
        match link.call_with(request, &descriptors).await {
            Ok((_, descriptors)) => {
                Ok(Started { link, number, end, terminal: descriptors.into_iter().next() })
            }
            Err(error) => {
                self.commands().waiting.remove(&(sandbox, number));
                Err(match error {
                    LinkError::Failed(failure) if failure.not_running => {
                        RuntimeError::Failed("container is in CONTAINER_EXITED state".into())
                    }
                    LinkError::Failed(failure) => {
                        RuntimeError::Failed(format!("unable to start container process: {}", failure.text))
                    }
                    other => RuntimeError::Failed(other.to_string()),
                })
            }
        }
    }

    pub(super) async fn exec_sync(
        self: &Arc<Self>,
        id: &str,
        command: Vec<String>,
        limit_secs: u32,
    ) -> cri::Result<ExecOutput> {
        let (stdout, childs_stdout) = pipe_pair()?;
        let (stderr, childs_stderr) = pipe_pair()?;
        let mut started = self
            .start_command(id, command.clone(), false, [None, Some(childs_stdout), Some(childs_stderr)])
            .await?;
        let (out, err) = (Collected::default(), Collected::default());
        let collecting = async { tokio::join!(out.collect(stdout), err.collect(stderr)) };
        tokio::pin!(collecting);
        let run = async {
            let mut collected = false;
            loop {
                tokio::select! {
                    biased;
                    code = &mut started.end => {
                        if !collected {
                            let _ = self.env.clock.timeout(LAST_OUTPUT, &mut collecting).await;
                        }
                        return code;
                    }
                    _ = &mut collecting, if !collected => collected = true,
                }
            }
        };
        let limit = Duration::from_secs(limit_secs.into());
        let code = if limit_secs == 0 { Some(run.await) } else { self.env.clock.timeout(limit, run).await };
        match code {
            Some(Ok(exit_code)) => Ok(ExecOutput { stdout: out.take(), stderr: err.take(), exit_code }),
            Some(Err(_)) => Err(RuntimeError::Failed("the pod's shim is gone".into())),
            None => {
                // If the shim is gone so is the command.
                let _ = started.link.call(Request::KillExec { exec: started.number }).await;
                let command = command.join(" ");
                Err(RuntimeError::Timeout(format!("command {command:?} timed out after {limit_secs}s")))
            }
        }
    }

    pub(super) async fn exec(self: &Arc<Self>, id: &str, request: ExecRequest) -> cri::Result<Session> {
        let (mut ends, streams) =
            if request.tty { (Ends::default(), [None, None, None]) } else { exec_pipes(&request)? };
        let mut started = self.start_command(id, request.command, request.tty, streams).await?;
        let mut session = self.empty_session();
        if let Some(terminal) = started.terminal.take() {
            let clone =
                |fd: &OwnedFd| fd.try_clone().map_err(|error| failed("cannot use the terminal", error));
            if request.stdin {
                ends.stdin = Some(clone(&terminal)?);
            }
            ends.stdout = Some(clone(&terminal)?);
            session.0.resize = Some(self.resize_terminal(terminal));
        }
        let outputs = self.connect_session(&mut session.0, ends)?;
        let (shared, exit) = (self.clone(), session.1);
        self.env.tasks.spawn("exec", async move { shared.follow_exec(started, exit, outputs).await });
        Ok(session.0)
    }

    /// Waits for a command's end, or for the end of interest in it.
    async fn follow_exec(
        self: Arc<Self>,
        started: Started,
        mut exit: oneshot::Sender<Result<i32, String>>,
        outputs: watch::Receiver<usize>,
    ) {
        let mut outputs = outputs;
        let Started { link, number, end, .. } = started;
        tokio::select! {
            biased;
            code = end => {
                // Its last words first.
                let closed = outputs.wait_for(|open| *open == 0);
                let _ = self.env.clock.timeout(LAST_OUTPUT, closed).await;
                let _ = exit.send(code.map_err(|_| "the pod's shim is gone".into()));
            }
            () = exit.closed() => {
                let _ = link.call(Request::KillExec { exec: number }).await;
            }
        }
    }

    fn empty_session(&self) -> (Session, oneshot::Sender<Result<i32, String>>) {
        let (sender, exit) = oneshot::channel();
        (Session { stdin: None, stdout: None, stderr: None, resize: None, exit }, sender)
    }

    /// Moves bytes between a session's channels and the streams. Answers how many outputs are still open.
    fn connect_session(&self, session: &mut Session, ends: Ends) -> cri::Result<watch::Receiver<usize>> {
        let open = Arc::new(watch::Sender::new(0));
        if let Some(stdin) = ends.stdin {
            let (sender, receiver) = mpsc::channel(CHUNKS);
            session.stdin = Some(sender);
            let stdin = Stream::new(stdin)?;
            self.env.tasks.spawn("session input", async move { stdin.write_all(receiver).await });
        }
        for (end, slot) in [(ends.stdout, &mut session.stdout), (ends.stderr, &mut session.stderr)] {
            let Some(end) = end else { continue };
            let (sender, receiver) = mpsc::channel(CHUNKS);
            *slot = Some(receiver);
            let (stream, open) = (Stream::new(end)?, open.clone());
            open.send_modify(|open| *open += 1);
            self.env.tasks.spawn("session output", async move {
                stream.read_all(sender).await;
                open.send_modify(|open| *open -= 1);
            });
        }
        Ok(open.subscribe())
    }

    fn resize_terminal(&self, terminal: OwnedFd) -> mpsc::Sender<(u16, u16)> {
        let (sender, mut receiver) = mpsc::channel::<(u16, u16)>(CHUNKS);
        self.env.tasks.spawn("session size", async move {
            while let Some((columns, rows)) = receiver.recv().await {
                let size =
                    rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
                // The terminal goes with the command.
                let _ = rustix::termios::tcsetwinsize(&terminal, size);
            }
        });
        sender
    }

    pub(super) async fn attach(self: &Arc<Self>, id: &str, request: AttachRequest) -> cri::Result<Session> {
        let (container, link) = self.running(id)?;
        let (mut ends, mut theirs) = (Ends::default(), Vec::new());
        if request.stdin {
            let (read, write) = pipe_pair()?;
            ends.stdin = Some(write);
            theirs.push(read);
        }
        let stderr = request.stderr && !container.record.config.tty;
        for (wanted, slot) in [(request.stdout, &mut ends.stdout), (stderr, &mut ends.stderr)] {
            if wanted {
                let (read, write) = pipe_pair()?;
                *slot = Some(read);
                theirs.push(write);
            }
        }
        let asked = Request::Attach {
            container: id.to_owned(),
            stdin: request.stdin,
            stdout: request.stdout,
            stderr,
        };
        let descriptors: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        link.call_with(asked, &descriptors).await.map_err(|error| RuntimeError::Failed(error.to_string()))?;
        drop(theirs);
        let (mut session, exit) = self.empty_session();
        if container.record.config.tty {
            session.resize = Some(self.resize_container(&container, link));
        }
        self.connect_session(&mut session, ends)?;
        let mut life = container.life.subscribe();
        self.env.tasks.spawn("attach", async move {
            let mut exit = exit;
            tokio::select! {
                biased;
                ended = life.wait_for(|life| life.state != ContainerState::Running) => {
                    let code = ended.map(|life| life.exit.exit_code);
                    let _ = exit.send(code.map_err(|_| "the container was removed".into()));
                }
                () = exit.closed() => {}
            }
        });
        Ok(session)
    }

    fn resize_container(&self, container: &Arc<Container>, link: Arc<Link>) -> mpsc::Sender<(u16, u16)> {
        let (sender, mut receiver) = mpsc::channel::<(u16, u16)>(CHUNKS);
        let container = container.id.clone();
        self.env.tasks.spawn("session size", async move {
            while let Some((columns, rows)) = receiver.recv().await {
                let resize = Request::Resize { container: container.clone(), columns, rows };
                // The terminal goes with the container.
                let _ = link.call(resize).await;
            }
        });
        sender
    }

    pub(super) async fn port_forward(&self, sandbox: &str, port: u16) -> cri::Result<Box<dyn Duplex>> {
        let link = self.sandbox(sandbox)?.link()?;
        let mut refused = String::new();
        for v6 in [false, true] {
            let connected = async {
                let (_, descriptors) =
                    link.call_with(Request::Connect { port, v6 }, &[]).await.map_err(io::Error::other)?;
                let socket = descriptors.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
                let stream = tokio::net::TcpStream::from_std(std::net::TcpStream::from(socket))?;
                stream.writable().await?;
                stream.take_error()?.map_or(Ok(stream), Err)
            };
            match connected.await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) if refused.is_empty() => refused = error.to_string(),
                Err(_) => {}
            }
        }
        Err(RuntimeError::Failed(format!("failed to connect to localhost:{port} inside the pod: {refused}")))
    }
}

fn state_name(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "CONTAINER_CREATED",
        ContainerState::Running => "CONTAINER_RUNNING",
        ContainerState::Exited => "CONTAINER_EXITED",
        ContainerState::Unknown => "CONTAINER_UNKNOWN",
    }
}

/// A command runs as the container's main process does.
fn command_plan(container: &Container, argv: Vec<String>, terminal: bool) -> ProcessPlan {
    let mut plan = container.record.plan.process.clone();
    plan.argv = argv;
    plan.terminal = terminal;
    if terminal && !plan.env.iter().any(|entry| entry.starts_with("TERM=")) {
        plan.env.push("TERM=xterm".into());
    }
    plan
}

/// A pipe's read and write ends.
fn pipe_pair() -> cri::Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("cannot make a pipe", error))
}

fn exec_pipes(request: &ExecRequest) -> cri::Result<(Ends, [Option<OwnedFd>; 3])> {
    let (mut ends, mut theirs) = (Ends::default(), [None, None, None]);
    if request.stdin {
        let (read, write) = pipe_pair()?;
        ends.stdin = Some(write);
        theirs[0] = Some(read);
    }
    for (wanted, slot, at) in [(request.stdout, &mut ends.stdout, 1), (request.stderr, &mut ends.stderr, 2)] {
        if wanted {
            let (read, write) = pipe_pair()?;
            *slot = Some(read);
            theirs[at] = Some(write);
        }
    }
    Ok((ends, theirs))
}

/// One direction of a pipe or terminal.
struct Stream {
    fd: AsyncFd<OwnedFd>,
}

impl Stream {
    fn new(fd: OwnedFd) -> cri::Result<Stream> {
        let nonblocking = rustix::fs::fcntl_getfl(&fd)
            .and_then(|flags| rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK));
        nonblocking.map_err(|error| failed("cannot use a stream", error))?;
        Ok(Stream { fd: reactor::watch(fd).map_err(|error| failed("cannot use a stream", error))? })
    }

    /// Reads to the end; a terminal says it by an error.
    async fn read_all(self, to: mpsc::Sender<Vec<u8>>) {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            tokio::select! {
                biased;
                () = to.closed() => return,
                ready = self.fd.readable() => {
                    let Ok(mut ready) = ready else { return };
                    match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer[..])?)) {
                        Ok(Ok(count)) if count > 0 => {
                            if to.send(buffer[..count].to_vec()).await.is_err() {
                                return;
                            }
                        }
                        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                        Ok(_) => return,
                        Err(_would_block) => {}
                    }
                }
            }
        }
    }

    /// Writes what comes, until it ends or the other side does not want more.
    async fn write_all(self, mut from: mpsc::Receiver<Vec<u8>>) {
        while let Some(chunk) = from.recv().await {
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let Ok(mut ready) = self.fd.writable().await else { return };
                match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), rest)?)) {
                    Ok(Ok(count)) => rest = &rest[count..],
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(_)) => return,
                    Err(_would_block) => {}
                }
            }
        }
    }
}

/// Output that is kept, up to a limit.
#[derive(Default)]
struct Collected {
    bytes: Mutex<Vec<u8>>,
}

impl Collected {
    async fn collect(&self, from: OwnedFd) {
        let nonblocking = rustix::fs::fcntl_getfl(&from)
            .and_then(|flags| rustix::fs::fcntl_setfl(&from, flags | rustix::fs::OFlags::NONBLOCK));
        let (Ok(()), Ok(mut from)) = (nonblocking, pipe::Receiver::from_owned_fd(from)) else { return };
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer).await {
            if count == 0 {
                return;
            }
            let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MAX_OUTPUT.saturating_sub(bytes.len()).min(count);
            bytes.extend_from_slice(&buffer[..room]);
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

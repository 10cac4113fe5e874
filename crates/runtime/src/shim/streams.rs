//! A container's standard streams: from it to its log and to who is attached, and from who is attached to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;

use super::child::Stdio;
use super::clients::Asker;
use super::failure::{Context, Result};
use super::log::{LogFile, Stream};
use super::{Shim, Source};
use crate::plan::ContainerPlan;
use crate::protocol::Answer;

/// How long someone attached may keep a container's output waiting. Nothing is lost to a slow reader, and nobody can
/// stop a container for good.
const PATIENCE: Duration = Duration::from_secs(10);

/// The streams of one container.
#[derive(Default)]
pub(super) struct Streams {
    /// By [`Stream`]; a terminal is the first.
    outputs: [Option<OwnedFd>; 2],
    has_terminal: bool,
    /// Where input goes; with a terminal that is the terminal.
    input: Option<OwnedFd>,
    pending_input: Vec<u8>,
    stdin_once: bool,
    attached: Vec<Option<OwnedFd>>,
    readers: Vec<Reader>,
    pub log: Option<LogFile>,
}

/// Someone attached who reads.
struct Reader {
    /// `None` when it is gone.
    socket: Option<OwnedFd>,
    stream: Stream,
    pending: Vec<u8>,
    stalled_since: Option<Duration>,
}

impl Streams {
    /// The shim's ends and the container's.
    pub fn make(plan: &ContainerPlan, log: Option<LogFile>) -> Result<(Streams, Stdio)> {
        let mut streams = Streams { log, stdin_once: plan.stdin_once, ..Streams::default() };
        let mut stdio = Stdio::default();
        if plan.process.terminal {
            streams.has_terminal = true;
            return Ok((streams, stdio));
        }
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make a pipe");
        let (stdout, childs_stdout) = pipe()?;
        let (stderr, childs_stderr) = pipe()?;
        set_nonblocking(&stdout)?;
        set_nonblocking(&stderr)?;
        streams.outputs = [Some(stdout), Some(stderr)];
        stdio.stdout = Some(childs_stdout);
        stdio.stderr = Some(childs_stderr);
        if plan.stdin {
            let (childs_stdin, stdin) = pipe()?;
            set_nonblocking(&stdin)?;
            stdio.stdin = Some(childs_stdin);
            streams.input = Some(stdin);
        }
        Ok((streams, stdio))
    }

    pub fn set_terminal(&mut self, terminal: OwnedFd) {
        if set_nonblocking(&terminal).is_ok() {
            self.input = terminal.try_clone().ok();
            self.outputs[0] = Some(terminal);
        }
    }

    pub fn watched<'a>(&'a self, id: &'a str) -> Vec<(Source, BorrowedFd<'a>, PollFlags)> {
        let mut watched = Vec::new();
        for (stream, output) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&self.outputs) {
            // Not read from while a reader is behind: that is what holds the container back.
            if let Some(output) = output
                && !self.is_held(stream)
            {
                watched.push((Source::Output(id.to_owned(), stream), output.as_fd(), PollFlags::IN));
            }
        }
        if let Some(input) = &self.input
            && !self.pending_input.is_empty()
        {
            watched.push((Source::Input(id.to_owned()), input.as_fd(), PollFlags::OUT));
        }
        for (index, attached) in self.attached.iter().enumerate() {
            if let Some(attached) = attached
                && self.pending_input.is_empty()
            {
                watched.push((Source::Attached(id.to_owned(), index), attached.as_fd(), PollFlags::IN));
            }
        }
        for (index, reader) in self.readers.iter().enumerate() {
            if let Some(socket) = &reader.socket {
                // Even one that is up to date is watched, for going away.
                let flags = if reader.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                watched.push((Source::Reader(id.to_owned(), index), socket.as_fd(), flags));
            }
        }
        watched
    }

    fn is_held(&self, stream: Stream) -> bool {
        self.readers.iter().any(|reader| reader.stream == stream && !reader.pending.is_empty())
    }

    pub fn has_stalled_reader(&self) -> bool {
        self.readers.iter().any(|reader| !reader.pending.is_empty())
    }

    /// Lets go of readers that hold the container back too long, and forgets those that left.
    pub fn drop_slow_readers(&mut self, now: Duration) {
        for reader in &mut self.readers {
            if reader.stalled_since.is_some_and(|since| now.saturating_sub(since) > PATIENCE) {
                reader.drop_connection();
            }
        }
        self.readers.retain(|reader| reader.socket.is_some());
        self.attached.retain(Option::is_some);
    }

    pub fn outputs_closed(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// Unfinished lines are written when nothing more can come.
    pub fn finish(&mut self, now: env::WallTime) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.close_output(stream, now);
        }
    }

    fn close_output(&mut self, stream: Stream, now: env::WallTime) {
        if self.outputs[stream as usize].take().is_some()
            && let Some(log) = &mut self.log
            && let Err(error) = log.end(stream, now)
        {
            eprintln!("cannot write a log: {error}");
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.stream == stream) {
            if reader.pending.is_empty() {
                reader.socket = None;
            }
        }
    }

    fn close_input(&mut self) {
        self.pending_input.clear();
        if !self.has_terminal {
            self.input = None;
        }
    }

    /// Hands what the container wrote to its log and to who is attached.
    fn distribute(&mut self, stream: Stream, bytes: &[u8], now: (env::WallTime, Duration)) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(stream, bytes, now.0)
        {
            // A full disk costs lines, not the container.
            eprintln!("cannot write a log: {error}");
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.stream == stream) {
            reader.pending.extend_from_slice(bytes);
            reader.flush(now.1);
        }
    }
}

impl Reader {
    fn flush(&mut self, now: Duration) {
        while let Some(socket) = self.socket.as_ref().filter(|_| !self.pending.is_empty()) {
            match rustix::io::write(socket, &self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                    self.stalled_since = None;
                }
                Err(rustix::io::Errno::AGAIN) => {
                    self.stalled_since.get_or_insert(now);
                    return;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => self.drop_connection(),
            }
        }
        if self.socket.is_none() {
            self.drop_connection();
        }
    }

    fn drop_connection(&mut self) {
        self.socket = None;
        self.pending = Vec::new();
        self.stalled_since = None;
    }
}

fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd).context("read a stream's flags")?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK).context("set a stream's flags")
}

/// A socket on its way to a port of this network namespace's loopback; who gets it waits for the end of the way.
pub(super) fn connect(port: u16, v6: bool) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    let address: std::net::IpAddr =
        if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() };
    match rustix::net::connect(&socket, &std::net::SocketAddr::new(address, port)) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

impl Shim {
    /// Reads what a container wrote. Some of it, so that one container cannot keep the others waiting; all of it if
    /// it ended.
    pub(super) fn pump_output(&mut self, id: &str, stream: Stream) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..64 {
            let now = (self.clock.now(), self.clock.monotonic());
            let Some(container) = self.containers.get_mut(id) else { break };
            let streams = &mut container.streams;
            let Some(output) = streams.outputs[stream as usize].as_ref().filter(|_| !streams.is_held(stream))
            else {
                break;
            };
            match rustix::io::read(output, &mut buffer[..]) {
                Ok(count) if count > 0 => streams.distribute(stream, &buffer[..count], now),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                // The end; a terminal says it by an error.
                Ok(_) | Err(_) => streams.close_output(stream, now.0),
            }
        }
        self.buffer = buffer;
    }

    /// Writes waiting input to the container.
    pub(super) fn pump_input(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let streams = &mut container.streams;
        let Some(input) = &streams.input else { return };
        match rustix::io::write(input, &streams.pending_input) {
            Ok(count) => drop(streams.pending_input.drain(..count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => streams.close_input(),
        }
    }

    /// Takes input from someone attached.
    pub(super) fn read_attached(&mut self, id: &str, index: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some(container) = self.containers.get_mut(id)
            && let Some(slot) = container.streams.attached.get_mut(index)
            && let Some(attached) = slot.as_ref()
        {
            match rustix::io::read(attached, &mut buffer[..]) {
                // A container that closed its input loses what comes.
                Ok(count) if count > 0 && container.streams.input.is_none() => {}
                Ok(count) if count > 0 => container.streams.pending_input.extend_from_slice(&buffer[..count]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    *slot = None;
                    if container.streams.stdin_once {
                        container.streams.close_input();
                    }
                }
            }
            if !container.streams.pending_input.is_empty() {
                self.buffer = buffer;
                self.pump_input(id);
                return;
            }
        }
        self.buffer = buffer;
    }

    /// Someone attached takes output again, or is gone.
    pub(super) fn flush_reader(&mut self, id: &str, index: usize, flags: PollFlags) {
        let now = self.clock.monotonic();
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(reader) = container.streams.readers.get_mut(index) else { return };
        if flags.intersects(PollFlags::ERR | PollFlags::HUP) {
            reader.drop_connection();
        } else {
            reader.flush(now);
        }
        let stream = reader.stream;
        if reader.pending.is_empty() && container.streams.outputs[stream as usize].is_none() {
            container.streams.readers[index].socket = None;
        }
    }

    pub(super) fn attach(&mut self, asker: Asker, id: &str, wanted: [bool; 3], descriptors: Vec<OwnedFd>) {
        if self.running(id).is_none() {
            self.not_running(asker, "the container");
            return;
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        let streams = &mut container.streams;
        let mut descriptors = descriptors.into_iter();
        let mut next = |wanted: bool| if wanted { descriptors.next() } else { None };
        let [stdin, stdout, stderr] = wanted.map(&mut next);
        for fd in [&stdin, &stdout, &stderr].into_iter().flatten() {
            if set_nonblocking(fd).is_err() {
                self.refuse(asker, "the streams cannot be used");
                return;
            }
        }
        streams.attached.extend(stdin.map(Some));
        for (stream, socket) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            if let Some(socket) = socket {
                streams.readers.push(Reader {
                    socket: Some(socket),
                    stream,
                    pending: Vec::new(),
                    stalled_since: None,
                });
            }
        }
        self.answer(asker, Answer::Done, Vec::new());
    }

    pub(super) fn resize(&mut self, asker: Asker, id: &str, columns: u16, rows: u16) {
        let terminal = self
            .containers
            .get(id)
            .filter(|container| container.streams.has_terminal)
            .and_then(|container| container.streams.outputs[0].as_ref());
        let Some(terminal) = terminal else {
            self.not_running(asker, "a terminal");
            return;
        };
        let size = rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        match rustix::termios::tcsetwinsize(terminal, size) {
            Ok(()) => self.answer(asker, Answer::Done, Vec::new()),
            Err(error) => self.refuse(asker, super::failure::plain(&error.into())),
        }
    }
}

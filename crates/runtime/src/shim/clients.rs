//! Those who talk to the shim: one engine, or for a moment two while one replaces another.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;

use super::Shim;
use crate::protocol::{Answer, Failure, Inbox, Message, Request, encode};
use crate::sys::{process, socket};

/// What may wait for a client that does not read. Answers are small; beyond this it is taken for hung and let go.
const MAX_OUTBOX: usize = 1 << 20;

/// A connection.
pub(super) struct Client {
    pub socket: UnixStream,
    pub gone: bool,
    inbox: Inbox,
    outbox: VecDeque<Outgoing>,
}

struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Client {
    pub fn interest(&self) -> PollFlags {
        if self.outbox.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty() || self.gone
    }

    pub fn send(&mut self, number: u64, body: Answer, descriptors: Vec<OwnedFd>) {
        let waiting: usize = self.outbox.iter().map(|outgoing| outgoing.bytes.len()).sum();
        match encode(&Message { number, body }, descriptors.len()) {
            Ok(bytes) if waiting + bytes.len() <= MAX_OUTBOX => {
                self.outbox.push_back(Outgoing { bytes, sent: 0, descriptors });
                self.flush();
            }
            _ => self.gone = true,
        }
    }

    fn flush(&mut self) {
        while let Some(next) = self.outbox.front_mut() {
            let descriptors: Vec<_> = next.descriptors.iter().map(AsFd::as_fd).collect();
            match socket::send(&self.socket, &next.bytes[next.sent..], &descriptors) {
                Ok(count) => {
                    next.sent += count;
                    next.descriptors.clear();
                    if next.sent == next.bytes.len() {
                        self.outbox.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }

    /// Takes what has arrived. False when the other side is gone.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 8192];
        loop {
            match socket::receive(&self.socket, &mut buffer, &mut self.inbox.descriptors) {
                Ok(0) => return false,
                Ok(count) => self.inbox.bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Who asked, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub client: u64,
    pub number: u64,
}

impl Shim {
    pub(super) fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_ok() {
                let client = Client { socket, gone: false, inbox: Inbox::default(), outbox: VecDeque::new() };
                self.clients.insert(self.next_client, client);
                self.next_client += 1;
            }
        }
    }

    pub(super) fn client_ready(&mut self, id: u64, flags: PollFlags) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        let open = client.receive();
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            match client.inbox.next::<Request>() {
                Ok(Some((message, descriptors))) => {
                    let asker = Asker { client: id, number: message.number };
                    self.handle(asker, message.body, descriptors);
                }
                Ok(None) => break,
                Err(_) => {
                    client.gone = true;
                    break;
                }
            }
        }
        if !open && let Some(client) = self.clients.get_mut(&id) {
            client.gone = true;
        }
        if self.clients.get(&id).is_some_and(|client| client.gone) {
            // Commands run for someone; containers do not.
            for ((client, _), exec) in &self.execs {
                if *client == id {
                    let _ = process::signal(exec.pid, libc::SIGKILL);
                }
            }
        }
    }

    pub(super) fn answer(&mut self, asker: Asker, body: Answer, descriptors: Vec<OwnedFd>) {
        if let Some(client) = self.clients.get_mut(&asker.client) {
            client.send(asker.number, body, descriptors);
        }
    }

    pub(super) fn refuse(&mut self, asker: Asker, text: impl Into<String>) {
        let failure = Failure { text: text.into(), not_running: false };
        self.answer(asker, Answer::Failed(failure), Vec::new());
    }

    pub(super) fn not_running(&mut self, asker: Asker, what: &str) {
        let failure = Failure { text: format!("{what} is not running"), not_running: true };
        self.answer(asker, Answer::Failed(failure), Vec::new());
    }

    /// Tells everyone.
    pub(super) fn announce(&mut self, body: &Answer) {
        for client in self.clients.values_mut() {
            client.send(0, body.clone(), Vec::new());
        }
    }

    fn handle(&mut self, asker: Asker, request: Request, descriptors: Vec<OwnedFd>) {
        match request {
            Request::Start { container } => self.start_container(asker, &container),
            Request::Signal { container, signal } => match self.running(&container) {
                Some(pid) => {
                    let result = process::signal(pid, signal);
                    self.answer_result(asker, result);
                }
                None => self.not_running(asker, "the container"),
            },
            Request::Kill { container } => {
                self.kill_container(&container);
                self.answer(asker, Answer::Done, Vec::new());
            }
            Request::Exec { container, exec, process, cgroup } => {
                let asked = super::execs::Asked { container, exec, process, cgroup };
                self.start_exec(asker, asked, descriptors);
            }
            Request::KillExec { exec } => {
                if let Some(exec) = self.execs.get(&(asker.client, exec)) {
                    // Its session first: what it started itself shares the group unless it left.
                    let _ = process::signal(-exec.pid, libc::SIGKILL);
                    let _ = process::signal(exec.pid, libc::SIGKILL);
                }
                self.answer(asker, Answer::Done, Vec::new());
            }
            Request::Attach { container, stdin, stdout, stderr } => {
                self.attach(asker, &container, [stdin, stdout, stderr], descriptors);
            }
            Request::Resize { container, columns, rows } => self.resize(asker, &container, columns, rows),
            Request::ReopenLog { container } => {
                let result =
                    self.containers.get_mut(&container).map(super::containers::Container::reopen_log);
                match result {
                    Some(result) => self.answer_result(asker, result),
                    None => self.not_running(asker, "the container"),
                }
            }
            Request::Connect { port, v6 } => match super::streams::connect(port, v6) {
                Ok(socket) => self.answer(asker, Answer::Connecting, vec![socket]),
                Err(error) => self.refuse(asker, super::failure::plain(&error)),
            },
            Request::Report => {
                let running = self.containers.keys().cloned().collect();
                self.answer(asker, Answer::Report { running }, Vec::new());
            }
            Request::Shutdown => {
                self.ending = true;
                let all: Vec<String> = self.containers.keys().cloned().collect();
                all.iter().for_each(|id| self.kill_container(id));
                self.answer(asker, Answer::Done, Vec::new());
            }
        }
    }

    fn answer_result(&mut self, asker: Asker, result: io::Result<()>) {
        match result {
            Ok(()) => self.answer(asker, Answer::Done, Vec::new()),
            Err(error) => self.refuse(asker, super::failure::plain(&error)),
        }
    }
}

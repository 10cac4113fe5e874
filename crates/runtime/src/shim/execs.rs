//! Commands run in containers beside their main process.

use std::os::fd::OwnedFd;

use super::Shim;
use super::child::{self, Report, Role, Stdio};
use super::clients::Asker;
use super::containers::{link_pair, receive_report};
use super::failure::{Context, Failed, Result};
use crate::plan::{CgroupPlan, ProcessPlan};
use crate::protocol::Answer;
use crate::sys::process::{self, Fork};
use crate::sys::socket;

/// A command that was started.
pub(super) struct Exec {
    pub pid: i32,
    /// While its process is not yet the user's.
    pub link: Option<OwnedFd>,
    asker: Asker,
    ready: bool,
    /// Its terminal, on the way to who asked.
    terminal: Option<OwnedFd>,
}

/// A command that is to be started.
pub(super) struct Asked {
    pub container: String,
    pub exec: u64,
    pub process: Box<ProcessPlan>,
    pub cgroup: Box<CgroupPlan>,
}

impl Shim {
    pub(super) fn start_exec(&mut self, asker: Asker, asked: Asked, descriptors: Vec<OwnedFd>) {
        let Some(main) = self.running(&asked.container) else {
            self.not_running(asker, "the container");
            return;
        };
        match self.launch_exec(main, &asked, descriptors) {
            Ok((pid, link)) => {
                let exec = Exec { pid, link: Some(link), asker, ready: false, terminal: None };
                self.execs.insert((asker.client, asked.exec), exec);
            }
            Err(Failed(text)) => self.refuse(asker, text),
        }
    }

    fn launch_exec(&self, main: i32, asked: &Asked, descriptors: Vec<OwnedFd>) -> Result<(i32, OwnedFd)> {
        let mut streams = descriptors.into_iter();
        let stdio = Stdio { stdin: streams.next(), stdout: streams.next(), stderr: streams.next() };
        let main = process::pidfd(main).context("open the container's process")?;
        let (link, childs_link) = link_pair()?;
        let pids = main.try_clone().context("open the container's process")?;
        match self.fork_in(Some(pids), 0)? {
            Fork::Parent(pid) => Ok((pid, link)),
            Fork::Child => {
                let role = Role::Beside { main, process: &asked.process, cgroup: &asked.cgroup };
                child::run(&role, stdio, childs_link)
            }
        }
    }

    /// A starting command said something, or its link closed: then its program runs.
    pub(super) fn exec_ready(&mut self, key: (u64, u64)) {
        let Some(exec) = self.execs.get_mut(&key) else { return };
        let Some(link) = &exec.link else { return };
        let asker = exec.asker;
        match receive_report(link) {
            Some((Report::Ready { .. }, terminal)) => {
                exec.ready = true;
                exec.terminal = terminal;
                if socket::send(link, &[1], &[]).is_err() {
                    let _ = process::signal(exec.pid, libc::SIGKILL);
                }
            }
            Some((Report::Failed(text), _)) => {
                self.execs.remove(&key);
                self.refuse(asker, text);
            }
            None if exec.ready => {
                exec.link = None;
                let answer = Answer::ExecStarted { pid: exec.pid };
                let terminal = exec.terminal.take().into_iter().collect();
                self.answer(asker, answer, terminal);
            }
            None => {
                self.execs.remove(&key);
                self.refuse(asker, "the command was killed while it was being made");
            }
        }
    }

    pub(super) fn exec_ended(&mut self, key: (u64, u64), code: i32) {
        for _ in 0..3 {
            if self.execs.get(&key).is_some_and(|exec| exec.link.is_some()) {
                self.exec_ready(key);
            }
        }
        if self.execs.remove(&key).is_some()
            && let Some(client) = self.clients.get_mut(&key.0)
        {
            client.send(0, Answer::ExecEnded { exec: key.1, code }, Vec::new());
        }
    }
}

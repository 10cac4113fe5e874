//! Real members of etcd on loopback, each with a directory that goes with it.
//!
//! `IRONCLAD_ETCD` names another program than the `etcd` in the path. A shell stands between the test and each member:
//! it ends the member when the test ends, however that ends.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::etcd::{Config, Endpoint};

/// Ends the member when the pipe from the test is closed.
const GUARD: &str = r#""$@" 2>log & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null"#;

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    arguments: Vec<String>,
    directory: PathBuf,
    pub(crate) client_port: u16,
    guard: Option<(Child, Pid)>,
}

/// Members of one cluster.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) members: Vec<Member>,
    directory: PathBuf,
}

/// A port nobody listens on just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

impl Members {
    /// Starts a cluster in the clear.
    pub(crate) fn start(count: usize, extra: &[&str]) -> Members {
        let ports: Vec<(u16, u16)> = (0..count)
            .map(|_| {
                let port = free_port();
                (port, port)
            })
            .collect();
        Members::start_behind(&ports, extra)
    }

    /// Starts a cluster whose members reach each other at the first of two ports, and listen at the second.
    pub(crate) fn start_behind(peers: &[(u16, u16)], extra: &[&str]) -> Members {
        Members::start_for("http", peers, extra)
    }

    /// Starts one member that clients reach by TLS.
    pub(crate) fn start_secure(extra: &[&str]) -> Members {
        let port = free_port();
        Members::start_for("https", &[(port, port)], extra)
    }

    fn start_for(scheme: &str, peers: &[(u16, u16)], extra: &[&str]) -> Members {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("store-etcd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let initial: Vec<String> = peers
            .iter()
            .enumerate()
            .map(|(number, (port, _))| format!("m{number}=http://127.0.0.1:{port}"))
            .collect();
        let members = peers.iter().enumerate().map(|(number, (reached, listening))| {
            let client_port = free_port();
            let client = format!("{scheme}://127.0.0.1:{client_port}");
            let directory = directory.join(format!("m{number}"));
            let mut arguments: Vec<String> = [
                ("--name", format!("m{number}")),
                ("--data-dir", "data".to_owned()),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client),
                ("--listen-peer-urls", format!("http://127.0.0.1:{listening}")),
                ("--initial-advertise-peer-urls", format!("http://127.0.0.1:{reached}")),
                ("--initial-cluster", initial.join(",")),
                ("--max-txn-ops", "10000".to_owned()),
                ("--log-level", "error".to_owned()),
            ]
            .map(|(flag, value)| format!("{flag}={value}"))
            .to_vec();
            arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
            Member { arguments, directory, client_port, guard: None }
        });
        let mut members = Members { members: members.collect(), directory };
        members.members.iter_mut().for_each(Member::start);
        members
    }

    /// How they are reached, the given one first.
    pub(crate) fn config(&self, first: usize, prefix: &str) -> Config {
        let count = self.members.len();
        let order = (first..first + count).map(|member| &self.members[member % count]);
        let endpoint = |member: &Member| Endpoint { host: "127.0.0.1".to_owned(), port: member.client_port };
        Config { endpoints: order.map(endpoint).collect(), prefix: prefix.to_owned(), tls: None }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Member {
    /// Starts it, or starts it again.
    pub(crate) fn start(&mut self) {
        std::fs::create_dir_all(&self.directory).expect("a directory");
        let program = std::env::var("IRONCLAD_ETCD").unwrap_or_else(|_| "etcd".to_owned());
        let version = Command::new(&program).arg("--version").output();
        assert!(version.is_ok(), "{program} is not there: `scripts/setup test` installs it");
        let mut child = Command::new("sh")
            .args(["-c", GUARD, "guard", &program])
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let told = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line);
        told.expect("the shell tells the member's process");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process");
        self.guard = Some((child, pid));
    }

    /// Its process, if it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.guard.as_ref().map(|(_, pid)| *pid)
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let Some((mut child, pid)) = self.guard.take() else { return };
        kill_process(pid, Signal::KILL).expect("it is ours");
        drop(child.stdin.take());
        child.wait().expect("the shell ends with its pipe");
    }

    /// Stops it from doing anything, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let pid = self.pid().expect("it runs");
        kill_process(pid, signal).expect("it is ours");
    }
}

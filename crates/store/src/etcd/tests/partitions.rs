//! Members that cannot reach each other: a cluster whose members talk through a switchboard of ours.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use env::Entropy;

use super::members::free_port;
use super::*;
use crate::conformance::linear::{Recorder, client};

/// How long a client goes on, unless `IRONCLAD_PARTITION_STEPS` says otherwise.
const STEPS: usize = 400;
const CLIENTS: usize = 6;
const MEMBERS: usize = 3;

/// Every connection between members goes through here.
#[derive(Debug, Default)]
struct Switchboard {
    /// Members that are cut off from all others.
    alone: Mutex<BTreeSet<usize>>,
    /// Open connections, with the members at their ends.
    open: Mutex<Vec<([usize; 2], TcpStream)>>,
    /// The members' processes, by which a caller is known.
    processes: Mutex<Vec<i32>>,
    /// How many connections were cut.
    cut: AtomicUsize,
    closed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Switchboard {
    /// Takes calls for a member at one port and puts them through to another.
    fn serve(self: &Arc<Self>, member: usize, reached: u16, listening: u16) {
        let listener = TcpListener::bind(("127.0.0.1", reached)).expect("the port was free a moment ago");
        let board = self.clone();
        std::thread::spawn(move || {
            for call in listener.incoming() {
                if board.closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(call) = call else { continue };
                // Who cannot be known calls again.
                let Some(caller) = board.caller(&call, reached) else { continue };
                let ends = [caller, member];
                if ends.iter().any(|end| lock(&board.alone).contains(end)) {
                    continue;
                }
                if let Ok(answer) = TcpStream::connect(("127.0.0.1", listening)) {
                    board.put_through(ends, call, answer);
                }
            }
        });
    }

    fn put_through(&self, ends: [usize; 2], call: TcpStream, answer: TcpStream) {
        for (from, to) in [(&call, &answer), (&answer, &call)] {
            let (Ok(mut from), Ok(mut to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone())
            else {
                return;
            };
            lock(&self.open).push((ends, kept));
            std::thread::spawn(move || {
                let mut buffer = [0; 16 << 10];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                // The other side may have gone already.
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    /// Which member a connection comes from: the one whose process has its other end.
    fn caller(&self, call: &TcpStream, reached: u16) -> Option<usize> {
        let port = call.peer_addr().ok()?.port();
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let (own, other) = (format!(":{port:04X}"), format!(":{reached:04X}"));
        let inode = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let found = fields.get(1)?.ends_with(&own) && fields.get(2)?.ends_with(&other);
            found.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
        })?;
        lock(&self.processes).iter().position(|process| {
            let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
            descriptors.flatten().any(|descriptor| {
                std::fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == inode.as_str())
            })
        })
    }

    /// Cuts members off from all others; the rest can reach each other.
    fn isolate(&self, members: &[usize]) {
        *lock(&self.alone) = members.iter().copied().collect();
        lock(&self.open).retain(|(ends, stream)| {
            let cut = ends.iter().any(|end| members.contains(end));
            if cut {
                self.cut.fetch_add(1, Ordering::Relaxed);
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
            !cut
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_partitions_are_linearizable() {
    let steps =
        std::env::var("IRONCLAD_PARTITION_STEPS").map_or(STEPS, |steps| steps.parse().expect("a number"));
    let board = Arc::new(Switchboard::default());
    let ports = [(); MEMBERS].map(|()| (free_port(), free_port()));
    for (member, (reached, listening)) in ports.iter().enumerate() {
        board.serve(member, *reached, *listening);
    }
    let members = Members::start_behind(&ports, &[]);
    *lock(&board.processes) = members
        .members
        .iter()
        .filter_map(|member| member.pid())
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    let prefix = fresh_prefix();
    drop(open_patiently(members.config(0, &prefix), tight()).await);
    let (recorder, env) = (Arc::new(Recorder::default()), Env::real());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (config, recorder) = (members.config(number % MEMBERS, &prefix), recorder.clone());
            let entropy = env.entropy.child(&number.to_string());
            env.tasks.spawn("client", async move {
                let store = open_patiently(config, tight()).await;
                client(&*store, &recorder, steps, &entropy).await;
            })
        })
        .collect();
    let cutting = env.tasks.spawn("partitions", cut_and_heal(board.clone(), env.clone()));
    for client in clients {
        client.join().await.expect("a client ends well");
    }
    cutting.abort();
    board.isolate(&[]);
    assert!(recorder.len() > steps, "most of what was asked was answered: {}", recorder.len());
    let verdict = recorder.verdict();
    let cut = board.cut.load(Ordering::Relaxed);
    println!("{} acts, {} with an unknown outcome; {cut} connections cut", recorder.len(), recorder.unsure());
    assert!(cut > 0, "members were cut off while clients were at work");
    board.closed.store(true, Ordering::Relaxed);
    assert_eq!(verdict, Vec::<String>::new());
}

/// Cuts one member off, whichever; then two, so that none has a majority; then heals, and again.
async fn cut_and_heal(board: Arc<Switchboard>, env: Env) {
    let entropy: &Entropy = &env.entropy;
    loop {
        let one = entropy.below(MEMBERS as u64) as usize;
        let cut = if entropy.below(4) == 0 { vec![one, (one + 1) % MEMBERS] } else { vec![one] };
        board.isolate(&cut);
        env.clock.sleep(Duration::from_millis(1000 + entropy.below(3000))).await;
        board.isolate(&[]);
        env.clock.sleep(Duration::from_millis(500 + entropy.below(1500))).await;
    }
}

//! `bench dns [BINARY]`: names asked of a running cluster, 20,000 a second over UDP: how long an answer takes, how many
//! are missing, and what it costs.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use env::{Clock, Env};
use network::dns::wire::{Name, kind, write_name};

use crate::cluster::{Cluster, enter_namespaces, measured_binary};
use crate::process::cpu_seconds;
use crate::report::{Figure, print};

/// Where the cluster answers names.
const SERVER: &str = "10.96.0.10:53";
/// A name that every cluster has.
const NAME: &str = "kubernetes.default.svc.cluster.local";
/// How many are asked a second.
const RATE: u32 = 20_000;
/// For how long.
const PERIOD: Duration = Duration::from_secs(10);
/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(1);

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    cluster.begin_up()?.wait()?;
    let process = cluster.process()?;
    let before = cpu_seconds(process)?;
    let clock = env.clock.clone();
    let asked = env.tasks.blocking(move || ask(&clock)).await.context("the measurement was stopped")??;
    let used = cpu_seconds(process)? - before;
    let Asked { mut times, sent } = asked;
    ensure!(!times.is_empty(), "not one of {sent} queries was answered");
    times.sort();
    let millis = |place: usize| times[place.min(times.len() - 1)].as_secs_f64() * 1000.0;
    print(&[
        Figure::at_least("dns/asked", f64::from(sent) / PERIOD.as_secs_f64(), "/s", f64::from(RATE) * 0.99),
        Figure::at_most("dns/unanswered", f64::from(sent) - times.len() as f64, "queries", 0.0),
        Figure::at_most("dns/median", millis(times.len() / 2), "ms", 1.0),
        Figure::at_most("dns/p99", millis(times.len() * 99 / 100), "ms", 1.0),
        Figure::at_most("dns/cpu", 100.0 * used / PERIOD.as_secs_f64(), "% of a core", 100.0),
    ]);
    Ok(())
}

/// What became of the queries.
struct Asked {
    times: Vec<Duration>,
    sent: u32,
}

/// Asks at the same rate however long the answers take, so that a pause is seen by all who would have asked in it.
fn ask(clock: &Clock) -> Result<Asked> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // What the driver is late to read is late, not lost.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20)?;
    socket.set_nonblocking(true)?;
    socket.connect(SERVER.parse::<SocketAddr>()?)?;
    let mut message = query()?;
    let due = |sent: u32| PERIOD * sent / (RATE * PERIOD.as_secs() as u32);
    // Each query's number is free again long before it is used a second time.
    let mut open: Vec<Option<Duration>> = vec![None; 1 << 16];
    let (mut times, mut sent) = (Vec::new(), 0u32);
    let mut answer = [0; 512];
    let start = clock.monotonic();
    loop {
        let now = clock.monotonic() - start;
        if now >= PERIOD + LAST || (now >= PERIOD && times.len() == sent as usize) {
            return Ok(Asked { times, sent });
        }
        while now < PERIOD && due(sent) <= now {
            message[..2].copy_from_slice(&(sent as u16).to_be_bytes());
            open[usize::from(sent as u16)] = Some(due(sent));
            // A full queue counts as unanswered.
            if socket.send(&message).is_err() {
                open[usize::from(sent as u16)] = None;
            }
            sent += 1;
        }
        while let Ok(length @ 12..) = socket.recv(&mut answer) {
            let number = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
            let is_answer = answer[3] & 15 == 0 && answer[7] == 1 && length > message.len();
            if let Some(asked) = open[number].take().filter(|_| is_answer) {
                times.push((clock.monotonic() - start).saturating_sub(asked));
            }
        }
    }
}

fn query() -> Result<Vec<u8>> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    write_name(&mut message, &Name::parse(NAME).context("a name")?);
    message.extend_from_slice(&kind::A.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    Ok(message)
}

//! `bench flaps [BINARY]`: endpoints of a running cluster's Services that go and come, 1,000 a second for a minute. Each
//! change is looked for with a packet before the next one to the same Service: those that never come in force are lost.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use client::{Call, Client, SharedTransport, Write, resources};
use env::{Clock, Env};
use serde_json::json;
use tokio::net::UdpSocket;

use crate::cluster::{Cluster, enter_namespaces, measured_binary, until};
use crate::process::cpu_seconds;
use crate::report::{Figure, print};

/// How many endpoints go and come a second.
const RATE: u32 = 1_000;
/// For how long, in seconds.
const SECONDS: u32 = 60;
/// Services whose endpoints change in turn: each ten times a second.
const SERVICES: u32 = 100;
/// Changes under way at a time; it divides the number of Services, so that each has one writer.
const WRITERS: u32 = 20;
/// Of so many changes one is followed until it is in force.
const FOLLOWED: u32 = 100;
/// The two addresses between which each Service's endpoint changes.
const SIDES: [&str; 2] = ["192.0.2.101", "192.0.2.102"];
/// The port of Services and endpoints.
const PORT: u16 = 9_000;
/// How long a packet's answer may take.
const ANSWER: Duration = Duration::from_millis(500);
/// How long a change may take to be in force before it counts as lost.
const LATEST: Duration = Duration::from_secs(2);

/// Measures and prints.
pub async fn run(arguments: &[String]) -> Result<()> {
    if !enter_namespaces()? {
        return Ok(());
    }
    let binary = measured_binary(arguments)?;
    let env = Env::real();
    let cluster = Cluster::prepare(&binary)?;
    cluster.begin_up()?.wait()?;
    for side in SIDES {
        answer_at(side, &env).await?;
    }
    let client = cluster.client(&env)?;
    let services = Arc::new(services(&client, &env).await?);
    let process = cluster.process()?;
    let busy_before = cpu_seconds(process)?;
    let begin = env.clock.monotonic();
    let mut seen = flap(client.transport(), &env, &services).await?;
    let taken = env.clock.monotonic() - begin;
    let busy = cpu_seconds(process)? - busy_before;
    seen.times.sort();
    let millis = |part: usize| {
        let place = (seen.times.len() * part / 100).min(seen.times.len().saturating_sub(1));
        seen.times.get(place).map_or(f64::INFINITY, |time| time.as_secs_f64() * 1000.0)
    };
    print(&[
        Figure::at_least(
            "flaps/rate",
            f64::from(seen.made) / taken.as_secs_f64(),
            "/s",
            0.99 * f64::from(RATE),
        ),
        Figure::at_most("flaps/lost", f64::from(seen.lost), "changes", 0.0),
        Figure::at_most("flaps/in-force", millis(50), "ms", 50.0),
        Figure::at_most("flaps/in-force-p99", millis(99), "ms", 100.0),
        Figure::at_most("flaps/cpu", 100.0 * busy / taken.as_secs_f64(), "% of a core", 100.0),
    ]);
    Ok(())
}

/// Answers packets at an address of this machine with that address.
async fn answer_at(side: &'static str, env: &Env) -> Result<()> {
    let status = Command::new("ip").args(["addr", "add", &format!("{side}/32"), "dev", "uplink0"]).status();
    ensure!(status.context("ip")?.success(), "the address {side} cannot be had");
    let socket = UdpSocket::bind((side.parse::<IpAddr>()?, PORT)).await?;
    env.tasks.spawn("endpoint", async move {
        let mut packet = [0; 16];
        while let Ok((_, peer)) = socket.recv_from(&mut packet).await {
            // Who is not answered finds it lost.
            let _ = socket.send_to(side.as_bytes(), peer).await;
        }
    });
    Ok(())
}

/// Makes the Services, each with a first endpoint, and waits until the last leads there.
async fn services(client: &Client, env: &Env) -> Result<Vec<SocketAddr>> {
    let mut services = Vec::new();
    for number in 0..SERVICES {
        let name = format!("flap-{number}");
        let ports = json!([{"name": "p", "protocol": "UDP", "port": PORT}]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports},
        });
        let made = create(client, resources::SERVICES, &service).await?;
        let address = made.to_value()?.at(&["spec", "clusterIP"]).as_str().context("no address")?.parse()?;
        services.push(SocketAddr::new(address, PORT));
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "endpoints": endpoints(0), "ports": ports,
        });
        create(client, resources::ENDPOINT_SLICES, &slice).await?;
    }
    let last = *services.last().context("no Services")?;
    until(env, env.clock.monotonic(), || async { leads_to(last, SIDES[0], &env.clock).await }).await?;
    Ok(services)
}

async fn create(
    client: &Client,
    resource: client::Resource,
    object: &serde_json::Value,
) -> Result<machinery::Object> {
    let call = Call::all("default");
    Ok(client.write(resource, call, Write::Create(Bytes::from(object.to_string()))).await?)
}

fn endpoints(round: u32) -> serde_json::Value {
    json!([{"addresses": [SIDES[round as usize % 2]], "conditions": {"ready": true}}])
}

/// What was made, and what was seen of it.
#[derive(Debug, Default)]
struct Seen {
    made: u32,
    lost: u32,
    /// How long those that were followed took to be in force, from when the API was asked.
    times: Vec<Duration>,
}

async fn flap(transport: &SharedTransport, env: &Env, services: &Arc<Vec<SocketAddr>>) -> Result<Seen> {
    let begin = env.clock.monotonic();
    let writers: Vec<_> = (0..WRITERS)
        .map(|first| {
            let (transport, services) = (transport.clone(), services.clone());
            let writer = Writer { transport, services, clock: env.clock.clone(), begin };
            env.tasks.spawn("writer", async move { writer.run(first).await })
        })
        .collect();
    let mut all = Seen::default();
    for writer in writers {
        let seen = writer.join().await.context("a writer ended early")??;
        all.made += seen.made;
        all.lost += seen.lost;
        all.times.extend(seen.times);
    }
    Ok(all)
}

struct Writer {
    transport: SharedTransport,
    services: Arc<Vec<SocketAddr>>,
    clock: Clock,
    begin: Duration,
}

impl Writer {
    /// Makes every change whose number leaves `first` when divided by the number of writers, each when it is due.
    async fn run(&self, first: u32) -> Result<Seen> {
        let mut seen = Seen::default();
        for number in (first..RATE * SECONDS).step_by(WRITERS as usize) {
            let due = self.begin + Duration::from_secs(1) * number / RATE;
            self.clock.sleep(due.saturating_sub(self.clock.monotonic())).await;
            self.change(number, &mut seen).await?;
        }
        // Those that no other change comes after.
        for service in (first..SERVICES).step_by(WRITERS as usize) {
            seen.lost += u32::from(!self.comes_to(service, RATE * SECONDS / SERVICES).await);
        }
        Ok(seen)
    }

    async fn change(&self, number: u32, seen: &mut Seen) -> Result<()> {
        let (service, round) = (number % SERVICES, number / SERVICES);
        seen.lost += u32::from(!self.comes_to(service, round).await);
        let asked = self.clock.monotonic();
        let patch = Bytes::from(json!({"endpoints": endpoints(round + 1)}).to_string());
        let call = Call::object("default", &format!("flap-{service}"));
        self.transport.write(resources::ENDPOINT_SLICES, call, Write::MergePatch(patch)).await?;
        seen.made += 1;
        // Another Service each time.
        if number % FOLLOWED == round % FOLLOWED {
            self.comes_to(service, round + 1).await;
            seen.times.push(self.clock.monotonic() - asked);
        }
        Ok(())
    }

    /// Whether a Service leads to where its endpoint is after so many changes, now or soon.
    async fn comes_to(&self, service: u32, changes: u32) -> bool {
        let (address, side) = (self.services[service as usize], SIDES[changes as usize % 2]);
        let begin = self.clock.monotonic();
        while self.clock.monotonic() - begin < LATEST {
            if leads_to(address, side, &self.clock).await {
                return true;
            }
        }
        false
    }
}

/// Whether a packet to a Service is answered from this side. From a new port, so that it is no flow that is known.
async fn leads_to(service: SocketAddr, side: &str, clock: &Clock) -> bool {
    let ask = async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(service).await?;
        socket.send(b"?").await?;
        let mut answer = [0; 16];
        let length = socket.recv(&mut answer).await?;
        std::io::Result::Ok(answer[..length] == *side.as_bytes())
    };
    matches!(clock.timeout(ANSWER, ask).await, Some(Ok(true)))
}

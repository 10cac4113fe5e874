//! The Service rules of a large cluster: loading them, taking them over, changing one endpoint, and what the kernel holds
//! for them, beside the same set as kube-proxy lays it out; and how long a name takes. In network namespaces of its own.

mod peer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use client::Key;
use env::Clock;
use network::dns::resolve::Domain;
use network::dns::wire::{Name, Query, kind, write_name};
use network::dns::zone::{Entry, Zone};
use network::netlink::Namespace;
use network::proxy::compile::Frontends;
use network::proxy::install::{Blocks, Difference};
use network::proxy::ruleset::{Balance, Frontend, Masquerade, Target};
use network::proxy::{Config, Proxy};

use crate::report::{Figure, print};
use peer::Cost;

/// How many single changes are measured.
const CHANGES: usize = 1_000;
/// How many queries are answered.
const QUERIES: u32 = 500_000;

/// How many Services, and endpoints of each.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    services: u32,
    endpoints: u32,
}

/// `network [SERVICES [ENDPOINTS]]`
pub fn run(arguments: &[String]) -> Result<()> {
    let number = |at: usize, default: u32| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let size = Size { services: number(0, 10_000)?, endpoints: number(1, 10)? };
    let clock = Clock::real();
    let before = kernel_memory()?;
    let config = Config {
        instance: "bench".into(),
        namespace: Namespace::create()?,
        blocks: Blocks { services: vec!["10.96.0.0/12".parse()?], pods: vec!["10.128.0.0/9".parse()?] },
        own_addresses: Vec::new(),
    };
    let mut proxy = proxy(&config, size)?;
    let start = clock.monotonic();
    proxy.install(&Difference::default())?;
    let load = clock.monotonic() - start;
    let memory = kernel_memory()?.saturating_sub(before) as f64 / 1024.0;
    let taken_over = take_over(&clock, &config, size)?;
    let times = change(&clock, &mut proxy, size)?;
    let peer = peer::measure(&clock, size)?;
    let beside = |figure: Figure, of: &dyn Fn(&Cost) -> f64| match &peer {
        Some(cost) => figure.against("kube-proxy's layout", of(cost)),
        None => figure,
    };
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let at = |part: usize| millis(times[(CHANGES * part / 100).min(CHANGES - 1)]);
    print(&[
        beside(Figure::at_most("network/load", load.as_secs_f64(), "s", 2.0), &|cost| {
            cost.load.as_secs_f64()
        }),
        Figure::at_most("network/take-over", taken_over.as_secs_f64(), "s", 2.0),
        beside(Figure::at_most("network/change", at(50), "ms", 20.0), &|cost| millis(cost.change)),
        Figure::at_most("network/change-p99", at(99), "ms", 20.0),
        beside(Figure::at_most("network/kernel-memory", memory, "MiB", 300.0), &|cost| cost.memory),
        Figure::at_most("network/name", name(&clock, size.services)?, "ns", 2_000.0),
    ]);
    Ok(())
}

/// Changes one endpoint after the other; how long each took, the shortest first.
fn change(clock: &Clock, proxy: &mut Proxy, size: Size) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(CHANGES);
    for round in 0..CHANGES as u32 {
        let service = round.wrapping_mul(7_919) % size.services;
        let start = clock.monotonic();
        // One endpoint goes, or comes back.
        let count = if round % 2 == 0 { size.endpoints - 1 } else { size.endpoints };
        let difference = proxy.wanted().set(&key(service), Some(wish(service, count)));
        proxy.install(&difference)?;
        times.push(clock.monotonic() - start);
    }
    times.sort();
    Ok(times)
}

/// A proxy that wants all Services.
fn proxy(config: &Config, size: Size) -> Result<Proxy> {
    let mut proxy = Proxy::new(config.clone())?;
    for service in 0..size.services {
        proxy.wanted().set(&key(service), Some(wish(service, size.endpoints)));
    }
    Ok(proxy)
}

/// How long a new process needs to take over the table of an earlier one.
fn take_over(clock: &Clock, config: &Config, size: Size) -> Result<Duration> {
    let mut proxy = proxy(config, size)?;
    let start = clock.monotonic();
    proxy.install(&Difference::default())?;
    Ok(clock.monotonic() - start)
}

/// How long one name takes, without its packets, in nanoseconds.
fn name(clock: &Clock, services: u32) -> Result<f64> {
    let mut zone = Zone::default();
    for service in 0..services {
        let entry = Entry { addresses: vec![address(service)], ..Entry::default() };
        zone.set(&key(service), Some(entry));
    }
    let domain = Domain::new("cluster.local", &[]).context("a domain")?;
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    write_name(&mut message, &Name::parse("svc7.default.svc.cluster.local").context("a name")?);
    message.extend_from_slice(&kind::A.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let mut out = Vec::new();
    let start = clock.monotonic();
    for _ in 0..QUERIES {
        let query = Query::read(&message).ok().context("a query")?;
        domain.resolve(&zone, (&message, &query), (&mut out, 512), 1);
    }
    Ok((clock.monotonic() - start).as_nanos() as f64 / f64::from(QUERIES))
}

fn key(service: u32) -> Key {
    Key::new("default", &format!("svc{service}"))
}

fn address(service: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 1)) + service))
}

/// A Service's endpoints.
fn backends(service: u32, count: u32) -> impl Iterator<Item = SocketAddr> {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + service * 16;
    (0..count).map(move |number| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(first + number)), 8_080))
}

fn wish(service: u32, endpoints: u32) -> (Frontends, Vec<IpAddr>) {
    let balance = Balance {
        backends: backends(service, endpoints).collect(),
        local: None,
        masquerade: Masquerade::Outsiders,
        affinity: None,
        sources: None,
    };
    let frontend = Frontend { address: Some(address(service)), v6: false, protocol: 6, port: 80 };
    (Frontends::from([(frontend, Target::Balance(balance))]), vec![address(service)])
}

/// What the kernel holds for itself, in KiB.
fn kernel_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default()
    };
    Ok(of("Slab:") + of("VmallocUsed:") + of("Percpu:"))
}

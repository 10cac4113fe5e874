//! The Service rules of a large cluster: loading them, changing one endpoint, changing many; and the answers per second
//! of the names. In a network namespace of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

/// How many single changes are measured.
const CHANGES: usize = 1_000;
/// How many queries are answered.
const QUERIES: u32 = 500_000;

/// `network [SERVICES [ENDPOINTS]]`
pub fn run(arguments: &[String]) -> Result<()> {
    let number = |at: usize, default: u32| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (services, endpoints) = (number(0, 10_000)?, number(1, 10)?);
    let clock = Clock::real();
    let before = kernel_memory()?;
    let config = Config {
        instance: "bench".into(),
        namespace: Namespace::create()?,
        blocks: Blocks { services: vec!["10.96.0.0/12".parse()?], pods: vec!["10.128.0.0/9".parse()?] },
        own_addresses: Vec::new(),
    };
    let mut proxy = proxy(&config, (services, endpoints))?;
    let start = clock.monotonic();
    proxy.install(&Difference::default())?;
    let loaded = clock.monotonic() - start;
    println!("{services} Services x {endpoints} endpoints loaded in {} ms", loaded.as_millis());
    println!("kernel memory: {} MiB", kernel_memory()?.saturating_sub(before) >> 10);
    take_over(&clock, &config, (services, endpoints))?;

    let mut times = Vec::with_capacity(CHANGES);
    for round in 0..CHANGES as u32 {
        let service = round.wrapping_mul(7_919) % services;
        let start = clock.monotonic();
        // One endpoint goes, or comes back.
        let count = if round % 2 == 0 { endpoints - 1 } else { endpoints };
        let difference = proxy.wanted().set(&key(service), Some(wish(service, count)));
        proxy.install(&difference)?;
        times.push(clock.monotonic() - start);
    }
    times.sort();
    let total: std::time::Duration = times.iter().sum();
    println!(
        "one endpoint changed in {} us (median), {} us (99 of 100), {} us (longest); {:.0} changes/s",
        times[CHANGES / 2].as_micros(),
        times[CHANGES * 99 / 100].as_micros(),
        times[CHANGES - 1].as_micros(),
        CHANGES as f64 / total.as_secs_f64()
    );
    names(&clock, services)
}

/// A proxy that wants all Services.
fn proxy(config: &Config, (services, endpoints): (u32, u32)) -> Result<Proxy> {
    let mut proxy = Proxy::new(config.clone())?;
    for service in 0..services {
        proxy.wanted().set(&key(service), Some(wish(service, endpoints)));
    }
    Ok(proxy)
}

/// What a new process does with the table of an earlier one.
fn take_over(clock: &Clock, config: &Config, size: (u32, u32)) -> Result<()> {
    let mut proxy = proxy(config, size)?;
    let start = clock.monotonic();
    proxy.install(&Difference::default())?;
    println!("the same taken over by a new process in {} ms", (clock.monotonic() - start).as_millis());
    Ok(())
}

fn names(clock: &Clock, services: u32) -> Result<()> {
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
    let each = (clock.monotonic() - start) / QUERIES;
    println!("one name answered in {} ns (without its packets)", each.as_nanos());
    Ok(())
}

fn key(service: u32) -> Key {
    Key::new("default", &format!("svc{service}"))
}

fn address(service: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 1)) + service))
}

fn wish(service: u32, endpoints: u32) -> (Frontends, Vec<IpAddr>) {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + service * 16;
    let backend = |number| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(first + number)), 8_080);
    let balance = Balance {
        backends: (0..endpoints).map(backend).collect(),
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

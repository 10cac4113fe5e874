//! The same Services laid out as kube-proxy lays them out, put into the kernel by the `nft` tool as it does: a chain for
//! each Service with a map of its endpoints in it, an element for each endpoint that might speak to itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use env::Clock;
use network::netlink::Namespace;

use super::{Size, address, backends, kernel_memory};

/// How many Services go into the kernel at once. kube-proxy gives it all of them, for which it needs minutes: the time
/// grows with the square of how many maps without a name one transaction makes.
const TOGETHER: u32 = 250;
/// How many single changes are measured.
const CHANGES: u32 = 20;

const FRAME: &str = "add table ip kube-proxy
add set ip kube-proxy cluster-ips { type ipv4_addr; }
add set ip kube-proxy hairpin-connections { type ipv4_addr . ipv4_addr . inet_proto . inet_service; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
add chain ip kube-proxy services
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority dstnat; }
add rule ip kube-proxy nat-prerouting jump services
";

/// What it costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Until all is in the kernel.
    pub load: Duration,
    /// Until one changed endpoint is.
    pub change: Duration,
    /// What the kernel holds for it, in MiB.
    pub memory: f64,
}

/// Measures it; `None` if there is no `nft` tool.
pub fn measure(clock: &Clock, size: Size) -> Result<Option<Cost>> {
    if Command::new("nft").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let namespace = Namespace::create()?;
    let before = kernel_memory()?;
    let start = clock.monotonic();
    nft(&namespace, FRAME)?;
    for first in (0..size.services).step_by(TOGETHER as usize) {
        let mut text = String::new();
        for service in first..(first + TOGETHER).min(size.services) {
            add(&mut text, service, size.endpoints)?;
        }
        nft(&namespace, &text)?;
    }
    let load = clock.monotonic() - start;
    let memory = kernel_memory()?.saturating_sub(before) as f64 / 1024.0;
    let start = clock.monotonic();
    for round in 0..CHANGES {
        let mut text = format!("flush chain ip kube-proxy service-{round}\n");
        choose(&mut text, round, size.endpoints - 1)?;
        nft(&namespace, &text)?;
    }
    Ok(Some(Cost { load, change: (clock.monotonic() - start) / CHANGES, memory }))
}

fn add(text: &mut String, service: u32, endpoints: u32) -> Result<()> {
    let address = address(service);
    writeln!(text, "add chain ip kube-proxy service-{service}")?;
    writeln!(text, "add element ip kube-proxy cluster-ips {{ {address} }}")?;
    writeln!(
        text,
        "add element ip kube-proxy service-ips {{ {address} . tcp . 80 : goto service-{service} }}"
    )?;
    for backend in backends(service, endpoints) {
        let (ip, port) = (backend.ip(), backend.port());
        writeln!(text, "add element ip kube-proxy hairpin-connections {{ {ip} . {ip} . tcp . {port} }}")?;
    }
    choose(text, service, endpoints)
}

fn choose(text: &mut String, service: u32, endpoints: u32) -> Result<()> {
    let all: Vec<String> = backends(service, endpoints)
        .enumerate()
        .map(|(number, backend)| format!("{number} : {} . {}", backend.ip(), backend.port()))
        .collect();
    writeln!(
        text,
        "add rule ip kube-proxy service-{service} meta l4proto tcp dnat ip addr . port to numgen random mod {endpoints} map {{ {} }}",
        all.join(", ")
    )?;
    Ok(())
}

fn nft(namespace: &Namespace, text: &str) -> Result<()> {
    namespace.run(|| -> Result<()> {
        let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("its standard input")?.write_all(text.as_bytes())?;
        ensure!(child.wait()?.success(), "nft does not take kube-proxy's rules");
        Ok(())
    })?
}

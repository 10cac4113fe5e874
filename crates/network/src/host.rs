//! What the node itself gets: addresses it answers for, and a way from its own processes to Services. Written down, so
//! that all of it can be taken back.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::machine;
use crate::names;
use crate::netlink::link::Scope;
use crate::netlink::route::Route;
use crate::netlink::{Error, Links, Namespace, Result};
use crate::nftables::{Batch, Nft};

/// The parts of the network that have a table of their own.
const TABLES: [&str; 4] = ["pods", "services", "policies", machine::PART];

/// What a node holds on its loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    addresses: Vec<IpAddr>,
    routes: Vec<String>,
}

/// What to give the node.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Addresses it answers for.
    pub addresses: &'a [IpAddr],
    /// Blocks of Services' addresses. Without a route to them, the node's own processes could not even try.
    pub service_blocks: &'a [IpNet],
    /// The node's addresses: what its processes speak to Services from.
    pub node_addresses: &'a [IpAddr],
}

/// Gives the node what is wanted, and takes away what an earlier start gave it and is wanted no more.
pub fn prepare(namespace: &Namespace, directory: &Path, wanted: &Wanted<'_>) -> Result<()> {
    let file = file(directory);
    let now = Held {
        addresses: wanted.addresses.to_vec(),
        routes: wanted.service_blocks.iter().map(ToString::to_string).collect(),
    };
    let before = load(&file)?;
    let mut links = Links::of(namespace)?;
    let lo = loopback(&mut links)?;
    links.set_up(lo)?;
    let lost = Held {
        addresses: before.addresses.into_iter().filter(|one| !now.addresses.contains(one)).collect(),
        routes: before.routes.into_iter().filter(|one| !now.routes.contains(one)).collect(),
    };
    give_back(&mut links, lo, &lost)?;
    // Written before it is done: what is written and not there is no harm, the other way round it would stay for ever.
    save(&file, &now)?;
    for address in wanted.addresses {
        // Of host scope, so that it is never taken for an address this node speaks to others from.
        links.add_address(lo, IpNet::from(*address), Scope::Host)?;
    }
    let own: Vec<IpAddr> = links.addresses()?.into_iter().map(|(_, address)| address.addr()).collect();
    for block in wanted.service_blocks {
        let same_family = |one: &&IpAddr| one.is_ipv6() == block.addr().is_ipv6() && own.contains(one);
        let source = wanted.node_addresses.iter().find(same_family).copied();
        links.set_route(&Route { destination: block.trunc(), link: lo, gateway: None, source })?;
    }
    Ok(())
}

/// Takes back everything an instance put into a namespace: links, tables, routes, addresses. Its sandboxes must be gone.
pub fn teardown(instance: &str, namespace: &Namespace, directory: &Path) -> Result<()> {
    let mut links = Links::of(namespace)?;
    let prefix = names::link_prefix(instance);
    for link in links.list()? {
        if link.name.starts_with(&prefix) && (link.kind == "veth" || link.kind == "vxlan") {
            links.remove(&link.name)?;
        }
    }
    let mut nft = Nft::of(namespace)?;
    let present = nft.tables()?;
    let tables = TABLES.map(|part| names::table(instance, part));
    for table in tables.iter().flat_map(|table| [names::standby(table), table.clone()]) {
        if present.contains(&table) {
            let mut batch = Batch::new(&table);
            batch.remove_table();
            nft.apply(batch)?;
        }
    }
    let file = file(directory);
    let held = load(&file)?;
    let lo = loopback(&mut links)?;
    give_back(&mut links, lo, &held)?;
    for gone in [file, directory.join("sandboxes.json")] {
        match std::fs::remove_file(&gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!("removing {}", gone.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn give_back(links: &mut Links, lo: u32, held: &Held) -> Result<()> {
    for route in &held.routes {
        if let Ok(destination) = route.parse::<IpNet>() {
            let destination = destination.trunc();
            links.remove_route(&Route { destination, link: lo, gateway: None, source: None })?;
        }
    }
    for address in &held.addresses {
        links.remove_address(lo, IpNet::from(*address))?;
    }
    Ok(())
}

fn loopback(links: &mut Links) -> Result<u32> {
    let lo = links.by_name("lo")?;
    lo.map(|link| link.index).ok_or_else(|| Error::Malformed("the node has no loopback".into()))
}

fn file(directory: &Path) -> PathBuf {
    directory.join("held.json")
}

fn load(file: &Path) -> Result<Held> {
    match std::fs::read(file) {
        // A file cut short by a power cut: the kernel forgot what it names as well.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::default()),
        Err(error) => Err(Error::io(format!("reading {}", file.display()), error)),
    }
}

fn save(file: &Path, held: &Held) -> Result<()> {
    let failed = |source| Error::io(format!("writing {}", file.display()), source);
    let bytes = serde_json::to_vec(held).map_err(|error| failed(io::Error::other(error)))?;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let next = file.with_extension("next");
    std::fs::write(&next, bytes).map_err(failed)?;
    std::fs::rename(next, file).map_err(failed)
}

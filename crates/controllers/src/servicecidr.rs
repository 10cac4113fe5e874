//! ServiceCIDRs: ranges of addresses that stay until nobody has an address of them.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::Context;
use plan::View;

/// Starts the controller. Every range may be a part of every other, and any address may be the last of its range.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (ranges, addresses) =
        (context.cache(resources::SERVICE_CIDRS), context.cache(resources::IP_ADDRESSES));
    let (all, changed) = (ranges.clone(), queue.clone());
    ranges.subscribe(move |change| {
        changed.add(change.key.clone());
        for range in all.list() {
            changed.add(Key::of(&range.object));
        }
    });
    let (all, gone) = (ranges.clone(), queue.clone());
    addresses.subscribe(move |change| {
        if change.new.is_none() {
            for range in all.list().iter().filter(|range| range.object.header().deleting) {
                gone.add(Key::of(&range.object));
            }
        }
    });
    let controller = Ranges { ranges: ranges.clone(), addresses: addresses.clone() };
    let (account, component) = ("service-cidrs-controller", "service-cidrs-controller");
    context.driver(controller, &queue, account, component).sees(&ranges).sees(&addresses).start()
}

struct Ranges {
    ranges: Cache,
    addresses: Cache,
}

impl Controller for Ranges {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "service-cidr-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.ranges.get(key) else { return Ok(None) };
        let is_other = |key: &Key, object: &machinery::Object| Key::of(object) != *key;
        let others = self.ranges.list();
        let others = others.iter().filter(|other| is_other(key, &other.object));
        let others = others.map(|other| other.object.clone()).collect();
        let mut addresses = Vec::new();
        if entry.object.header().deleting {
            let names = self.addresses.list();
            addresses = names.iter().map(|address| address.object.header().name.to_string()).collect();
        }
        Ok(Some(View { object: entry.object.clone(), others, addresses }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}

//! Keeps the kernel's table equal to what the Services want: works out the elements that differ, and applies them as one
//! batch.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use client::Key;
use ipnet::IpNet;

use super::compile::Frontends;
use super::ruleset::{Frontend, Keep, Pick, Target};
use super::table::{self, SetName};
use crate::nftables::set::{self, Element};
use crate::nftables::{Batch, Blueprint, Present};

/// What all Services together want, and who wants what.
#[derive(Debug, Default)]
pub struct Wanted {
    services: BTreeMap<Key, Wish>,
    /// Who wants a frontend. If there are several, the first by name has it.
    claims: BTreeMap<Frontend, BTreeSet<Key>>,
    addresses: BTreeMap<IpAddr, u32>,
}

/// What one Service wants.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    frontends: Frontends,
    addresses: Vec<IpAddr>,
}

/// How a frontend's target changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Where it led.
    pub old: Option<Target>,
    /// Where it leads.
    pub new: Option<Target>,
}

/// What differs from before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Frontends.
    pub frontends: BTreeMap<Frontend, Changed>,
    /// Addresses of the cluster that a Service now has.
    pub new_addresses: Vec<IpAddr>,
    /// Addresses of the cluster that no Service has any more.
    pub lost_addresses: Vec<IpAddr>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.frontends.is_empty() && self.new_addresses.is_empty() && self.lost_addresses.is_empty()
    }

    /// Takes in a later difference. A frontend that changed twice keeps its first `old`.
    pub fn append(&mut self, later: Difference) {
        for (frontend, changed) in later.frontends {
            match self.frontends.entry(frontend) {
                Entry::Occupied(mut earlier) => earlier.get_mut().new = changed.new,
                Entry::Vacant(place) => {
                    place.insert(changed);
                }
            }
        }
        self.new_addresses.extend(later.new_addresses);
        self.lost_addresses.extend(later.lost_addresses);
    }
}

impl Wanted {
    /// Takes in what a Service wants now (`None`: it is gone), and answers what that changes.
    pub fn set(&mut self, service: &Key, wish: Option<(Frontends, Vec<IpAddr>)>) -> Difference {
        let (frontends, addresses) = wish.unwrap_or_default();
        let new = Wish { frontends, addresses };
        let old = self.services.remove(service).unwrap_or_default();
        let mut difference = Difference::default();
        for address in &new.addresses {
            let count = self.addresses.entry(*address).or_insert(0);
            *count += 1;
            if *count == 1 {
                difference.new_addresses.push(*address);
            }
        }
        for address in &old.addresses {
            let count = self.addresses.entry(*address).or_insert(1);
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(address);
                difference.lost_addresses.push(*address);
            }
        }
        let touched: BTreeSet<Frontend> = old.frontends.keys().chain(new.frontends.keys()).copied().collect();
        let before: Vec<(Frontend, Option<Target>)> = touched
            .into_iter()
            .map(|frontend| (frontend, self.target_with(&frontend, service, &old).cloned()))
            .collect();
        for frontend in old.frontends.keys().filter(|frontend| !new.frontends.contains_key(frontend)) {
            if let Some(claims) = self.claims.get_mut(frontend) {
                claims.remove(service);
                if claims.is_empty() {
                    self.claims.remove(frontend);
                }
            }
        }
        for frontend in new.frontends.keys() {
            self.claims.entry(*frontend).or_default().insert(service.clone());
        }
        for (frontend, old) in before {
            let now = self.target_with(&frontend, service, &new);
            if old.as_ref() != now {
                difference.frontends.insert(frontend, Changed { old, new: now.cloned() });
            }
        }
        if new != Wish::default() {
            self.services.insert(service.clone(), new);
        }
        difference
    }

    /// Where every frontend leads.
    fn targets(&self) -> impl Iterator<Item = (&Frontend, &Target)> {
        self.claims.keys().filter_map(|frontend| Some((frontend, self.target(frontend)?)))
    }

    /// Everything, as a difference from what was in the kernel (if it is known). There, a frontend led to what its
    /// elements say: if not all of them are there, it is not known where to.
    pub fn everything(&self, present: Option<&Present>) -> Difference {
        let nothing = Present::default();
        let elements = &present.unwrap_or(&nothing).elements;
        let is_there = |(set, element): &(SetName, Element), v6: bool| {
            elements.get(set.name(v6)).is_some_and(|there| there.contains(element))
        };
        let mut frontends: BTreeMap<Frontend, Changed> = BTreeMap::new();
        for (frontend, target) in self.targets() {
            let mut all = table::elements(frontend, target).into_iter();
            let old = all.all(|element| is_there(&element, frontend.v6)).then(|| target.clone());
            frontends.insert(*frontend, Changed { old, new: Some(target.clone()) });
        }
        for (set, v6) in table::followed() {
            let keys = elements.get(set.name(v6)).into_iter().flatten().map(|element| &element.key);
            for frontend in keys.filter_map(|key| table::frontend_of(set, key, v6)) {
                frontends.entry(frontend).or_insert(Changed { old: None, new: None });
            }
        }
        let new_addresses = self.addresses.keys().copied().collect();
        Difference { frontends, new_addresses, lost_addresses: Vec::new() }
    }

    /// Where a frontend leads.
    pub fn target(&self, frontend: &Frontend) -> Option<&Target> {
        let owner = self.claims.get(frontend)?.first()?;
        self.services.get(owner)?.frontends.get(frontend)
    }

    /// Who has a frontend.
    pub fn owner(&self, frontend: &Frontend) -> Option<&Key> {
        self.claims.get(frontend)?.first()
    }

    /// All Services that want something.
    pub fn services(&self) -> impl Iterator<Item = &Key> {
        self.services.keys()
    }

    /// Where a frontend leads if `service` wants `wish`.
    fn target_with<'a>(&'a self, frontend: &Frontend, service: &Key, wish: &'a Wish) -> Option<&'a Target> {
        let owner = self.claims.get(frontend)?.first()?;
        if owner == service {
            wish.frontends.get(frontend)
        } else {
            self.services.get(owner)?.frontends.get(frontend)
        }
    }
}

/// What is in the kernel's table.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// The chains that choose, and how many frontends or other chains lead to each.
    picks: BTreeMap<Pick, u32>,
    /// The chains that remember, and how many frontends lead to each.
    keeps: BTreeMap<Keep, u32>,
}

/// The blocks of addresses the table knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Services' addresses.
    pub services: Vec<IpNet>,
    /// Pods' addresses.
    pub pods: Vec<IpNet>,
}

impl Installed {
    /// The table with everything that is wanted.
    pub fn rebuild(&mut self, table: &str, blocks: &Blocks, wanted: &Wanted) -> Blueprint {
        let (mut fixed, mut chains) = (Batch::new(table), Batch::new(table));
        table::build(&mut fixed, &IpNet::aggregate(&blocks.services), &IpNet::aggregate(&blocks.pods));
        *self = Installed::default();
        let mut elements: BTreeMap<String, BTreeSet<Element>> =
            table::followed().map(|(set, v6)| (set.name(v6).to_owned(), BTreeSet::new())).collect();
        let mut add = |set: SetName, v6: bool, element| {
            elements.entry(set.name(v6).to_owned()).or_default().insert(element);
        };
        for (frontend, target) in wanted.targets() {
            self.take_up(&mut chains, frontend, target);
            for (set, element) in table::elements(frontend, target) {
                add(set, frontend.v6, element);
            }
        }
        for address in wanted.addresses.keys() {
            let element = Element::member(set::Key::new().address(*address));
            add(SetName::Addresses, address.is_ipv6(), element);
        }
        Blueprint { fixed, chains, elements }
    }

    /// The changes that take the table over a difference.
    pub fn update(&mut self, table: &str, difference: &Difference) -> Batch {
        let mut batch = Batch::new(table);
        self.change(&mut batch, difference);
        batch
    }

    fn change(&mut self, batch: &mut Batch, difference: &Difference) {
        let (mut added, mut removed) = (Elements::new(), Elements::new());
        let mut unused: Vec<String> = Vec::new();
        // Chains that are needed come first, so that a chain both given up and needed is not made anew.
        for (frontend, changed) in &difference.frontends {
            if let Some(target) = &changed.new {
                self.take_up(batch, frontend, target);
            }
        }
        for (frontend, changed) in &difference.frontends {
            if let Some(pick) = changed.old.as_ref().and_then(|old| pick_of(frontend, old)) {
                self.release(pick, &mut unused);
            }
            if let Some(keep) = changed.old.as_ref().and_then(|old| Keep::of(frontend, old)) {
                self.release_keep(keep, &mut unused);
            }
            sort_out(frontend, changed, &mut added, &mut removed);
        }
        for (addresses, sets) in
            [(&difference.lost_addresses, &mut removed), (&difference.new_addresses, &mut added)]
        {
            for address in addresses {
                let element = Element::member(set::Key::new().address(*address));
                sets.entry((SetName::Addresses, address.is_ipv6())).or_default().push(element);
            }
        }
        for ((set, v6), elements) in removed {
            batch.remove_elements(set.name(v6), elements);
        }
        for ((set, v6), elements) in added {
            batch.add_elements(set.name(v6), elements);
        }
        for chain in unused {
            batch.remove_chain(&chain);
        }
    }

    /// Adds the chains a frontend's target needs.
    fn take_up(&mut self, batch: &mut Batch, frontend: &Frontend, target: &Target) {
        if let Some(pick) = pick_of(frontend, target) {
            self.need(batch, pick);
        }
        if let Some(keep) = Keep::of(frontend, target) {
            let count = self.keeps.entry(keep).or_insert(0);
            *count += 1;
            if *count == 1 {
                table::add_keep(batch, &keep);
            }
        }
    }

    fn need(&mut self, batch: &mut Batch, pick: Pick) {
        let count = self.picks.entry(pick).or_insert(0);
        *count += 1;
        if *count == 1 {
            for part in pick.parts().iter().flat_map(super::ruleset::Parts::all) {
                self.need(batch, part);
            }
            table::add_pick(batch, &pick);
        }
    }

    fn release_keep(&mut self, keep: Keep, unused: &mut Vec<String>) {
        let Some(count) = self.keeps.get_mut(&keep) else { return };
        *count -= 1;
        if *count == 0 {
            self.keeps.remove(&keep);
            unused.push(keep.chain());
        }
    }

    /// Lists chains nobody leads to any more, each before those it leads to.
    fn release(&mut self, pick: Pick, unused: &mut Vec<String>) {
        let Some(count) = self.picks.get_mut(&pick) else { return };
        *count -= 1;
        if *count == 0 {
            self.picks.remove(&pick);
            unused.push(pick.chain());
            for part in pick.parts().iter().flat_map(super::ruleset::Parts::all) {
                self.release(part, unused);
            }
        }
    }
}

fn pick_of(frontend: &Frontend, target: &Target) -> Option<Pick> {
    match target {
        Target::Balance(balance) => Some(Pick::of(frontend, balance)),
        Target::Reject | Target::Drop => None,
    }
}

/// Elements, by the set and address family they belong to.
type Elements = BTreeMap<(SetName, bool), Vec<Element>>;

/// Sorts a frontend's elements into those to remove and those to add; what is in both stays untouched.
fn sort_out(frontend: &Frontend, changed: &Changed, added: &mut Elements, removed: &mut Elements) {
    let elements = |target: &Option<Target>| -> BTreeSet<(SetName, Element)> {
        target.iter().flat_map(|target| table::elements(frontend, target)).collect()
    };
    let (old, new) = (elements(&changed.old), elements(&changed.new));
    for (set, element) in old.difference(&new) {
        removed.entry((*set, frontend.v6)).or_default().push(element.clone());
    }
    for (set, element) in new.difference(&old) {
        added.entry((*set, frontend.v6)).or_default().push(element.clone());
    }
}

#[cfg(test)]
mod tests;

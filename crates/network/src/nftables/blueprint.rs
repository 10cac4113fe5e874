//! A table as it shall be, and the way there from what is in the kernel.
//!
//! The kernel takes a batch as a whole, but a packet on its way may see the old rules in one hook and the new ones in
//! the next, or old rules with the elements of the new ones. So a table that stands is never taken away from under its
//! packets: it is adopted, and only what differs is changed. Where that cannot be (another version made it), a second
//! table with the same rules stands by while the first is replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, NEW_CHAIN, NEW_RULE};
use super::kernel::Nft;
use super::set::Element;
use crate::names;
use crate::netlink::{Error, Result};

/// What a table shall be.
#[derive(Debug)]
pub struct Blueprint {
    /// What never changes while the table stands: its sets and their fixed elements, its chains and their rules.
    pub fixed: Batch,
    /// Further chains, each after those it leads to.
    pub chains: Batch,
    /// What shall be in each of the sets that are followed. The other sets are left as they are.
    pub elements: BTreeMap<String, BTreeSet<Element>>,
}

/// What a table is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// The names of its chains.
    pub chains: BTreeSet<String>,
    /// What is in the sets that are followed.
    pub elements: BTreeMap<String, BTreeSet<Element>>,
}

impl Blueprint {
    /// A table of which nothing changes while it stands.
    pub fn unchanging(fixed: Batch) -> Blueprint {
        let chains = Batch::new(fixed.table());
        Blueprint { fixed, chains, elements: BTreeMap::new() }
    }

    /// The name of an empty chain that says how the fixed part was made.
    fn stamp(&self) -> String {
        format!("made-as-{:016x}", self.fixed.fingerprint())
    }

    /// The whole table, in place of what it was.
    fn whole(self) -> Batch {
        let stamp = self.stamp();
        let mut batch = Batch::new(self.fixed.table());
        batch.replace_table();
        batch.append(self.fixed);
        batch.add_chain(&stamp);
        batch.append(self.chains);
        for (set, elements) in self.elements {
            batch.add_elements(&set, elements);
        }
        batch
    }

    /// What makes a table that is there into this one, if its fixed part was made the same way. All rules are set anew,
    /// so that it does not matter who changed them: to a packet they are the old ones or the new ones, which do the same.
    fn adopt(&self, present: &Present) -> Option<Batch> {
        let stamp = self.stamp();
        if !present.chains.contains(&stamp) {
            return None;
        }
        let mut batch = Batch::new(self.fixed.table());
        let kinds = [NEW_CHAIN, NEW_RULE];
        let [chains, rules] =
            kinds.map(|kind| [self.fixed.only(kind), self.chains.only(kind)].into_iter().flatten());
        let mut kept = BTreeSet::from([stamp]);
        for chain in chains {
            let name = chain.name().to_owned();
            batch.add(chain.clone());
            batch.clear_chain(&name);
            kept.insert(name);
        }
        rules.for_each(|rule| batch.add(rule.clone()));
        let nothing = BTreeSet::new();
        let differing = self.elements.iter().map(|(set, wanted)| {
            let there = present.elements.get(set).unwrap_or(&nothing);
            (set, there, wanted)
        });
        for (set, there, wanted) in differing.clone() {
            batch.remove_elements(set, there.difference(wanted).cloned());
        }
        for (set, there, wanted) in differing {
            batch.add_elements(set, wanted.difference(there).cloned());
        }
        // They may lead to each other: all are emptied before the first is removed.
        present.chains.difference(&kept).for_each(|chain| batch.clear_chain(chain));
        present.chains.difference(&kept).for_each(|chain| batch.remove_chain(chain));
        Some(batch)
    }
}

impl Nft {
    /// Makes a table what `make` says for its name, without a moment at which packets find neither the old rules nor the
    /// new. Answers what was there, if it was adopted.
    pub fn establish(
        &mut self,
        table: &str,
        mut make: impl FnMut(&str) -> Blueprint,
    ) -> Result<Option<Present>> {
        let standby = names::standby(table);
        let tables = self.tables()?;
        let is_there = |name: &str| tables.iter().any(|one| one == name);
        if is_there(table) {
            let adopted = self.adopt(make(table))?;
            if adopted.is_none() {
                self.apply(make(&standby).whole())?;
                self.apply(make(table).whole())?;
            }
            if adopted.is_none() || is_there(&standby) {
                self.remove(&standby)?;
            }
            return Ok(adopted);
        }
        self.apply(make(table).whole())?;
        if is_there(&standby) {
            self.remove(&standby)?;
        }
        Ok(None)
    }

    fn adopt(&mut self, blueprint: Blueprint) -> Result<Option<Present>> {
        let table = blueprint.fixed.table().to_owned();
        let mut present = Present { chains: self.chains(&table)?, elements: BTreeMap::new() };
        if !present.chains.contains(&blueprint.stamp()) {
            return Ok(None);
        }
        for set in blueprint.elements.keys() {
            match self.elements(&table, set) {
                Ok(elements) => present.elements.insert(set.clone(), elements),
                Err(error) if error.not_there() => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        let Some(batch) = blueprint.adopt(&present) else { return Ok(None) };
        match self.apply(batch) {
            Ok(()) => Ok(Some(present)),
            // Somebody else changed it meanwhile, or before.
            Err(error @ Error::Refused { .. }) => {
                tracing::warn!(%error, table, "the packet rules that are there cannot be used further; they are replaced");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn remove(&mut self, table: &str) -> Result<()> {
        let mut batch = Batch::new(table);
        batch.remove_table();
        self.apply(batch)
    }
}

#[cfg(test)]
mod tests;

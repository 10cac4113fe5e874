//! Which addresses pods get: one of each of the node's blocks, in turn, and none soon after another pod had it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

/// How long an address rests after its pod: tracked connections and caches of others then no longer know it.
pub const REST_SECS: i64 = 60;
/// How much of a block is used: more than a node can hold pods, and enough that addresses rest long.
const USED_OF_BLOCK: u128 = 1 << 16;

/// Addresses that are free, taken, or resting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    taken: BTreeSet<IpAddr>,
    /// Oldest first, with the second of their release.
    resting: VecDeque<(IpAddr, i64)>,
    /// Where the search for the next address of each block begins.
    next: BTreeMap<IpNet, u128>,
}

impl Pool {
    /// A pool whose addresses in `taken` are taken and in `resting` were released lately.
    pub fn new(
        taken: impl IntoIterator<Item = IpAddr>,
        resting: impl IntoIterator<Item = (IpAddr, i64)>,
    ) -> Pool {
        let mut pool = Pool { taken: taken.into_iter().collect(), ..Pool::default() };
        pool.resting = resting.into_iter().filter(|(address, _)| !pool.taken.contains(address)).collect();
        pool
    }

    /// Continues the search in each block after the last address known of it.
    pub fn continue_after(&mut self, block: IpNet) {
        let known = self.taken.iter().chain(self.resting.iter().map(|(address, _)| address));
        let last =
            known.filter(|address| block.contains(*address)).map(|address| offset(block, *address)).max();
        if let Some(last) = last {
            self.next.insert(block, last + 1);
        }
    }

    /// Takes one address of each block. `None`, and nothing taken, if a block is full.
    pub fn take(&mut self, blocks: &[IpNet], now: i64) -> Option<Vec<IpAddr>> {
        self.resting.retain(|(_, since)| now.saturating_sub(*since) < REST_SECS);
        let found: Option<Vec<IpAddr>> = blocks.iter().map(|block| self.free(*block)).collect();
        for address in found.iter().flatten() {
            self.taken.insert(*address);
            self.resting.retain(|(resting, _)| resting != address);
        }
        for (block, address) in blocks.iter().zip(found.iter().flatten()) {
            self.next.insert(*block, offset(*block, *address) + 1);
        }
        found
    }

    /// Gives an address back; it rests first.
    pub fn release(&mut self, address: IpAddr, now: i64) {
        if self.taken.remove(&address) {
            self.resting.push_back((address, now));
        }
    }

    /// The addresses that rest, oldest first, with the second of their release.
    pub fn resting(&self) -> impl Iterator<Item = (IpAddr, i64)> + '_ {
        self.resting.iter().copied()
    }

    fn free(&self, block: IpNet) -> Option<IpAddr> {
        let (first, last) = usable(block);
        let count = last - first + 1;
        let begin = self.next.get(&block).copied().unwrap_or(first).clamp(first, last + 1) - first;
        let resting: BTreeSet<IpAddr> = self.resting.iter().map(|(address, _)| *address).collect();
        let rested = (0..count)
            .map(|step| address_at(block, first + (begin + step) % count))
            .find(|address| !self.taken.contains(address) && !resting.contains(address));
        // A full block is worse than an address that has not rested long enough: then the one that rested longest.
        rested.or_else(|| {
            self.resting.iter().map(|(address, _)| *address).find(|address| block.contains(address))
        })
    }
}

/// The offsets of a block's addresses that pods may have: not its own name, not its broadcast address.
fn usable(block: IpNet) -> (u128, u128) {
    let bits = u32::from(block.max_prefix_len() - block.prefix_len());
    let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
    if size <= 2 {
        return (0, size - 1);
    }
    (1, (size - 2).min(USED_OF_BLOCK))
}

fn offset(block: IpNet, address: IpAddr) -> u128 {
    number(address).wrapping_sub(number(block.network()))
}

fn address_at(block: IpNet, offset: u128) -> IpAddr {
    match block.network() {
        IpAddr::V4(base) => IpAddr::V4((u32::from(base).wrapping_add(offset as u32)).into()),
        IpAddr::V6(base) => IpAddr::V6((u128::from(base).wrapping_add(offset)).into()),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Vec<IpNet> {
        vec![text.parse().unwrap()]
    }

    fn take(pool: &mut Pool, blocks: &[IpNet], now: i64) -> String {
        pool.take(blocks, now).map_or("full".to_owned(), |found| found[0].to_string())
    }

    #[test]
    fn addresses_go_round_and_rest() {
        let blocks = block("10.1.0.0/29");
        let mut pool = Pool::default();
        let first: Vec<_> = (0..6).map(|_| take(&mut pool, &blocks, 0)).collect();
        assert_eq!(first, ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
        assert_eq!(take(&mut pool, &blocks, 0), "full");
        pool.release("10.1.0.4".parse().unwrap(), 1);
        pool.release("10.1.0.2".parse().unwrap(), 2);
        assert_eq!(
            take(&mut pool, &blocks, 3),
            "10.1.0.4",
            "with nothing else free, the one that rested longest"
        );
        assert_eq!(take(&mut pool, &blocks, 2 + REST_SECS), "10.1.0.2");
    }

    #[test]
    fn an_address_is_not_given_out_again_while_others_are_free() {
        let blocks = block("10.1.0.0/24");
        let mut pool = Pool::default();
        for expected in 1..=200 {
            assert_eq!(take(&mut pool, &blocks, 5), format!("10.1.0.{expected}"));
            pool.release(format!("10.1.0.{expected}").parse().unwrap(), 5);
        }
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let blocks = block("10.1.0.0/24");
        let mut pool = Pool::new(["10.1.0.7".parse().unwrap()], [("10.1.0.8".parse().unwrap(), 100)]);
        pool.continue_after(blocks[0]);
        assert_eq!(take(&mut pool, &blocks, 101), "10.1.0.9");
    }

    #[test]
    fn both_families_or_none() {
        let blocks = [block("10.1.0.0/30"), block("fd00:1::/64")].concat();
        let mut pool = Pool::default();
        let both = pool.take(&blocks, 0).unwrap();
        assert_eq!(both, ["10.1.0.1".parse::<IpAddr>().unwrap(), "fd00:1::1".parse().unwrap()]);
        assert!(pool.take(&blocks, 0).is_some());
        assert_eq!(pool.take(&blocks, 0), None);
        pool.release("10.1.0.1".parse().unwrap(), 0);
        let third = pool.take(&blocks, 100).unwrap();
        assert_eq!(third[1].to_string(), "fd00:1::3", "the refused attempt took no IPv6 address");
    }

    #[test]
    fn tiny_blocks_are_used_whole() {
        let mut pool = Pool::default();
        assert_eq!(take(&mut pool, &block("10.1.0.9/32"), 0), "10.1.0.9");
        assert_eq!(take(&mut pool, &block("10.1.0.9/32"), 0), "full");
        assert_eq!(take(&mut pool, &block("10.1.1.0/31"), 0), "10.1.1.0");
    }
}

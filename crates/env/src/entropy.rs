//! Randomness as a tree: each component draws from a labelled branch of its own.
//!
//! One more draw in one component then does not shift what another sees, so a simulation replays although code beside
//! it changed. Keys and signatures are not made here: the TLS provider has its own source.

use std::sync::{Arc, Mutex, PoisonError};

/// The letters of generated names: no vowels, so no words; nothing that looks like another letter.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A source of random numbers. Clones share one sequence; [`Entropy::child`] starts a new one.
#[derive(Clone, Debug)]
pub struct Entropy {
    state: Arc<Mutex<[u64; 4]>>,
}

impl Entropy {
    /// Seeded by the operating system.
    pub fn from_os() -> Entropy {
        let mut seed = [0u8; 8];
        let mut filled = 0;
        while filled < seed.len() {
            match rustix::rand::getrandom(&mut seed[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => unreachable!("the kernel has no random numbers: {error}"),
            }
        }
        Entropy::from_seed(u64::from_le_bytes(seed))
    }

    /// The same seed gives the same sequence.
    pub fn from_seed(seed: u64) -> Entropy {
        let mut mix = seed;
        let state = std::array::from_fn(|_| split_mix(&mut mix));
        Entropy { state: Arc::new(Mutex::new(state)) }
    }

    /// A branch with its own sequence, given by the tree's state and the label.
    pub fn child(&self, label: &str) -> Entropy {
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let parent = self.state.lock().unwrap_or_else(PoisonError::into_inner)[0];
        Entropy::from_seed(parent ^ hash)
    }

    /// Any number.
    pub fn next_u64(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        xoshiro(&mut state)
    }

    /// A number below `bound` (which must not be zero), each equally likely but for a bias below 2^-32.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number between 0 and 1.
    pub fn fraction(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A random (version 4) UUID in its usual form.
    pub fn uuid(&self) -> String {
        let high = (self.next_u64() & !0xf000) | 0x4000;
        let low = (self.next_u64() & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// `length` letters for the end of a generated name.
    pub fn name_suffix(&self, length: usize) -> String {
        (0..length).map(|_| char::from(NAME_LETTERS[self.below(27) as usize])).collect()
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// xoshiro256++: small, quick, and good enough for everything but keys.
fn xoshiro(state: &mut [u64; 4]) -> u64 {
    let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
    let shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = state[3].rotate_left(45);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_sequence_and_each_branch_its_own() {
        let (first, second) = (Entropy::from_seed(7), Entropy::from_seed(7));
        assert_eq!(first.uuid(), second.uuid());
        assert_ne!(first.child("a").next_u64(), first.child("b").next_u64());
        assert_eq!(first.child("a").next_u64(), second.child("a").next_u64());
    }

    #[test]
    fn identifiers_have_their_form() {
        let uuid = Entropy::from_os().uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        let suffix = Entropy::from_seed(1).name_suffix(5);
        assert!(suffix.len() == 5 && suffix.bytes().all(|letter| NAME_LETTERS.contains(&letter)));
    }

    #[test]
    fn bounds_hold() {
        let entropy = Entropy::from_seed(3);
        assert!((0..1_000).all(|_| entropy.below(3) < 3));
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&entropy.fraction())));
    }
}

//! Short names of contents.

/// The letters of generated names, as upstream encodes hashes in them.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a of 32 bits.
pub fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A number's decimal digits, in letters that spell no words.
pub fn encode(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// The name of some content; `collisions` gives another one where the first was taken by other content.
pub fn name_of(content: &impl serde::Serialize, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(content).expect("typed kinds have text keys only, so they serialise");
    if let Some(collisions) = collisions {
        bytes.extend_from_slice(&collisions.to_le_bytes());
    }
    encode(fnv32(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_known_ones() {
        assert_eq!(fnv32(b""), 0x811c_9dc5);
        assert_eq!(fnv32(b"a"), 0xe40c_292c);
        assert_eq!(fnv32(b"foobar"), 0xbf9c_f968);
        assert_eq!(encode(1_234_567_890), "56789bcdf4");
    }

    #[test]
    fn a_collision_gives_another_name() {
        assert_eq!(name_of(&"x", None), name_of(&"x", None));
        assert_ne!(name_of(&"x", None), name_of(&"x", Some(1)));
        assert_ne!(name_of(&"x", Some(2)), name_of(&"x", Some(1)));
    }
}

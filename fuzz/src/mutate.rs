//! New inputs from known ones: blind edits of bytes, and edits that know what brackets and members are.

use std::ops::Range;

use env::Entropy;

/// A longer input only takes longer.
pub const MOST: usize = 64 << 10;

/// Numbers at which things go wrong, as text.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "65535",
    "65536",
    "2147483647",
    "-2147483648",
    "2147483648",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "1e308",
    "1e309",
    "-1e-400",
    "0.1",
    "1.0",
    "1E5",
    "1e-7",
    "1e21",
    "0x7f",
    "010",
    "1_000",
    "NaN",
    ".inf",
];
/// Other texts at which things go wrong.
const TEXTS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\u{feff}",
    "é",
    "😀",
    "\\",
    "\"",
    "'",
    "`",
    "%",
    "$",
    "\0",
    "\r\n",
    "\t",
    "\u{2028}",
    "~",
    "..",
    "/",
    ":",
    ",",
    "---\n",
    "&a ",
    "*a ",
];
/// Numbers at which things go wrong, as bytes.
const BYTES: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0, 0],
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0x80, 0x01],
    &[0, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xc0, 0x0c],
    &[0x1e],
];

/// Makes new inputs.
pub struct Mutator<'t> {
    entropy: Entropy,
    words: &'t [&'static str],
}

impl<'t> Mutator<'t> {
    /// The same seed makes the same inputs.
    pub fn new(seed: u64, words: &'t [&'static str]) -> Mutator<'t> {
        Mutator { entropy: Entropy::from_seed(seed), words }
    }

    /// A number below `bound`, which may be zero.
    pub fn below(&self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.entropy.below(bound as u64) as usize }
    }

    fn pick<'a, T: ?Sized>(&self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A new input from a known one and, for pieces, another.
    pub fn mutate(&self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        let edits = 1 + self.below(2) * self.below(5);
        for _ in 0..edits {
            self.edit(&mut bytes, other);
        }
        bytes.truncate(MOST);
        bytes
    }

    fn edit(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        match self.below(16) {
            0 => self.flip(bytes, at),
            1 => self.put(bytes, at..at, self.pick(BYTES)),
            2 => self.put(bytes, at..at + 1, self.pick(BYTES)),
            3 => drop(bytes.drain(self.range(bytes.len()))),
            4 => bytes.truncate(at),
            5 => self.repeat(bytes),
            6 => self.put(bytes, at..at, &other[self.range(other.len())]),
            7 => self.splice(bytes, at, other),
            8 => self.put(bytes, at..at, self.word().as_bytes()),
            9 | 10 => self.put(bytes, piece(bytes, at), self.word().as_bytes()),
            11 => self.put(bytes, piece(bytes, at), &other[piece(other, self.below(other.len()))]),
            12 => self.duplicate_member(bytes, at),
            13 => self.nest(bytes, at),
            14 => drop(bytes.drain(piece(bytes, at))),
            _ => self.swap(bytes, at),
        }
    }

    /// Something that means something.
    fn word(&self) -> &'static str {
        match self.below(4) {
            0 => self.pick(NUMBERS),
            1 => self.pick(TEXTS),
            _ if self.words.is_empty() => self.pick(TEXTS),
            _ => self.pick(self.words),
        }
    }

    fn range(&self, length: usize) -> Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length - start } else { (length - start).min(16) };
        start..start + self.below(most + 1)
    }

    fn flip(&self, bytes: &mut [u8], at: usize) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.below(8);
        }
    }

    fn put(&self, bytes: &mut Vec<u8>, range: Range<usize>, new: &[u8]) {
        let range = range.start.min(bytes.len())..range.end.min(bytes.len());
        bytes.splice(range, new.iter().copied());
    }

    /// A piece many times over.
    fn repeat(&self, bytes: &mut Vec<u8>) {
        let range = self.range(bytes.len());
        let times = [1, 2, 8, 100, 1_000][self.below(5)];
        let room = MOST.saturating_sub(bytes.len());
        let times = if range.is_empty() { 0 } else { times.min(room / range.len()) };
        let copies = bytes[range.clone()].repeat(times);
        self.put(bytes, range.end..range.end, &copies);
    }

    /// The beginning of one and the end of the other.
    fn splice(&self, bytes: &mut Vec<u8>, at: usize, other: &[u8]) {
        bytes.truncate(at);
        bytes.extend_from_slice(&other[self.below(other.len())..]);
    }

    /// The same member again, maybe with another value.
    fn duplicate_member(&self, bytes: &mut Vec<u8>, at: usize) {
        let Some(start) = bytes[..at].iter().rposition(|byte| matches!(byte, b'{' | b',')) else { return };
        let end = piece(bytes, start + 1).end;
        let value = if bytes.get(end) == Some(&b':') { piece(bytes, end + 1) } else { end..end };
        let mut copy = bytes[start + 1..value.end].to_vec();
        if self.below(2) == 0 && !value.is_empty() {
            copy.truncate(value.start - start - 1);
            copy.extend_from_slice(self.word().as_bytes());
        }
        copy.push(b',');
        self.put(bytes, start + 1..start + 1, &copy);
    }

    /// Brackets around a piece, more than anybody needs.
    fn nest(&self, bytes: &mut Vec<u8>, at: usize) {
        let pairs: [(&str, &str); 5] = [("[", "]"), ("{\"a\":", "}"), ("(", ")"), ("- ", ""), ("!", "")];
        let (open, close) = pairs[self.below(pairs.len())];
        let times = [1, 2, 50, 395, 405, 3_000][self.below(6)];
        let range = piece(bytes, at);
        let inner = bytes[range.clone()].to_vec();
        let nested = [open.repeat(times).as_bytes(), &inner, close.repeat(times).as_bytes()].concat();
        self.put(bytes, range, &nested);
    }

    fn swap(&self, bytes: &mut Vec<u8>, at: usize) {
        let (one, other) = (piece(bytes, at), piece(bytes, self.below(bytes.len())));
        let (first, second) = if one.start < other.start { (one, other) } else { (other, one) };
        if first.end <= second.start {
            let (a, b) = (bytes[first.clone()].to_vec(), bytes[second.clone()].to_vec());
            self.put(bytes, second, &a);
            self.put(bytes, first, &b);
        }
    }
}

/// What stands at a place and belongs together: brackets with what is between them, a text in quotes, a word.
fn piece(bytes: &[u8], at: usize) -> Range<usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = match rest.first() {
        None => 0,
        Some(b'"') => 1 + text_length(&rest[1..]),
        Some(b'{' | b'[' | b'(') => bracket_length(rest),
        Some(_) => {
            let inner =
                |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
            rest.iter().take_while(inner).count().max(1)
        }
    };
    at.min(bytes.len())..at.min(bytes.len()) + length
}

/// The length of a text behind its first quote, with the last.
fn text_length(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'"' if !escaped => return at + 1,
            _ => escaped = *byte == b'\\' && !escaped,
        }
    }
    rest.len()
}

fn bracket_length(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = rest.get(at) {
        at += 1;
        match byte {
            b'"' => at += text_length(&rest[at..]),
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_belong_together() {
        let text = br#"{"a\"}":[1,"]",{"b":true}],"c":-1.5e3}"#;
        let at = |place: usize| String::from_utf8_lossy(&text[piece(text, place)]).into_owned();
        assert_eq!(at(0), String::from_utf8_lossy(text));
        assert_eq!(at(1), r#""a\"}""#);
        assert_eq!(at(8), r#"[1,"]",{"b":true}]"#);
        assert_eq!(at(31), "-1.5e3");
        assert_eq!(at(20), "true");
        assert!(piece(text, 1000).is_empty() && piece(b"[[", 0) == (0..2));
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_none_is_too_long() {
        let seeds: [&[u8]; 4] = [b"", b"x", br#"{"a":{"b":[1,2,3]}}"#, &[0xff; 5_000]];
        let make = |seed| {
            let mutator = Mutator::new(seed, &["spec"]);
            let mut made: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
            for round in 0..2_000 {
                let new = mutator.mutate(&made[round % made.len()], &made[(round * 7) % made.len()]);
                assert!(new.len() <= MOST);
                if made.len() < 200 {
                    made.push(new);
                }
            }
            made
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}

//! The code of RFC 7541, appendix B. It is canonical: the lengths of its words say what the words are.

/// The end of a text, which never occurs in one.
const END: usize = 256;
const SYMBOLS: usize = 257;
/// The longest word.
const LONGEST: usize = 30;
/// Words up to this length are looked up; longer ones are rare.
const QUICK: usize = 8;

/// Bits of the word of each byte, and of the end.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The words by length, and the short ones by their bits.
struct Words {
    /// The first word of each length; words of one length follow each other.
    first: [u32; LONGEST + 1],
    /// How many there are of each length.
    count: [u32; LONGEST + 1],
    /// Where the symbols of each length begin.
    start: [usize; LONGEST + 1],
    symbols: [u16; SYMBOLS],
    /// Symbol and length of the word that these bits begin with; length 0 if it is longer.
    quick: [(u8, u8); 1 << QUICK],
}

const WORDS: Words = words();

const fn words() -> Words {
    let mut words = Words {
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
        symbols: [0; SYMBOLS],
        quick: [(0, 0); 1 << QUICK],
    };
    let (mut length, mut word, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        word <<= 1;
        words.first[length] = word;
        words.start[length] = placed;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                words.symbols[placed] = symbol as u16;
                if length <= QUICK {
                    words = with_quick(words, (word as usize, length), symbol as u8);
                }
                placed += 1;
                word += 1;
            }
            symbol += 1;
        }
        words.count[length] = word - words.first[length];
        length += 1;
    }
    words
}

/// All that begins with a short word is that word.
const fn with_quick(mut words: Words, (word, length): (usize, usize), symbol: u8) -> Words {
    let free = QUICK - length;
    let mut rest = 0;
    while rest < 1 << free {
        words.quick[(word << free) + rest] = (symbol, length as u8);
        rest += 1;
    }
    words
}

/// A text was not packed as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Bits that were read and not used yet, from the highest down.
struct Bits<'a> {
    bits: u64,
    count: usize,
    bytes: std::slice::Iter<'a, u8>,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(byte) = self.bytes.next() else { return };
            self.bits |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The first bits; ones where there are no more.
    fn peek(&self, count: usize) -> u32 {
        let padded = self.bits | u64::MAX.checked_shr(self.count as u32).unwrap_or(0);
        (padded >> (64 - count)) as u32
    }

    fn skip(&mut self, count: usize) {
        self.bits <<= count;
        self.count -= count;
    }

    /// Whether what is left is no word, but less than a byte of ones.
    fn is_padding(&self) -> bool {
        self.count < 8 && self.peek(8) == 0xff
    }
}

/// Unpacks a text.
pub fn unpack(packed: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut bits = Bits { bits: 0, count: 0, bytes: packed.iter() };
    loop {
        bits.fill();
        let (symbol, length) = WORDS.quick[bits.peek(QUICK) as usize];
        let (symbol, length) = match usize::from(length) {
            0 => match long(&bits)? {
                Some(found) => found,
                None => break,
            },
            length if length > bits.count => break,
            length => (symbol, length),
        };
        out.push(symbol);
        bits.skip(length);
    }
    if bits.is_padding() { Ok(()) } else { Err(Broken) }
}

/// The long word that comes next; `None` if there are not enough bits for one.
fn long(bits: &Bits<'_>) -> Result<Option<(u8, usize)>, Broken> {
    for length in QUICK + 1..=LONGEST.min(bits.count) {
        let after = bits.peek(length).wrapping_sub(WORDS.first[length]);
        if after < WORDS.count[length] {
            let symbol = usize::from(WORDS.symbols[WORDS.start[length] + after as usize]);
            return if symbol == END { Err(Broken) } else { Ok(Some((symbol as u8, length))) };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs a text.
    pub fn pack(text: &[u8]) -> Vec<u8> {
        let (mut packed, mut bits, mut count) = (Vec::new(), 0_u64, 0);
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let at = (0..SYMBOLS).position(|at| WORDS.symbols[at] == u16::from(*byte)).unwrap();
            let word = WORDS.first[length] + (at - WORDS.start[length]) as u32;
            bits = bits << length | u64::from(word);
            count += length;
            while count >= 8 {
                count -= 8;
                packed.push((bits >> count) as u8);
            }
        }
        if count > 0 {
            packed.push(((bits << (8 - count)) | 0xff >> count) as u8);
        }
        packed
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut text = Vec::new();
        unpack(packed, &mut text).map(|()| text)
    }

    #[test]
    fn examples_of_the_standard_are_unpacked() {
        for (packed, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf][..], "no-cache"),
            (&[0x64, 0x02][..], "302"),
            (&[][..], ""),
        ] {
            assert_eq!(unpacked(packed).unwrap(), text.as_bytes());
            assert_eq!(pack(text.as_bytes()), packed);
        }
    }

    #[test]
    fn every_byte_goes_both_ways() {
        for byte in 0..=255_u8 {
            for length in 0..10 {
                let text = vec![byte; length];
                assert_eq!(unpacked(&pack(&text)).unwrap(), text);
            }
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unpacked(&pack(&all)).unwrap(), all);
    }

    #[test]
    fn padding_must_be_short_and_of_ones_and_the_end_is_no_symbol() {
        // "0" is 00000: then three ones.
        assert_eq!(unpacked(&[0b0000_0111]).unwrap(), b"0");
        assert_eq!(unpacked(&[0b0000_0110]), Err(Broken));
        assert_eq!(unpacked(&[0b0000_0111, 0xff]), Err(Broken), "a whole byte of padding");
        assert_eq!(unpacked(&[0xff]), Err(Broken));
        assert_eq!(unpacked(&[0xff; 4]), Err(Broken), "the end");
        assert_eq!(unpacked(&[0xff, 0xff, 0xff, 0xfc]), Err(Broken), "the end");
    }
}

//! What a member of etcd answers.

use store::etcd::parsers;

use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    "\0\0\0\0\x02\x08\x01",
    "\x0a\x02\x18\x07",
    "\x12\x06\x0a\x01a\x18\x05",
    "\x5a\x00",
    "\x1a\x04\x0a\x02\x18\x01",
];
/// A header, a pair, an event, a lease: messages without their frames.
const MESSAGES: &[&[u8]] = &[
    b"\x0a\x08\x08\x01\x10\x02\x18\x07\x20\x03\x12\x0e\x0a\x03/ab\x10\x05\x18\x06\x2a\x03{}\n\x18\x01\x20\x09",
    b"\x0a\x04\x18\x07\x20\x01\x10\x01\x1a\x10\x0a\x0e\x0a\x02\x18\x07\x12\x08\x0a\x01a\x10\x01\x18\x02\x28\x00",
    b"\x0a\x02\x18\x09\x10\x05\x18\x01\x28\x03\x32\x04gone\x5a\x0f\x08\x01\x12\x05\x0a\x01a\x18\x09\x1a\x04\x0a\x01a\x18",
    b"\x0a\x02\x18\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x0a",
    b"\x0a\x02\x18\x01\x12\x063.5.21",
];

pub fn target() -> Target {
    let framed = |message: &[u8]| [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat();
    let mut seeds: Vec<Vec<u8>> = MESSAGES.iter().map(|message| framed(message)).collect();
    seeds.push(seeds.concat());
    Target { name: "etcd", seeds, words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8]) -> Verdict {
    let whole = parsers::answers(input, usize::MAX);
    same("it does not matter how the bytes are cut", &parsers::answers(input, 3), &whole)?;
    Ok(match whole {
        Ok((count, fits)) => format!("{} answers {fits:?}", count.min(9)),
        Err(error) => outcome("refused", &error),
    })
}

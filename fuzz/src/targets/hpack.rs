//! Blocks of headers of HTTP/2, as they come over one connection.

use http::{HeaderMap, StatusCode};
use http2::hpack::{Decoder, Encoder, Field, Name};

use crate::target::{Target, Verdict, holds, outcome, same};

const WORDS: &[&str] =
    &["\u{3}:12", "@\u{1}a\u{1}b", "\u{10}\u{1}a\u{1}b", "cache-control", ":path", "?\u{1}", " "];
/// Blocks as the specification has them: requests plain and in Huffman code, answers that drive each other out, sizes of
/// the table, and a header that is never indexed.
const BLOCKS: &[&[&[u8]]] = &[
    &[
        b"\x82\x86\x84\x41\x0fwww.example.com",
        b"\x82\x86\x84\xbe\x58\x08no-cache",
        b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value",
    ],
    &[
        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
        b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
    ],
    &[
        b"\x3f\x41\x48\x03302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\x6e\x17https://www.example.com",
        b"\x48\x03307\xc1\xc0\xbf",
        b"\x88\xc1\x61\x1dMon, 21 Oct 2013 20:13:22 GMT\xc0\x5a\x04gzip\x77\x0afoo=ASDJKH",
        b"\x20\x3f\xe1\x1f\x89\x10\x08password\x06secret\x7e\x01x",
    ],
];
/// What the table may hold.
const TABLE: usize = 4096;

pub fn target() -> Target {
    let seed = |blocks: &&[&[u8]]| blocks.iter().flat_map(|block| with_length(block)).collect();
    Target { name: "hpack", seeds: BLOCKS.iter().map(seed).collect(), words: WORDS, run: Box::new(run) }
}

fn with_length(block: &[u8]) -> Vec<u8> {
    [&[block.len() as u8], block].concat()
}

fn run(input: &[u8]) -> Verdict {
    let mut decoder = Decoder::new(TABLE);
    let mut encoder = Encoder::new();
    let mut decoder_of_encoded = Decoder::new(TABLE);
    let (mut rest, mut blocks, mut taken) = (input, 0, Vec::new());
    while let Some((length, others)) = rest.split_first() {
        let (block, after) = others.split_at(usize::from(*length).min(others.len()));
        rest = after;
        let (fields, end) = decoded(&mut decoder, block)?;
        // The peer announces sizes now and then.
        if length % 16 == 3 {
            encoder.set_table_size(u32::from(*length) * 9);
        }
        check_written_again(&fields, &mut encoder, &mut decoder_of_encoded)?;
        blocks += 1;
        taken.extend(fields);
        if let Err(error) = end {
            return Ok(format!("{}, {}", kinds(blocks, &taken), outcome("refused", &error.to_string())));
        }
    }
    Ok(kinds(blocks, &taken))
}

/// How many blocks and headers there were, and what was odd about these; many of them are told as some.
fn kinds(blocks: usize, fields: &[Field]) -> String {
    let malformed = fields.iter().filter(|field| field.name == Name::Malformed).count();
    let sensitive = fields.iter().filter(|field| field.value.is_sensitive()).count();
    let large = fields.iter().filter(|field| field.value.len() > 128).count();
    let (blocks, headers) = (blocks.min(5), fields.len().min(12));
    let (malformed, sensitive, large) = (malformed.min(2), sensitive.min(2), large.min(1));
    format!("{blocks} blocks, {headers} headers, {malformed} malformed, {sensitive} sensitive, {large} large")
}

type Decoded = (Vec<Field>, Result<(), http2::hpack::Error>);

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Decoded, String> {
    let (mut fields, mut largest) = (Vec::new(), 0);
    let end = decoder.decode(block, |field, size| {
        largest = largest.max(size.max(field.value.len()));
        fields.push(field.clone());
    });
    holds("a header takes a byte at least", fields.len() <= block.len())?;
    let most = TABLE + 32 + block.len() * 8 / 5;
    holds("a header is what the table may hold and what texts may hold", largest <= most)?;
    Ok((fields, end))
}

/// Headers that are written are read as they were.
fn check_written_again(fields: &[Field], encoder: &mut Encoder, decoder: &mut Decoder) -> Result<(), String> {
    let (status, headers) = answer(fields);
    let mut block = Vec::new();
    encoder.encode(status, &headers, &mut block);
    let (again, end) = decoded(decoder, &block)?;
    same("what is written can be read", &end, &Ok(()))?;
    holds("nothing that is written is malformed", again.iter().all(|field| field.name != Name::Malformed))?;
    same("the status and each header", &again.len(), &(headers.len() + 1))?;
    let (status_again, headers_again) = answer(&again);
    same("the status is read as it was written", &status_again, &status)?;
    same("headers are read as they were written", &headers_again, &headers)?;
    let marks = |headers: &HeaderMap| headers.values().map(|value| value.is_sensitive()).collect::<Vec<_>>();
    same("what is sensitive stays so", &marks(&headers_again), &marks(&headers))
}

/// The status, if there is one, and what is a header.
fn answer(fields: &[Field]) -> (StatusCode, HeaderMap) {
    let (mut status, mut headers) = (StatusCode::OK, HeaderMap::new());
    for field in fields {
        match &field.name {
            Name::Header(name) => _ = headers.append(name, field.value.clone()),
            Name::Status => status = StatusCode::from_bytes(field.value.as_bytes()).unwrap_or(status),
            _ => {}
        }
    }
    (status, headers)
}

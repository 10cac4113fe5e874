//! Frames of SPDY.

use bytes::{Bytes, BytesMut};
use spdy::Headers;
use spdy::frame::{Decoder, Encoder, Frame, FrameError};

use crate::target::{Target, Verdict, holds, outcome, same};

const WORDS: &[&str] = &["\0\u{3}\0\u{1}", "\0\0\0\0\u{1}\0\0\u{5}hello", "streamtype", "GET / HTTP/1.1\r\n"];
/// More frames do not come of so few bytes but by mistake.
const MOST: usize = 10_000;

pub fn target() -> Target {
    let headers = Headers::new([("streamtype", "error"), ("port", "80"), ("requestid", "0")]);
    let frames = [
        Frame::Open { stream: 1, headers: headers.clone(), fin: false },
        Frame::Reply { stream: 1, headers, fin: true },
        Frame::Data { stream: 1, bytes: Bytes::from_static(b"hello"), fin: false },
        Frame::Ping(7),
        Frame::Reset { stream: 3, status: 5 },
        Frame::GoAway { last: 3, status: 0 },
    ];
    let mut seeds: Vec<Vec<u8>> = frames.iter().map(|frame| encoded(std::slice::from_ref(frame))).collect();
    seeds.push(encoded(&frames));
    Target { name: "spdy", seeds, words: WORDS, run: Box::new(run) }
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
    bytes.to_vec()
}

fn run(input: &[u8]) -> Verdict {
    let (whole, end) = decoded(input, usize::MAX)?;
    let (pieces, end_of_pieces) = decoded(input, 5)?;
    same("it does not matter how the bytes are cut", &end_of_pieces, &end)?;
    same("it does not matter how the bytes are cut", &joined(pieces), &joined(whole.clone()))?;
    let (again, _) = decoded(&encoded(&whole), usize::MAX)?;
    same("frames are read as they were written", &joined(again), &joined(whole.clone()))?;
    Ok(outcome(
        &format!("{} frames", whole.len().min(9)),
        &end.map(|error| error.to_string()).unwrap_or_default(),
    ))
}

/// The frames of a stream that comes in pieces, and why it ends.
fn decoded(input: &[u8], piece: usize) -> Result<(Vec<Frame>, Option<FrameError>), String> {
    let (mut decoder, mut bytes, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for chunk in input.chunks(piece) {
        bytes.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut bytes) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return Ok((frames, Some(error))),
            }
            holds("as many frames come as there are", frames.len() <= MOST.max(input.len()))?;
        }
    }
    Ok((frames, None))
}

/// Frames with neighbouring data of one stream put together: data comes in whatever pieces.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut joined: Vec<Frame> = Vec::new();
    for frame in frames {
        match (joined.last_mut(), frame) {
            (
                Some(Frame::Data { stream, bytes, fin: last @ false }),
                Frame::Data { stream: same, bytes: more, fin },
            ) if *stream == same => {
                *bytes = [&bytes[..], &more[..]].concat().into();
                *last = fin;
            }
            (_, frame) => joined.push(frame),
        }
    }
    joined
}

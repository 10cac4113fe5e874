//! Conversations whose other side is written by hand.

use super::*;
use crate::watch::frames::DATA;

fn event(revision: u64) -> Vec<u8> {
    format!("{{\"object\":{{\"metadata\":{{\"resourceVersion\":\"{revision}\"}}}}}}\n").into_bytes()
}

fn frames(frames: &[(Head, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|(head, payload)| head.write(payload, &mut out));
    out
}

#[test]
fn each_watch_gets_its_own_wherever_the_stream_is_cut() {
    let both = event(12).repeat(2);
    let stream = frames(&[
        (Head::of(SETTINGS, 0, 0), &[0, 3, 0, 0, 3, 0xe8]),
        (Head::of(SETTINGS, ACK, 0), &[]),
        (Head::of(HEADERS, END_HEADERS, 3), &[GOOD, 0x5f, 1]),
        (Head::of(HEADERS, END_HEADERS, 1), &[GOOD]),
        (Head::of(HEADERS, END_HEADERS, 5), &[GOOD]),
        (Head::of(DATA, 0, 1), &event(7)),
        (Head::of(PING, 0, 0), b"12345678"),
        (Head::of(DATA, 0, 3), &both[..60]),
        (Head::of(DATA, 0, 1), &event(9)),
        (Head::of(DATA, END_STREAM, 3), &both[60..]),
        (Head::of(RST_STREAM, 0, 5), &[0, 0, 0, 8]),
    ]);
    let answers = frames(&[(Head::of(SETTINGS, ACK, 0), &[]), (Head::of(PING, ACK, 0), b"12345678")]);
    let expected = [
        Seen { count: 2, sum: 16, last: 9, disorder: 0, closed: false },
        Seen { count: 2, sum: 24, last: 12, disorder: 1, closed: true },
        Seen { closed: true, ..Seen::default() },
    ];
    for cut in 0..=stream.len() {
        let mut conversation = Conversation::begin(3, &[]);
        assert!(conversation.say().starts_with(PREFACE));
        let (before, after) = stream.split_at(cut);
        let events = conversation.hear(before).unwrap() + conversation.hear(after).unwrap();
        assert!(conversation.is_open());
        assert_eq!((events, conversation.seen().as_slice()), (4, expected.as_slice()), "cut at {cut}");
        assert_eq!(conversation.say(), answers, "cut at {cut}");
    }
}

#[test]
fn a_watch_that_is_refused_is_an_error() {
    let begun = || Conversation::begin(1, &[]);
    assert!(begun().hear(&frames(&[(Head::of(HEADERS, END_HEADERS, 1), &[0x8c])])).is_err());
    assert!(begun().hear(&frames(&[(Head::of(RST_STREAM, 0, 1), &[0, 0, 0, 7])])).is_err());
    assert!(begun().hear(&frames(&[(Head::of(GOAWAY, 0, 0), &[0; 8])])).is_err());
    assert!(begun().hear(&frames(&[(Head::of(HEADERS, END_HEADERS, 3), &[GOOD])])).is_err());
}

#[test]
fn a_connection_that_goes_away_closes_all_its_watches() {
    let mut conversation = Conversation::begin(2, &[]);
    let good: &[u8] = &[GOOD];
    let stream = frames(&[
        (Head::of(HEADERS, END_HEADERS, 1), good),
        (Head::of(HEADERS, END_HEADERS, 3), good),
        (Head::of(GOAWAY, 0, 0), &[0; 8]),
    ]);
    conversation.hear(&stream).unwrap();
    assert!(conversation.seen().iter().all(|seen| seen.closed));
}

#[test]
fn the_window_is_opened_by_what_was_taken() {
    let mut conversation = Conversation::begin(1, &[]);
    conversation.say();
    let piece = [b' '; 16_384];
    let content = frames(&[(Head::of(DATA, 0, 1), &piece)]);
    for _ in 1..OPEN_AGAIN / 16_384 {
        conversation.hear(&content).unwrap();
        assert!(conversation.say().is_empty());
    }
    conversation.hear(&content).unwrap();
    assert_eq!(conversation.say(), frames(&[(Head::of(WINDOW_UPDATE, 0, 0), &OPEN_AGAIN.to_be_bytes())]));
}

#[test]
fn headers_are_written_out_with_their_lengths() {
    // RFC 7541, C.1.2 writes 1337 in five bits; in seven it is 127 + 58 + 9 * 128.
    let long = "x".repeat(1_337);
    let written = block(&[("a", "bc"), ("d", &long)]);
    assert_eq!(written[..9], [0x10, 1, b'a', 2, b'b', b'c', 0x10, 1, b'd']);
    assert_eq!(written[9..13], [0x7f, 0xba, 0x09, b'x']);
    assert_eq!(written.len(), 12 + 1_337);
    assert_eq!(block(&[("", &"x".repeat(127))])[2..4], [0x7f, 0]);
    assert_eq!(block(&[("", &"x".repeat(255))])[2..5], [0x7f, 0x80, 1]);
}

//! Messages that are right, wrong, and hostile.

use super::*;

fn query(name: &str, kind: u16, more: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!more.is_empty())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(more);
    message
}

/// The record of a client that takes 4096 bytes and wants DNSSEC.
const EDNS: [u8; 11] = [0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0];

#[test]
fn a_query_is_read() {
    let read = Query::read(&query("WwW.Example.ORG", kind::AAAA, &EDNS)).unwrap();
    assert_eq!((read.id, read.kind, read.class), (0x1234, kind::AAAA, INTERNET));
    assert_eq!(read.name.to_string(), "www.example.org.");
    assert_eq!(read.edns, Some(Edns { limit: 4096, version: 0, flags: 0x8000 }));
    assert_eq!(read.udp_limit(), UDP_LIMIT);
    assert_eq!(Query::read(&query("", kind::NS, &[])).unwrap().name.count(), 0);
    assert_eq!(Query::read(&query("a", kind::A, &[])).unwrap().udp_limit(), PLAIN_LIMIT);
}

#[test]
fn what_is_no_query_is_refused_or_ignored() {
    let good = query("a.b", kind::A, &[]);
    let with = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        Query::read(&changed).err()
    };
    assert_eq!(with(2, 0x81), Some(Bad::Ignore), "an answer");
    assert_eq!(with(2, 0x28), Some(Bad::Answer(Code::NotImp)), "an update");
    assert_eq!(with(5, 2), Some(Bad::Answer(Code::FormErr)), "two questions");
    assert_eq!(with(5, 0), Some(Bad::Answer(Code::FormErr)), "no question");
    assert_eq!(with(12, 0xc0), Some(Bad::Answer(Code::FormErr)), "a pointer ahead");
    assert_eq!(with(12, 0x40), Some(Bad::Answer(Code::FormErr)), "an unknown kind of label");
    assert_eq!(with(11, 1), Some(Bad::Answer(Code::FormErr)), "a record that is missing");
    for length in 0..good.len() {
        let cut = Query::read(&good[..length]).err();
        assert_eq!(
            cut,
            Some(if length < HEADER { Bad::Ignore } else { Bad::Answer(Code::FormErr) }),
            "{length}"
        );
    }
}

#[test]
fn pointers_lead_back_or_nowhere() {
    let mut message = query("a.b", kind::A, &[]);
    let end = message.len();
    message.extend_from_slice(&[1, b'x', 0xc0, 12]);
    assert_eq!(Name::read(&message, end).unwrap().0.to_string(), "x.a.b.");
    message.extend_from_slice(&[0xc0, end as u8 + 4]);
    assert!(Name::read(&message, end + 4).is_none(), "to itself");
    let (first, second) = (message.len(), message.len() + 2);
    message.extend_from_slice(&[0xc0, second as u8, 0xc0, first as u8]);
    assert!(Name::read(&message, first).is_none());
}

#[test]
fn names_have_limits() {
    let label = "a".repeat(63);
    assert!(Name::parse(&label).is_some());
    assert!(Name::parse(&"a".repeat(64)).is_none());
    assert!(Name::parse(&[label.as_str(); 3].join(".")).is_some());
    assert!(Name::parse(&[label.as_str(); 4].join(".")).is_none());
    assert!(Name::parse("a..b").is_none());
    assert_eq!(Name::parse("a.b.").unwrap(), Name::parse("A.B").unwrap());
    assert_eq!(
        Name::parse("x.y.cluster.local").unwrap().below(&Name::parse("cluster.local").unwrap()),
        Some(2)
    );
    assert_eq!(Name::parse("x.mycluster.local").unwrap().below(&Name::parse("cluster.local").unwrap()), None);
}

#[test]
fn an_answer_that_does_not_fit_says_so() {
    let message = query("a.b", kind::TXT, &EDNS);
    let read = Query::read(&message).unwrap();
    let mut out = Vec::new();
    let mut answer = Answer::begin(&mut out, &message, &read, PLAIN_LIMIT);
    for _ in 0..10 {
        answer.record(Section::Answer, Owner::Question, (kind::TXT, 5), |out| {
            out.extend_from_slice(&[99; 100])
        });
    }
    answer.finish(Code::NoError, true);
    assert!(out.len() <= PLAIN_LIMIT);
    assert_eq!(out[2] & 0x02, 0x02, "cut short");
    assert_eq!(answers(&out).count(), 4);
    assert_eq!(out[out.len() - 11..][..3], [0, 0, 41], "what we can do is said all the same");
}

#[test]
fn hostile_messages_are_read_without_harm() {
    let seed = query("some.name.cluster.local", kind::SRV, &EDNS);
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut out = Vec::new();
    for _ in 0..200_000 {
        let mut message = seed.clone();
        for _ in 0..next() % 6 {
            let at = next() % message.len();
            message[at] = next() as u8;
        }
        message.truncate(message.len() - next() % 4);
        match Query::read(&message) {
            Ok(query) => Answer::begin(&mut out, &message, &query, PLAIN_LIMIT).finish(Code::NoError, true),
            Err(Bad::Answer(code)) => refuse(&mut out, &message, code),
            Err(Bad::Ignore) => continue,
        }
        assert!(out.len() >= HEADER && out[2] & 0x80 != 0);
        assert!(answers(&message).count() <= message.len());
    }
}

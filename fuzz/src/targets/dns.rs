//! DNS: queries of anybody, and the answers to them.

use std::net::IpAddr;

use client::Key;
use network::dns::resolve::{Domain, Outcome};
use network::dns::wire::{self, Bad, Code, HEADER, Name, Query, kind};
use network::dns::zone::{Endpoint, Entry, Zone};
use network::view::{Port, protocol};

use crate::target::{Target, Verdict, holds, same};

const WORDS: &[&str] = &[
    "\u{3}web\u{7}default\u{3}svc\u{7}cluster\u{5}local\0",
    "\u{5}_http\u{4}_tcp",
    "\0\0)\u{4}\0\0\0\0\0\0\0",
    "\u{3}10-",
    "\u{7}in-addr\u{4}arpa\0",
    "\u{3}ip6\u{4}arpa\0",
    "\0\u{1}\0\u{1}",
    "\0\u{c}\0\u{1}",
    "\0!\0\u{1}",
    "\0\u{ff}",
];

/// What queries are answered from.
struct Cluster {
    domain: Domain,
    zone: Zone,
}

pub fn target() -> Target {
    let names = [
        "web.default.svc.cluster.local",
        "a.headless.default.svc.cluster.local",
        "_http._tcp.web.default.svc.cluster.local",
        "other.default.svc.cluster.local",
        "1.0.96.10.in-addr.arpa",
        "10-1-2-3.default.pod.cluster.local",
        "example.com",
        "cluster.local",
    ];
    let kinds = [kind::A, kind::AAAA, kind::SRV, kind::PTR, kind::ANY, kind::SOA, kind::TXT];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (position, name) in names.iter().enumerate() {
        seeds.push(query(name, kinds[position % kinds.len()], position % 2 == 0));
        seeds.push(query(name, kinds[(position + 3) % kinds.len()], false));
    }
    let cluster = cluster();
    Target { name: "dns", seeds, words: WORDS, run: Box::new(move |message| run(message, &cluster)) }
}

fn cluster() -> Cluster {
    let address = |text: &str| text.parse::<IpAddr>().expect("it is an address");
    let ports = vec![Port { name: "http".into(), protocol: protocol::TCP, port: 80, node_port: None }];
    let endpoint = |name: &str, at: &str| Endpoint {
        name: name.into(),
        has_hostname: true,
        address: address(at),
        ports: ports.clone(),
    };
    let entries = [
        (
            "web",
            Entry {
                addresses: vec![address("10.96.0.1"), address("fd00::1")],
                ports: ports.clone(),
                ..Entry::default()
            },
        ),
        ("other", Entry { external: Name::parse("web.default.svc.cluster.local"), ..Entry::default() }),
        (
            "headless",
            Entry {
                headless: true,
                endpoints: (0..60).map(|n| endpoint(&format!("e{n}"), &format!("10.1.0.{n}"))).collect(),
                ports: ports.clone(),
                ..Entry::default()
            },
        ),
    ];
    let mut zone = Zone::default();
    zone.set_namespace("default", true);
    for (name, entry) in entries {
        zone.set(&Key::new("default", name), Some(entry));
    }
    Cluster { domain: Domain::new("cluster.local", &[address("10.96.0.10")]).expect("it is a domain"), zone }
}

fn query(name: &str, kind: u16, edns: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    wire::write_name(&mut message, &Name::parse(name).expect("it is a name"));
    message.extend([kind.to_be_bytes(), wire::INTERNET.to_be_bytes()].concat());
    if edns {
        message.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    }
    message
}

fn run(message: &[u8], cluster: &Cluster) -> Verdict {
    // Answers of others are read as hostilely as queries are.
    let foreign = wire::answers(message).take(100_000).count();
    let mut out = Vec::new();
    let query = match Query::read(message) {
        Ok(query) => query,
        Err(Bad::Ignore) => return Ok(format!("ignored {}", foreign.min(3))),
        Err(Bad::Answer(code)) => {
            wire::refuse(&mut out, message, code);
            same("an error is a head and no more", &out.len(), &HEADER)?;
            return Ok(format!("answered {code:?}"));
        }
    };
    let mut written = Vec::new();
    wire::write_name(&mut written, &query.name);
    let read = Name::read(&written, 0).map(|(name, end)| (name.to_string(), end));
    same("a name is read as it was written", &read, &Some((query.name.to_string(), written.len())))?;
    let limit = query.udp_limit();
    let outcome = cluster.domain.resolve(&cluster.zone, (message, &query), (&mut out, limit), 7);
    let word = match outcome {
        Outcome::Answered => {
            answered(&out, message, limit)?;
            format!("answered {} of {}", out[3] & 15, wire::answers(&out).count().min(9))
        }
        Outcome::Forward => "forwarded".to_owned(),
        Outcome::ForwardFor(_) => "forwarded for another".to_owned(),
    };
    wire::refuse(&mut out, message, Code::ServFail);
    Ok(format!("{word} {} {}", query.edns.is_some(), query.kind.min(50)))
}

/// An answer is one, is no longer than it may be, and says what it holds.
fn answered(out: &[u8], message: &[u8], limit: usize) -> Result<(), String> {
    holds("an answer fits", out.len() <= limit)?;
    same("an answer has the number of its query", &out[..2], &message[..2])?;
    holds("an answer says that it is one", out[2] & 0x80 != 0)?;
    let told = usize::from(u16::from_be_bytes([out[6], out[7]]));
    same("an answer holds as many records as it says", &wire::answers(out).count(), &told)
}

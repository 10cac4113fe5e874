//! Names over real sockets: from pods and from the node, over UDP and TCP, ours and others'.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use network::dns::wire::{Name, answers, kind, write_name};
use network::netlink::Namespace;
use serde_json::json;

use crate::bench::{PATIENCE, WORLD, ip, pod};
use crate::cluster::{Cluster, until};

const SERVER: &str = "10.96.0.10:53";

fn query(name: &str, wanted: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    write_name(&mut message, &Name::parse(name).unwrap());
    message.extend_from_slice(&wanted.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The code, and the addresses and other names answered.
fn summary(answer: &[u8]) -> String {
    assert_eq!(answer[..2], [0xab, 0xcd]);
    let records = answers(answer).map(|record| match record.kind {
        kind::A => {
            ip(&answer[record.data..record.end].iter().map(u8::to_string).collect::<Vec<_>>().join("."))
                .to_string()
        }
        kind::CNAME => Name::read(answer, record.data).unwrap().0.to_string(),
        other => format!("type {other}"),
    });
    let mut records: Vec<String> = records.collect();
    records.sort();
    format!("{}{} {}", answer[3] & 15, if answer[2] & 2 != 0 { " cut" } else { "" }, records.join(" "))
}

fn ask(namespace: &Namespace, name: &str, wanted: u16) -> Result<String, String> {
    let answer = namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(SERVER)?;
        socket.send(&query(name, wanted))?;
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        Ok::<_, std::io::Error>(answer)
    });
    answer.unwrap().map(|answer| summary(&answer)).map_err(|error| error.to_string())
}

fn ask_tcp(namespace: &Namespace, names: &[&str]) -> Vec<String> {
    let mut stream = namespace.run(|| TcpStream::connect(SERVER)).unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    for name in names {
        let message = query(name, kind::A);
        all.extend_from_slice(&(message.len() as u16).to_be_bytes());
        all.extend_from_slice(&message);
    }
    stream.write_all(&all).unwrap();
    names
        .iter()
        .map(|_| {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            summary(&answer)
        })
        .collect()
}

/// A resolver in the world: every name has one address, and none that begins with `no` has any.
fn serve_world(namespace: &Namespace) {
    let socket = namespace.run(|| UdpSocket::bind("0.0.0.0:53")).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut message) {
            let mut answer = message[..length].to_vec();
            (answer[2], answer[3]) = (0x81, 0x80);
            if answer[13..15] == *b"no" {
                answer[3] |= 3;
            } else {
                answer[7] = 1;
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 203, 0, 113, 9]);
            }
            let _ = socket.send_to(&answer, peer);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_answered_to_pods_and_the_node() {
    let cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    cluster.api.service("web", json!({"clusterIP": "10.96.3.3", "ports": [{"name": "web", "port": 80}]}));
    cluster.api.service("db", json!({"clusterIP": "None", "ports": [{"name": "db", "port": 5432}]}));
    let many: Vec<_> = (1..=60).map(|number| (ip(&format!("10.99.9.{number}")), "n1")).collect();
    let web = "web.default.svc.cluster.local";
    for from in [&client.namespace, &cluster.machine.namespace] {
        until(|| ask(from, web, kind::A), |answer| answer == &Ok("0 10.96.3.3".into())).await;
        assert_eq!(ask(from, web, kind::AAAA), Ok("0 ".into()));
        assert_eq!(ask(from, "nobody.default.svc.cluster.local", kind::A), Ok("3 ".into()));
    }
    cluster.api.endpoints("db", &many[..2], ("db", "TCP", 5432));
    let db = "db.default.svc.cluster.local";
    until(|| ask(&client.namespace, db, kind::A), |answer| answer == &Ok("0 10.99.9.1 10.99.9.2".into()))
        .await;
    assert_eq!(
        ask_tcp(&client.namespace, &[web, db]),
        ["0 10.96.3.3", "0 10.99.9.1 10.99.9.2"],
        "one after the other"
    );

    cluster.api.endpoints("db", &many, ("db", "TCP", 5432));
    let cut = until(
        || ask(&client.namespace, db, kind::A),
        |answer| answer.as_ref().is_ok_and(|a| a.starts_with("0 cut")),
    )
    .await;
    assert!(cut.len() < 512 * 2);
    assert_eq!(ask_tcp(&client.namespace, &[db])[0].split(' ').count(), 61, "whole over TCP");

    cluster.api.remove("services", "default", "web");
    until(|| ask(&client.namespace, web, kind::A), |answer| answer == &Ok("3 ".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_asked_of_the_machines_resolvers() {
    let cluster = Cluster::with_resolver(WORLD).await;
    serve_world(&cluster.machine.world);
    let client = pod(&cluster.net, "client", vec![]).await;
    let spec = json!({"type": "ExternalName", "externalName": "www.example.org"});
    cluster.api.service("out", spec);
    let from = &client.namespace;
    assert_eq!(ask(from, "www.example.org", kind::A), Ok("0 203.0.113.9".into()));
    assert_eq!(ask(from, "no.example.org", kind::A), Ok("3 ".into()));
    let out = "out.default.svc.cluster.local";
    until(|| ask(from, out, kind::A), |answer| answer == &Ok("0 203.0.113.9 www.example.org.".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_resolvers_an_error_comes_at_once() {
    let cluster = Cluster::new().await;
    assert_eq!(ask(&cluster.machine.namespace, "www.example.org", kind::A), Ok("2 ".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_packets_do_not_end_the_server() {
    let cluster = Cluster::new().await;
    let node = &cluster.machine.namespace;
    let socket = node.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    socket.connect(SERVER).unwrap();
    let good = query("web.default.svc.cluster.local", kind::SRV);
    for length in 0..good.len() {
        socket.send(&good[..length]).unwrap();
        let mut bent = good.clone();
        bent[length] ^= 0xff;
        socket.send(&bent).unwrap();
    }
    let mut stream = node.run(|| TcpStream::connect(SERVER)).unwrap().unwrap();
    stream.write_all(&[0xff, 0xff, 1, 2, 3]).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(stream.read(&mut [0; 8]).is_err(), "it waits for the rest");
    let server: SocketAddr = SERVER.parse().unwrap();
    assert!(server.ip().is_ipv4());
    until(
        || ask(node, "kubernetes.default.svc.cluster.local", kind::A),
        |answer| answer == &Ok("0 10.96.0.1".into()),
    )
    .await;
}

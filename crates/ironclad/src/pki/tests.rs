//! What must hold of the certificates, on a directory of the test's own.

use std::os::unix::fs::PermissionsExt;

use clap::Parser;

use super::*;
use crate::args::{Cli, Command};

const NOW: i64 = 1_790_000_000;

struct Dir(std::path::PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("ironclad-pki-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn cluster(node_ip: &str) -> Cluster {
    let cli = Cli::parse_from([
        "ironclad",
        "up",
        "--data-dir",
        "/nonexistent",
        "--node-name",
        "n1",
        "--node-ip",
        node_ip,
    ]);
    let Command::Up(up) = cli.command else { unreachable!("it is up") };
    Cluster::from_flags(&up).expect("right flags")
}

#[test]
fn a_second_start_finds_what_the_first_made() {
    let dir = Dir::new("again");
    let first = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    let second = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("read");
    assert_eq!(first.server.certificate, second.server.certificate);
    assert_eq!(first.service_accounts, second.service_accounts);
    for entry in std::fs::read_dir(&dir.0).expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn another_address_makes_another_server_certificate_from_the_same_authority() {
    let dir = Dir::new("address");
    let first = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    let second = Pki::open(&dir.0, &cluster("192.0.2.8"), NOW).expect("made");
    assert_ne!(first.server.certificate, second.server.certificate);
    assert_eq!(first.ca.certificate, second.ca.certificate);
    assert_eq!(first.admin_token, second.admin_token);
    assert_eq!(first.kubelet_client.certificate, second.kubelet_client.certificate);
}

#[test]
fn what_nears_its_end_is_renewed() {
    let dir = Dir::new("renew");
    let first = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    let later = NOW + (LEAF_DAYS - RENEW_DAYS + 2) * 86_400;
    let second = Pki::open(&dir.0, &cluster("192.0.2.7"), later).expect("renewed");
    assert_ne!(first.kubelet_client.certificate, second.kubelet_client.certificate);
}

#[test]
fn who_may_speak_for_others_is_vouched_for_by_an_authority_of_its_own() {
    let dir = Dir::new("front");
    let pki = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    let issuer = |pair: &Pair| {
        let der = pair.der().expect("a certificate");
        let (_, read) = x509_parser::parse_x509_certificate(&der).expect("DER");
        read.issuer().to_string()
    };
    assert_eq!(issuer(&pki.front_proxy_client), format!("CN={FRONT_PROXY_CA}"));
    assert_eq!(issuer(&pki.kubelet_client), format!("CN={CA}"));
}

#[test]
fn half_a_pair_is_made_anew() {
    let dir = Dir::new("half");
    let first = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    std::fs::remove_file(dir.0.join("apiserver-kubelet-client.key")).expect("it was there");
    let second = Pki::open(&dir.0, &cluster("192.0.2.7"), NOW).expect("made");
    assert_ne!(first.kubelet_client.certificate, second.kubelet_client.certificate);
}

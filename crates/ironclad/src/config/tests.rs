//! What flags lead to.

use clap::Parser;

use super::*;
use crate::args::{Cli, Command};

fn cluster(flags: &[&str]) -> anyhow::Result<Cluster> {
    let words = ["ironclad", "up", "--node-name", "n1", "--node-ip", "192.0.2.7"];
    let place = ["--data-dir", "/nonexistent"];
    let elsewhere = if flags.contains(&"--data-dir") { &[][..] } else { &place[..] };
    let cli = Cli::parse_from(words.iter().chain(elsewhere).chain(flags));
    let Command::Up(up) = cli.command else { unreachable!("it is up") };
    Cluster::from_flags(&up)
}

#[test]
fn addresses_follow_from_the_ranges() {
    let one = cluster(&["--service-cidr", "10.0.0.0/16"]).expect("right flags");
    assert_eq!(one.api_service_ip.to_string(), "10.0.0.1");
    assert_eq!(one.addresses.dns, ["10.0.0.10".parse::<IpAddr>().expect("an address")]);
    assert_eq!((one.server_url.as_str(), one.nodes), ("https://127.0.0.1:6443", 1));
    let flags = ["--service-cidr", "10.0.0.0/16,fd00:96::/112", "--pod-cidr", "10.9.0.0/16,fd00:9::/56"];
    let both = cluster(&flags).expect("right flags");
    let dns: Vec<String> = both.addresses.dns.iter().map(ToString::to_string).collect();
    assert_eq!(dns, ["10.0.0.10", "fd00:96::a"]);
}

#[test]
fn what_is_not_said_is_as_it_was_at_the_last_start() {
    let dir = std::env::temp_dir().join(format!("ironclad-again-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let place = dir.to_str().expect("a temporary directory has a plain name");
    let first =
        cluster(&["--data-dir", place, "--pod-cidr", "10.9.0.0/16", "--nodes", "3"]).expect("right flags");
    Settings::of(&first).keep(&first.instance).expect("written");
    let Command::Up(up) = Cli::parse_from(["ironclad", "up", "--data-dir", place]).command else {
        unreachable!("it is up")
    };
    let again = Cluster::from_flags(&up).expect("right flags");
    assert_eq!((again.node_name.as_str(), again.nodes), ("n1", 3));
    assert_eq!((again.addresses, again.node_blocks), (first.addresses, first.node_blocks));
    std::fs::remove_dir_all(&dir).expect("ours");
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    for (flags, part) in [
        (&["--service-cidr", "10.244.1.0/24"][..], "--pod-cidr"),
        (&["--service-cidr", "10.96.0.0/30"], "too few"),
        (&["--service-cidr", "10.96.0.0/16,10.97.0.0/16"], "one of IPv4 and one of IPv6"),
        (&["--service-cidr", "10.96.0.0/16,fd00::/112"], "same address families"),
        (&["--nodes", "0"], "1 to 100"),
        (&["--nodes", "2", "--bind", "127.0.0.1"], "--bind"),
        (&["--nodes", "2", "--control-plane-only"], "--nodes"),
    ] {
        let refused = cluster(flags).expect_err("it cannot work").to_string();
        assert!(refused.contains(part), "{flags:?}: {refused}");
    }
}

#[test]
fn each_directory_is_an_instance_of_its_own() {
    let in_dir = |path: &str| Instance::in_dir(std::path::Path::new(path)).expect("a path").id;
    assert_ne!(in_dir("/a"), in_dir("/b"));
    assert_eq!(in_dir("/a"), in_dir("/a"));
}

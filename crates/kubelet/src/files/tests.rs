//! The small files of every kind of pod.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::resolv::{Cluster, Resolv, resolv};
use super::*;
use crate::tests::pod;

fn with(spec: Value) -> PodView {
    let mut spec = spec;
    spec["containers"] = json!([]);
    pod(spec, json!({}))
}

#[test]
fn host_names_fit() {
    let long = "a".repeat(62) + "-bcd";
    for (spec, wanted) in [
        (json!({}), "web".to_owned()),
        (json!({"hostname": "own"}), "own".to_owned()),
        (json!({"hostname": long}), "a".repeat(62)),
        (json!({"hostname": "own", "subdomain": "sub"}), "own".to_owned()),
        (
            json!({"hostname": "own", "subdomain": "sub", "setHostnameAsFQDN": true}),
            "own.sub.default.svc.cluster.local".to_owned(),
        ),
        (json!({"setHostnameAsFQDN": true}), "web".to_owned()),
        (json!({"hostname": "own", "hostnameOverride": "over.ride"}), "over.ride".to_owned()),
    ] {
        assert_eq!(hostname(&with(spec.clone()), "cluster.local"), wanted, "{spec}");
    }
}

#[test]
fn hosts_files_name_the_pod_and_its_aliases() {
    let ips: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    let plain = hosts(&with(json!({})), &ips, "cluster.local", "");
    assert!(plain.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost"));
    assert!(plain.ends_with("\n10.0.0.1\tweb\nfd00::1\tweb\n"));
    let spec = json!({"hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
    let text = hosts(&with(spec), &ips, "cluster.local", "");
    assert!(text.contains("\n10.0.0.1\th.s.default.svc.cluster.local\th\n"));
    assert!(text.ends_with("\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    let text = hosts(&with(json!({"hostNetwork": true})), &ips, "cluster.local", "127.0.0.1\tlocalhost\n");
    assert_eq!(text, "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tlocalhost\n");
}

fn resolved(spec: Value) -> (String, Vec<String>) {
    let servers: [IpAddr; 1] = ["10.96.0.10".parse().unwrap()];
    let cluster = Cluster { servers: &servers, domain: "cluster.local" };
    let node = Resolv::parse(
        "# comment\nnameserver 192.0.2.53\nsearch example.net svc.cluster.local\noptions edns0 ; x\n",
    );
    let (made, warnings) = resolv(&with(spec), cluster, &node);
    (made.text(), warnings)
}

#[test]
fn every_policy_gives_its_configuration() {
    let cluster = "search default.svc.cluster.local svc.cluster.local cluster.local example.net\n\
                   nameserver 10.96.0.10\noptions ndots:5\n";
    let node = "search example.net svc.cluster.local\nnameserver 192.0.2.53\noptions edns0\n";
    for (spec, wanted) in [
        (json!({}), cluster),
        (json!({"dnsPolicy": "ClusterFirst"}), cluster),
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), node),
        (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster),
        (json!({"dnsPolicy": "Default"}), node),
        (
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x.y"],
                   "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}}),
            "search x.y\nnameserver 1.1.1.1\noptions ndots:2 rotate\n",
        ),
        (
            json!({"dnsConfig": {"nameservers": ["10.96.0.10", "1.1.1.1"], "searches": ["x.y", "cluster.local"],
                   "options": [{"name": "ndots", "value": "2"}]}}),
            "search default.svc.cluster.local svc.cluster.local cluster.local example.net x.y\n\
             nameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2\n",
        ),
    ] {
        assert_eq!(resolved(spec.clone()), (wanted.to_owned(), Vec::new()), "{spec}");
    }
}

#[test]
fn what_resolvers_would_not_read_is_left_out_and_said() {
    let (text, warnings) = resolved(
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]}}),
    );
    assert!(!text.contains("4.4.4.4"));
    assert!(warnings[0].ends_with("the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3"), "{warnings:?}");
    let many: Vec<String> = (0..40).map(|number| format!("s{number}.example")).collect();
    let (text, warnings) = resolved(json!({"dnsPolicy": "None", "dnsConfig": {"searches": many}}));
    assert_eq!(text.matches(".example").count(), 32);
    assert!(warnings[0].starts_with("Search Line limits were exceeded"));
    let long: Vec<String> =
        (0..10).map(|_| "x".repeat(250)).enumerate().map(|(n, s)| format!("{n}{s}")).collect();
    let (text, _) = resolved(json!({"dnsPolicy": "None", "dnsConfig": {"searches": long}}));
    assert!(text.len() <= 2_048 + 8 && text.matches('x').count() == 8 * 250);
}

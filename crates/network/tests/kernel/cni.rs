//! The Container Network Interface from both sides: plugins (small scripts here) that are run for our pods, and our own
//! network as the plugin of another runtime.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use cri::{NetworkRequest, PodNetwork, PortMapping};
use env::Env;
use network::cni::entry::{Attachment, Listed, Wish};
use network::cni::{Folders, Plugins, Provider};
use network::netlink::{Links, Namespace};
use serde_json::{Value, json};

use crate::bench::{Machine, NODE, PATIENCE, ask_tcp, ip, pod, serve_tcp};

/// A folder of configurations and one of programs, which write down how they are called.
struct Stage {
    machine: Machine,
    root: PathBuf,
    folders: Folders,
}

/// Notes the call, then answers what the test has put beside it for this command, or `{}`; fails if that is an error.
const SCRIPT: &str = r#"#!/bin/sh
here=$(dirname "$0")
me=$(basename "$0")
printf '%s %s [%s] [%s] %s %s %s\n' "$CNI_COMMAND" "$me" "$CNI_CONTAINERID" "$CNI_IFNAME" "${CNI_NETNS:+there}" "$CNI_ARGS" "$(cat)" >>"$here/calls"
answer=$here/$me.$CNI_COMMAND
[ -e "$answer" ] || { echo '{}'; exit 0; }
cat "$answer"
! grep -q '"code"\|^plain' "$answer"
"#;

impl Stage {
    fn new(plugins: &[&str]) -> Stage {
        let machine = Machine::new();
        let root = machine.directory.clone();
        let folders = Folders {
            configurations: root.join("conf"),
            programs: vec![root.join("none"), root.join("bin")],
        };
        for folder in ["conf", "bin"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for plugin in plugins {
            let file = root.join("bin").join(plugin);
            std::fs::write(&file, SCRIPT).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Stage { machine, root, folders }
    }

    fn configure(&self, configuration: &Value) {
        std::fs::write(self.root.join("conf/10-net.conflist"), configuration.to_string()).unwrap();
    }

    fn answer(&self, plugin_and_command: &str, answer: &str) {
        std::fs::write(self.root.join("bin").join(plugin_and_command), answer).unwrap();
    }

    /// A process that has this network, as if it had just started.
    fn plugins(&self) -> Arc<Plugins> {
        let node = self.machine.namespace.clone();
        Plugins::new(self.folders.clone(), &self.root.join("state"), node, Env::real()).unwrap()
    }

    /// The calls since this was asked last: what was called, and what it was told.
    fn calls(&self) -> Vec<(String, Value)> {
        let file = self.root.join("bin/calls");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(&file);
        text.lines()
            .map(|line| {
                let (call, told) = line.split_at(line.find('{').unwrap());
                (call.trim().to_owned(), serde_json::from_str(told).unwrap())
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .map(|(call, _)| call.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

const RESULT: &str = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],
    "ips":[{"address":"10.77.0.5/24","interface":0}]}"#;

fn two(version: &str) -> Value {
    json!({"cniVersion": version, "name": "net", "plugins": [
        {"type": "first", "mtu": 1400},
        {"type": "second", "capabilities": {"portMappings": true, "bandwidth": true}}]})
}

/// A path to a namespace that programs can open too.
fn path(namespace: &Namespace) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), namespace.fd().as_raw_fd()))
}

fn request(namespace: &Namespace, sandbox: &str) -> NetworkRequest {
    NetworkRequest {
        netns: path(namespace),
        annotations: BTreeMap::from([("kubernetes.io/egress-bandwidth".into(), "10M".into())]),
        ..crate::bench::request(
            namespace,
            sandbox,
            vec![PortMapping {
                protocol: cri::Protocol::Udp,
                container_port: 53,
                host_port: 5353,
                host_ip: Some(ip("127.0.0.1")),
            }],
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_run_in_order_and_undone_backwards_also_after_our_death() {
    let stage = Stage::new(&["first", "second"]);
    stage.configure(&two("1.0.0"));
    stage.answer("first.ADD", RESULT);
    stage.answer("second.ADD", RESULT);
    let namespace = Namespace::create().unwrap();
    let net = stage.plugins();
    let addresses = net.attach(request(&namespace, "s1")).await.unwrap();
    assert_eq!(addresses, [ip("10.77.0.5")]);
    let calls = stage.calls();
    let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=s1;K8S_POD_INFRA_CONTAINER_ID=s1;K8S_POD_UID=uid-s1";
    assert_eq!(calls[0].0, format!("ADD first [s1] [eth0] there {arguments}"));
    assert_eq!(calls[0].1, json!({"cniVersion": "1.0.0", "name": "net", "type": "first", "mtu": 1400}));
    assert_eq!(calls[1].0, format!("ADD second [s1] [eth0] there {arguments}"));
    let told = json!({"cniVersion": "1.0.0", "name": "net", "type": "second",
        "prevResult": serde_json::from_str::<Value>(RESULT).unwrap(),
        "runtimeConfig": {
            "portMappings": [{"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}],
            "bandwidth": {"egressRate": 10_000_000, "egressBurst": 4_294_967_295u64}}});
    assert_eq!(calls[1].1, told);
    let mut inside = Links::of(&namespace).unwrap();
    assert!(inside.by_name("lo").unwrap().unwrap().up, "the loopback is the runtime's to set up");

    assert_eq!(net.attach(request(&namespace, "s1")).await.unwrap(), addresses, "asked again, the same");
    assert_eq!(stage.names(), Vec::<String>::new());

    // Another process, another configuration: what was done is undone as it was done.
    drop(net);
    stage.configure(&json!({"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "third"}]}));
    let net = stage.plugins();
    net.detach("s1".into()).await.unwrap();
    let calls = stage.calls();
    assert_eq!(calls.iter().map(|(call, _)| &call[..10]).collect::<Vec<_>>(), ["DEL second", "DEL first "]);
    assert_eq!(calls[0].1, told);
    net.detach("s1".into()).await.unwrap();
    assert_eq!(stage.names(), Vec::<String>::new(), "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_half_way_is_undone_and_told_in_the_plugins_words() {
    let stage = Stage::new(&["first", "second"]);
    let namespace = Namespace::create().unwrap();
    let net = stage.plugins();
    let attach = || async { net.attach(request(&namespace, "s1")).await.unwrap_err().to_string() };
    assert!(attach().await.contains("cni plugin not initialized"), "no configuration");
    stage.configure(&two("1.0.0"));
    stage.answer("first.ADD", RESULT);
    for (answer, words) in [
        (
            r#"{"cniVersion":"1.0.0","code":101,"msg":"no more","details":"of it"}"#,
            "failed (add): no more; of it",
        ),
        ("plain words", r#"failed (add): netplugin failed: "plain words""#),
        ("{", "second answered what cannot be read"),
        ("{}", "gave no address"),
    ] {
        stage.answer("second.ADD", answer);
        let why = attach().await;
        assert!(why.contains(words), "{why}");
        assert_eq!(stage.names(), ["ADD first", "ADD second", "DEL second", "DEL first"], "{words}");
    }
    std::fs::remove_file(stage.root.join("bin/second")).unwrap();
    let why = attach().await;
    assert!(why.contains("failed to find plugin \"second\" in path ["), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_what_is_gone_is_taken_off_and_what_is_there_is_checked() {
    let stage = Stage::new(&["first", "second"]);
    stage.configure(&two("1.1.0"));
    stage.answer("first.ADD", RESULT);
    stage.answer("second.ADD", RESULT);
    let (here, gone) = (Namespace::create().unwrap(), Namespace::create().unwrap());
    let net = stage.plugins();
    net.attach(request(&here, "here")).await.unwrap();
    let name = stage.root.join("gone");
    std::os::unix::fs::symlink(path(&gone), &name).unwrap();
    net.attach(NetworkRequest { netns: name.clone(), ..request(&gone, "gone") }).await.unwrap();
    std::fs::remove_file(name).unwrap();
    drop((net, gone));
    stage.calls();
    let net = stage.plugins();
    net.keep_only(vec!["here".into(), "never heard of".into()]).await.unwrap();
    let calls = stage.calls();
    let heads: Vec<String> = calls
        .iter()
        .map(|(call, _)| call.split(" IgnoreUnknown").next().unwrap().trim().to_owned())
        .collect();
    assert_eq!(
        heads,
        [
            "DEL second [gone] [eth0]",
            "DEL first [gone] [eth0]",
            "CHECK first [here] [eth0] there",
            "CHECK second [here] [eth0] there",
            "GC first [] []",
            "GC second [] []",
        ]
    );
    assert_eq!(calls[4].1["cni.dev/valid-attachments"], json!([{"containerID": "here", "ifname": "eth0"}]));
    // A plugin that cannot take off now is asked again at the next start.
    stage.answer("second.DEL", r#"{"code":11,"msg":"later"}"#);
    net.keep_only(vec![]).await.unwrap();
    assert_eq!(stage.names()[0], "DEL second");
    std::fs::remove_file(stage.root.join("bin/second.DEL")).unwrap();
    stage.plugins().keep_only(vec![]).await.unwrap();
    assert_eq!(stage.names()[..2], ["DEL second", "DEL first"]);
}

fn attachment(container: &str, namespace: &Namespace, configuration: Value) -> Attachment {
    Attachment {
        container: container.into(),
        interface: "net1".into(),
        sandbox: format!("/run/netns/{container}"),
        netns: path(namespace),
        arguments: Default::default(),
        configuration: configuration.as_object().unwrap().clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_another_runtime_are_on_our_pod_network() {
    let machine = Machine::new();
    let net = machine.podnet();
    let provider = Provider::new(net.clone());
    let ours = pod(&net, "ours", vec![]).await;
    let theirs = Namespace::create().unwrap();
    let asked = |version: &str| {
        let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}, {"hostPort": 0, "containerPort": 1}]);
        attachment(
            "c1",
            &theirs,
            json!({"cniVersion": version, "name": "n", "runtimeConfig": {"portMappings": ports}}),
        )
    };
    let result = provider.answer(Wish::Add(asked("1.0.0"))).await.unwrap().unwrap();
    assert_eq!(result["interfaces"][1]["name"], "net1");
    assert_eq!(result["interfaces"][1]["sandbox"], "/run/netns/c1");
    assert_eq!(result["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "169.254.1.1"}));
    assert_eq!(result["ips"][0]["interface"], 1);
    let address = result["ips"][0]["address"].as_str().unwrap().strip_suffix("/32").unwrap().to_owned();
    let old = provider.answer(Wish::Add(asked("0.3.1"))).await.unwrap().unwrap();
    assert_eq!(
        (&old["ips"][0]["address"], &old["ips"][0]["version"]),
        (&result["ips"][0]["address"], &json!("4"))
    );

    let at = |host: &str, port| std::net::SocketAddr::new(ip(host), port);
    serve_tcp(&theirs, at(&address, 80), "theirs");
    let from_ours = format!("theirs {}", ours.address());
    assert_eq!(ask_tcp(&ours.namespace, at(&address, 80), PATIENCE), Ok(from_ours));
    assert_eq!(ask_tcp(&machine.world, at(NODE, 8080), PATIENCE).unwrap().split(' ').next(), Some("theirs"));

    let with_result = |result: &Value| {
        attachment("c1", &theirs, json!({"cniVersion": "1.0.0", "name": "n", "prevResult": result}))
    };
    assert_eq!(provider.answer(Wish::Check(with_result(&result))).await, Ok(None));
    assert!(provider.answer(Wish::Check(with_result(&json!({})))).await.is_err(), "another address");
    // Our own runtime starts anew and says which sandboxes it has: those of others stay.
    net.keep_only(vec!["ours".into()]).await.unwrap();
    assert_eq!(provider.answer(Wish::Check(with_result(&result))).await, Ok(None));
    Links::of(&theirs).unwrap().remove("net1").unwrap();
    let fault = provider.answer(Wish::Check(with_result(&result))).await.unwrap_err().to_string();
    assert!(fault.contains("has no link"), "{fault}");

    let listed = vec![Listed { container: "other".into(), interface: "net1".into() }];
    provider.answer(Wish::Collect(listed)).await.unwrap();
    let unknown = provider.answer(Wish::Check(with_result(&result))).await.unwrap_err();
    assert_eq!(unknown.code, 3, "{unknown}");
    assert!(net.laid("ours").is_some(), "what is ours is not theirs to collect");
    for _ in 0..2 {
        assert_eq!(provider.answer(Wish::Delete(asked("1.0.0"))).await, Ok(None));
    }
    assert_eq!(provider.answer(Wish::Status).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_addresses_no_container_is_attached_and_the_status_says_so() {
    let machine = Machine::new();
    let mut config = machine.config();
    config.pod_blocks = Vec::new();
    let provider = Provider::new(network::podnet::PodNet::new(config, Env::real()).unwrap());
    let status = provider.answer(Wish::Status).await.unwrap_err();
    assert_eq!(status.code, 50, "{status}");
    let missing = attachment(
        "c1",
        &machine.world,
        json!({"cniVersion": "1.0.0", "runtimeConfig": {"portMappings": [{"hostPort": 70_000, "containerPort": 1}]}}),
    );
    assert_eq!(provider.answer(Wish::Add(missing)).await.unwrap_err().code, 7);
}

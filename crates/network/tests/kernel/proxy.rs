//! Services with real packets: from pods, from the node, from outside.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::bench::{IMPATIENCE, NODE, PATIENCE, WORLD, ask_tcp, ask_udp, ask_with, ip, pod};
use crate::cluster::{Cluster, until, until_true};

/// The servers that answer when asked many times.
fn servers(ask: impl Fn() -> Result<String, String>) -> BTreeSet<String> {
    (0..24).map(|_| ask().map(|answer| answer.split(' ').next().unwrap().to_owned()).unwrap()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const WEB: &str = "10.96.3.3:80";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_reached_from_everywhere_and_spread_over_its_endpoints() {
    let cluster = Cluster::new().await;
    let [one, two] = cluster.web_pods().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let ports = json!([{"name": "web", "port": 80, "nodePort": 30080, "protocol": "TCP"}]);
    let spec = json!({"clusterIP": "10.96.3.3", "type": "NodePort", "ports": ports, "externalIPs": ["198.51.100.7"]});
    cluster.api.service("web", spec);
    cluster.api.endpoints("web", &[(one.address(), "n1"), (two.address(), "n1")], ("web", "TCP", 8080));

    let machine = &cluster.machine;
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let node_port = SocketAddr::new(ip(NODE), 30080);
    until(|| ask_tcp(&client.namespace, at(WEB), IMPATIENCE), Result::is_ok).await;
    if let Some(ruleset) = machine.ruleset() {
        assert!(ruleset.contains("10.96.3.3 . tcp . 80 : goto service4-2"), "{ruleset}");
    }
    for (from, to, source) in [
        (&client.namespace, at(WEB), client.address().to_string()),
        (&machine.namespace, at(WEB), NODE.to_owned()),
        (&client.namespace, node_port, NODE.to_owned()),
        (&machine.namespace, node_port, NODE.to_owned()),
        (&machine.namespace, at("127.0.0.1:30080"), NODE.to_owned()),
        (&machine.world, node_port, NODE.to_owned()),
        (&machine.world, at("198.51.100.7:80"), NODE.to_owned()),
        (&machine.world, at(WEB), NODE.to_owned()),
    ] {
        assert_eq!(servers(|| ask_tcp(from, to, PATIENCE)), set(&["one", "two"]), "{to}");
        let answer = ask_tcp(from, to, PATIENCE).unwrap();
        assert!(answer.ends_with(&format!(" {source}")), "{to}: {answer}");
    }
    // A pod behind the Service reaches itself through it.
    assert_eq!(servers(|| ask_tcp(&one.namespace, at(WEB), PATIENCE)), set(&["one", "two"]));
    cluster.api.remove("services", "default", "web");
    let gone = until(|| ask_tcp(&client.namespace, node_port, IMPATIENCE), Result::is_err).await;
    assert_eq!(gone, "ConnectionRefused", "nobody listens on the node itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_endpoints_clients_are_told_at_once() {
    let cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let [one, _two] = cluster.web_pods().await;
    let ports =
        json!([{"name": "web", "port": 80, "nodePort": 30080}, {"name": "u", "port": 80, "protocol": "UDP"}]);
    cluster.api.service("web", json!({"clusterIP": "10.96.3.3", "type": "NodePort", "ports": ports}));
    let web = WEB.parse().unwrap();
    let node_port = SocketAddr::new(ip(NODE), 30080);
    let machine = &cluster.machine;
    for (from, to) in [
        (&client.namespace, web),
        (&machine.namespace, web),
        (&client.namespace, node_port),
        (&machine.world, node_port),
    ] {
        let refused =
            until(|| ask_tcp(from, to, IMPATIENCE), |answer| answer != &Err("TimedOut".into())).await;
        assert_eq!(refused, "ConnectionRefused", "{to}");
    }
    assert_eq!(ask_udp(&client.namespace, web, PATIENCE), Err("ConnectionRefused".into()));
    let no_port = "10.96.3.3:81".parse().unwrap();
    assert_eq!(ask_tcp(&client.namespace, no_port, PATIENCE), Err("ConnectionRefused".into()));
    assert_eq!(ask_tcp(&machine.namespace, no_port, PATIENCE), Err("ConnectionRefused".into()));
    let no_service = "10.96.7.7:80".parse().unwrap();
    assert_eq!(ask_tcp(&client.namespace, no_service, IMPATIENCE), Err("TimedOut".into()));

    cluster.api.endpoints("web", &[(one.address(), "n1")], ("web", "TCP", 8080));
    until(|| ask_tcp(&client.namespace, web, IMPATIENCE), Result::is_ok).await;
    cluster.api.endpoints("web", &[], ("web", "TCP", 8080));
    until(
        || ask_tcp(&client.namespace, web, IMPATIENCE),
        |answer| answer == &Err("ConnectionRefused".into()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_flow_follows_the_endpoints() {
    let cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let [one, two] = cluster.web_pods().await;
    let ports = json!([{"name": "u", "port": 80, "protocol": "UDP", "nodePort": 30080}]);
    cluster.api.service("web", json!({"clusterIP": "10.96.3.3", "type": "NodePort", "ports": ports}));
    for target in [WEB.to_owned(), format!("{NODE}:30080")] {
        let target: SocketAddr = target.parse().unwrap();
        // One socket, so one flow, from before there is any endpoint.
        let socket = client.namespace.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket.connect(target).unwrap();
        let ask = || ask_with(&socket).map_err(|error| format!("{:?}", error.kind()));
        assert!(ask().is_err());
        for pod in [&one, &two, &one] {
            cluster.api.endpoints("web", &[(pod.address(), "n1")], ("u", "UDP", 8080));
            let name = pod.sandbox.clone();
            until(ask, move |answer| answer.as_ref().is_ok_and(|answer| answer.starts_with(&name))).await;
        }
        cluster.api.endpoints("web", &[], ("u", "UDP", 8080));
        until(ask, Result::is_err).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_endpoint_while_that_lives_and_the_service_says_so() {
    let cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let [one, two] = cluster.web_pods().await;
    let spec = |affinity: &str| {
        json!({"clusterIP": "10.96.3.3", "type": "NodePort", "sessionAffinity": affinity,
               "ports": [{"name": "web", "port": 80, "nodePort": 30080}]})
    };
    let both = [(one.address(), "n1"), (two.address(), "n1")];
    cluster.api.service("web", spec("ClientIP"));
    cluster.api.endpoints("web", &both, ("web", "TCP", 8080));
    let web = WEB.parse().unwrap();
    let ask = || ask_tcp(&client.namespace, web, IMPATIENCE);
    let first = until(ask, Result::is_ok).await;
    let first = first.split(' ').next().unwrap();
    assert_eq!(servers(ask), set(&[first]));
    let through_node =
        servers(|| ask_tcp(&cluster.machine.world, SocketAddr::new(ip(NODE), 30080), PATIENCE));
    assert_eq!(through_node.len(), 1);

    let (gone, stays) = if first == "one" { (&one, &two) } else { (&two, &one) };
    cluster.api.endpoints("web", &[(stays.address(), "n1")], ("web", "TCP", 8080));
    let name = stays.sandbox.clone();
    until(ask, |answer| answer.as_ref().is_ok_and(|answer| answer.starts_with(&name))).await;
    if let Some(ruleset) = cluster.machine.ruleset() {
        let remembered = "ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst timeout 3h";
        assert!(ruleset.contains(remembered), "{ruleset}");
    }
    cluster.api.endpoints("web", &both, ("web", "TCP", 8080));
    assert_eq!(
        servers(ask),
        set(&[&stays.sandbox]),
        "{} is back, but {} is kept",
        gone.sandbox,
        stays.sandbox
    );

    cluster.api.service("web", spec("None"));
    until_true("affinity is switched off", || servers(ask).len() == 2).await;
    cluster.api.service("web", spec("ClientIP"));
    until_true("affinity is switched on", || servers(ask).len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_keep_traffic_on_the_node() {
    let cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let [one, two] = cluster.web_pods().await;
    let spec = json!({
        "clusterIP": "10.96.3.3", "type": "LoadBalancer",
        "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
        "ports": [{"name": "web", "port": 80, "nodePort": 30080}],
    });
    cluster.api.service("web", spec);
    cluster.api.endpoints(
        "web",
        &[(one.address(), "n1"), (two.address(), "elsewhere")],
        ("web", "TCP", 8080),
    );
    let (web, node_port) = (WEB.parse().unwrap(), SocketAddr::new(ip(NODE), 30080));
    let machine = &cluster.machine;
    let answer = until(|| ask_tcp(&machine.world, node_port, IMPATIENCE), Result::is_ok).await;
    assert_eq!(answer, format!("one {WORLD}"), "the client's own address is seen");
    assert_eq!(servers(|| ask_tcp(&machine.world, node_port, PATIENCE)), set(&["one"]));
    assert_eq!(servers(|| ask_tcp(&client.namespace, web, PATIENCE)), set(&["one"]));
    assert_eq!(servers(|| ask_tcp(&client.namespace, node_port, PATIENCE)), set(&["one", "two"]));
    assert_eq!(servers(|| ask_tcp(&machine.namespace, node_port, PATIENCE)), set(&["one", "two"]));

    cluster.api.endpoints("web", &[(two.address(), "elsewhere")], ("web", "TCP", 8080));
    until(|| ask_tcp(&machine.world, node_port, IMPATIENCE), |answer| answer == &Err("TimedOut".into()))
        .await;
    assert_eq!(ask_tcp(&client.namespace, web, IMPATIENCE), Err("TimedOut".into()));
    assert_eq!(servers(|| ask_tcp(&client.namespace, node_port, PATIENCE)), set(&["two"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_may_be_for_some_only() {
    let cluster = Cluster::new().await;
    let [one, _two] = cluster.web_pods().await;
    let service = |ranges: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "uid": "web"},
            "spec": {"clusterIP": "10.96.3.3", "type": "LoadBalancer", "loadBalancerSourceRanges": ranges,
                     "ports": [{"name": "web", "port": 80, "nodePort": 30080}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}},
        })
    };
    let machine = &cluster.machine;
    let ask = || ask_tcp(&machine.world, "198.51.100.9:80".parse().unwrap(), IMPATIENCE);
    cluster.api.put("services", service(json!([])));
    cluster.api.endpoints("web", &[(one.address(), "n1")], ("web", "TCP", 8080));
    until(ask, Result::is_ok).await;
    cluster.api.put("services", service(json!(["203.0.113.0/24"])));
    until(ask, |answer| answer == &Err("TimedOut".into())).await;
    cluster.api.put("services", service(json!(["203.0.113.0/24", "192.0.2.0/25", "192.0.2.0/24"])));
    until(ask, Result::is_ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_without_us_and_a_restart_breaks_nothing() {
    use std::io::{Read, Write};
    let mut cluster = Cluster::new().await;
    let client = pod(&cluster.net, "client", vec![]).await;
    let [one, two] = cluster.web_pods().await;
    cluster.api.service("web", json!({"clusterIP": "10.96.3.3", "ports": [{"name": "web", "port": 80}]}));
    cluster.api.endpoints("web", &[(one.address(), "n1"), (two.address(), "n1")], ("web", "TCP", 8080));
    let web: SocketAddr = WEB.parse().unwrap();
    until(|| ask_tcp(&client.namespace, web, IMPATIENCE), Result::is_ok).await;

    let mut kept = client.namespace.run(|| std::net::TcpStream::connect(web)).unwrap().unwrap();
    let mut line = [0; 64];
    let greeting = kept.read(&mut line).unwrap();
    assert!(greeting > 0);
    cluster.stop().await;
    assert!(ask_tcp(&client.namespace, web, PATIENCE).is_ok(), "nobody of us is alive");

    // A client that never pauses, while we start.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asking = {
        let (stop, namespace) = (stop.clone(), client.namespace.clone());
        std::thread::spawn(move || {
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                ask_tcp(&namespace, web, PATIENCE).unwrap();
                count += 1;
            }
            count
        })
    };
    for _ in 0..3 {
        cluster.start();
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.stop().await;
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(asking.join().unwrap() > 10);
    kept.write_all(b"still there?").unwrap();
    let count = kept.read(&mut line).unwrap();
    assert_eq!(&line[..count], b"still there?");
}

#[tokio::test(flavor = "multi_thread")]
async fn teardown_leaves_nothing() {
    let cluster = Cluster::new().await;
    let _pods = cluster.web_pods().await;
    let machine = &cluster.machine;
    let tables = || network::nftables::Nft::of(&machine.namespace).unwrap().tables().unwrap();
    until_true("all tables are there", || tables().len() == 3).await;
    cluster.env.tasks.stop(Duration::from_secs(5)).await;
    network::teardown(&machine.instance, &machine.namespace, &machine.directory).unwrap();
    assert_eq!(tables(), Vec::<String>::new());
    let mut links = network::netlink::Links::of(&machine.namespace).unwrap();
    let names: Vec<_> = links.list().unwrap().into_iter().map(|link| link.name).collect();
    assert_eq!(names, ["lo", "uplink"]);
    assert_eq!(links.our_routes().unwrap(), []);
    let addresses: Vec<_> =
        links.addresses().unwrap().into_iter().map(|(_, address)| address.addr()).collect();
    assert!(!addresses.contains(&ip("10.96.0.10")), "{addresses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_balancers_are_told_which_node_has_endpoints() {
    let cluster = Cluster::new().await;
    let ports = json!([{"name": "web", "port": 80, "nodePort": 30080}]);
    let spec = |port: u16| {
        json!({
            "clusterIP": "10.96.3.3", "type": "LoadBalancer", "ports": ports,
            "externalTrafficPolicy": "Local", "healthCheckNodePort": port,
        })
    };
    let ask = |port: u16| {
        let at = SocketAddr::new(ip(NODE), port);
        let answer = cluster.machine.world.run(|| -> std::io::Result<String> {
            let mut stream = std::net::TcpStream::connect_timeout(&at, IMPATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        });
        answer.unwrap().map_err(|error| format!("{:?}", error.kind()))
    };
    cluster.api.service("web", spec(32000));
    let unwell = "HTTP/1.1 503 Service Unavailable";
    until(|| ask(32000), |answer| *answer == Ok(unwell.to_owned())).await;
    let here = ip("10.99.1.77");
    cluster.api.endpoints("web", &[(here, "n1")], ("web", "TCP", 8080));
    until(|| ask(32000), |answer| *answer == Ok("HTTP/1.1 200 OK".to_owned())).await;
    cluster.api.endpoints("web", &[(here, "n2")], ("web", "TCP", 8080));
    until(|| ask(32000), |answer| *answer == Ok(unwell.to_owned())).await;
    cluster.api.service("web", spec(32001));
    until(|| ask(32001), |answer| *answer == Ok(unwell.to_owned())).await;
    until(|| ask(32000), Result::is_err).await;
    cluster.api.remove("services", "default", "web");
    until(|| ask(32001), Result::is_err).await;
}

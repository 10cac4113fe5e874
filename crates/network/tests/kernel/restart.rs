//! Taking over the tables of an earlier process, or of an earlier version, while packets pass.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use cri::{PortMapping, Protocol};
use env::Env;
use network::netlink::Namespace;
use network::nftables::set::{Element, Key};
use network::nftables::{Batch, Nft, Verdict};
use network::podnet::PodNet;
use network::policy;
use network::policy::compile::{Allowed, Direction, Gate, Rules, Side};
use network::proxy::install::{Blocks, Difference};
use network::proxy::ruleset::{Balance, Frontend, Masquerade, Target};
use network::proxy::{Config, Proxy};

use crate::bench::{Machine, NODE, PATIENCE, Pod, ask_tcp, ip, pod, serve_tcp};

/// How often a table is taken over while clients ask.
const ROUNDS: u32 = 150;
/// How many clients ask at once.
const CLIENTS: usize = 4;
const WEB: &str = "10.96.3.3:80";

fn frontend(at: &str) -> Frontend {
    let at: SocketAddr = at.parse().unwrap();
    Frontend { address: Some(at.ip()), v6: at.is_ipv6(), protocol: 6, port: at.port() }
}

/// A proxy as a new process has it, that wants one Service.
fn proxy(machine: &Machine, pod_block: &str, pods: &[&Pod], affinity: Option<u32>) -> Proxy {
    let blocks =
        Blocks { services: vec!["10.96.0.0/16".parse().unwrap()], pods: vec![pod_block.parse().unwrap()] };
    let (instance, namespace) = (machine.instance.clone(), machine.namespace.clone());
    let mut proxy = Proxy::new(Config { instance, namespace, blocks, own_addresses: vec![] }).unwrap();
    let backends = pods.iter().map(|pod| SocketAddr::new(pod.address(), 8080)).collect();
    let masquerade = Masquerade::Outsiders;
    let target = Target::Balance(Balance { backends, local: None, masquerade, affinity, sources: None });
    let frontend = frontend(WEB);
    let wish = ([(frontend, target)].into(), frontend.address.into_iter().collect());
    proxy.wanted().set(&client::Key::new("default", "web"), Some(wish));
    proxy
}

/// Clients that never pause, until they are stopped: they answer how often they asked.
fn ask_without_pause(namespace: &Namespace, at: SocketAddr) -> (Arc<AtomicBool>, Vec<JoinHandle<u32>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|_| {
        let (stop, namespace) = (stop.clone(), namespace.clone());
        std::thread::spawn(move || {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = ask_tcp(&namespace, at, PATIENCE);
                answer.unwrap_or_else(|error| panic!("after {count} answers: {error}"));
                count += 1;
            }
            count
        })
    });
    let clients = clients.collect();
    (stop, clients)
}

async fn web_pod(net: &PodNet, name: &str, ports: Vec<PortMapping>) -> Pod {
    let pod = pod(net, name, ports).await;
    serve_tcp(&pod.namespace, SocketAddr::new(pod.address(), 8080), name);
    pod
}

/// Takes over something `ROUNDS` times, while clients ask.
fn take_over(from: &Namespace, at: SocketAddr, round: impl FnMut(u32)) {
    let (stop, clients) = ask_without_pause(from, at);
    (1..=ROUNDS).for_each(round);
    stop.store(true, Ordering::SeqCst);
    let asked: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(asked > 0);
}

/// The block of pods in a round: one that always is the same, and one that makes the table look made by another version
/// each time.
const SAME: fn(u32) -> &'static str = |_| "10.99.0.0/16";
const OTHER: fn(u32) -> &'static str = |round| if round % 2 == 0 { "10.99.0.0/16" } else { "10.99.0.0/17" };

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_the_services_are_taken_over() {
    for pod_block in [SAME, OTHER] {
        let machine = Machine::new();
        let net = machine.podnet();
        let client = pod(&net, "client", vec![]).await;
        let (one, two) = (web_pod(&net, "one", vec![]).await, web_pod(&net, "two", vec![]).await);
        let install = |round| {
            let mut proxy = proxy(&machine, pod_block(round), &[&one, &two], None);
            proxy.install(&Difference::default()).unwrap();
        };
        install(0);
        take_over(&client.namespace, WEB.parse().unwrap(), install);
        tear_down(&machine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_the_pods_ports_are_taken_over() {
    for pod_block in [SAME, OTHER] {
        let machine = Machine::new();
        let ports =
            PortMapping { protocol: Protocol::Tcp, container_port: 8080, host_port: 30081, host_ip: None };
        let _one = web_pod(&machine.podnet(), "one", vec![ports]).await;
        take_over(&machine.world, SocketAddr::new(ip(NODE), 30081), |round| {
            let cluster_blocks = vec![pod_block(round).parse().unwrap()];
            PodNet::new(network::podnet::Config { cluster_blocks, ..machine.config() }, Env::real()).unwrap();
        });
        tear_down(&machine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_slips_through_while_the_policies_are_taken_over() {
    for servers in [|_| ip("10.96.0.10"), |round: u32| ip(["10.96.0.10", "10.96.0.11"][round as usize % 2])] {
        let machine = Machine::new();
        let net = machine.podnet();
        let (friend, foe) = (pod(&net, "friend", vec![]).await, pod(&net, "foe", vec![]).await);
        let one = web_pod(&net, "one", vec![]).await;
        let rules = Rules {
            isolated: [(Direction::In, one.address())].into(),
            allowed: [Allowed {
                direction: Direction::In,
                pod: one.address(),
                side: Side::Address(friend.address()),
                gate: Gate::All,
            }]
            .into(),
        };
        let mut nft = Nft::of(&machine.namespace).unwrap();
        let table = network::names::table(&machine.instance, "policies");
        let mut install = |round| {
            nft.establish(&table, |table| policy::table::build(table, &rules, &[servers(round)])).unwrap();
        };
        install(0);
        let at = SocketAddr::new(one.address(), 9999);
        let heard = one.namespace.run(|| UdpSocket::bind(at)).unwrap().unwrap();
        heard.set_nonblocking(true).unwrap();
        let shouting = foe.namespace.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        take_over(&friend.namespace, SocketAddr::new(one.address(), 8080), |round| {
            for _ in 0..20 {
                // A full queue is no reason to stop.
                let _ = shouting.send_to(b"let me in", at);
            }
            install(round);
        });
        assert!(heard.recv(&mut [0; 16]).is_err(), "a packet went past the policy");
        tear_down(&machine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_did_to_the_table_is_undone_and_what_is_not_wanted_any_more_goes() {
    let machine = Machine::new();
    let net = machine.podnet();
    let client = pod(&net, "client", vec![]).await;
    let (one, two) = (web_pod(&net, "one", vec![]).await, web_pod(&net, "two", vec![]).await);
    let install = |pods: &[&Pod]| {
        proxy(&machine, SAME(0), pods, None).install(&Difference::default()).unwrap();
    };
    let ask = || ask_tcp(&client.namespace, WEB.parse().unwrap(), PATIENCE);
    install(&[&one, &two]);
    assert!(ask().is_ok());
    let table = network::names::table(&machine.instance, "services");
    let mut nft = Nft::of(&machine.namespace).unwrap();
    let mut damage = Batch::new(&table);
    damage.clear_chain("translate");
    damage.clear_chain("service4-2");
    damage.clear_set("endpoints4");
    let stray = Key::new().address(ip("10.96.9.9")).protocol(6).port(80);
    damage.add_elements("services4", [Element::verdict(stray, Verdict::Goto("service4-2".into()))]);
    nft.apply(damage).unwrap();
    assert!(ask().is_err());

    install(&[&one, &two]);
    assert!(ask().is_ok());
    assert_eq!(nft.elements(&table, "services4").unwrap().len(), 1);
    install(&[&two]);
    assert!(ask().unwrap().starts_with("two "));
    assert_eq!(nft.elements(&table, "endpoints4").unwrap().len(), 1);
    let chains = nft.chains(&table).unwrap();
    assert!(chains.contains("service4-1") && !chains.contains("service4-2"), "{chains:?}");
    tear_down(&machine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_endpoint_when_a_new_process_takes_over() {
    let machine = Machine::new();
    let net = machine.podnet();
    let client = pod(&net, "client", vec![]).await;
    let (one, two) = (web_pod(&net, "one", vec![]).await, web_pod(&net, "two", vec![]).await);
    let install = |pods: &[&Pod]| {
        proxy(&machine, SAME(0), pods, Some(600)).install(&Difference::default()).unwrap();
    };
    let ask = || ask_tcp(&client.namespace, WEB.parse().unwrap(), PATIENCE).unwrap();
    install(&[&one, &two]);
    let first = ask();
    for _ in 0..12 {
        install(&[&one, &two]);
        assert_eq!(ask(), first);
    }
    // Nobody was there to hear that its endpoint went.
    let stays = if first.starts_with("one ") { &two } else { &one };
    install(&[stays]);
    assert!(ask().starts_with(&stays.sandbox));
    tear_down(&machine);
}

fn tear_down(machine: &Machine) {
    network::teardown(&machine.instance, &machine.namespace, &machine.directory).unwrap();
}

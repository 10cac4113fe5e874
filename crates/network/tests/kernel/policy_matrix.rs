//! Policies by the hundred: each is put in force, every pod sends a packet to every other, and who got through is compared
//! with what the policy says, worked out here in another way than the product does.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use cri::{PodId, PodNetwork};
use network::netlink::Namespace;
use serde_json::{Value, json};

use crate::bench::{request, serve_udp};
use crate::cluster::Cluster;

const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const APPS: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 2] = [80, 81];
/// How long a sender listens for one more answer.
const SILENCE: Duration = Duration::from_millis(40);
/// How often the packets are sent before it is believed that a policy is wrong.
const ATTEMPTS: u32 = 100;

struct Peer {
    namespace: &'static str,
    app: &'static str,
    address: IpAddr,
    network: Namespace,
}

impl Peer {
    /// The number behind the name `web`: not the same in all pods.
    fn web(&self) -> u16 {
        if self.app == "c" { 81 } else { 80 }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.app)
    }
}

/// Which pods of the policy's namespace it is about.
const SUBJECTS: [&str; 3] = ["all", "a", "a or b"];
/// Whom a rule allows; `nobody` is no rule at all.
const PARTNERS: [&str; 7] =
    ["nobody", "anybody", "app b", "team y", "app b of team y", "block", "app a or team z"];
/// On which ports.
const PLACES: [&str; 5] = ["any", "80", "web", "80-81", "tcp"];

#[derive(Clone, Copy, Debug)]
struct Policy {
    subject: &'static str,
    is_egress: bool,
    partner: &'static str,
    place: &'static str,
}

/// Every combination.
fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for subject in SUBJECTS {
        for is_egress in [false, true] {
            for partner in PARTNERS {
                all.extend(PLACES.map(|place| Policy { subject, is_egress, partner, place }));
            }
        }
    }
    all
}

impl Policy {
    fn spec(&self, hole: IpAddr) -> Value {
        let subject = match self.subject {
            "all" => json!({}),
            "a" => json!({"matchLabels": {"app": "a"}}),
            _ => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}),
        };
        let app = |app: &str| json!({"matchLabels": {"app": app}});
        let team = |team: &str| json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": NAMESPACES.iter().filter(|other| **other != team).collect::<Vec<_>>()}]});
        let partners = match self.partner {
            "anybody" => json!([]),
            "app b" => json!([{"podSelector": app("b")}]),
            "team y" => json!([{"namespaceSelector": team("y")}]),
            "app b of team y" => json!([{"namespaceSelector": team("y"), "podSelector": app("b")}]),
            "block" => json!([{"ipBlock": {"cidr": "10.99.1.0/24", "except": [format!("{hole}/32")]}}]),
            _ => json!([{"podSelector": app("a")}, {"namespaceSelector": team("z")}]),
        };
        let ports = match self.place {
            "any" => json!([]),
            "80" => json!([{"protocol": "UDP", "port": 80}]),
            "web" => json!([{"protocol": "UDP", "port": "web"}]),
            "80-81" => json!([{"protocol": "UDP", "port": 80, "endPort": 81}]),
            _ => json!([{"protocol": "TCP"}]),
        };
        let (kind, list, side) =
            if self.is_egress { ("Egress", "egress", "to") } else { ("Ingress", "ingress", "from") };
        let mut spec = json!({"podSelector": subject, "policyTypes": [kind]});
        if self.partner != "nobody" {
            spec[list] = json!([{ "ports": ports }]);
            spec[list][0][side] = partners;
        }
        spec
    }

    fn is_about(&self, peer: &Peer) -> bool {
        peer.namespace == "x"
            && (self.subject == "all" || self.subject.split(" or ").any(|app| app == peer.app))
    }

    /// Whether its rule lets the subject and `other` speak, at `port` of `target`.
    fn allows(&self, other: &Peer, target: &Peer, port: u16) -> bool {
        let partner = match self.partner {
            "nobody" => false,
            "anybody" => true,
            "app b" => other.namespace == "x" && other.app == "b",
            "team y" => other.namespace == "y",
            "app b of team y" => other.namespace == "y" && other.app == "b",
            "block" => other.name() != "x/b",
            _ => (other.namespace == "x" && other.app == "a") || other.namespace == "z",
        };
        let place = match self.place {
            "any" | "80-81" => true,
            "80" => port == 80,
            "web" => port == target.web(),
            _ => false,
        };
        partner && place
    }
}

/// Whether a packet gets through if these policies are in force.
fn passes(policies: &[Policy], from: &Peer, to: &Peer, port: u16) -> bool {
    let side = |is_egress: bool, subject: &Peer, other: &Peer| {
        let mut concerned =
            policies.iter().filter(|one| one.is_egress == is_egress && one.is_about(subject)).peekable();
        concerned.peek().is_none() || concerned.any(|one| one.allows(other, to, port))
    };
    side(true, from, to) && side(false, to, from)
}

async fn peers(cluster: &Cluster) -> Vec<Peer> {
    let mut peers = Vec::new();
    for namespace in NAMESPACES {
        let metadata = json!({"name": namespace, "uid": namespace, "labels": {"team": namespace}});
        cluster.api.put("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
        for app in APPS {
            let name = format!("{namespace}-{app}");
            let network = Namespace::create().unwrap();
            let object = |addresses: &[IpAddr]| {
                let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
                let web = if app == "c" { 81 } else { 80 };
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": {"app": app}},
                    "spec": {"nodeName": "n1", "containers": [
                        {"name": "c", "ports": [{"name": "web", "containerPort": web, "protocol": "UDP"}]}]},
                    "status": {"podIPs": ips},
                })
            };
            cluster.api.put("pods", object(&[]));
            let mut asked = request(&network, &name, vec![]);
            asked.pod = PodId { namespace: namespace.into(), name: name.clone(), uid: name.clone() };
            let addresses = cluster.net.attach(asked).await.unwrap();
            cluster.api.put("pods", object(&addresses));
            for port in PORTS {
                serve_udp(&network, SocketAddr::new(addresses[0], port), &name);
            }
            peers.push(Peer { namespace, app, address: addresses[0], network });
        }
    }
    peers
}

/// Sends from one pod to all others; answers who answered. Each time from a new port, so that no flow is an old one.
fn reached(from: &Peer, peers: &[Peer]) -> BTreeSet<(IpAddr, u16)> {
    let work = || -> std::io::Result<BTreeSet<(IpAddr, u16)>> {
        let socket = UdpSocket::bind((from.address, 0))?;
        socket.set_read_timeout(Some(SILENCE))?;
        for to in peers.iter().filter(|to| to.address != from.address) {
            for port in PORTS {
                // One that the node refuses at once is one that does not get through.
                let _ = socket.send_to(b"?", (to.address, port));
            }
        }
        let (mut found, mut buffer) = (BTreeSet::new(), [0; 256]);
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            found.insert((peer.ip(), peer.port()));
        }
        Ok(found)
    };
    from.network.run(work).unwrap().unwrap()
}

/// Everything that is not as the policies say, in words.
fn differences(policies: &[Policy], peers: &[Peer]) -> Vec<String> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            peers.iter().map(|from| (from, scope.spawn(move || reached(from, peers)))).collect();
        let mut wrong = Vec::new();
        for (from, thread) in threads {
            let reached = thread.join().unwrap();
            for to in peers.iter().filter(|to| to.address != from.address) {
                for port in PORTS {
                    let (is, should) =
                        (reached.contains(&(to.address, port)), passes(policies, from, to, port));
                    if is != should {
                        let what = if is { "gets through" } else { "is stopped" };
                        wrong.push(format!("{} to {}:{port} {what}", from.name(), to.name()));
                    }
                }
            }
        }
        wrong
    })
}

/// Puts every `step`th policy from the `first` on in force, each with another beside it every now and then.
async fn compare(first: usize, step: usize) {
    let cluster = Cluster::new().await;
    let peers = peers(&cluster).await;
    let hole = peers.iter().find(|peer| peer.name() == "x/b").unwrap().address;
    let all = policies();
    assert!(all.len() >= 200, "{}", all.len());
    let put = |name: &str, policy: Policy| {
        cluster.api.put(
            "networkpolicies",
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "x", "uid": name},
                "spec": policy.spec(hole),
            }),
        );
    };
    for (number, policy) in all.iter().enumerate().skip(first).step_by(step) {
        let mut in_force = vec![*policy];
        put("one", *policy);
        if number % 3 == 0 {
            in_force.push(all[(number * 37 + 11) % all.len()]);
            put("two", in_force[1]);
        }
        let mut wrong = Vec::new();
        for _ in 0..ATTEMPTS {
            wrong = differences(&in_force, &peers);
            if wrong.is_empty() {
                break;
            }
        }
        assert_eq!(wrong, Vec::<String>::new(), "{in_force:?}");
        if in_force.len() > 1 {
            cluster.api.remove("networkpolicies", "x", "two");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_policies_let_through_what_they_say_and_nothing_else() {
    compare(6, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: run it after a change of policies, with `cargo test -p network --test kernel -- --ignored`"]
async fn all_policies_let_through_what_they_say_and_nothing_else() {
    compare(0, 1).await;
}

//! A machine with the whole network running on it, and an API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use network::podnet::PodNet;
use serde_json::json;

use crate::api::Api;
use crate::bench::{Machine, NODE, Pod, ip, pod, serve_tcp, serve_udp};

/// A machine with the whole network running on it.
pub struct Cluster {
    pub machine: Machine,
    pub api: Arc<Api>,
    pub net: Arc<PodNet>,
    pub env: Env,
}

impl Cluster {
    pub async fn new() -> Cluster {
        Cluster::on(Machine::new()).await
    }

    /// One whose machine has a resolver.
    pub async fn with_resolver(address: &str) -> Cluster {
        let machine = Machine::new();
        std::fs::create_dir_all(&machine.directory).unwrap();
        std::fs::write(machine.directory.join("resolv.conf"), format!("nameserver {address}\n")).unwrap();
        Cluster::on(machine).await
    }

    async fn on(machine: Machine) -> Cluster {
        let net = machine.podnet();
        let api = Arc::new(Api::default());
        api.service(
            "kubernetes",
            json!({"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]}),
        );
        api.pods(&["client", "one", "two"]);
        let cluster = Cluster { machine, api, net, env: Env::real() };
        cluster.start();
        // The world reaches Service addresses through the node.
        let world = &cluster.machine.world;
        let mut links = network::netlink::Links::of(world).unwrap();
        let link = links.by_name("downlink").unwrap().unwrap().index;
        for destination in ["10.96.0.0/16", "198.51.100.0/24", "10.99.0.0/16"] {
            let destination = destination.parse().unwrap();
            let gateway = Some(ip(NODE));
            links
                .set_route(&network::netlink::route::Route { destination, link, gateway, source: None })
                .unwrap();
        }
        cluster
    }

    pub fn start(&self) {
        let pods = network::Pods::Ours(self.net.clone());
        network::start(self.machine.network_config(), pods, self.api.clone(), &self.env).unwrap();
    }

    /// Ends everything that runs in this process, as its death would.
    pub async fn stop(&mut self) {
        assert_eq!(self.env.tasks.stop(Duration::from_secs(5)).await, 0);
        self.env = Env::real();
    }

    pub async fn web_pods(&self) -> [Pod; 2] {
        let pods = [pod(&self.net, "one", vec![]).await, pod(&self.net, "two", vec![]).await];
        for pod in &pods {
            serve_tcp(&pod.namespace, SocketAddr::new(pod.address(), 8080), &pod.sandbox);
            serve_udp(&pod.namespace, SocketAddr::new(pod.address(), 8080), &pod.sandbox);
        }
        pods
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        network::teardown(&self.machine.instance, &self.machine.namespace, &self.machine.directory).unwrap();
    }
}

/// How often a level is looked at before it is given up.
const ATTEMPTS: u32 = 3000;

/// Asks until the answer is wanted; panics with the last one if it never is.
pub async fn until(
    ask: impl Fn() -> Result<String, String>,
    wanted: impl Fn(&Result<String, String>) -> bool,
) -> String {
    let mut last = Ok(String::new());
    for _ in 0..ATTEMPTS {
        last = ask();
        if wanted(&last) {
            return last.unwrap_or_else(|error| error);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {last:?}");
}

/// Waits until something is so.
pub async fn until_true(what: &str, is: impl Fn() -> bool) {
    for _ in 0..ATTEMPTS {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

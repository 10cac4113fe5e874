//! What the tests are built with: a machine in a namespace, pods in others, servers and clients in any of them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cri::{NetworkRequest, PodId, PodNetwork, PortMapping};
use env::Env;
use network::netlink::link::{Pair, Scope};
use network::netlink::{Links, Namespace};
use network::podnet::{Config, PodNet};

/// How long a client waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits for what must not come.
pub const IMPATIENCE: Duration = Duration::from_millis(400);

/// The node's address on the wire to the world.
pub const NODE: &str = "192.0.2.1";
/// The world's address on the wire to the node.
pub const WORLD: &str = "192.0.2.2";

/// A machine: its namespace, a directory, and another namespace it has a wire to.
pub struct Machine {
    pub namespace: Namespace,
    pub world: Namespace,
    pub directory: PathBuf,
    pub instance: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Machine {
    pub fn new() -> Machine {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let instance = format!("test-{}-{number}", std::process::id());
        let namespace = Namespace::create().unwrap();
        let world = Namespace::create().unwrap();
        wire((&namespace, "uplink", NODE), (&world, "downlink", WORLD));
        let mut links = Links::of(&namespace).unwrap();
        let lo = links.by_name("lo").unwrap().unwrap().index;
        links.set_up(lo).unwrap();
        let directory = std::env::temp_dir().join(format!("ironclad-network-{instance}"));
        Machine { namespace, world, directory, instance }
    }

    pub fn config(&self) -> Config {
        Config {
            instance: self.instance.clone(),
            state_dir: self.directory.join("network"),
            namespace: self.namespace.clone(),
            node_addresses: vec![ip(NODE)],
            pod_blocks: vec!["10.99.1.0/24".parse().unwrap()],
            cluster_blocks: vec!["10.99.0.0/16".parse().unwrap()],
            mtu: 1450,
        }
    }

    /// What the whole network on this machine has to know.
    pub fn network_config(&self) -> network::Config {
        let pods = self.config();
        network::Config {
            instance: pods.instance,
            data_dir: self.directory.clone(),
            namespace: pods.namespace,
            node_name: "n1".into(),
            node_addresses: pods.node_addresses,
            taken_addresses: vec![],
            pod_blocks: pods.pod_blocks,
            cluster_blocks: pods.cluster_blocks,
            service_blocks: vec!["10.96.0.0/16".parse().unwrap()],
            cluster_dns: vec![ip("10.96.0.10")],
            makes_dns_service: false,
            cluster_domain: "cluster.local".into(),
            resolvers: self.directory.join("resolv.conf"),
            mtu: pods.mtu,
            foreign: None,
        }
    }

    pub fn podnet(&self) -> Arc<PodNet> {
        PodNet::new(self.config(), Env::real()).unwrap()
    }

    /// The rules as the `nft` tool shows them, if the machine has it.
    pub fn ruleset(&self) -> Option<String> {
        let output =
            self.namespace.run(|| std::process::Command::new("nft").args(["list", "ruleset"]).output());
        let output = output.unwrap().ok()?;
        assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An end of a wire: where, its name, its address.
pub type End<'a> = (&'a Namespace, &'a str, &'a str);

/// Connects two namespaces by a wire, with an address at each end.
pub fn wire((one, name, address): End<'_>, (other, peer, peer_address): End<'_>) {
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let mac =
        |side: u8| [2, side, (number >> 24) as u8, (number >> 16) as u8, (number >> 8) as u8, number as u8];
    let mut links = Links::of(one).unwrap();
    links
        .add_pair(&Pair {
            name,
            mac: mac(1),
            peer_name: peer,
            peer_mac: mac(2),
            peer_namespace: other,
            mtu: 1500,
        })
        .unwrap();
    for (namespace, name, address) in [(one, name, address), (other, peer, peer_address)] {
        let mut links = Links::of(namespace).unwrap();
        let index = links.by_name(name).unwrap().unwrap().index;
        links.set_up(index).unwrap();
        links.add_address(index, format!("{address}/24").parse().unwrap(), Scope::Global).unwrap();
    }
}

/// A sandbox's namespace, held open by a thread's handle, with a path the runtime would give.
pub struct Pod {
    pub namespace: Namespace,
    pub addresses: Vec<IpAddr>,
    pub sandbox: String,
}

impl Pod {
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }
}

/// The request for a sandbox in a namespace.
pub fn request(namespace: &Namespace, sandbox: &str, ports: Vec<PortMapping>) -> NetworkRequest {
    use std::os::fd::AsRawFd;
    NetworkRequest {
        sandbox: sandbox.to_owned(),
        netns: PathBuf::from(format!("/proc/self/fd/{}", namespace.fd().as_raw_fd())),
        pod: PodId { namespace: "default".into(), name: sandbox.into(), uid: format!("uid-{sandbox}") },
        ports,
        ..NetworkRequest::default()
    }
}

pub async fn pod(net: &PodNet, sandbox: &str, ports: Vec<PortMapping>) -> Pod {
    let namespace = Namespace::create().unwrap();
    let addresses = net.attach(request(&namespace, sandbox, ports)).await.unwrap();
    Pod { namespace, addresses, sandbox: sandbox.to_owned() }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A TCP server that answers every connection with its name and the client's address, until the test ends.
pub fn serve_tcp(namespace: &Namespace, address: SocketAddr, name: &str) {
    let listener = namespace.run(|| TcpListener::bind(address)).unwrap().unwrap();
    let name = name.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), name) = (stream, name.clone()) else { continue };
            std::thread::spawn(move || {
                let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
                let _ = stream.write_all(format!("{name} {peer}\n").as_bytes());
                // Echoes until the client closes, for tests that keep a connection.
                let mut buffer = [0; 256];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// A UDP server that answers every packet with its name and the client's address.
pub fn serve_udp(namespace: &Namespace, address: SocketAddr, name: &str) {
    let socket = namespace.run(|| UdpSocket::bind(address)).unwrap().unwrap();
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// Connects and reads the line the server says: `Ok("name client")`, or what went wrong.
pub fn ask_tcp(namespace: &Namespace, address: SocketAddr, limit: Duration) -> Result<String, String> {
    let result = namespace.run(|| {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let mut line = [0; 256];
        let count = stream.read(&mut line)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&line[..count]).trim().to_owned())
    });
    result.unwrap().map_err(|error| format!("{:?}", error.kind()))
}

/// Sends a packet and reads the answer.
pub fn ask_udp(namespace: &Namespace, address: SocketAddr, limit: Duration) -> Result<String, String> {
    let result = namespace.run(|| {
        let any: SocketAddr = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(limit))?;
        socket.connect(address)?;
        ask_with(&socket)
    });
    result.unwrap().map_err(|error| format!("{:?}", error.kind()))
}

/// Sends a packet on a connected socket and reads the answer.
pub fn ask_with(socket: &UdpSocket) -> std::io::Result<String> {
    socket.send(b"?")?;
    let mut answer = [0; 256];
    let count = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

//! Names that are not the cluster's: the query is handed on to the resolvers the machine itself uses, and their answer
//! handed back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use env::Env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::wire::{HEADER, Name, TCP_LIMIT};
use crate::netlink::Namespace;

/// How long one resolver is waited for: clients give up after five seconds, and another one should get its chance.
const ATTEMPT: Duration = Duration::from_millis(2_000);
/// How often it is tried in all.
const ATTEMPTS: usize = 2;
/// How many queries for one question are under way at once. A resolver that asks us again (a loop) makes them pile up.
const SAME_LIMIT: u32 = 64;
/// How many queries are under way at once in all: each holds a socket.
const LIMIT: usize = 1_024;

/// Where names that are not ours are asked for.
#[derive(Debug)]
pub struct Forwarder {
    namespace: Namespace,
    /// Whether sockets can be opened where we are.
    is_here: bool,
    file: PathBuf,
    own: Vec<IpAddr>,
    upstreams: RwLock<Arc<[SocketAddr]>>,
    under_way: Mutex<BTreeMap<(Vec<u8>, u16), u32>>,
    slots: tokio::sync::Semaphore,
    env: Env,
}

/// A question that is under way.
struct UnderWay<'a> {
    forwarder: &'a Forwarder,
    question: (Vec<u8>, u16),
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.forwarder.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.question) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.question);
            }
        }
    }
}

impl Forwarder {
    /// One that asks the resolvers in `file` (as `/etc/resolv.conf`), except those at our `own` addresses.
    pub fn new(namespace: Namespace, file: PathBuf, own: Vec<IpAddr>, env: Env) -> Forwarder {
        let here = Namespace::current().and_then(|current| current.identity());
        let is_here = matches!((here, namespace.identity()), (Ok(here), Ok(there)) if here == there);
        let forwarder = Forwarder {
            namespace,
            is_here,
            file,
            own,
            upstreams: RwLock::new(Arc::new([])),
            under_way: Mutex::default(),
            slots: tokio::sync::Semaphore::new(LIMIT),
            env,
        };
        forwarder.reload();
        forwarder
    }

    /// Reads the file anew.
    pub fn reload(&self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let found = upstreams(&text, &self.own);
        *self.upstreams.write().unwrap_or_else(PoisonError::into_inner) = found.into();
    }

    /// Asks for what `message` asks for; `None` if nobody answers. `name` and `kind` are the message's question.
    pub async fn ask(&self, message: &[u8], (name, kind): (&Name, u16), over: Over) -> Option<Vec<u8>> {
        let upstreams = self.upstreams.read().unwrap_or_else(PoisonError::into_inner).clone();
        if upstreams.is_empty() || message.len() < HEADER {
            return None;
        }
        let _under_way = self.begin(name, kind)?;
        // Who comes when all are taken is told so at once: a queue would only grow while nobody answers us.
        let _slot = self.slots.try_acquire().ok()?;
        for attempt in 0..ATTEMPTS {
            let upstream = upstreams[attempt % upstreams.len()];
            let mut query = message.to_vec();
            let id = (self.env.entropy.next_u64() as u16).to_be_bytes();
            query[..2].copy_from_slice(&id);
            let work = async {
                match over {
                    Over::Udp => self.over_udp(upstream, &query).await,
                    Over::Tcp => self.over_tcp(upstream, &query).await,
                }
            };
            match self.env.clock.timeout(ATTEMPT, work).await {
                Some(Ok(mut answer)) => {
                    answer[..2].copy_from_slice(&message[..2]);
                    return Some(answer);
                }
                Some(Err(error)) => tracing::debug!(%upstream, %error, "a resolver could not be asked"),
                None => tracing::debug!(%upstream, "a resolver did not answer"),
            }
        }
        None
    }

    fn begin(&self, name: &Name, kind: u16) -> Option<UnderWay<'_>> {
        let question = (name.bytes().to_vec(), kind);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(question.clone()).or_insert(0);
        if *count >= SAME_LIMIT {
            tracing::warn!(%name, "too many queries for one name are under way: does a resolver ask us what we ask it?");
            return None;
        }
        *count += 1;
        Some(UnderWay { forwarder: self, question })
    }

    async fn over_udp(&self, upstream: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let any: SocketAddr = if upstream.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
        // A socket for each query has a source port of its own, which makes false answers hard to send.
        let socket = self.inside(move || {
            let socket = std::net::UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        let socket = UdpSocket::from_std(socket)?;
        socket.connect(upstream).await?;
        socket.send(query).await?;
        let mut answer = vec![0; 4_096];
        loop {
            let length = socket.recv(&mut answer).await?;
            if answers(&answer[..length], query) {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    }

    async fn over_tcp(&self, upstream: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let socket =
            self.inside(move || if upstream.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?;
        let mut stream = socket.connect(upstream).await?;
        send_framed(&mut stream, query).await?;
        let answer = receive_framed(&mut stream).await?;
        let wrong = || std::io::Error::other("the answer is for another question");
        if answers(&answer, query) { Ok(answer) } else { Err(wrong()) }
    }

    fn inside<T: Send>(&self, open: impl FnOnce() -> std::io::Result<T> + Send) -> std::io::Result<T> {
        if self.is_here { open() } else { self.namespace.run(open).map_err(std::io::Error::other)? }
    }
}

/// How a query is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// In a packet.
    Udp,
    /// In a stream.
    Tcp,
}

/// Sends a message on a stream.
pub async fn send_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Receives a message from a stream.
pub async fn receive_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?).min(TCP_LIMIT);
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Whether a message answers a query: the same number, the same question.
fn answers(answer: &[u8], query: &[u8]) -> bool {
    let is_answer = answer.len() >= HEADER && answer[..2] == query[..2] && answer[2] & 0x80 != 0;
    is_answer
        && Name::read(answer, HEADER).map(|(name, _)| name) == Name::read(query, HEADER).map(|(name, _)| name)
}

/// The resolvers named in a text like `/etc/resolv.conf`, without our own addresses.
fn upstreams(text: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        // A zone (`fe80::1%eth0`) cannot be kept in an address.
        words.next()?.parse::<IpAddr>().ok()
    });
    addresses.filter(|address| !own.contains(address)).map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_and_our_own_left_out() {
        let text = "# comment\nsearch example.org\nnameserver 192.0.2.53\nnameserver 10.96.0.10\n\
            nameserver 2001:db8::53 # second\nnameserver fe80::1%eth0\noptions ndots:5\nnameserver\n";
        let own = ["10.96.0.10".parse().unwrap()];
        let found: Vec<String> = upstreams(text, &own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.53:53", "[2001:db8::53]:53"]);
    }
}

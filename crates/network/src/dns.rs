//! The cluster's names, answered on every node at the cluster's DNS address, by the process itself.
//!
//! Answers come from a picture of Services and endpoints that is kept when the API is gone. Other names are asked of the
//! machine's own resolvers.

pub mod forward;
pub mod resolve;
pub mod service;
mod turn;
mod udp;
pub mod wire;
pub mod zone;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use env::Env;
use tokio::net::{TcpListener, TcpStream};

use crate::feed::Feed;
use crate::netlink::{Error, Namespace};
use crate::view::Slice;
use forward::{Forwarder, Over, receive_framed, send_framed};
use resolve::{Domain, Outcome};
use wire::{Answer, Bad, Code, Name, Owner, Query, Record, Section, TCP_LIMIT, kind, write_name};
use zone::{Entry, Zone};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(10);
/// How many connections are kept at once: each may hold a message of 64 KiB.
const CONNECTIONS: usize = 256;
/// How often the machine's list of resolvers is read again.
const RELOAD: Duration = Duration::from_secs(10);

/// What the DNS server has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The namespace it serves in.
    pub namespace: Namespace,
    /// The addresses it serves at, which must be the node's.
    pub addresses: Vec<IpAddr>,
    /// The port.
    pub port: u16,
    /// The cluster's domain.
    pub domain: String,
    /// The file that names the machine's resolvers: `/etc/resolv.conf`.
    pub resolvers: PathBuf,
}

/// The server's state, shared by all its sockets.
#[derive(Debug)]
struct Server {
    domain: Domain,
    zone: RwLock<Zone>,
    /// Whether everything the API knew at the start is in the zone.
    synced: AtomicBool,
    forwarder: Forwarder,
    env: Env,
}

/// Starts to answer, at once; until the names are known, queries for them are answered with an error that makes clients
/// try again.
pub fn start(config: &Config, feed: Feed, env: &Env) -> Result<(), Error> {
    let domain = Domain::new(&config.domain, &config.addresses)
        .ok_or_else(|| Error::Malformed(format!("{:?} is no domain", config.domain)))?;
    let own = config.addresses.clone();
    let forwarder =
        Forwarder::new(config.namespace.clone(), config.resolvers.clone(), own, env.child("forwarder"));
    let server = Arc::new(Server {
        domain,
        zone: RwLock::default(),
        synced: AtomicBool::new(false),
        forwarder,
        env: env.clone(),
    });
    for address in &config.addresses {
        let at = SocketAddr::new(*address, config.port);
        let failed = |source| Error::io(format!("serving names at {at}"), source);
        let (udp, tcp) = config.namespace.run(|| open(at))?.map_err(failed)?;
        let tcp = TcpListener::from_std(tcp).map_err(failed)?;
        env.tasks.spawn_until_done("names over UDP", udp::serve(server.clone(), udp));
        env.tasks.spawn("names over TCP", server.clone().serve_tcp(tcp));
    }
    env.tasks.spawn("names from the API", server.clone().follow(feed));
    env.tasks.spawn("resolvers", async move {
        loop {
            server.env.clock.sleep(RELOAD).await;
            server.forwarder.reload();
        }
    });
    Ok(())
}

fn open(at: SocketAddr) -> std::io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let udp = udp::open(at)?;
    let tcp = std::net::TcpListener::bind(at)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

impl Server {
    async fn follow(self: Arc<Server>, feed: Feed) {
        let namespaces = self.clone();
        feed.on_namespace(move |name, exists| {
            let mut zone = namespaces.zone.write().unwrap_or_else(PoisonError::into_inner);
            zone.set_namespace(name, exists);
        });
        let mut changes = feed.changes();
        feed.synced().await;
        loop {
            let keys = if self.synced.load(Ordering::Acquire) {
                changes.next_all().await
            } else {
                feed.all_services()
            };
            for key in keys {
                let entry = feed.service(&key).map(|service| {
                    let slices = feed.slices(&key);
                    let slices: Vec<&Slice> = slices.iter().map(|entry| &entry.facts).collect();
                    Entry::of(&service.facts, &slices)
                });
                self.zone.write().unwrap_or_else(PoisonError::into_inner).set(&key, entry);
            }
            self.synced.store(true, Ordering::Release);
        }
    }

    async fn serve_tcp(self: Arc<Server>, listener: TcpListener) {
        let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, say: not as fast as the processor can.
                self.env.clock.sleep(Duration::from_millis(20)).await;
                continue;
            };
            let server = self.clone();
            self.env.tasks.spawn("names over a connection", async move {
                server.serve_connection(stream).await;
                drop(slot);
            });
        }
    }

    async fn serve_connection(&self, mut stream: TcpStream) {
        let mut answer = Vec::new();
        loop {
            let received = self.env.clock.timeout(IDLE, receive_framed(&mut stream)).await;
            let Some(Ok(message)) = received else { return };
            match self.answer(&message, &mut answer, Over::Tcp) {
                Step::Ignore => return,
                Step::Send => {}
                Step::Forward(query, other) => {
                    answer = self.forward(&message, &query, other, Over::Tcp).await
                }
            }
            let sent = self.env.clock.timeout(IDLE, send_framed(&mut stream, &answer)).await;
            if !matches!(sent, Some(Ok(()))) {
                return;
            }
        }
    }

    fn answer(&self, message: &[u8], out: &mut Vec<u8>, over: Over) -> Step {
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(Bad::Ignore) => return Step::Ignore,
            Err(Bad::Answer(code)) => {
                wire::refuse(out, message, code);
                return Step::Send;
            }
        };
        let limit = limit_of(&query, over);
        let is_bad_version = query.edns.is_some_and(|edns| edns.version != 0);
        if is_bad_version {
            Answer::begin(out, message, &query, limit).finish(Code::NoError, false);
            return Step::Send;
        }
        if !self.synced.load(Ordering::Acquire) && self.domain.has(&query.name) {
            Answer::begin(out, message, &query, limit).finish(Code::ServFail, false);
            return Step::Send;
        }
        let serial = self.env.clock.now().secs() as u32;
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        match self.domain.resolve(&zone, (message, &query), (out, limit), serial) {
            Outcome::Answered => Step::Send,
            Outcome::Forward => Step::Forward(Box::new(query), None),
            Outcome::ForwardFor(other) => Step::Forward(Box::new(query), Some(other)),
        }
    }

    /// Asks elsewhere, and makes the answer: for the name asked for, or the one it is another name for.
    async fn forward(&self, message: &[u8], query: &Query, other: Option<Box<Name>>, over: Over) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(other) = other else {
            match self.forwarder.ask(message, (&query.name, query.kind), over).await {
                Some(answer) => return answer,
                None => Answer::begin(&mut out, message, query, limit_of(query, over))
                    .finish(Code::ServFail, false),
            }
            return out;
        };
        let question = question(query, &other);
        let theirs = self.forwarder.ask(&question, (&other, query.kind), over).await;
        let mut answer = Answer::begin(&mut out, message, query, limit_of(query, over));
        answer.record(Section::Answer, Owner::Question, (kind::CNAME, resolve::TTL), |out| {
            write_name(out, &other)
        });
        let Some(theirs) = theirs else {
            // The other name is an answer, if not a whole one.
            answer.finish(Code::NoError, true);
            return out;
        };
        for record in wire::answers(&theirs) {
            copy(&mut answer, &theirs, &record);
        }
        answer.finish(Code::NoError, true);
        out
    }
}

/// What is to be done with a query.
enum Step {
    /// Nothing.
    Ignore,
    /// The answer is to be sent.
    Send,
    /// Somebody else is to be asked: for the name itself, or for the one it is another name for.
    Forward(Box<Query>, Option<Box<Name>>),
}

fn limit_of(query: &Query, over: Over) -> usize {
    match over {
        Over::Udp => query.udp_limit(),
        Over::Tcp => TCP_LIMIT,
    }
}

/// A query of our own for another name.
fn question(query: &Query, name: &Name) -> Vec<u8> {
    let mut message = vec![0; wire::HEADER];
    message[2] = 1;
    message[5] = 1;
    write_name(&mut message, name);
    message.extend_from_slice(&query.kind.to_be_bytes());
    message.extend_from_slice(&query.class.to_be_bytes());
    message
}

/// Copies an address or another name from somebody else's answer.
fn copy(answer: &mut Answer<'_>, message: &[u8], record: &Record) {
    let how = (record.kind, record.ttl.min(resolve::TTL));
    match record.kind {
        kind::A | kind::AAAA => {
            let data = &message[record.data..record.end];
            answer.record(Section::Answer, Owner::Name(&record.name), how, |out| out.extend_from_slice(data));
        }
        kind::CNAME => {
            if let Some((target, _)) = Name::read(message, record.data) {
                answer
                    .record(Section::Answer, Owner::Name(&record.name), how, |out| write_name(out, &target));
            }
        }
        _ => {}
    }
}

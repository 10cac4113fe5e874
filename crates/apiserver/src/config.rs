//! What a server is told at start.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::admission::pod_security;
use crate::audit;
use crate::authn;
use crate::authz;
use crate::identity::Identity;
use crate::remote::Target;

/// A certificate chain and its private key, as PEM.
#[derive(Clone, Default)]
pub struct KeyPair {
    /// The certificate, then those that lead to the CA.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("KeyPair(…)")
    }
}

/// A token that stands for somebody as long as the server runs.
#[derive(Clone)]
pub struct KnownToken {
    token: String,
    /// Who shows it.
    pub identity: Identity,
}

impl KnownToken {
    /// A token and whose it is.
    pub fn new(token: String, identity: Identity) -> KnownToken {
        KnownToken { token, identity }
    }

    /// Whether it is this token. How long that takes tells nothing of where they differ.
    pub fn is(&self, token: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.token.as_bytes(), token.as_bytes()).is_ok()
    }
}

impl std::fmt::Debug for KnownToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "KnownToken(of {})", self.identity.name)
    }
}

/// What limits requests. The defaults are upstream's.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time: beyond it new ones wait to be accepted.
    pub connections: usize,
    /// Requests carried out at one time; beyond it they wait for their turn. Watches count while they begin.
    pub requests: u32,
    /// Bytes of a request's body: 413 beyond it.
    pub body: usize,
    /// Bytes of a request's headers.
    pub headers: u32,
    /// How long a request may take that is no watch or stream.
    pub request: Duration,
    /// How long the TLS handshake and the first request's headers may take.
    pub handshake: Duration,
    /// How long open requests get to end when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 20_000,
            requests: 600,
            body: 3 << 20,
            headers: 1 << 20,
            request: Duration::from_secs(60),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// A text that somebody else reads, and reads again when it is asked for: a file, mostly.
#[derive(Clone)]
pub struct Source {
    /// Reads it.
    pub read: Arc<dyn Fn() -> std::io::Result<String> + Send + Sync>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Source")
    }
}

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The serving certificate.
    pub serving: KeyPair,
    /// The CA whose certificates tell who a client is, as PEM; empty for none.
    pub client_ca: Vec<u8>,
    /// The private key that signs service-account tokens, as PEM.
    pub token_key: Vec<u8>,
    /// Public keys, as PEM, whose tokens are accepted too (earlier signing keys).
    pub old_token_keys: Vec<Vec<u8>>,
    /// Who issues service-account tokens; also the default audience.
    pub issuer: String,
    /// Tokens that stand for somebody as long as the server runs.
    pub known_tokens: Vec<KnownToken>,
    /// Where Services get their addresses from; the first is the primary family.
    pub service_cidrs: Vec<IpNet>,
    /// Where Services get their node ports from.
    pub node_ports: RangeInclusive<u16>,
    /// The address under which others reach this server: the endpoint of the Service `kubernetes`.
    pub advertise: IpAddr,
    /// The certificate shown to kubelets.
    pub kubelet_client: KeyPair,
    /// The CA of the kubelets' serving certificates, as PEM.
    pub kubelet_ca: Vec<u8>,
    /// Who vouches for webhooks that name no CA of their own, as PEM; empty for nobody.
    pub system_roots: Vec<u8>,
    /// Which pod security standards hold where namespaces say nothing.
    pub pod_security: pod_security::Settings,
    /// Which issuers of tokens are trusted, and what is heard without credentials.
    pub authentication: authn::config::Settings,
    /// A webhook that knows tokens.
    pub token_webhook: Option<Target>,
    /// Who may speak for others.
    pub front_proxy: authn::front_proxy::Settings,
    /// The certificate by which other servers know that they may believe for whom we ask.
    pub proxy_client: KeyPair,
    /// Who is asked whether something may be done.
    pub authorization: Vec<authz::config::Kind>,
    /// How requests are written down; none are without it.
    pub audit: Option<audit::Settings>,
    /// What says what is sealed in the store, and how; nothing is without it.
    pub encryption: Option<Source>,
    /// The limits.
    pub limits: Limits,
}

impl Config {
    /// A server on `listen` with upstream's defaults and no certificates yet.
    pub fn new(listen: SocketAddr) -> Config {
        Config {
            listen,
            serving: KeyPair::default(),
            client_ca: Vec::new(),
            token_key: Vec::new(),
            old_token_keys: Vec::new(),
            known_tokens: Vec::new(),
            issuer: "https://kubernetes.default.svc".to_owned(),
            service_cidrs: vec![IpNet::V4(
                ipnet::Ipv4Net::new([10, 96, 0, 0].into(), 16).expect("16 is a prefix length"),
            )],
            node_ports: 30_000..=32_767,
            advertise: listen.ip(),
            kubelet_client: KeyPair::default(),
            kubelet_ca: Vec::new(),
            system_roots: Vec::new(),
            pod_security: pod_security::Settings::default(),
            authentication: authn::config::Settings::default(),
            token_webhook: None,
            front_proxy: authn::front_proxy::Settings::default(),
            proxy_client: KeyPair::default(),
            authorization: authz::config::DEFAULT.to_vec(),
            audit: None,
            encryption: None,
            limits: Limits::default(),
        }
    }
}

//! The API over HTTPS: one HTTP/2 connection for requests and watches, connections of their own for streams that are
//! upgraded. [`Connection`] is a [`Transport`](crate::Transport), and serves raw requests where more is needed.

mod answer;
mod connection;
pub mod pinned;
mod tls;
mod transport;
mod url;

use std::path::PathBuf;

pub use connection::{Connection, Upgrade};
pub use tls::unverified;

/// Where a server is and how to speak to it.
#[derive(Clone, Default)]
pub struct Config {
    /// `https://127.0.0.1:6443`, perhaps with a path.
    pub server: String,
    /// PEM certificates that may have signed the server's; empty means that nothing is trusted.
    pub ca: Vec<u8>,
    /// Trust whatever certificate the server shows.
    pub insecure: bool,
    /// The name the server's certificate must have, if not the host's.
    pub server_name: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// Who we say we are, in `User-Agent`; what stands before the first `/` becomes the manager of fields.
    pub user_agent: String,
}

/// How a client proves who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// It does not.
    #[default]
    Anonymous,
    /// By a certificate and its key, both PEM.
    Certificate {
        /// The certificate, and those between it and the CA.
        chain: Vec<u8>,
        /// Its private key.
        key: Vec<u8>,
    },
    /// By a bearer token.
    Token(String),
}

impl std::fmt::Debug for Config {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credentials = match &self.credentials {
            Credentials::Anonymous => "anonymous",
            Credentials::Certificate { .. } => "certificate",
            Credentials::Token(_) => "token",
        };
        write!(out, "Config({} as {credentials})", self.server)
    }
}

/// Why a server could not be reached or understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no address.
    #[error("{0:?} is not the URL of a server: it must look like https://host:port")]
    BadServer(String),
    /// A certificate or key is unusable.
    #[error("the {what} cannot be used: {why}")]
    BadCredentials {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers.
    #[error("the server at {address} cannot be reached")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The handshake failed.
    #[error("no secure connection to {address}")]
    Handshake {
        /// Host and port.
        address: String,
        /// What TLS said.
        source: std::io::Error,
    },
    /// The connection broke, or the server does not speak HTTP.
    #[error("the connection to {address} failed")]
    Broken {
        /// Host and port.
        address: String,
        /// What HTTP said.
        source: hyper::Error,
    },
    /// The request cannot be written.
    #[error("the request for {path} is not valid HTTP")]
    BadRequest {
        /// The path.
        path: String,
        /// What is wrong with it.
        source: http::Error,
    },
    /// It took too long.
    #[error("the server at {address} did not answer within {seconds} seconds")]
    TimedOut {
        /// Host and port.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A kubeconfig is unusable.
    #[error("the kubeconfig is not usable: {0}")]
    Kubeconfig(String),
}

impl Error {
    /// The error and all its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

//! The kernel's side of the network, through netlink sockets: links, addresses, routes, neighbours, connection
//! tracking and network namespaces. No command-line tool is called.
//!
//! A netlink socket belongs to the namespace it was opened in, wherever it is used from. So a [`Namespace`] is only
//! entered to open sockets (and to write settings), always on a thread that ends afterwards.

pub mod conntrack;
pub mod link;
pub mod message;
pub mod namespace;
pub mod neighbour;
pub mod route;
pub mod settings;
pub mod socket;

pub use link::{Link, Links};
pub use message::{Attributes, Message};
pub use namespace::Namespace;
pub use socket::{Protocol, Socket};

use rustix::io::Errno;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It refused.
    #[error("{what}: {errno}{}", Detail(.detail))]
    Refused {
        /// What it was asked for.
        what: String,
        /// Its error number.
        errno: Errno,
        /// Its own words, where it has any.
        detail: String,
    },
    /// A file or socket call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It answered something that makes no sense, or was asked something that does not fit.
    #[error("{0}")]
    Malformed(String),
}

/// What the kernel layer answers.
pub type Result<T> = std::result::Result<T, Error>;

struct Detail<'a>(&'a String);

impl std::fmt::Display for Detail<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(out, " ({})", self.0) }
    }
}

impl Error {
    /// A failed call.
    pub fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Error {
        Error::Io { what: what.into(), source: source.into() }
    }

    /// The kernel's error number, if it refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused { errno, .. } => Some(*errno),
            Error::Io { .. } | Error::Malformed(_) => None,
        }
    }

    /// Whether what was asked for is already so.
    pub fn already_there(&self) -> bool {
        self.errno() == Some(Errno::EXIST)
    }

    /// Whether what was to be changed or removed does not exist.
    pub fn not_there(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::NOENT | Errno::NODEV | Errno::SRCH | Errno::NXIO | Errno::ADDRNOTAVAIL)
        )
    }
}

/// Makes a call idempotent: what is already there is no error.
pub fn or_there(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.already_there() => Ok(()),
        other => other,
    }
}

/// Makes a removal idempotent: what is already gone is no error.
pub fn or_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.not_there() => Ok(()),
        other => other,
    }
}

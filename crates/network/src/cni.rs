//! The Container Network Interface (CNI), from both sides: the plugins of others give our pods their networks
//! ([`Plugins`]), and our pod network serves the containers of other runtimes as a plugin ([`Provider`]).

pub mod configuration;
pub mod entry;
pub mod failure;
mod invocation;
mod outcome;
mod plugins;
mod provider;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use failure::Failure;
pub use plugins::Plugins;
pub use provider::Provider;

/// Where somebody else's network is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// Where configurations are: `/etc/cni/net.d`. The first by name counts.
    pub configurations: PathBuf,
    /// Where the plugins' programs are: `/opt/cni/bin`. The first that has one counts.
    pub programs: Vec<PathBuf>,
}

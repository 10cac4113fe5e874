//! Sandboxes of other runtimes on our pod network. Our own runtime, which says at its start which sandboxes there are,
//! does not know them: they stay until their own runtime takes them off.

use std::net::IpAddr;
use std::path::Path;

use super::{PodNet, Shared, wire};
use crate::netlink::link::Mac;
use crate::netlink::{Error, Links, Namespace};

/// Begins the ids of other runtimes' sandboxes, and cannot begin those of our own.
const PREFIX: &str = "cni:";

/// The id under which a link of another runtime's container is kept.
pub fn id(container: &str, interface: &str) -> String {
    format!("{PREFIX}{container}:{interface}")
}

/// Whether a sandbox is another runtime's.
pub fn is_foreign(sandbox: &str) -> bool {
    sandbox.starts_with(PREFIX)
}

/// A sandbox's cable as it was laid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laid {
    /// The name of the node's end.
    pub link: String,
    /// The Ethernet addresses of the node's and the sandbox's end.
    pub macs: (Mac, Mac),
    /// The sandbox's addresses.
    pub addresses: Vec<IpAddr>,
}

impl PodNet {
    /// Whether there are addresses for pods.
    pub fn has_blocks(&self) -> bool {
        !self.shared.blocks.borrow().is_empty()
    }

    /// How a sandbox's cable was laid; `None` if it has none.
    pub fn laid(&self, sandbox: &str) -> Option<Laid> {
        let inner = self.shared.lock();
        let record = inner.saved.sandboxes.get(sandbox)?;
        let (link, addresses) = (record.link.clone(), record.addresses.clone());
        Some(Laid { link, macs: wire::macs(&addresses), addresses })
    }

    /// Takes off all of other runtimes' sandboxes that are not listed.
    pub async fn keep_only_foreign(&self, sandboxes: Vec<String>) -> cri::Result<()> {
        let now = self.env.clock.now().secs();
        self.blocking(move |shared| {
            shared
                .keep_only(|sandbox| !is_foreign(sandbox) || sandboxes.iter().any(|one| one == sandbox), now)
        })
        .await
    }

    /// What is not as it was laid, in words; `None` if all is.
    pub async fn fault(
        &self,
        laid: Laid,
        netns: std::path::PathBuf,
        interface: String,
    ) -> cri::Result<Option<String>> {
        self.blocking(move |shared| shared.fault(&laid, &netns, &interface)).await
    }
}

impl Shared {
    fn fault(&self, laid: &Laid, netns: &Path, interface: &str) -> Result<Option<String>, Error> {
        if self.lock().links.by_name(&laid.link)?.is_none() {
            return Ok(Some(format!("the node has no link {}", laid.link)));
        }
        let mut inside = Links::of(&Namespace::open(netns)?)?;
        let Some(link) = inside.by_name(interface)? else {
            return Ok(Some(format!("the container has no link {interface}")));
        };
        let present = inside.addresses()?;
        let is_missing = |address: &&IpAddr| {
            !present.iter().any(|(place, there)| *place == link.index && there.addr() == **address)
        };
        let missing = laid.addresses.iter().find(is_missing);
        Ok(missing.map(|address| format!("{interface} does not have the address {address}")))
    }
}

//! What survives a restart: which sandbox has which addresses, link and ports of the node.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cri::{PodId, PortMapping};
use serde::{Deserialize, Serialize};

/// A sandbox with a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose it is.
    pub pod: PodId,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The name of the node's end of its link.
    pub link: String,
    /// Ports of the node that lead to it.
    pub ports: Vec<PortMapping>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// By the sandbox's id.
    pub sandboxes: BTreeMap<String, Record>,
    /// Addresses that were released lately, with the second of their release.
    pub resting: Vec<(IpAddr, i64)>,
    /// The node's blocks, as texts.
    pub blocks: Vec<String>,
}

/// The file it is kept in.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// In a directory, which is made if it is missing.
    pub fn within(directory: &Path) -> io::Result<File> {
        std::fs::create_dir_all(directory)?;
        Ok(File { path: directory.join("sandboxes.json") })
    }

    /// What was saved last. A file that cannot be understood (the machine lost power while it was written, and with it
    /// every sandbox) is put aside, and the start is empty.
    pub fn load(&self) -> io::Result<Saved> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&bytes) {
            Ok(saved) => Ok(saved),
            Err(error) => {
                let aside = self.path.with_extension("unreadable");
                tracing::warn!(file = %self.path.display(), aside = %aside.display(), %error,
                    "the list of pod addresses cannot be read; it is put aside and begun anew");
                std::fs::rename(&self.path, aside)?;
                Ok(Saved::default())
            }
        }
    }

    /// Saves, in place of what was there, as a whole. It need not survive a power cut, which ends all sandboxes.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let bytes = serde_json::to_vec(saved).map_err(io::Error::other)?;
        let next = self.path.with_extension("next");
        std::fs::write(&next, bytes)?;
        std::fs::rename(next, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_broken_is_put_aside() {
        let directory = std::env::temp_dir().join(format!("ironclad-network-state-{}", std::process::id()));
        let file = File::within(&directory).unwrap();
        assert_eq!(file.load().unwrap(), Saved::default());
        let mut saved = Saved { blocks: vec!["10.1.0.0/24".into()], ..Saved::default() };
        let record = Record {
            pod: PodId { namespace: "a".into(), name: "b".into(), uid: "c".into() },
            addresses: vec!["10.1.0.1".parse().unwrap()],
            link: "ic0".into(),
            ports: vec![],
        };
        saved.sandboxes.insert("s".into(), record);
        file.save(&saved).unwrap();
        assert_eq!(file.load().unwrap(), saved);
        std::fs::write(&file.path, "{").unwrap();
        assert_eq!(file.load().unwrap(), Saved::default());
        assert!(directory.join("sandboxes.unreadable").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}

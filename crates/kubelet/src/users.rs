//! User ids of pods that have their own (`hostUsers: false`): each gets a range of the node's that no other pod has.
//!
//! A pod's range stands in a file of its directory, and is free again when that is gone: so it is the same after a
//! restart, and nothing else has to be kept.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cri::UserNamespace;
use serde::{Deserialize, Serialize};

/// How many ids a pod has. The first so many are the node's own.
const LENGTH: u32 = 65_536;

const FILE: &str = "userns";

/// One after the other takes a range.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Mutex<()>);

/// The file, as upstream's kubelet writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mappings {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

impl Ranges {
    /// The range of a pod: the one it has, or the first that no pod below `pods` has. Blocks.
    pub fn take(&self, pods: &Path, uid: &str) -> Result<UserNamespace, String> {
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = pods.join(uid);
        if let Some(range) = read(&own)? {
            return Ok(range);
        }
        let taken = all(pods)?;
        let is_free = |first: &u32| taken.iter().all(|range| !overlap(*first, range));
        let first = (1..u32::MAX / LENGTH).map(|number| number * LENGTH).find(is_free);
        let host_id = first.ok_or("no more user ids are left for another pod")?;
        let range = UserNamespace { host_id, length: LENGTH };
        write(&own, &range).map_err(|error| format!("{}: {error}", own.join(FILE).display()))?;
        Ok(range)
    }
}

fn overlap(first: u32, range: &UserNamespace) -> bool {
    let (first, other) = (u64::from(first), u64::from(range.host_id));
    first < other + u64::from(range.length) && other < first + u64::from(LENGTH)
}

fn all(pods: &Path) -> Result<Vec<UserNamespace>, String> {
    let entries = fs::read_dir(pods).map_err(|error| format!("{}: {error}", pods.display()))?;
    entries.flatten().filter_map(|entry| read(&entry.path()).transpose()).collect()
}

/// The range of the pod in `directory`, if it has one. A file that is not understood could hide one that is in use.
pub(crate) fn read(directory: &Path) -> Result<Option<UserNamespace>, String> {
    let path = directory.join(FILE);
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(&error)),
    };
    let mappings: Mappings = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    match mappings.uid_mappings.as_slice() {
        [Mapping { host_id, container_id: 0, length }] if *host_id >= LENGTH => {
            Ok(Some(UserNamespace { host_id: *host_id, length: *length }))
        }
        _ => Err(failed(&"it holds other than one range of ids above the node's own")),
    }
}

fn write(directory: &Path, range: &UserNamespace) -> io::Result<()> {
    let mapping = Mapping { host_id: range.host_id, container_id: 0, length: range.length };
    let mappings = Mappings { uid_mappings: vec![mapping], gid_mappings: vec![mapping] };
    fs::create_dir_all(directory)?;
    let new = directory.join(".new-userns");
    fs::write(&new, serde_json::to_vec(&mappings)?)?;
    fs::rename(new, directory.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_a_range_of_its_own_that_is_free_when_it_is_gone() {
        let pods = std::env::temp_dir().join(format!("ironclad-users-{}", std::process::id()));
        fs::create_dir_all(pods.join("plain")).unwrap();
        let ranges = Ranges::default();
        let first = |uid: &str| ranges.take(&pods, uid).unwrap().host_id;
        assert_eq!(["a", "b", "c", "b"].map(first), [65_536, 131_072, 196_608, 131_072]);
        fs::remove_dir_all(pods.join("b")).unwrap();
        assert_eq!(["c", "d", "e"].map(first), [196_608, 131_072, 262_144]);
        // Another kubelet was told to hand out more at once.
        write(&pods.join("large"), &UserNamespace { host_id: 327_680, length: 3 * LENGTH }).unwrap();
        assert_eq!(first("f"), 524_288);
        assert_eq!(read(&pods.join("plain")), Ok(None));
        fs::write(pods.join("plain").join(FILE), "{").unwrap();
        let refusal = ranges.take(&pods, "g").unwrap_err();
        assert!(
            refusal.contains("plain/userns: "),
            "what is not understood is not taken for free: {refusal}"
        );
        fs::remove_dir_all(&pods).unwrap();
    }
}

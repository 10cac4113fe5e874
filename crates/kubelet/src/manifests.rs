//! Static pods: those that the node has from files of its own, and runs whether there is an API or not. The API shows a
//! picture of each ([`mirror`]).

pub(crate) mod mirror;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use client::Key;
use env::Env;
use machinery::Object;
use tokio::sync::Notify;

/// How often the directory is looked at. That costs little, and needs no watch of the kernel's, of which machines have
/// few.
const LOOK: Duration = Duration::from_secs(1);
/// A manifest is no larger than what the API would take.
const MOST_BYTES: u64 = 3 << 20;

/// A file as it was when it was read.
type Stamp = (SystemTime, u64);

/// The pods in a directory. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: Option<PathBuf>,
    node: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Stamp>,
    pods: BTreeMap<Key, Object>,
}

impl Manifests {
    /// The pods of a directory; none without one. It is read once before this answers.
    pub fn start(directory: Option<PathBuf>, node: &str, env: &Env) -> Manifests {
        let shared =
            Shared { directory, node: node.to_owned(), state: Mutex::default(), changed: Notify::new() };
        let manifests = Manifests { shared: Arc::new(shared) };
        manifests.look();
        if manifests.shared.directory.is_some() {
            let (following, env) = (manifests.clone(), env.clone());
            env.clone().tasks.spawn("static pods", async move {
                loop {
                    env.clock.sleep(LOOK).await;
                    let looking = following.clone();
                    env.tasks.blocking(move || looking.look()).await;
                }
            });
        }
        manifests
    }

    /// Waits until the pods are others than when this was last answered.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// The pods.
    pub fn pods(&self) -> BTreeMap<Key, Object> {
        self.state().pods.clone()
    }

    /// The pod of that name.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.state().pods.get(key).cloned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the directory if anything in it is not as it was.
    fn look(&self) {
        let Some(directory) = &self.shared.directory else { return };
        let files = match files(directory) {
            Ok(files) => files,
            Err(error) => return tracing::warn!(path = %directory.display(), "it cannot be read: {error}"),
        };
        if self.state().files == files {
            return;
        }
        let mut pods = BTreeMap::new();
        for path in files.keys() {
            match read_file(path, &self.shared.node) {
                Ok(pod) => {
                    let key = Key::of(&pod);
                    if pods.insert(key.clone(), pod).is_some() {
                        tracing::warn!(path = %path.display(), pod = %key, "another file has a pod of that name");
                    }
                }
                Err(error) => tracing::error!(path = %path.display(), "it is no static pod: {error}"),
            }
        }
        let mut state = self.state();
        state.files = files;
        // Another text is another identity.
        let identities = |pods: &BTreeMap<Key, Object>| -> Vec<_> {
            pods.iter().map(|(key, pod)| (key.clone(), pod.header().uid.clone())).collect()
        };
        let changed = identities(&state.pods) != identities(&pods);
        state.pods = pods;
        if changed {
            self.shared.changed.notify_one();
        }
    }
}

fn files(directory: &Path) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // It may be made later.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // What has gone in between is not there.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if !hidden && metadata.is_file() {
            files.insert(entry.path(), (metadata.modified()?, metadata.len()));
        }
    }
    Ok(files)
}

fn read_file(path: &Path, node: &str) -> Result<Object, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("it is larger than {MOST_BYTES} bytes"));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    read::pod(&text, node)
}

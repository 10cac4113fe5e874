//! Servers beside this one: groups and versions that others serve, and that clients reach through here.
//!
//! One task follows the `APIService` objects ([`follow`]); for each that names a Service, one more looks whether it
//! answers and what it serves ([`attend`]). Requests are passed on by `proxy/foreign.rs`; what foreign servers serve is
//! told in `discovery.rs` and `openapi.rs` together with what is served here.

mod attend;
mod discovery;
mod follow;
mod foreign;
mod openapi;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use smol_str::SmolStr;

pub use follow::run;
pub use foreign::{Foreign, speak_for};
pub use openapi::merge;

/// A group and a version.
type GroupVersion = (SmolStr, SmolStr);

/// All that others serve.
#[derive(Debug, Default)]
pub struct Aggregation {
    foreign: ArcSwap<BTreeMap<GroupVersion, Arc<Foreign>>>,
    /// Counts what became known of them.
    generation: AtomicU64,
}

impl Aggregation {
    /// Who serves a path below `/apis/GROUP/VERSION`, or its OpenAPI, if that is not this server.
    pub fn serving(&self, path: &str) -> Option<Arc<Foreign>> {
        let foreign = self.foreign.load();
        if foreign.is_empty() {
            return None;
        }
        let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
        let mut parts = path.trim_start_matches('/').splitn(4, '/');
        let (Some("apis"), Some(group), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        foreign.get(&(group.into(), version.into())).cloned()
    }

    /// All foreign servers, by group and version.
    pub fn all(&self) -> Vec<Arc<Foreign>> {
        self.foreign.load().values().cloned().collect()
    }

    /// Counts what became known of foreign servers.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn replace(&self, foreign: BTreeMap<GroupVersion, Arc<Foreign>>) {
        self.foreign.store(Arc::new(foreign));
        self.learned();
    }

    /// Something became known.
    fn learned(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;

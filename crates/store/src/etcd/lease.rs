//! Leases: what makes keys of etcd go by themselves. Keys that live about as long share one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use env::Env;

use crate::StoreError;
use crate::etcd::cluster::Cluster;
use crate::etcd::connection::method;
use crate::etcd::failure::Repeat;
use crate::etcd::message::{self, Leased};

/// How many keys share a lease at most: they all go at once.
const KEYS: u32 = 1000;
/// How much longer than asked a shared lease may last: a twentieth of its time, and at most a minute.
const LONGER_SHARE: u32 = 20;
const LONGER: u32 = 60;
/// How many times to live are remembered. Hardly more than one is in use.
const REMEMBERED: usize = 64;

/// The leases that further keys may join.
#[derive(Debug, Default)]
pub(super) struct Leases {
    open: Mutex<BTreeMap<u32, Open>>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: i64,
    /// When it ends, at the earliest.
    ends: Duration,
    keys: u32,
}

impl Leases {
    /// A lease for a key that is to live `ttl` seconds, or a little longer.
    pub(super) async fn lease(&self, cluster: &Cluster, ttl: u32, env: &Env) -> Result<i64, StoreError> {
        let wanted = Duration::from_secs(u64::from(ttl));
        // Before it is granted, so that it lasts at least as long as we believe.
        let now = env.clock.monotonic();
        if let Some(id) = self.join(ttl, now + wanted) {
            return Ok(id);
        }
        let longer = (ttl / LONGER_SHARE).min(LONGER);
        let seconds = i64::from(ttl) + i64::from(longer);
        // A lease that nobody uses ends by itself: granting two does no harm.
        let answer = cluster.ask(method::LEASE_GRANT, &message::grant(seconds), Repeat::Freely).await;
        let granted = answer.and_then(|answer| Ok(Leased::read(answer)?));
        let granted = granted.map_err(|failure| failure.into_error(&cluster.place(), Repeat::Freely))?;
        let ends = now + wanted + Duration::from_secs(u64::from(longer));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, lease| lease.ends > now);
        if longer > 0 && open.len() < REMEMBERED {
            open.insert(ttl, Open { id: granted.id, ends, keys: 1 });
        }
        Ok(granted.id)
    }

    /// Nobody joins these leases any more: one of them has ended.
    pub(super) fn forget(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn join(&self, ttl: u32, until: Duration) -> Option<i64> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = open.get_mut(&ttl).filter(|lease| lease.ends >= until && lease.keys < KEYS)?;
        lease.keys += 1;
        Some(lease.id)
    }
}

/// How many seconds a lease has left; `None` if it has ended.
pub(super) async fn seconds_left(cluster: &Cluster, lease: i64) -> Result<Option<u32>, StoreError> {
    let asked = message::time_to_live(lease);
    let answer = cluster.ask(method::LEASE_TIME_TO_LIVE, &asked, Repeat::Freely).await;
    let left = answer.and_then(|answer| Ok(Leased::read(answer)?));
    match left {
        Ok(left) => Ok(u32::try_from(left.seconds).ok()),
        Err(failure) if failure.is_lease_gone() => Ok(None),
        Err(failure) => Err(failure.into_error(&cluster.place(), Repeat::Freely)),
    }
}

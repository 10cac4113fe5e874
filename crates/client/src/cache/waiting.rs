//! Who waits for a cache to see something. Each waiter is woken once, when its time has come: a burst of events with
//! a thousand parked keys costs a thousand wake-ups, not a million.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use machinery::object::Header;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::Key;

#[derive(Default)]
pub(super) struct Waiting {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// `None` before the first list.
    revision: Option<u64>,
    serial: u64,
    revisions: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    ends: BTreeMap<Key, Vec<(SmolStr, oneshot::Sender<()>)>>,
}

impl Waiting {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn revision(&self) -> Option<u64> {
        self.with(|inner| inner.revision)
    }

    pub(super) async fn for_revision(&self, revision: u64) {
        let waiter = self.with(|inner| {
            if inner.revision.is_some_and(|seen| seen >= revision) {
                return None;
            }
            inner.serial += 1;
            let (sender, receiver) = oneshot::channel();
            inner.revisions.insert((revision, inner.serial), sender);
            Some(receiver)
        });
        if let Some(waiter) = waiter
            && waiter.await.is_err()
        {
            // The cache is gone with its process; nobody is to act on what it never saw.
            std::future::pending::<()>().await;
        }
    }

    /// Registers at once; the future resolves at the end of the object.
    pub(super) fn for_end(&self, key: &Key, uid: &str) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| {
            let waiters = inner.ends.entry(key.clone()).or_default();
            waiters.retain(|(_, waiter)| !waiter.is_closed());
            waiters.push((SmolStr::new(uid), sender));
        });
        async move {
            if receiver.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Everything up to `revision` has been seen.
    pub(super) fn advance(&self, revision: u64) {
        let due = self.with(|inner| {
            let seen = inner.revision.map_or(revision, |seen| seen.max(revision));
            inner.revision = Some(seen);
            let later = inner.revisions.split_off(&(seen + 1, 0));
            std::mem::replace(&mut inner.revisions, later)
        });
        for sender in due.into_values() {
            // A waiter that gave up is no concern of ours.
            let _ = sender.send(());
        }
    }

    /// An object is now this, or gone.
    pub(super) fn changed(&self, key: &Key, now: Option<&Header>) {
        let due = self.with(|inner| {
            let Some(waiters) = inner.ends.get_mut(key) else { return Vec::new() };
            let ended = |uid: &SmolStr| {
                now.is_none_or(|header| header.deleting || (!uid.is_empty() && header.uid != *uid))
            };
            let (due, later) = std::mem::take(waiters).into_iter().partition(|(uid, _)| ended(uid));
            *waiters = later;
            if waiters.is_empty() {
                inner.ends.remove(key);
            }
            due
        });
        for (_, sender) in due {
            // As above.
            let _ = sender.send(());
        }
    }
}

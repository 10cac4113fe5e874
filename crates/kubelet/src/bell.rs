//! How a pod's worker is woken: by what changed around it, once however much did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The bell of one pod.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    notify: Notify,
    content: AtomicBool,
}

impl Bell {
    /// Something changed.
    pub fn ring(&self) {
        self.notify.notify_one();
    }

    /// Waits until something changed since the last wait.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Whether content of its volumes may have changed since this was last asked.
    pub fn take_content_changed(&self) -> bool {
        self.content.swap(false, Ordering::SeqCst)
    }
}

/// The bells of all pods, by identity. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bells {
    bells: Arc<Mutex<BTreeMap<String, Arc<Bell>>>>,
}

impl Bells {
    /// The bell of a pod, made if it has none.
    pub fn of(&self, uid: &str) -> Arc<Bell> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.entry(uid.to_owned()).or_default().clone()
    }

    /// The pod is no more.
    pub fn remove(&self, uid: &str) {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Something about the pod changed.
    pub fn ring(&self, uid: &str) {
        if let Some(bell) = self.bells.lock().unwrap_or_else(PoisonError::into_inner).get(uid) {
            bell.ring();
        }
    }

    /// Content that the pod's volumes or variables are made from changed.
    pub fn content_changed(&self, uid: &str) {
        if let Some(bell) = self.bells.lock().unwrap_or_else(PoisonError::into_inner).get(uid) {
            bell.content.store(true, Ordering::SeqCst);
            bell.ring();
        }
    }
}

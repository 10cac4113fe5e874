//! A number that grows, and those who wait for it to.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A number that grows. All who wait for it are woken in the order in which they began to wait, so that a simulation
/// replays; tokio's `watch` draws that order.
#[derive(Debug, Default)]
pub struct News {
    newest: AtomicU64,
    told: Notify,
}

impl News {
    /// Begins with zero.
    pub fn new() -> News {
        News::default()
    }

    /// The newest number.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// Tells a number; smaller ones than the newest are no news.
    pub fn tell(&self, number: u64) {
        if self.newest.fetch_max(number, Ordering::SeqCst) < number {
            self.told.notify_waiters();
        }
    }

    /// Waits until the newest number is greater than `known`.
    pub async fn after(&self, known: u64) {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // Waits from here on, so what is told after the look is not missed.
            told.as_mut().enable();
            if self.newest() > known {
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Env, WallTime};

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_are_woken_in_their_order() {
        let (news, env) = (Arc::new(News::new()), Env::simulated(WallTime::from_secs(0), 1));
        let woken = Arc::new(Mutex::new(Vec::new()));
        for number in 0..100 {
            let (news, woken) = (news.clone(), woken.clone());
            env.tasks.spawn("waits", async move {
                news.after(6).await;
                woken.lock().unwrap().push(number);
            });
        }
        for number in [5, 3, 6, 7] {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(woken.lock().unwrap().is_empty(), "{number} is still to come");
            news.tell(number);
        }
        news.after(6).await;
        // A turn of the runtime does not reach all of them.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*woken.lock().unwrap(), (0..100).collect::<Vec<_>>());
        assert_eq!(news.newest(), 7);
    }
}

//! Keeps a cache up to date: list, watch, and again after whatever goes wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use env::Env;
use machinery::Status;

use super::{Cache, Facts, Lists};
use crate::{SharedTransport, WatchEvent, WatchStream};

/// Pauses between attempts: short enough that a restarted server is found at once, long enough not to hammer it.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that ended sooner than this without an event counts as an attempt that failed.
const SHORT_WATCH: Duration = Duration::from_secs(1);

struct Pause {
    next: Duration,
}

impl Pause {
    fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }

    async fn wait(&mut self, env: &Env, asked: Option<u32>) {
        let jitter = 1.0 + env.entropy.fraction() * 0.2;
        let pause = asked.map_or(self.next, |seconds| Duration::from_secs(u64::from(seconds)).max(self.next));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        env.clock.sleep(pause.mul_f64(jitter)).await;
    }
}

enum Ended {
    /// In good order.
    Properly,
    /// The past is forgotten: list anew.
    Forgotten,
    Failed(Status),
}

pub(super) async fn run<F: Facts>(cache: Cache<F>, transport: SharedTransport, env: Env) {
    let (resource, call) = (cache.shared.resource, cache.shared.call.clone());
    let mut pause = Pause { next: FIRST_PAUSE };
    let lists = &cache.shared.lists;
    loop {
        let asked = lists.asked.load(Ordering::SeqCst);
        match transport.list(resource, call.clone()).await {
            Ok(answer) => {
                cache.replace(answer.items, answer.revision);
                lists.done.tell(asked);
                pause.reset();
                tokio::select! {
                    biased;
                    () = wanted(lists) => {}
                    () = follow(&cache, &transport, &env, answer.revision) => {}
                }
            }
            // Not served (yet): there is none, which is an answer too.
            Err(status) if status.code == 404 => {
                tracing::debug!(resource = resource.plural, "not served: {status}");
                cache.replace(Vec::new(), 0);
                lists.done.tell(asked);
                pause.wait(&env, None).await;
            }
            Err(status) => {
                tracing::warn!(resource = resource.plural, "list failed, will be tried again: {status}");
                pause.wait(&env, retry_after(&status)).await;
            }
        }
    }
}

/// Resolves while there is a list that was asked for and is not in.
async fn wanted(lists: &Lists) {
    while lists.done.newest() >= lists.asked.load(Ordering::SeqCst) {
        lists.wanted.notified().await;
    }
}

fn retry_after(status: &Status) -> Option<u32> {
    status.details.as_ref().map(|details| details.retry_after_secs).filter(|seconds| *seconds > 0)
}

/// Watches, again and again from where it ended, until a list is needed.
async fn follow<F: Facts>(cache: &Cache<F>, transport: &SharedTransport, env: &Env, listed: u64) {
    let (resource, call) = (cache.shared.resource, cache.shared.call.clone());
    let mut pause = Pause { next: FIRST_PAUSE };
    let mut from = listed;
    loop {
        let started = env.clock.monotonic();
        let before = from;
        let ended = match transport.watch(resource, call.clone(), from).await {
            Ok(mut stream) => drain(cache, stream.as_mut(), &mut from).await,
            // Not served any more, which the list finds out for certain.
            Err(status) if matches!(status.code, 404 | 410) => Ended::Forgotten,
            Err(status) => Ended::Failed(status),
        };
        if from > before || env.clock.monotonic().saturating_sub(started) >= SHORT_WATCH {
            pause.reset();
        }
        match ended {
            Ended::Forgotten => return,
            Ended::Properly if from > before => {}
            Ended::Properly => pause.wait(env, None).await,
            Ended::Failed(status) => {
                tracing::warn!(resource = resource.plural, "watch failed, will be tried again: {status}");
                pause.wait(env, retry_after(&status)).await;
            }
        }
    }
}

async fn drain<F: Facts>(cache: &Cache<F>, stream: &mut dyn WatchStream, from: &mut u64) -> Ended {
    loop {
        match stream.next().await {
            Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                *from = object.header().revision.max(*from);
                cache.apply(object, false);
            }
            Ok(Some(WatchEvent::Deleted(object))) => {
                *from = object.header().revision.max(*from);
                cache.apply(object, true);
            }
            Ok(Some(WatchEvent::Bookmark(revision))) => {
                *from = revision.max(*from);
                cache.shared.waiting.advance(revision);
            }
            Ok(None) => return Ended::Properly,
            Err(status) if status.code == 410 => return Ended::Forgotten,
            Err(status) => return Ended::Failed(status),
        }
    }
}

//! Collections that could not be read are read anew until they can be.

use std::sync::Arc;
use std::time::Duration;

use env::Env;
use store::StoreError;

use super::feed::{self, Portion};
use super::{Caches, Collection, ROOT};

/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens what was shut, for ever.
pub(super) async fn run(caches: Arc<Caches>, env: Env) {
    let mut known = 0;
    loop {
        caches.shut_news.after(known).await;
        known = caches.shut_news.newest();
        loop {
            let shut: Vec<_> =
                caches.all().into_iter().filter(|collection| collection.opened().is_err()).collect();
            if shut.is_empty() {
                break;
            }
            env.clock.sleep(PAUSE).await;
            for collection in shut {
                attempt(&caches, &collection).await;
            }
        }
    }
}

async fn attempt(caches: &Caches, collection: &Collection) {
    let name = collection.prefix().trim_start_matches(ROOT).trim_end_matches('/');
    match feed::load(caches, name, (caches.applied(), Portion::Page)).await {
        Ok(fresh) => {
            if collection.reopen(&fresh) {
                collection.announce();
                tracing::info!(prefix = collection.prefix(), "objects can be read again");
            }
        }
        Err(StoreError::Seal { detail }) => collection.still_shut(&detail),
        Err(error) => tracing::warn!(prefix = collection.prefix(), %error, "objects cannot be read"),
    }
}

//! The store as one server sees it: the server may crash before or after any of its commits.

use std::sync::Arc;

use bytes::Bytes;
use store::{BoxFuture, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch};

use crate::ledger::Ledger;
use crate::life::{Life, Moment};

/// A server's way to the store.
#[derive(Debug)]
pub struct Door {
    ledger: Arc<Ledger>,
    life: Life,
}

impl Door {
    /// For one server.
    pub fn new(ledger: Arc<Ledger>, life: Life) -> Door {
        Door { ledger, life }
    }
}

impl Store for Door {
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            self.life.passes(Moment::Before).await;
            let outcome = self.ledger.commit(txn).await;
            self.life.passes(Moment::After).await;
            outcome
        })
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>> {
        self.ledger.store().get(key)
    }

    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.ledger.store().range(query)
    }

    fn watch(&self, prefix: Bytes, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        self.ledger.store().watch(prefix, after)
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.ledger.store().revision()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ledger.store().compact(revision)
    }
}

//! A transaction of the store as one of etcd, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::etcd::Place;
use crate::etcd::message::{self, Decided, Range};
use crate::etcd::wire::Writer;
use crate::{Guard, Outcome, StoreError, Txn, Write};

/// The request. `leases` has one for each time that something is to live.
pub(super) fn request(place: &Place, txn: &Txn, leases: &BTreeMap<u32, i64>) -> Writer {
    let compares: Vec<Writer> = txn.guards.iter().map(|guard| compare(place, guard)).collect();
    let success: Vec<Writer> = txn.all_writes().map(|write| operation(place, write, leases)).collect();
    // If a guard does not hold, how all of them stand is read in the same moment.
    let failure = txn.guards.iter().map(|guard| {
        let key = place.key(guarded(guard));
        Range { key: &key, limit: 1, ..Range::default() }.operation()
    });
    message::transaction(&compares, &success, &failure.collect::<Vec<_>>())
}

/// The times that something is to live.
pub(super) fn times_to_live(txn: &Txn) -> BTreeSet<u32> {
    let times = txn.all_writes().filter_map(|write| match write {
        Write::Put { ttl_secs, .. } => *ttl_secs,
        Write::Delete(_) => None,
    });
    times.collect()
}

/// What the answer says.
pub(super) fn outcome(place: &Place, txn: &Txn, decided: Decided) -> Result<Outcome, StoreError> {
    if decided.succeeded {
        return Ok(Outcome::Committed(place.origin.to_store(decided.revision)));
    }
    for (number, (guard, found)) in txn.guards.iter().zip(decided.found).enumerate() {
        let current = found.pairs.into_iter().next();
        let holds = match guard {
            Guard::Absent(_) => current.is_none(),
            Guard::ModifiedAt(_, revision) => {
                current.as_ref().is_some_and(|pair| pair.modified == place.origin.to_etcd(*revision))
            }
        };
        if !holds {
            let current = current.map(|pair| place.key_value(pair)).transpose()?;
            return Ok(Outcome::Conflict { guard: number, current });
        }
    }
    Err(StoreError::Unavailable {
        detail: "etcd refused a transaction although all its guards hold".to_owned(),
    })
}

fn compare(place: &Place, guard: &Guard) -> Writer {
    let key = place.key(guarded(guard));
    match guard {
        Guard::Absent(_) => message::modified_at(&key, 0),
        Guard::ModifiedAt(_, revision) => message::modified_at(&key, place.origin.to_etcd(*revision)),
    }
}

fn operation(place: &Place, write: &Write, leases: &BTreeMap<u32, i64>) -> Writer {
    match write {
        Write::Put { key, value, ttl_secs } => {
            let lease = ttl_secs.and_then(|ttl| leases.get(&ttl)).copied();
            message::put_operation(&place.key(key), value, lease.unwrap_or(0))
        }
        Write::Delete(key) => message::delete_operation(&place.key(key)),
    }
}

fn guarded(guard: &Guard) -> &[u8] {
    match guard {
        Guard::Absent(key) | Guard::ModifiedAt(key, _) => key,
    }
}

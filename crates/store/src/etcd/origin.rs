//! Where the store's own count of revisions begins in that of etcd.
//!
//! etcd counts for all who use it, and cannot be told to begin further on. The store counts from when it was made
//! there, or, if it was moved there, from beyond what clients had seen before. A key of its own says which; that it was
//! created then is the fixed point, so it is never deleted.

use bytes::Bytes;

use crate::etcd::cluster::Cluster;
use crate::etcd::connection::method;
use crate::etcd::failure::Repeat;
use crate::etcd::message::{self, Decided, Found, Pair, Range};
use crate::{Revision, StoreError};

/// Two counts of the same revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// What the store counted when it was made in etcd.
    pub(super) base: Revision,
    /// What etcd counted then.
    pub(super) made: i64,
}

/// What the key of the origin says of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is there.
    Whole,
    /// It is being moved there.
    Importing,
}

impl Origin {
    /// The store's count as that of etcd.
    pub(super) fn to_etcd(self, revision: Revision) -> i64 {
        let after = i64::try_from(revision.saturating_sub(self.base)).unwrap_or(i64::MAX);
        self.made.saturating_add(after)
    }

    /// The count of etcd as that of the store. What was before the store was made is its beginning.
    pub(super) fn to_store(self, revision: i64) -> Revision {
        self.base.saturating_add(u64::try_from(revision.saturating_sub(self.made)).unwrap_or(0))
    }
}

/// Finds the store of a prefix, or makes one there.
pub(super) async fn find_or_make(cluster: &Cluster, key: &[u8]) -> Result<Origin, StoreError> {
    for _ in 0..2 {
        if let Some((origin, stage)) = find(cluster, key).await? {
            return match stage {
                Stage::Whole => Ok(origin),
                Stage::Importing => Err(StoreError::Unavailable {
                    detail: format!(
                        "the move to {} did not come to its end; delete all its keys there, and move again",
                        cluster.place()
                    ),
                }),
            };
        }
        // Whoever else makes it at the same moment makes the same, so the outcome does not matter.
        make(cluster, key, 0, Stage::Whole).await?;
    }
    Err(StoreError::Unavailable { detail: format!("{}: what was written is not there", cluster.place()) })
}

/// Finds the store of a prefix.
pub(super) async fn find(cluster: &Cluster, key: &[u8]) -> Result<Option<(Origin, Stage)>, StoreError> {
    let asked = Range { key, limit: 1, ..Range::default() }.message();
    let answer = cluster.ask(method::RANGE, &asked, Repeat::Freely).await;
    let found = answer.and_then(|answer| Ok(Found::read(answer)?));
    let found = found.map_err(|failure| failure.into_error(&cluster.place(), Repeat::Freely))?;
    found.pairs.first().map(|pair| read(pair, &cluster.place())).transpose()
}

/// Makes a store whose count begins at `base`. Answers whether there was none.
pub(super) async fn make(
    cluster: &Cluster,
    key: &[u8],
    base: Revision,
    stage: Stage,
) -> Result<bool, StoreError> {
    let put = message::put_operation(key, &write(base, stage), 0);
    let request = message::transaction(&[message::modified_at(key, 0)], &[put], &[]);
    let answer = cluster.ask(method::TXN, &request, Repeat::Freely).await;
    let decided = answer.and_then(|answer| Ok(Decided::read(answer)?));
    Ok(decided.map_err(|failure| failure.into_error(&cluster.place(), Repeat::Freely))?.succeeded)
}

/// What the key of the origin holds.
pub(super) fn write(base: Revision, stage: Stage) -> Bytes {
    let stage = match stage {
        Stage::Whole => "whole",
        Stage::Importing => "importing",
    };
    Bytes::from(format!("ironclad store 1 {stage} {base}"))
}

fn read(pair: &Pair, place: &str) -> Result<(Origin, Stage), StoreError> {
    let text = std::str::from_utf8(&pair.value).unwrap_or_default();
    let parts: Vec<&str> = text.split(' ').collect();
    let stage = match parts[..] {
        ["ironclad", "store", "1", "whole", _] => Some(Stage::Whole),
        ["ironclad", "store", "1", "importing", _] => Some(Stage::Importing),
        _ => None,
    };
    let base = parts.last().and_then(|base| base.parse().ok());
    match (stage, base) {
        (Some(stage), Some(base)) => Ok((Origin { base, made: pair.created }, stage)),
        _ => Err(StoreError::Unavailable {
            detail: format!("{place}: somebody else's keys, or those of a newer program, are there"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_translated_both_ways() {
        let origin = Origin { base: 1000, made: 7 };
        for (store, etcd) in [(1000, 7), (1001, 8), (2000, 1007)] {
            assert_eq!((origin.to_etcd(store), origin.to_store(etcd)), (etcd, store));
        }
        assert_eq!(origin.to_store(3), 1000, "before the beginning");
        assert_eq!(origin.to_etcd(Revision::MAX), i64::MAX);
    }

    #[test]
    fn the_key_says_what_is_there() {
        let read_text = |value: &[u8]| {
            read(&Pair { value: Bytes::copy_from_slice(value), created: 7, ..Pair::default() }, "etcd")
        };
        for stage in [Stage::Whole, Stage::Importing] {
            assert_eq!(read_text(&write(12, stage)), Ok((Origin { base: 12, made: 7 }, stage)));
        }
        for other in [&b""[..], b"ironclad store 2 whole 0", b"ironclad store 1 whole x", b"\xff"] {
            assert!(read_text(other).is_err(), "{other:?}");
        }
    }
}

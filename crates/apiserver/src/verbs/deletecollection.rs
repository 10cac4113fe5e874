//! Removing many objects.

use std::sync::Arc;

use futures_util::StreamExt;
use machinery::{Reason, Status};

use super::delete;
use super::list::{self, Items, Listing};
use crate::cache::Entry;
use crate::write::Request;

/// Deletions under way at one time.
const WIDTH: usize = 16;

/// Removes all objects that a list with these options would answer, and answers with that list.
pub async fn delete_collection(
    request: Request<'_>,
    selection: &list::Options,
    options: &delete::Options,
) -> Result<Listing, Status> {
    let listing = list::list(request.core, request.served, request.namespace, selection).await?;
    let Listing { items, revision, token, remaining } = listing;
    let entries: Vec<Arc<Entry>> = items.collect();
    let deletions = entries.clone().into_iter().map(|entry| async move {
        let header = entry.object().header();
        let one = Request { namespace: &header.namespace, name: &header.name, ..request };
        match delete::delete(one, options).await {
            Ok(_) => Ok(()),
            // Somebody else was faster.
            Err(status) if status.is(Reason::NotFound) => Ok(()),
            Err(status) => Err(status),
        }
    });
    let mut under_way = futures_util::stream::iter(deletions).buffer_unordered(WIDTH);
    while let Some(outcome) = under_way.next().await {
        outcome?;
    }
    drop(under_way);
    Ok(Listing { items: Items::Page(entries.into_iter()), revision, token, remaining })
}

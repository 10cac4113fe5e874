//! Reading one object.

use std::sync::Arc;

use machinery::{Reason, Status};

use super::list;
use crate::cache::Entry;
use crate::core::Core;
use crate::query;
use crate::registry::Served;

/// Reads one object: as fresh as the store is, or at least as new as `resource_version` if that is not empty.
pub async fn get(
    core: &Core,
    served: &Served,
    key: (&str, &str),
    resource_version: &str,
) -> Result<Arc<Entry>, Status> {
    let collection = served.collection()?;
    match resource_version {
        "" => core.catch_up().await?,
        "0" => {}
        text => list::wait_until(core, parse_revision(text)?).await?,
    }
    let (namespace, name) = key;
    let entry = collection.get(&served.key(namespace, name));
    let entry = entry.ok_or_else(|| Status::not_found(served.resource(), name))?;
    served.shown(&entry, core.surroundings()).await
}

/// The resource version a read asks for. Upstream answers 500 to what is none.
fn parse_revision(text: &str) -> Result<u64, Status> {
    query::go_parse_uint(text).map_err(|why| {
        let text = machinery::field::go_quote(text);
        Status::new(500, Reason::Unknown, format!("resourceVersion: Invalid value: {text}: {why}"))
    })
}

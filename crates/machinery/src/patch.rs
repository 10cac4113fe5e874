//! Patches: what a client sends to change a part of an object.
//!
//! [`json`], [`merge`] and [`strategic`] apply a patch to a document and answer the patched one, which may be anything;
//! [`settle`] then reads it by its kind's schema, as every body is read. All answer failures as upstream does. The document
//! should be whole, `managedFields` included, since patches may change those and errors show them.

mod json;
mod merge;
mod restore;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::json;
pub use merge::{merge, merge_values};
pub use restore::go_format;
pub use strategic::{strategic, strategic_values};

use crate::field::{self, Path};
use crate::json::{self as codec, Error, Report};
use crate::schema::TypeRef;
use crate::status::GroupName;
use crate::{Reason, Status, Value};

/// How a patch is shown where the patched document is none of its kind.
#[derive(Clone, Debug)]
pub enum Shown<'a> {
    /// The patched document, as JSON: JSON and merge patches.
    Document,
    /// The patch itself, as Go prints maps: strategic merge patches.
    Patch(&'a Value),
}

/// Reads a patched document by its schema.
pub fn settle(
    patched: &Value,
    shown: &Shown<'_>,
    ty: TypeRef<'_>,
    report: &mut Report,
) -> Result<Value, Status> {
    let body = codec::to_vec(patched);
    codec::decode(&body, ty, report).map_err(|error| match shown {
        Shown::Document => invalid(&String::from_utf8_lossy(&body), &error.text),
        Shown::Patch(patch) => {
            let text = restore::restore_error(patched, ty).unwrap_or(error.text);
            invalid(&go_format(patch), &text)
        }
    })
}

/// 422: the patch makes of the object what it cannot be. `shown` is the patched document or the patch.
pub fn invalid(shown: &str, why: &str) -> Status {
    let nameless = GroupName { group: "", name: "" };
    Status::invalid(nameless, "", &[field::Error::invalid(&Path::new("patch"), shown, why)])
}

/// 400: the patch cannot be read.
fn undecodable(error: &Error) -> Status {
    Status::bad_request(format!("error decoding patch: {error}"))
}

/// 422 without any explanation, which is all that clients are told about a JSON patch that does not apply.
fn unprocessable() -> Status {
    let message = "the server rejected our request due to an error in our request";
    let mut status = Status::new(422, Reason::Invalid, message);
    status.details = Some(Box::default());
    status
}

/// Reads a patch that has to be an object. `Null` is answered for `null`.
fn read_object(patch: &[u8], report: &mut Report) -> Result<Value, Status> {
    let value = codec::parse_reporting(patch, report).map_err(|error| undecodable(&error))?;
    let found = match &value {
        Value::Object(_) | Value::Null => return Ok(value),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
    };
    let text = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
    Err(undecodable(&Error { text, syntax: false }))
}

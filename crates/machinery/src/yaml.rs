//! YAML as the Kubernetes tools read and write it: the scalars of YAML 1.1 as Go's library resolves them, keys that are
//! text whatever they look like, sorted keys on the way out.
//!
//! Documents come out as free forms (what JSON would have given); the schema is applied afterwards, as for JSON.

mod compose;
mod emit;
mod order;
mod plain;
mod scalar;

pub use compose::{Composed, Error, compose};
pub use emit::encode;

use crate::Value;

/// The first document of a text; `Null` if there is none.
pub fn decode(text: &[u8]) -> Result<Value, Error> {
    Ok(compose(text)?.documents.into_iter().next().unwrap_or_default())
}

/// All documents of a text.
pub fn decode_all(text: &[u8]) -> Result<Vec<Value>, Error> {
    Ok(compose(text)?.documents)
}

#[cfg(test)]
mod tests;

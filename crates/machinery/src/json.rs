//! JSON as the API reads and writes it.
//!
//! * [`decode`] reads a body by its schema, in one pass, into a document in canonical form: fields in the schema's
//!   order, maps sorted, scalars in their canonical notation, what is unset left out or shown as the schema says. What
//!   the schema does not know is dropped and told to the [`Report`], as are duplicates.
//! * [`canonicalize`] restores that form after rules have worked on a document.
//! * [`parse`] reads any JSON as it stands, [`parse_parts`] what is wanted of it; [`member`] and [`with_member`] find and
//!   replace one part of a text.
//! * [`encode`] writes a document as Go would.
//! * [`type_meta`] finds `apiVersion` and `kind` without reading the rest.

pub(crate) mod canonical;
mod decode;
mod encode;
mod parts;
pub(crate) mod scalar;
pub(crate) mod scan;
pub(crate) mod tape;
#[cfg(test)]
mod tests;

pub use canonical::canonicalize;
pub use decode::{decode, parse, parse_reporting, type_meta};
pub use encode::{encode, encode_pretty, encode_string, to_string, to_vec};
pub use parts::{Parts, member, parse_parts, with_member};

pub(crate) use decode::scalars::canonical_float as number;

use std::fmt;

use smol_str::SmolStr;

/// How deeply lists and structures may lie within each other. Upstream allows 10000, which no real object comes near;
/// our limit keeps every recursive walk over a document within a small stack.
pub const MAX_DEPTH: usize = 400;

/// How many strict errors are told at most; a body has no more than this to say.
const MAX_STRICT_ERRORS: usize = 100;

/// Why a body cannot be read, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub text: String,
    /// It is no JSON at all (else it is JSON of the wrong types).
    pub syntax: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// What a decoder found that is wrong but does not stop it: unknown and duplicate fields.
#[derive(Clone, Debug, Default)]
pub struct Report {
    strict: Vec<String>,
    ignore: bool,
}

impl Report {
    /// Collects what is found, for `fieldValidation=Strict` and `Warn`.
    pub fn new() -> Report {
        Report::default()
    }

    /// Collects nothing, for `fieldValidation=Ignore`.
    pub fn ignoring() -> Report {
        Report { strict: Vec::new(), ignore: true }
    }

    /// What was found, each once, in the order it was found: `unknown field "spec.foo"`, `duplicate field "kind"`.
    pub fn strict_errors(&self) -> &[String] {
        &self.strict
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: String) {
        if !self.ignore && self.strict.len() < MAX_STRICT_ERRORS && !self.strict.contains(&finding) {
            self.strict.push(finding);
        }
    }

    /// Whether findings are collected at all.
    pub fn is_collecting(&self) -> bool {
        !self.ignore
    }
}

/// What a document says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// `apiVersion`
    pub api_version: SmolStr,
    /// `kind`
    pub kind: SmolStr,
}

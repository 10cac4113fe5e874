//! What helps to write JSON patches.

use super::super::failure::Outcome;
use super::super::value::Val;
use super::{Row, misfit};

pub(super) const ROWS: &[Row] =
    &[("jsonpatch_escapeKey_string", "jsonpatch.escapeKey(string) string", escape_key)];

fn escape_key<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(key)] => Ok(Val::string(key.replace('~', "~0").replace('/', "~1"))),
        _ => misfit(),
    }
}

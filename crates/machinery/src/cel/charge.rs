//! What an evaluation costs, step by step, as upstream counts it. A unit is about 50 ns of its evaluator.

use super::value::Val;

/// A name.
pub(super) const NAME: u64 = 1;
/// A field or an item.
pub(super) const SELECT: u64 = 1;
/// A function of which nothing else is known.
pub(super) const CALL: u64 = 1;
/// A new list.
pub(super) const LIST: u64 = 10;
/// A new map.
pub(super) const MAP: u64 = 30;
/// A new object.
pub(super) const STRUCT: u64 = 40;
/// Going over a text, per letter.
pub(super) const LETTER: f64 = 0.1;
/// A regular expression, per letter of it.
pub(super) const PATTERN_LETTER: f64 = 0.25;
/// A question to the authorizer: an expression has two.
pub(super) const AUTHORIZATION: u64 = 350_000;

fn letters(count: u64, factor: f64) -> u64 {
    (count as f64 * factor).ceil() as u64
}

/// What a call costs, if that is known from its arguments.
pub(super) fn ahead(function: &str, overload: &str, arguments: &[Val<'_>]) -> Option<u64> {
    let size = |position: usize| arguments.get(position).map_or(0, Val::size);
    Some(match function {
        "check" => AUTHORIZATION,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => traversal(arguments.first()),
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR"
        | "quantity" | "isQuantity" | "isURL" | "semver" | "isSemver" => letters(size(0), LETTER),
        "ip" if overload == "cidr_ip" => 1,
        "ip" => letters(size(0), LETTER),
        "replace" | "split" | "ip.isCanonical" | "jsonpatch.escapeKey" => letters(size(0), 2.0 * LETTER),
        "validate" => letters(size(1), LETTER),
        "find" | "findAll" => letters(1 + size(0), LETTER) * letters(size(1), PATTERN_LETTER),
        "containsIP" => {
            let parsed = if overload.ends_with("string") { letters(size(1), LETTER) } else { 0 };
            letters(2 * size(0), LETTER) + parsed
        }
        "containsCIDR" => {
            let parsed = if overload.ends_with("string") { letters(size(1), LETTER) } else { 0 };
            letters(2 * size(0), LETTER) + letters(size(0), LETTER) + 1 + parsed
        }
        "sets.contains" | "sets.equivalent" | "sets.intersects" => {
            let product = size(0).saturating_mul(size(1));
            1 + product * if function == "sets.equivalent" { 2 } else { 1 }
        }
        "join" => return None,
        "matches" => letters(1 + size(0), LETTER) * letters(size(1), PATTERN_LETTER),
        _ => return by_overload(overload, arguments),
    })
}

fn by_overload(overload: &str, arguments: &[Val<'_>]) -> Option<u64> {
    let size = |position: usize| arguments.get(position).map_or(0, Val::size);
    Some(match overload {
        "starts_with_string" | "ends_with_string" => letters(size(1), LETTER),
        "string_to_bytes" | "bytes_to_string" => letters(size(0), LETTER),
        "in_list" => size(1),
        "equals"
        | "not_equals"
        | "less_string"
        | "less_equals_string"
        | "greater_string"
        | "greater_equals_string"
        | "less_bytes"
        | "less_equals_bytes"
        | "greater_bytes"
        | "greater_equals_bytes" => letters(size(0).min(size(1)), LETTER),
        "add_string" | "add_bytes" => letters(size(0) + size(1), LETTER),
        "contains_string" => letters(size(0), LETTER) * letters(size(1), LETTER),
        "string_format_list_string" => letters(size(0), LETTER),
        _ => CALL,
    })
}

/// What a call costs of which only the result tells.
pub(super) fn afterwards(function: &str, result: Option<&Val<'_>>) -> u64 {
    match function {
        "join" => letters(result.map_or(0, Val::size), 2.0 * LETTER),
        _ => CALL,
    }
}

/// Going over a list and all texts in it, or over a text.
fn traversal(value: Option<&Val<'_>>) -> u64 {
    match value {
        Some(Val::List(list)) => list
            .items()
            .map(|item| match item {
                Ok(Val::List(inner)) => traversal(Some(&Val::List(inner))),
                Ok(item @ (Val::String(_) | Val::Bytes(_))) => letters(item.size(), LETTER).max(1),
                _ => 1,
            })
            .fold(0, u64::saturating_add),
        Some(text) => letters(text.size(), LETTER),
        None => 0,
    }
}

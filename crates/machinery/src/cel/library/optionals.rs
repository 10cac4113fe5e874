//! Values that may be missing. `or` and `orValue` are evaluated elsewhere: their arguments are only looked at if needed.

use super::super::failure::{Failure, Outcome};
use super::super::value::{List, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("optional_of", "optional.of(V) optional(V)", of),
    ("optional_ofNonZeroValue", "optional.ofNonZeroValue(V) optional(V)", of_non_zero),
    ("optional_none", "optional.none() optional(V)", none),
    ("optional_value", "(optional(V)).value() V", value),
    ("optional_hasValue", "(optional(V)).hasValue() bool", has_value),
    ("optional_or_optional", "(optional(V)).or(optional(V)) optional(V)", or),
    ("optional_orValue_value", "(optional(V)).orValue(V) V", or_value),
    ("optional_unwrap", "optional.unwrap(list(optional(V))) list(V)", unwrap),
    ("optional_unwrapOpt", "(list(optional(V))).unwrapOpt() list(V)", unwrap),
    ("list_first", "(list(V)).first() optional(V)", first),
    ("list_last", "(list(V)).last() optional(V)", last),
];

fn of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [value] => Ok(Val::some(value.clone())),
        _ => misfit(),
    }
}

fn of_non_zero<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [value] = arguments else { return misfit() };
    Ok(if is_zero(value) { Val::Optional(None) } else { Val::some(value.clone()) })
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null | Val::Optional(None) => true,
        Val::Bool(value) => !value,
        Val::Int(value) => *value == 0,
        Val::Uint(value) => *value == 0,
        Val::Double(value) => *value == 0.0,
        Val::String(text) => text.is_empty(),
        Val::Bytes(bytes) => bytes.is_empty(),
        Val::Duration(nanos) => *nanos == 0,
        Val::List(list) => list.is_empty(),
        Val::Map(map) => map.is_empty(),
        Val::Struct(inner) => inner.fields.is_empty(),
        _ => false,
    }
}

fn none<'a>(_: &[Val<'a>]) -> Outcome<'a> {
    Ok(Val::Optional(None))
}

fn value<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Optional(Some(value))] => Ok((**value).clone()),
        [Val::Optional(None)] => Err(Failure::new("optional.none() dereference")),
        _ => misfit(),
    }
}

fn has_value<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Optional(value)] => Ok(Val::Bool(value.is_some())),
        _ => misfit(),
    }
}

fn or<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Optional(Some(value)), _] => Ok(Val::Optional(Some(value.clone()))),
        [Val::Optional(None), other] => Ok(other.clone()),
        _ => misfit(),
    }
}

fn or_value<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Optional(Some(value)), _] => Ok((**value).clone()),
        [Val::Optional(None), other] => Ok(other.clone()),
        _ => misfit(),
    }
}

fn unwrap<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    let mut values = Vec::new();
    for item in list.items() {
        match item? {
            Val::Optional(Some(value)) => values.push((*value).clone()),
            Val::Optional(None) => {}
            _ => return misfit(),
        }
    }
    Ok(Val::list(values))
}

fn first<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    at(list, 0)
}

fn last<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    at(list, list.len().wrapping_sub(1))
}

fn at<'a>(list: &List<'a>, position: usize) -> Outcome<'a> {
    if position < list.len() { Ok(Val::some(list.item(position)?)) } else { Ok(Val::Optional(None)) }
}

//! When values are the same, and which comes first.

use std::cmp::Ordering;

use super::super::declaration::{Form, Sameness};
use super::super::failure::Failure;
use super::{List, Map, Opaque, Val};
use crate::Value;

impl<'a> Val<'a> {
    /// Whether two values are the same. Numbers of different kinds are, if they are equal; lists of documents as their
    /// declaration says.
    pub fn same(&self, other: &Val<'a>) -> Result<bool, Failure> {
        Ok(match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::String(a), Val::String(b)) => a == b,
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
            (Val::Duration(a), Val::Duration(b)) => a == b,
            (Val::Type(a), Val::Type(b)) => a.name() == b.name(),
            (Val::List(a), Val::List(b)) => same_lists(a, b)?,
            (Val::Map(a), Val::Map(b)) => same_maps(a, b)?,
            (Val::Struct(a), Val::Struct(b)) => {
                if a.ty.name() != b.ty.name() || a.fields.len() != b.fields.len() {
                    return Ok(false);
                }
                for (name, value) in &a.fields {
                    let Some((_, other)) = b.fields.iter().find(|(own, _)| own == name) else {
                        return Ok(false);
                    };
                    if !value.same(other)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Val::Optional(None), Val::Optional(None)) => true,
            (Val::Optional(Some(a)), Val::Optional(Some(b))) => a.same(b)?,
            (Val::Opaque(a), Val::Opaque(b)) => same_opaque(a, b),
            (a, b) => numbers(a, b) == Some(Ordering::Equal),
        })
    }

    /// Which of two values comes first; `None` if they cannot be compared, or are not numbers.
    pub fn order(&self, other: &Val<'a>) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::String(a), Val::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            (Val::Opaque(Opaque::Quantity(a)), Val::Opaque(Opaque::Quantity(b))) => Some(a.cmp(b)),
            (Val::Opaque(Opaque::Version(a)), Val::Opaque(Opaque::Version(b))) => Some(a.compare(b)),
            (a, b) => numbers(a, b),
        }
    }
}

/// Compares numbers of whatever kind, exactly.
fn numbers(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    let whole = |value: &Val<'_>| match value {
        Val::Int(value) => Some(i128::from(*value)),
        Val::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (a, b) {
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), b) => against_whole(*a, whole(b)?),
        (a, Val::Double(b)) => against_whole(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn against_whole(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1e30 {
        return Some(if double > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let floor = double.floor();
    let order = (floor as i128).cmp(&whole);
    Some(order.then(if double > floor { Ordering::Greater } else { Ordering::Equal }))
}

fn same_lists<'a>(a: &List<'a>, b: &List<'a>) -> Result<bool, Failure> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match sameness(a).or_else(|| sameness(b)) {
        Some(Sameness::Set) => same_unordered(a, b, |a, b| a.same(b)),
        Some(Sameness::Keyed(keys)) => same_unordered(a, b, |a, b| Ok(same_keys(a, b, &keys)? && a.same(b)?)),
        _ => {
            for (a, b) in a.items().zip(b.items()) {
                if !a?.same(&b?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn sameness(list: &List<'_>) -> Option<Sameness> {
    match list {
        List::Document(_, declaration) => match &declaration.form {
            Form::List(_, Sameness::Ordered) => None,
            Form::List(_, sameness) => Some(sameness.clone()),
            _ => None,
        },
        List::Items(_) => None,
    }
}

/// Whether each item of one list is in the other.
fn same_unordered<'a>(
    a: &List<'a>,
    b: &List<'a>,
    same: impl Fn(&Val<'a>, &Val<'a>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let others: Vec<Val<'a>> = b.items().collect::<Result<_, _>>()?;
    for item in a.items() {
        let item = item?;
        let mut found = false;
        for other in &others {
            found = found || same(&item, other)?;
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two items of a list have the same keys.
pub(in super::super) fn same_keys<'a>(
    a: &Val<'a>,
    b: &Val<'a>,
    keys: &[smol_str::SmolStr],
) -> Result<bool, Failure> {
    let document = |value: &Val<'a>, key: &str| match value {
        Val::Map(Map::Document(members, _)) => Ok(members.get(key).map(Val::dynamic)),
        Val::Map(map) => map.field(key),
        _ => Ok(None),
    };
    for key in keys {
        match (document(a, key)?, document(b, key)?) {
            (None, None) => {}
            (Some(a), Some(b)) if a.same(&b)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn same_maps<'a>(a: &Map<'a>, b: &Map<'a>) -> Result<bool, Failure> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let (Map::Document(a, own), Map::Document(b, other)) = (a, b) {
        let is_object = |declared: &super::Declaration| matches!(declared.form, Form::Object(_));
        if is_object(own) || is_object(other) {
            return same_objects((a, own), (b, other));
        }
    }
    for key in a.keys() {
        match (a.get(&key)?, b.get(&key)?) {
            (Some(a), Some(b)) if a.same(&b)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Objects of documents are compared by the names that documents use.
fn same_objects<'a>(
    (a, own): (&'a crate::Map, &super::Declaration),
    (b, other): (&'a crate::Map, &super::Declaration),
) -> Result<bool, Failure> {
    let part = |value: &'a Value, declared: &super::Declaration, name: &str| match &declared.form {
        Form::Object(object) => match object.field_named(name) {
            Some(field) => Val::of(value, &field.declaration),
            None => Ok(Val::dynamic(value)),
        },
        _ => Val::of(value, declared.element()),
    };
    for (name, value) in a.iter() {
        let Some(counterpart) = b.get(name) else { return Ok(false) };
        if !part(value, own, name)?.same(&part(counterpart, other, name)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same_opaque(a: &Opaque, b: &Opaque) -> bool {
    match (a, b) {
        (Opaque::Quantity(a), Opaque::Quantity(b)) => a == b,
        (Opaque::Url(a), Opaque::Url(b)) => a == b,
        (Opaque::Ip(a), Opaque::Ip(b)) => a == b,
        (Opaque::Cidr(a), Opaque::Cidr(b)) => a == b,
        (Opaque::Format(a), Opaque::Format(b)) => std::ptr::eq(*a, *b),
        (Opaque::Version(a), Opaque::Version(b)) => a.compare(b) == Ordering::Equal,
        _ => false,
    }
}

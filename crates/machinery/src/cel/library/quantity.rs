//! Amounts such as `100m` or `1.5Gi`.

use std::cmp::Ordering;

use super::super::failure::{Failure, Outcome};
use super::super::value::{Opaque, Val};
use super::{Row, misfit};
use crate::quantity::{Format, Quantity};

pub(super) const ROWS: &[Row] = &[
    ("string_to_quantity", "quantity(string) kubernetes.Quantity", quantity),
    ("is_quantity_string", "isQuantity(string) bool", is_quantity),
    // As upstream declares it, not as its documentation has it.
    ("quantity_sign", "sign(kubernetes.Quantity) int", sign),
    ("quantity_is_greater_than", "(kubernetes.Quantity).isGreaterThan(kubernetes.Quantity) bool", is_greater),
    ("quantity_is_less_than", "(kubernetes.Quantity).isLessThan(kubernetes.Quantity) bool", is_less),
    ("quantity_compare_to", "(kubernetes.Quantity).compareTo(kubernetes.Quantity) int", compare),
    ("quantity_get_float", "(kubernetes.Quantity).asApproximateFloat() double", as_float),
    ("quantity_get_int", "(kubernetes.Quantity).asInteger() int", as_integer),
    ("quantity_is_integer", "(kubernetes.Quantity).isInteger() bool", is_integer),
    ("quantity_add", "(kubernetes.Quantity).add(kubernetes.Quantity) kubernetes.Quantity", add),
    ("quantity_add_int", "(kubernetes.Quantity).add(int) kubernetes.Quantity", add),
    ("quantity_sub", "(kubernetes.Quantity).sub(kubernetes.Quantity) kubernetes.Quantity", subtract),
    ("quantity_sub_int", "(kubernetes.Quantity).sub(int) kubernetes.Quantity", subtract),
];

fn of(value: &Val<'_>) -> Option<Quantity> {
    match value {
        Val::Opaque(Opaque::Quantity(amount)) => Some(*amount),
        Val::Int(number) => Some(Quantity::from_int(*number, Format::DecimalSi)),
        _ => None,
    }
}

fn one(arguments: &[Val<'_>]) -> Result<Quantity, Failure> {
    match arguments {
        [value] => of(value).ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    }
}

fn two(arguments: &[Val<'_>]) -> Result<(Quantity, Quantity), Failure> {
    match arguments {
        [a, b] => of(a).zip(of(b)).ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    }
}

fn quantity<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text)] = arguments else { return misfit() };
    match Quantity::parse(text) {
        Ok(amount) => Ok(Val::Opaque(Opaque::Quantity(amount))),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

fn is_quantity<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text)] = arguments else { return misfit() };
    Ok(Val::Bool(Quantity::parse(text).is_ok()))
}

fn sign<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    Ok(Val::Int(i64::from(one(arguments)?.signum())))
}

fn is_greater<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (a, b) = two(arguments)?;
    Ok(Val::Bool(a > b))
}

fn is_less<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (a, b) = two(arguments)?;
    Ok(Val::Bool(a < b))
}

fn compare<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (a, b) = two(arguments)?;
    Ok(Val::Int(match a.cmp(&b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

fn as_float<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    Ok(Val::Double(one(arguments)?.as_f64()))
}

fn as_integer<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let number = one(arguments)?.as_int();
    number.map(Val::Int).ok_or_else(|| Failure::new("cannot convert value to integer"))
}

fn is_integer<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    Ok(Val::Bool(one(arguments)?.as_int().is_some()))
}

fn add<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (a, b) = two(arguments)?;
    Ok(Val::Opaque(Opaque::Quantity(a.plus(b))))
}

fn subtract<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (a, b) = two(arguments)?;
    Ok(Val::Opaque(Opaque::Quantity(a.minus(b))))
}

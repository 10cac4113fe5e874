//! Arithmetic: of numbers, of times, and what `+` means for texts, bytes and lists.

use std::sync::Arc;

use smol_str::SmolStr;

use super::super::failure::{Failure, Outcome};
use super::super::value::Val;
use super::operators::joined;
use super::{Row, misfit};
use crate::time::Timestamp;

pub(super) const ROWS: &[Row] = &[
    ("add_bytes", "_+_(bytes, bytes) bytes", add),
    ("add_double", "_+_(double, double) double", add),
    ("add_duration_duration", "_+_(duration, duration) duration", add),
    ("add_duration_timestamp", "_+_(duration, timestamp) timestamp", add),
    ("add_timestamp_duration", "_+_(timestamp, duration) timestamp", add),
    ("add_int64", "_+_(int, int) int", add),
    ("add_list", "_+_(list(A), list(A)) list(A)", add),
    ("add_string", "_+_(string, string) string", add),
    ("add_uint64", "_+_(uint, uint) uint", add),
    ("subtract_double", "_-_(double, double) double", subtract),
    ("subtract_duration_duration", "_-_(duration, duration) duration", subtract),
    ("subtract_int64", "_-_(int, int) int", subtract),
    ("subtract_timestamp_duration", "_-_(timestamp, duration) timestamp", subtract),
    ("subtract_timestamp_timestamp", "_-_(timestamp, timestamp) duration", subtract),
    ("subtract_uint64", "_-_(uint, uint) uint", subtract),
    ("multiply_double", "_*_(double, double) double", multiply),
    ("multiply_int64", "_*_(int, int) int", multiply),
    ("multiply_uint64", "_*_(uint, uint) uint", multiply),
    ("divide_double", "_/_(double, double) double", divide),
    ("divide_int64", "_/_(int, int) int", divide),
    ("divide_uint64", "_/_(uint, uint) uint", divide),
    ("modulo_int64", "_%_(int, int) int", modulo),
    ("modulo_uint64", "_%_(uint, uint) uint", modulo),
    ("negate_double", "-_(double) double", negate),
    ("negate_int64", "-_(int) int", negate),
];

fn int<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map(Val::Int).ok_or_else(|| Failure::new("integer overflow"))
}

fn uint<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map(Val::Uint).ok_or_else(|| Failure::new("unsigned integer overflow"))
}

fn duration<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map(Val::Duration).ok_or_else(|| Failure::new("duration overflow"))
}

fn shifted<'a>(time: Timestamp, nanos: i128) -> Outcome<'a> {
    const SECOND: i128 = 1_000_000_000;
    let total = i128::from(time.secs) * SECOND + i128::from(time.nanos) + nanos;
    let (secs, nanos) = (total.div_euclid(SECOND), total.rem_euclid(SECOND));
    let time = i64::try_from(secs).ok().and_then(|secs| Timestamp::checked(secs, nanos as u32));
    time.map(Val::Timestamp).ok_or_else(|| Failure::new("timestamp overflow"))
}

/// The sum of two values, whatever they are.
pub(super) fn add<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(a), Val::Int(b)] => int(a.checked_add(*b)),
        [Val::Uint(a), Val::Uint(b)] => uint(a.checked_add(*b)),
        [Val::Double(a), Val::Double(b)] => Ok(Val::Double(a + b)),
        [Val::Duration(a), Val::Duration(b)] => duration(a.checked_add(*b)),
        [Val::Timestamp(time), Val::Duration(span)] | [Val::Duration(span), Val::Timestamp(time)] => {
            shifted(*time, i128::from(*span))
        }
        [Val::String(a), Val::String(b)] => {
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Ok(Val::String(SmolStr::from(text)))
        }
        [Val::Bytes(a), Val::Bytes(b)] => Ok(Val::Bytes(Arc::from([&a[..], &b[..]].concat()))),
        [Val::List(a), Val::List(b)] => joined(a.clone(), b),
        _ => misfit(),
    }
}

fn subtract<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(a), Val::Int(b)] => int(a.checked_sub(*b)),
        [Val::Uint(a), Val::Uint(b)] => uint(a.checked_sub(*b)),
        [Val::Double(a), Val::Double(b)] => Ok(Val::Double(a - b)),
        [Val::Duration(a), Val::Duration(b)] => duration(a.checked_sub(*b)),
        [Val::Timestamp(time), Val::Duration(span)] => shifted(*time, -i128::from(*span)),
        [Val::Timestamp(a), Val::Timestamp(b)] => {
            let nanos = |time: &Timestamp| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
            duration(i64::try_from(nanos(a) - nanos(b)).ok())
        }
        _ => misfit(),
    }
}

fn multiply<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(a), Val::Int(b)] => int(a.checked_mul(*b)),
        [Val::Uint(a), Val::Uint(b)] => uint(a.checked_mul(*b)),
        [Val::Double(a), Val::Double(b)] => Ok(Val::Double(a * b)),
        _ => misfit(),
    }
}

fn divide<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(_), Val::Int(0)] | [Val::Uint(_), Val::Uint(0)] => Err(Failure::new("division by zero")),
        [Val::Int(a), Val::Int(b)] => int(a.checked_div(*b)),
        [Val::Uint(a), Val::Uint(b)] => uint(a.checked_div(*b)),
        [Val::Double(a), Val::Double(b)] => Ok(Val::Double(a / b)),
        _ => misfit(),
    }
}

fn modulo<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(_), Val::Int(0)] | [Val::Uint(_), Val::Uint(0)] => Err(Failure::new("modulus by zero")),
        [Val::Int(a), Val::Int(b)] => int(a.checked_rem(*b)),
        [Val::Uint(a), Val::Uint(b)] => uint(a.checked_rem(*b)),
        _ => misfit(),
    }
}

fn negate<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(value)] => int(value.checked_neg()),
        [Val::Double(value)] => Ok(Val::Double(-value)),
        _ => misfit(),
    }
}

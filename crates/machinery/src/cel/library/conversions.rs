//! Conversions between types, and the sizes of things.

use super::super::failure::{Failure, Outcome};
use super::super::types::Type;
use super::super::value::Val;
use super::{Row, misfit, substitute};
use crate::time::{Timestamp, parse_duration};

pub(super) const ROWS: &[Row] = &[
    ("bool_to_bool", "bool(bool) bool", same),
    ("string_to_bool", "bool(string) bool", to_bool),
    ("bytes_to_bytes", "bytes(bytes) bytes", same),
    ("string_to_bytes", "bytes(string) bytes", to_bytes),
    ("double_to_double", "double(double) double", same),
    ("int64_to_double", "double(int) double", to_double),
    ("string_to_double", "double(string) double", to_double),
    ("uint64_to_double", "double(uint) double", to_double),
    ("duration_to_duration", "duration(duration) duration", same),
    ("int64_to_duration", "duration(int) duration", to_duration),
    ("string_to_duration", "duration(string) duration", to_duration),
    ("to_dyn", "dyn(A) dyn", same),
    ("int64_to_int64", "int(int) int", same),
    ("double_to_int64", "int(double) int", to_int),
    ("duration_to_int64", "int(duration) int", to_int),
    ("string_to_int64", "int(string) int", to_int),
    ("timestamp_to_int64", "int(timestamp) int", to_int),
    ("uint64_to_int64", "int(uint) int", to_int),
    ("string_to_string", "string(string) string", same),
    ("bool_to_string", "string(bool) string", to_string),
    ("bytes_to_string", "string(bytes) string", to_string),
    ("double_to_string", "string(double) string", to_string),
    ("duration_to_string", "string(duration) string", to_string),
    ("int64_to_string", "string(int) string", to_string),
    ("timestamp_to_string", "string(timestamp) string", to_string),
    ("uint64_to_string", "string(uint) string", to_string),
    ("ip_to_string", "string(net.IP) string", to_string),
    ("cidr_to_string", "string(net.CIDR) string", to_string),
    ("timestamp_to_timestamp", "timestamp(timestamp) timestamp", same),
    ("int64_to_timestamp", "timestamp(int) timestamp", to_timestamp),
    ("string_to_timestamp", "timestamp(string) timestamp", to_timestamp),
    ("uint64_to_uint64", "uint(uint) uint", same),
    ("double_to_uint64", "uint(double) uint", to_uint),
    ("int64_to_uint64", "uint(int) uint", to_uint),
    ("string_to_uint64", "uint(string) uint", to_uint),
    ("type", "type(A) type(A)", type_of),
    ("size_bytes", "size(bytes) int", size),
    ("size_list", "size(list(A)) int", size),
    ("size_map", "size(map(A, B)) int", size),
    ("size_string", "size(string) int", size),
    ("bytes_size", "(bytes).size() int", size),
    ("list_size", "(list(A)).size() int", size),
    ("map_size", "(map(A, B)).size() int", size),
    ("string_size", "(string).size() int", size),
];

fn same<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [value] => Ok(value.clone()),
        _ => misfit(),
    }
}

fn size<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [value] => Ok(Val::Int(value.size() as i64)),
        _ => misfit(),
    }
}

fn type_of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [value] => Ok(Val::Type(value.ty())),
        _ => misfit(),
    }
}

fn unconvertible<'a>(from: &Type, to: &Type) -> Outcome<'a> {
    Err(Failure::new(format!("type conversion error from '{from}' to '{to}'")))
}

fn to_bool<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text)] = arguments else { return misfit() };
    match text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
        _ => unconvertible(&Type::String, &Type::Bool),
    }
}

fn to_bytes<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::bytes(text.as_bytes())),
        _ => misfit(),
    }
}

fn to_double<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(value)] => Ok(Val::Double(*value as f64)),
        [Val::Uint(value)] => Ok(Val::Double(*value as f64)),
        [Val::String(text)] => match text.parse() {
            Ok(value) => Ok(Val::Double(value)),
            Err(_) => unconvertible(&Type::String, &Type::Double),
        },
        _ => misfit(),
    }
}

/// The largest span that fits: about 292 years.
const SECONDS_MAX: i64 = i64::MAX / 1_000_000_000;

fn to_duration<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(seconds)] if seconds.abs() <= SECONDS_MAX => Ok(Val::Duration(seconds * 1_000_000_000)),
        [Val::Int(_)] => Err(Failure::new("duration overflow")),
        [Val::String(text)] => match parse_duration(text) {
            Some(nanos) => Ok(Val::Duration(nanos)),
            None => unconvertible(&Type::String, &Type::Duration),
        },
        _ => misfit(),
    }
}

fn to_timestamp<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Int(seconds)] => {
            let time = Timestamp::checked(*seconds, 0);
            time.map(Val::Timestamp).ok_or_else(|| Failure::new("timestamp overflow"))
        }
        [Val::String(text)] => match Timestamp::parse(text) {
            Some(time) if Timestamp::checked(time.secs, time.nanos).is_some() => Ok(Val::Timestamp(time)),
            _ => unconvertible(&Type::String, &Type::Timestamp),
        },
        _ => misfit(),
    }
}

fn to_int<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let overflow = || Failure::new("integer overflow");
    match arguments {
        [Val::Double(value)] => {
            // The two largest numbers are left out: they cannot be told from those that do not fit.
            let fits = value.is_finite() && *value > i64::MIN as f64 && *value < i64::MAX as f64;
            if fits { Ok(Val::Int(value.trunc() as i64)) } else { Err(overflow()) }
        }
        [Val::Uint(value)] => i64::try_from(*value).map(Val::Int).map_err(|_| overflow()),
        [Val::Duration(nanos)] => Ok(Val::Int(*nanos)),
        [Val::Timestamp(time)] => Ok(Val::Int(time.secs)),
        [Val::String(text)] => match text.parse() {
            Ok(value) => Ok(Val::Int(value)),
            Err(_) => unconvertible(&Type::String, &Type::Int),
        },
        _ => misfit(),
    }
}

fn to_uint<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let overflow = || Failure::new("unsigned integer overflow");
    match arguments {
        [Val::Double(value)] => {
            let fits = value.is_finite() && *value >= 0.0 && *value < u64::MAX as f64;
            if fits { Ok(Val::Uint(value.trunc() as u64)) } else { Err(overflow()) }
        }
        [Val::Int(value)] => u64::try_from(*value).map(Val::Uint).map_err(|_| overflow()),
        [Val::String(text)] => match text.parse() {
            Ok(value) if !text.starts_with('+') => Ok(Val::Uint(value)),
            _ => unconvertible(&Type::String, &Type::Uint),
        },
        _ => misfit(),
    }
}

fn to_string<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    Ok(match arguments {
        [Val::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Val::string(text),
            Err(_) => return Err(Failure::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Val::Duration(nanos)] => Val::string(seconds(*nanos)),
        [value] => Val::string(substitute::show(value)),
        _ => return misfit(),
    })
}

/// A span in seconds: `90s`, `1.5s`.
pub(super) fn seconds(nanos: i64) -> String {
    let whole = nanos / 1_000_000_000;
    let fraction = (nanos % 1_000_000_000).unsigned_abs();
    let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
    if fraction == 0 {
        return format!("{whole}s");
    }
    format!("{sign}{whole}.{}s", format!("{fraction:09}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_duration;

    #[test]
    fn spans_are_written_in_seconds() {
        for (text, expected) in
            [("1m30s", "90s"), ("1500ms", "1.5s"), ("-1ms", "-0.001s"), ("0s", "0s"), ("-90s", "-90s")]
        {
            let nanos = parse_duration(text).unwrap();
            assert_eq!(seconds(nanos), expected);
            assert_eq!(parse_duration(&format_duration(nanos)), Some(nanos));
        }
    }
}

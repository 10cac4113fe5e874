//! Values as text, and `format`, which puts them into one.

use super::super::failure::{Failure, Outcome};
use super::super::value::Val;
use super::conversions::seconds;
use super::{Row, misfit};
use crate::field::go_quote;
use crate::time::Timestamp;

pub(super) const ROWS: &[Row] = &[("string_format_list_string", "(string).format(list(dyn)) string", format)];

/// So many digits may be asked for behind the point.
const PRECISION_MAX: usize = 1000;

/// A value as text.
pub(in super::super) fn show(value: &Val<'_>) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => value.to_string(),
        Val::Double(value) => show_double(*value),
        Val::String(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Timestamp(time) => show_time(*time),
        Val::Duration(nanos) => seconds(*nanos),
        Val::List(list) => {
            let items: Vec<String> =
                list.items().map(|item| item.map_or_else(|_| String::new(), |item| show(&item))).collect();
            format!("[{}]", items.join(", "))
        }
        Val::Map(map) => {
            let entry = |key: super::super::value::Key| {
                let value = map.get(&key).ok().flatten().map(|value| show(&value)).unwrap_or_default();
                format!("{}: {value}", show(&key.to_val()))
            };
            let entries: Vec<String> = map.keys().into_iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Val::Type(ty) => ty.name().to_owned(),
        Val::Opaque(super::super::value::Opaque::Ip(address)) => super::ip::show(*address),
        Val::Opaque(super::super::value::Opaque::Cidr(range)) => range.to_string(),
        other => other.ty().to_string(),
    }
}

/// A value as it would be written in an expression: what is in lists and maps is shown that way.
fn literal(value: &Val<'_>) -> String {
    match value {
        Val::String(text) => go_quote(text),
        Val::Bytes(_) => format!("b{}", go_quote(&show(value))),
        Val::Double(number) if number.is_finite() => format!("{number:.6}"),
        Val::Double(_) => go_quote(&show(value)),
        Val::Timestamp(_) => format!("timestamp({})", go_quote(&show(value))),
        Val::Duration(_) => format!("duration({})", go_quote(&show(value))),
        Val::List(list) => {
            let items: Vec<String> =
                list.items().map(|item| item.map_or_else(|_| String::new(), |item| literal(&item))).collect();
            format!("[{}]", items.join(", "))
        }
        Val::Map(map) => {
            let entry = |key: super::super::value::Key| {
                let value = map.get(&key).ok().flatten().map(|value| literal(&value)).unwrap_or_default();
                format!("{}:{value}", literal(&key.to_val()))
            };
            let mut entries: Vec<String> = map.keys().into_iter().map(entry).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => show(other),
    }
}

fn show_time(time: Timestamp) -> String {
    let whole = time.to_rfc3339();
    if time.nanos == 0 {
        return whole;
    }
    let fraction = format!("{:09}", time.nanos);
    format!("{}.{}Z", whole.trim_end_matches('Z'), fraction.trim_end_matches('0'))
}

/// A number in the shortest form that reads back the same: with an exponent below 1e-4 and from 1e21 on.
fn show_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn format<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(pattern), Val::List(values)] = arguments else { return misfit() };
    let failed = |why: String| Failure::new(format!("error during formatting: {why}"));
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut letters = pattern.chars().peekable();
    let mut next = 0;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        if letters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if letters.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let parsed = digits.parse().ok().filter(|parsed| *parsed <= PRECISION_MAX);
            precision = Some(parsed.ok_or_else(|| failed("error while parsing precision".to_owned()))?);
        }
        let Some(verb) = letters.next() else {
            return Err(failed("unexpected end of string".to_owned()));
        };
        if next >= values.len() {
            return Err(failed(format!("index {next} out of range")));
        }
        let value = values.item(next)?;
        next += 1;
        out.push_str(&substituted(verb, precision, &value).map_err(failed)?);
    }
    Ok(Val::string(out))
}

fn substituted(verb: char, precision: Option<usize>, value: &Val<'_>) -> Result<String, String> {
    let name = || value.ty().name().to_owned();
    Ok(match (verb, value) {
        ('s', value @ (Val::List(_) | Val::Map(_))) => literal(value),
        ('s', value) => show(value),
        ('d', Val::Int(_) | Val::Uint(_)) => show(value),
        ('d', Val::Double(number)) if !number.is_finite() => show(value),
        ('d', _) => return Err(format!("decimal clause can only be used on integers, was given {}", name())),
        ('f', Val::Double(number)) if !number.is_finite() => show(value),
        ('f', value) => {
            let number = real(value).ok_or_else(|| {
                format!("fixed-point clause can only be used on doubles, was given {}", name())
            })?;
            format!("{number:.*}", precision.unwrap_or(6))
        }
        ('e', value) => {
            let number = real(value).ok_or_else(|| {
                format!("scientific clause can only be used on doubles, was given {}", name())
            })?;
            exponential(number, precision.unwrap_or(6))
        }
        ('b', Val::Int(number)) => signed(*number, |magnitude| format!("{magnitude:b}")),
        ('b', Val::Uint(number)) => format!("{number:b}"),
        ('b', Val::Bool(value)) => u8::from(*value).to_string(),
        ('b', _) => {
            return Err(format!("only integers and bools can be formatted as binary, was given {}", name()));
        }
        ('o', Val::Int(number)) => signed(*number, |magnitude| format!("{magnitude:o}")),
        ('o', Val::Uint(number)) => format!("{number:o}"),
        ('o', _) => return Err(format!("octal clause can only be used on integers, was given {}", name())),
        ('x', value) => hexadecimal(value).ok_or_else(|| hexadecimal_of(&name()))?,
        ('X', value) => hexadecimal(value).ok_or_else(|| hexadecimal_of(&name()))?.to_uppercase(),
        (verb, _) => return Err(format!("unrecognized formatting clause \"{verb}\"")),
    })
}

fn hexadecimal_of(name: &str) -> String {
    format!("only integers, byte buffers, and strings can be formatted as hex, was given {name}")
}

fn real(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Double(number) => Some(*number),
        Val::Int(number) => Some(*number as f64),
        Val::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

/// As numbers are written with an exponent outside of programs.
fn exponential(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return show_double(number);
    }
    let shown = format!("{number:.precision$e}");
    let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { "\u{207b}" } else { "" };
    let raised = |digit: u8| ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][usize::from(digit - b'0')];
    let exponent: String = format!("{:02}", exponent.abs()).bytes().map(raised).collect();
    format!("{digits}×10{sign}{exponent}")
}

fn signed(number: i64, show: impl Fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", show(number.unsigned_abs()))
}

fn hexadecimal(value: &Val<'_>) -> Option<String> {
    let of_bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(match value {
        Val::Int(number) => signed(*number, |magnitude| format!("{magnitude:x}")),
        Val::Uint(number) => format!("{number:x}"),
        Val::String(text) => of_bytes(text.as_bytes()),
        Val::Bytes(bytes) => of_bytes(bytes),
        _ => return None,
    })
}

//! Canonical notations of the scalars that have several: times, quantities, durations, base64.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use smol_str::SmolStr;

use crate::quantity::Quantity;
use crate::time::{Timestamp, format_duration, parse_duration};

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
const RFC3339_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Base64 as Go's decoder takes it: padded, trailing bits whatever they are.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// A time in whole seconds, in UTC.
pub(crate) fn time(text: &str) -> Result<SmolStr, String> {
    if is_canonical_time(text.as_bytes()) {
        return Ok(SmolStr::new(text));
    }
    match Timestamp::parse(text) {
        Some(time) => Ok(time.to_rfc3339().into()),
        None => Err(time_error(text, RFC3339)),
    }
}

/// A time in microseconds, in UTC.
pub(crate) fn micro_time(text: &str) -> Result<SmolStr, String> {
    let fraction =
        text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    match Timestamp::parse(text) {
        Some(time) if fraction == 6 => Ok(time.to_rfc3339_micro().into()),
        _ => Err(time_error(text, RFC3339_MICRO)),
    }
}

/// `2006-01-02T15:04:05Z`, with numbers that exist in every month.
fn is_canonical_time(bytes: &[u8]) -> bool {
    let pattern = b"dddd-dd-ddTdd:dd:ddZ";
    let shaped = bytes.len() == pattern.len()
        && bytes.iter().zip(pattern).all(|(byte, expected)| match expected {
            b'd' => byte.is_ascii_digit(),
            _ => byte == expected,
        });
    let number = |at: usize| (bytes[at] - b'0') * 10 + (bytes[at + 1] - b'0');
    shaped
        && (1..=12).contains(&number(5))
        && (1..=28).contains(&number(8))
        && number(11) < 24
        && number(14) < 60
        && number(17) < 60
}

/// A text in the quotes of Go's `time`: what is not ASCII is shown byte by byte.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// What Go's `time.Parse` says about a text that is no time.
fn time_error(text: &str, layout: &str) -> String {
    let quoted = quoted(text);
    let mut rest = text;
    let mut numbers = [0u32; 6];
    let mut position = 0;
    let fraction = if layout == RFC3339_MICRO { ".000000" } else { "" };
    let elements = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", fraction, "Z07:00"];
    for element in elements {
        let taken = match element {
            "" => fraction_len(rest),
            "Z07:00" => zone_len(rest),
            ".000000" => (fraction_len(rest) == Some(7)).then_some(7),
            "-" | "T" | ":" => rest.starts_with(element).then_some(1),
            digits => {
                let number = rest.get(..digits.len()).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
                if let Some(number) = number.and_then(|number| number.parse().ok()) {
                    numbers[position] = number;
                    position += 1;
                }
                number.map(str::len)
            }
        };
        let Some(taken) = taken else {
            let rest = self::quoted(rest);
            return format!("parsing time {quoted} as \"{layout}\": cannot parse {rest} as \"{element}\"");
        };
        rest = &rest[taken..];
    }
    if !rest.is_empty() {
        return format!("parsing time {quoted}: extra text: {}", self::quoted(rest));
    }
    let field = match numbers {
        [_, month, ..] if !(1..=12).contains(&month) => "month",
        [_, _, _, hour, ..] if hour > 23 => "hour",
        [_, _, _, _, minute, _] if minute > 59 => "minute",
        [_, _, _, _, _, second] if second > 59 => "second",
        _ => "day",
    };
    format!("parsing time {quoted}: {field} out of range")
}

fn fraction_len(rest: &str) -> Option<usize> {
    let Some(digits) = rest.strip_prefix(['.', ',']) else { return Some(0) };
    match digits.bytes().take_while(u8::is_ascii_digit).count() {
        0 => Some(0),
        count => Some(count + 1),
    }
}

fn zone_len(rest: &str) -> Option<usize> {
    match rest.as_bytes() {
        [b'Z', ..] => Some(1),
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()) => {
            Some(6)
        }
        _ => None,
    }
}

/// A quantity in the notation it is printed in.
pub(crate) fn quantity(text: &str) -> Result<SmolStr, String> {
    // Most quantities are short and canonical already: digits that do not end in zeros, with or without a suffix.
    let quantity = Quantity::parse(text.trim()).map_err(|error| error.to_string())?;
    let mut canonical = smol_str::SmolStrBuilder::new();
    write!(canonical, "{quantity}").map_err(|error| error.to_string())?;
    Ok(canonical.finish())
}

/// A span of time in the notation it is printed in.
pub(crate) fn duration(text: &str) -> Result<SmolStr, String> {
    match parse_duration(text) {
        Some(nanos) => Ok(format_duration(nanos).into()),
        None => Err(format!("time: invalid duration {}", crate::field::go_quote(text))),
    }
}

/// Base64 without line breaks and with the padding it should have.
pub(crate) fn base64(text: &str) -> Result<SmolStr, String> {
    Ok(SmolStr::from(base64_text(&base64_bytes(text)?)))
}

/// The bytes that base64 stands for. Line breaks are passed over.
pub(crate) fn base64_bytes(text: &str) -> Result<Vec<u8>, String> {
    let broken = text.contains(['\r', '\n']);
    let joined = if broken { text.replace(['\r', '\n'], "") } else { String::new() };
    let clean = if broken { &joined } else { text };
    BASE64.decode(clean).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            // Go points at the end where padding is missing, and at the first of the letters that are too few.
            _ if clean.contains('=') => clean.len(),
            _ => clean.len() - clean.len() % 4,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

/// Bytes as base64.
pub(crate) fn base64_text(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

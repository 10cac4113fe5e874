//! Writing JSON as Go's encoder does: `<`, `>`, `&` and the line separators escaped, floats in its notation.

use crate::Value;

/// Appends a document.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => encode_int(*number, out),
        Value::Float(number) => out.extend_from_slice(float_text(*number).as_bytes()),
        Value::String(text) => encode_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                encode(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            for (position, (name, member)) in map.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                encode_string(name, out);
                out.push(b':');
                encode(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a document with line breaks and two spaces of indentation, as `?pretty=true` asks for.
pub fn encode_pretty(value: &Value, out: &mut Vec<u8>) {
    encode_indented(value, 0, out);
}

fn encode_indented(value: &Value, depth: usize, out: &mut Vec<u8>) {
    let break_line = |depth: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                break_line(depth + 1, out);
                encode_indented(item, depth + 1, out);
            }
            break_line(depth, out);
            out.push(b']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push(b'{');
            for (position, (name, member)) in map.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                break_line(depth + 1, out);
                encode_string(name, out);
                out.extend_from_slice(b": ");
                encode_indented(member, depth + 1, out);
            }
            break_line(depth, out);
            out.push(b'}');
        }
        plain => encode(plain, out),
    }
}

/// A document as bytes.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encode(value, &mut out);
    out
}

/// A document as text.
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).expect("the encoder writes UTF-8 only")
}

/// Bytes that do not, or not always, stand for themselves in a text.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < special.len() {
        special[byte] = byte < 0x20 || matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    special
};

/// Appends a text in quotes.
pub fn encode_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut run = 0;
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|byte| IS_SPECIAL[usize::from(*byte)]) {
        at += offset;
        let byte = bytes[at];
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0..=0x1f | b'<' | b'>' | b'&' => {
                &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
            }
            // U+2028 and U+2029
            0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => {
                out.extend_from_slice(&bytes[run..at]);
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                at += 3;
                run = at;
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[run..at]);
        out.extend_from_slice(escape);
        at += 1;
        run = at;
    }
    out.extend_from_slice(&bytes[run..]);
    out.push(b'"');
}

fn encode_int(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number as Go's encoder writes a `float64`.
pub(crate) fn float_text(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        // No JSON holds these, so no document does.
        return "null".to_owned();
    }
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    if number == 0.0 && number.is_sign_negative() { "-0".to_owned() } else { number.to_string() }
}

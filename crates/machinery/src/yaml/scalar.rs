//! What a scalar means: the table of YAML 1.1 as Go's library has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smol_str::SmolStr;

use crate::Value;

/// What a scalar with this tag and text stands for. Only plain ones (without quotes) can be anything but text.
pub fn resolve(tag: Option<&str>, text: &str, plain: bool) -> Result<Value, String> {
    let tag = tag.unwrap_or_default();
    let short = tag.strip_prefix("tag:yaml.org,2002:").or_else(|| tag.strip_prefix("!!")).unwrap_or(tag);
    match short {
        "" if plain => Ok(plain_value(text)),
        "" | "!" | "str" => Ok(Value::from(text)),
        "binary" => {
            let compact: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
            let bytes =
                STANDARD.decode(compact).map_err(|_| "!!binary value contains invalid base64 data")?;
            Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "int" | "float" | "bool" | "null" => {
            let value = plain_value(text);
            let fits = match short {
                "int" => matches!(value, Value::Int(_)),
                "float" => matches!(value, Value::Int(_) | Value::Float(_)),
                "bool" => matches!(value, Value::Bool(_)),
                _ => value.is_null(),
            };
            if fits { Ok(value) } else { Err(format!("cannot decode !!str `{text}` as a !!{short}")) }
        }
        // Tags of one's own say nothing that JSON could hold.
        _ => Ok(if plain { plain_value(text) } else { Value::from(text) }),
    }
}

/// What a plain scalar stands for.
pub fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => number(text).unwrap_or_else(|| Value::from(text)),
    }
}

/// Whether text must be quoted to stay text.
pub fn is_ambiguous(text: &str) -> bool {
    !matches!(plain_value(text), Value::String(_))
        || is_special_float(text)
        || is_base_60(text)
        || text == "<<"
        || looks_like_a_date(text)
}

/// A key as text, whatever it looked like.
pub fn key(key: &Value) -> Result<SmolStr, String> {
    Ok(match key {
        Value::String(text) => text.clone(),
        Value::Bool(value) => SmolStr::new_static(if *value { "true" } else { "false" }),
        Value::Int(number) => SmolStr::from(number.to_string()),
        Value::Float(number) => SmolStr::from(super::emit::float(*number)),
        Value::Null => SmolStr::new_static("null"),
        _ => return Err("invalid map key: keys must be text".to_owned()),
    })
}

fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || b"+-.".contains(&first)) {
        return None;
    }
    let compact: String = text.chars().filter(|letter| *letter != '_').collect();
    if let Some(value) = integer(&compact) {
        return Some(value);
    }
    if is_float(&compact) {
        return compact.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float);
    }
    None
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().next().is_some_and(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    match i64::try_from(number) {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => u64::try_from(number).ok().map(|number| Value::Float(number as f64)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole == 0 && count == 0 {
            return false;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return false;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// Infinities and not-a-number: JSON has none, so they are read as text, but written in quotes.
fn is_special_float(text: &str) -> bool {
    let lower = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    lower == ".inf" || lower == ".nan"
}

/// `1:30` was a number once; other readers may still think so.
fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let is_number = |part: &str| {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        !whole.is_empty()
            && whole.len() <= 2
            && format!("{whole}{fraction}").bytes().all(|digit| digit.is_ascii_digit())
    };
    digits.contains(':')
        && first.starts_with(|letter: char| letter.is_ascii_digit())
        && first.bytes().all(|digit| digit.is_ascii_digit() || digit == b'_')
        && parts.all(is_number)
}

/// `2001-12-14` and `2001-12-14T21:59:43Z` are read as text here, but as times elsewhere.
fn looks_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits != 4 || bytes.get(4) != Some(&b'-') {
        return false;
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let in_range = |part: &str, max: u32| {
        (1..=2).contains(&part.len()) && part.parse().is_ok_and(|number: u32| (1..=max).contains(&number))
    };
    let is_date = parts.len() == 3 && in_range(parts[1], 12) && in_range(parts[2], 31);
    let is_time = |time: &str| {
        let clock = time.trim_end_matches(['Z', 'z']);
        let clock = clock.find(['+', '-']).map_or(clock, |zone| &clock[..zone]).trim();
        let fields: Vec<&str> = clock.split(':').collect();
        fields.len() == 3 && fields.iter().all(|field| field.parse::<f64>().is_ok_and(|number| number >= 0.0))
    };
    is_date && time.is_none_or(is_time)
}

//! JSON that YAML reads as JSON does, which is most of what is applied: read without the scanner of YAML, which takes ten
//! times as long. Whatever YAML might read in another way is left to it.

use smol_str::SmolStr;

use crate::json::scan::{Scanner, check_depth};
use crate::{Map, Value};

/// Keys of this length and more are none in YAML.
const KEY_MAX: usize = 1_000;
/// Numbers of more digits may not fit.
const DIGITS_MAX: usize = 18;
/// Of larger objects YAML finds what comes twice faster.
const MEMBERS_MAX: usize = 256;

/// The document, if it is plain: an object on one line in printable ASCII, without escapes, fractions or duplicates.
pub(super) fn read(text: &[u8]) -> Option<Value> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'\\';
    if text.first() != Some(&b'{') || !text.iter().all(is_plain) {
        return None;
    }
    let mut scanner = Scanner::new(text);
    let document = value(&mut scanner, 0)?;
    scanner.end().ok()?;
    Some(document)
}

fn value(scanner: &mut Scanner<'_>, depth: usize) -> Option<Value> {
    Some(match scanner.begin_value().ok()? {
        b'{' => Value::Object(object(scanner, depth)?),
        b'[' => Value::from(array(scanner, depth)?),
        b'"' => Value::String(SmolStr::from(scanner.string().ok()?)),
        b't' | b'f' | b'n' => scanner.literal().ok()?.map_or(Value::Null, Value::Bool),
        _ => {
            let number = scanner.number().ok()?;
            let is_whole = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            if !is_whole || number.len() > DIGITS_MAX || number == "-0" {
                return None;
            }
            Value::Int(number.parse().ok()?)
        }
    })
}

fn object(scanner: &mut Scanner<'_>, depth: usize) -> Option<Map> {
    check_depth(depth).ok()?;
    scanner.bump();
    let mut map = Map::new();
    let mut more = scanner.first_member().ok()?;
    while more {
        let key = scanner.key().ok()?;
        if key.len() >= KEY_MAX || map.len() >= MEMBERS_MAX || map.contains_key(&key) {
            return None;
        }
        let key = SmolStr::from(key);
        let member = value(scanner, depth + 1)?;
        map.push(key, member);
        more = scanner.next_member().ok()?;
    }
    Some(map)
}

fn array(scanner: &mut Scanner<'_>, depth: usize) -> Option<Vec<Value>> {
    check_depth(depth).ok()?;
    scanner.bump();
    let mut items = Vec::new();
    let mut more = scanner.first_item();
    while more {
        items.push(value(scanner, depth + 1)?);
        more = scanner.next_item().ok()?;
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::super::compose::{Composed, compose_any};
    use super::*;

    #[test]
    fn what_is_plain_reads_as_yaml_reads_it() {
        for text in [
            "{}",
            "{}\n",
            r#"{"a":"b"}"#,
            r#"{"b":1,"a":{"c":[],"d":[1,-2,0,"x",true,false,null,{}]}}"#,
            r#"{ "a" : [ 1 , 2 ] , "b" : { } }"#,
            r##"{"a":"# no comment","b":"- x: y","c":"&a *a !t %d @e `f`","d":"yes","e":"1.5","f":"~","g":"{[,]}"}"##,
            r#"{"<<":{"a":1},"":"","1":2,"true":"k","null":null}"#,
            r#"{"a":123456789012345678,"b":-12345678901234567}"#,
            r#"{"a":"'single' and ''twice''"}"#,
        ] {
            let document = read(text.as_bytes()).unwrap_or_else(|| panic!("{text} is plain"));
            let expected = Composed { documents: vec![document], duplicates: Vec::new() };
            assert_eq!(compose_any(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_yaml_may_read_in_another_way_is_left_to_it() {
        let long = format!(r#"{{"{}":1}}"#, "k".repeat(KEY_MAX));
        for text in [
            "",
            "a: b",
            "[1]",
            r#""a""#,
            r#" {"a":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-0}"#,
            r#"{"a":1234567890123456789}"#,
            r#"{"a":"\n"}"#,
            "{\"a\":\n1}",
            "{\"a\":\t1}",
            r#"{"a":"é"}"#,
            r#"{"a":b}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"b":2}"#,
            &long,
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}

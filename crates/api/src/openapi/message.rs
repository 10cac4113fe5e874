//! OpenAPI documents as protobuf, in the messages of gnostic that client libraries read: which member of a document
//! becomes which field is told by tables, one for each version.

mod three;
mod two;

use machinery::{Value, json};

/// A document of version 2 as a message.
pub fn encode_v2(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    two::DOCUMENT.write(document, &mut out);
    out
}

/// A document of version 3 as a message.
pub fn encode_v3(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 16);
    three::DOCUMENT.write(document, &mut out);
    out
}

/// How a value becomes a field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Count,
    Number,
    /// Several texts; a single one counts as a list of one.
    Texts,
    /// Any value, as YAML (of which JSON is a part).
    Any,
    /// Each item of a list.
    Items(&'static Form),
    One(&'static Message),
    /// A map: a message that holds pairs of name and value under this number.
    Named(u32, &'static Form),
    /// A message that holds the value in one of several forms.
    Choice(fn(&Value) -> (u32, Form)),
}

/// A message: its fields by the names of members.
struct Message {
    fields: &'static [(&'static str, u32, Form)],
    /// The number of what begins with `x-`; zero if there is no such field.
    extensions: u32,
}

impl Message {
    fn write(&self, value: &Value, out: &mut Vec<u8>) {
        for (name, number, form) in self.fields {
            let member = value.get(name);
            if !member.is_null() {
                form.write(*number, member, out);
            }
        }
        if self.extensions == 0 {
            return;
        }
        for (name, member) in value.members().filter(|(name, _)| name.starts_with("x-")) {
            nested(self.extensions, out, |out| {
                Form::Text.write(1, &Value::from(name.as_str()), out);
                Form::Any.write(2, member, out);
            });
        }
    }
}

impl Form {
    fn write(self, number: u32, value: &Value, out: &mut Vec<u8>) {
        match self {
            Form::Text => bytes(number, value.str_or_empty().as_bytes(), out),
            Form::Flag => count(number, u64::from(value.as_bool().unwrap_or_default()), out),
            Form::Count => {
                count(number, u64::try_from(value.as_int().unwrap_or_default()).unwrap_or_default(), out)
            }
            Form::Number => {
                varint(u64::from(number) << 3 | 1, out);
                out.extend_from_slice(&number_of(value).to_le_bytes());
            }
            Form::Texts if value.as_str().is_some() => Form::Text.write(number, value, out),
            Form::Texts => value.items().iter().for_each(|item| Form::Text.write(number, item, out)),
            Form::Any => nested(number, out, |out| {
                let mut yaml = json::to_vec(value);
                yaml.push(b'\n');
                bytes(2, &yaml, out);
            }),
            Form::Items(form) => value.items().iter().for_each(|item| form.write(number, item, out)),
            Form::One(message) => nested(number, out, |out| message.write(value, out)),
            Form::Named(at, form) => nested(number, out, |out| named(at, value, *form, out)),
            Form::Choice(choose) => nested(number, out, |out| {
                let (number, form) = choose(value);
                form.write(number, value, out);
            }),
        }
    }
}

fn number_of(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    }
}

/// Pairs of name and value. What begins with `x-` is none of them.
fn named(number: u32, value: &Value, form: Form, out: &mut Vec<u8>) {
    for (name, member) in value.members().filter(|(name, _)| !name.starts_with("x-")) {
        nested(number, out, |out| {
            Form::Text.write(1, &Value::from(name.as_str()), out);
            form.write(2, member, out);
        });
    }
}

fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(number, &inner, out);
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn count(number: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value, out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn members_become_the_fields_of_their_tables() {
        let schema = document(
            r##"{"swagger":"2.0","definitions":{"a":{"type":"object","required":["k"],"properties":
            {"k":{"$ref":"#/definitions/b"}},"x-kubernetes-list-type":"set"}}}"##,
        );
        let mut property = vec![10, 1, b'k', 18, 17, 10, 15];
        property.extend_from_slice(b"#/definitions/b");
        let mut properties = vec![10, property.len() as u8];
        properties.extend_from_slice(&property);
        let mut extension = vec![10, 22];
        extension.extend_from_slice(b"x-kubernetes-list-type");
        extension.extend_from_slice(b"\x12\x08\x12\x06\"set\"\n");
        let mut inner = vec![0x9a, 1, 1, b'k', 0xb2, 1, 8, 10, 6];
        inner.extend_from_slice(b"object");
        inner.extend_from_slice(&[0xca, 1, properties.len() as u8]);
        inner.extend_from_slice(&properties);
        inner.extend_from_slice(&[0xfa, 1, extension.len() as u8]);
        inner.extend_from_slice(&extension);
        let mut pair = vec![10, 1, b'a', 18, inner.len() as u8];
        pair.extend_from_slice(&inner);
        let mut expected = vec![10, 3, b'2', b'.', b'0', 74, pair.len() as u8 + 2, 10, pair.len() as u8];
        expected.extend_from_slice(&pair);
        assert_eq!(encode_v2(&schema), expected);
    }

    #[test]
    fn a_schema_or_a_reference_to_one_is_told_apart() {
        let plain = document(r#"{"components":{"schemas":{"a":{"type":"string"}}}}"#);
        let reference = document(r##"{"components":{"schemas":{"a":{"$ref":"#/b"}}}}"##);
        let inner = |tail: &[u8]| {
            let mut pair = vec![10, 1, b'a', 18, tail.len() as u8];
            pair.extend_from_slice(tail);
            let mut out = vec![42, pair.len() as u8 + 4, 10, pair.len() as u8 + 2, 10, pair.len() as u8];
            out.extend_from_slice(&pair);
            out
        };
        assert_eq!(encode_v3(&plain), inner(b"\x0a\x09\xca\x01\x06string"));
        assert_eq!(encode_v3(&reference), inner(b"\x12\x05\x0a\x03#/b"));
    }
}

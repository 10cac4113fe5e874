//! The wire form of protobuf for messages that are declared as structs: what a field holds says how it is written.
//!
//! As in proto3, what has its default value is left out, fields that are not known are passed over, and of a field that
//! comes twice the last one counts.

use std::collections::BTreeMap;

/// Bytes that are no message of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed")]
pub struct Malformed;

/// What a field holds, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number or a truth.
    Number(u64),
    /// Bytes, a text, a message, or many numbers.
    Bytes(&'a [u8]),
    /// A number of a fixed width, which no field that is known here has.
    Fixed,
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, Malformed> {
        match self {
            Value::Number(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// A message: fields with numbers.
pub trait Message: Default {
    /// Adds its fields to `out`.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes a field in.
    fn read(&mut self, field: u32, value: Value<'_>) -> Result<(), Malformed>;

    /// It as bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// It from bytes.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        let mut rest = bytes;
        while let Some((field, value)) = next(&mut rest)? {
            message.read(field, value)?;
        }
        Ok(message)
    }
}

/// What a field can be.
pub trait Field {
    /// Adds the field to `out`, unless it has its default value.
    fn write(&self, field: u32, out: &mut Vec<u8>);
    /// Takes a value in.
    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed>;
}

/// What a list can be of.
pub trait Item: Sized {
    /// Adds all of them to `out`.
    fn write_all(items: &[Self], field: u32, out: &mut Vec<u8>);
    /// Takes one, or some, in.
    fn read_into(items: &mut Vec<Self>, value: Value<'_>) -> Result<(), Malformed>;
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Value<'a>)>, Malformed> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = varint(rest)?;
    let field = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| Malformed)?;
            Value::Bytes(take(rest, length)?)
        }
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(Malformed),
    };
    Ok(Some((field, value)))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (place, byte) in rest.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return Err(Malformed);
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            *rest = &rest[place + 1..];
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(field) << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Numbers: how each becomes 64 bits, and comes back. As the format wants it, bits that are too many fall away.
macro_rules! numbers {
    ($($kind:ty: $to:expr, $from:expr;)*) => {$(
        impl Field for $kind {
            fn write(&self, field: u32, out: &mut Vec<u8>) {
                if *self != <$kind>::default() {
                    put_varint(u64::from(field) << 3, out);
                    put_varint($to(*self), out);
                }
            }

            fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
                *self = $from(value.number()?);
                Ok(())
            }
        }

        impl Item for $kind {
            fn write_all(items: &[Self], field: u32, out: &mut Vec<u8>) {
                if items.is_empty() {
                    return;
                }
                let mut packed = Vec::new();
                for item in items {
                    put_varint($to(*item), &mut packed);
                }
                put_bytes(field, &packed, out);
            }

            fn read_into(items: &mut Vec<Self>, value: Value<'_>) -> Result<(), Malformed> {
                match value {
                    Value::Number(number) => items.push($from(number)),
                    Value::Bytes(mut packed) => {
                        while !packed.is_empty() {
                            items.push($from(varint(&mut packed)?));
                        }
                    }
                    Value::Fixed => return Err(Malformed),
                }
                Ok(())
            }
        }
    )*};
}

numbers! {
    bool: u64::from, |number| number != 0;
    u32: u64::from, |number| number as u32;
    u64: |number: u64| number, |number| number;
    i32: |number: i32| i64::from(number).cast_unsigned(), |number| number as i32;
    i64: i64::cast_unsigned, u64::cast_signed;
}

fn text(value: Value<'_>) -> Result<String, Malformed> {
    String::from_utf8(value.bytes()?.to_vec()).map_err(|_| Malformed)
}

impl Field for String {
    fn write(&self, field: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            put_bytes(field, self.as_bytes(), out);
        }
    }

    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        *self = text(value)?;
        Ok(())
    }
}

impl Item for String {
    fn write_all(items: &[String], field: u32, out: &mut Vec<u8>) {
        for item in items {
            put_bytes(field, item.as_bytes(), out);
        }
    }

    fn read_into(items: &mut Vec<String>, value: Value<'_>) -> Result<(), Malformed> {
        items.push(text(value)?);
        Ok(())
    }
}

impl Field for Vec<u8> {
    fn write(&self, field: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            put_bytes(field, self, out);
        }
    }

    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        *self = value.bytes()?.to_vec();
        Ok(())
    }
}

impl<T: Item> Field for Vec<T> {
    fn write(&self, field: u32, out: &mut Vec<u8>) {
        T::write_all(self, field, out);
    }

    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        T::read_into(self, value)
    }
}

impl<M: Message> Item for M {
    fn write_all(items: &[M], field: u32, out: &mut Vec<u8>) {
        for item in items {
            put_bytes(field, &item.encode(), out);
        }
    }

    fn read_into(items: &mut Vec<M>, value: Value<'_>) -> Result<(), Malformed> {
        items.push(M::decode(value.bytes()?)?);
        Ok(())
    }
}

/// A message within one. It is written even if it is empty: being there is what it says.
impl<M: Message> Field for Option<M> {
    fn write(&self, field: u32, out: &mut Vec<u8>) {
        if let Some(message) = self {
            put_bytes(field, &message.encode(), out);
        }
    }

    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        *self = Some(M::decode(value.bytes()?)?);
        Ok(())
    }
}

/// Texts by name: on the wire, a list of messages of two fields.
impl Field for BTreeMap<String, String> {
    fn write(&self, field: u32, out: &mut Vec<u8>) {
        for (name, value) in self {
            let mut entry = Vec::new();
            name.write(1, &mut entry);
            value.write(2, &mut entry);
            put_bytes(field, &entry, out);
        }
    }

    fn read(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        let (mut name, mut content) = (String::new(), String::new());
        let mut rest = value.bytes()?;
        while let Some((field, value)) = next(&mut rest)? {
            match field {
                1 => name.read(value)?,
                2 => content.read(value)?,
                _ => {}
            }
        }
        self.insert(name, content);
        Ok(())
    }
}

/// Declares messages: for each its name, and the number, name and kind of each field.
macro_rules! messages {
    ($($(#[$about:meta])* $name:ident { $($number:literal $field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $(pub $field: $kind,)* }

        impl $crate::wire::Message for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::wire::Field::write(&self.$field, $number, out);)*
                let _ = out;
            }

            fn read(&mut self, field: u32, value: $crate::wire::Value<'_>) -> Result<(), $crate::wire::Malformed> {
                match field {
                    $($number => $crate::wire::Field::read(&mut self.$field, value),)*
                    _ => {
                        let _ = value;
                        Ok(())
                    }
                }
            }
        }
    )*};
}
pub(crate) use messages;

#[cfg(test)]
mod tests {
    use super::*;

    messages! {
        Inner { 1 number: i32 }
        Outer {
            1 text: String, 2 bytes: Vec<u8>, 3 inner: Option<Inner>, 4 many: Vec<Inner>, 5 numbers: Vec<i64>,
            6 words: Vec<String>, 7 map: BTreeMap<String, String>, 8 truth: bool, 16 large: u64,
        }
    }

    #[test]
    fn fields_have_their_published_form() {
        assert_eq!(Inner { number: 150 }.encode(), [8, 0x96, 1]);
        assert_eq!(Inner { number: -1 }.encode(), b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(Outer::default().encode(), [0u8; 0]);
        let outer = Outer {
            text: "testing".to_owned(),
            inner: Some(Inner::default()),
            numbers: vec![3, 270, 86_942],
            words: vec![String::new()],
            map: BTreeMap::from([("a".to_owned(), String::new())]),
            truth: true,
            large: u64::MAX,
            ..Outer::default()
        };
        let expected =
            b"\x0a\x07testing\x1a\x00\x2a\x06\x03\x8e\x02\x9e\xa7\x05\x32\x00\x3a\x03\x0a\x01a\x40\x01\
            \x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(outer.encode(), expected);
        assert_eq!(Outer::decode(expected), Ok(outer));
    }

    #[test]
    fn what_comes_back_is_what_was_written_and_strangers_are_passed_over() {
        let outer = Outer {
            bytes: vec![0, 255],
            many: vec![Inner { number: i32::MIN }, Inner::default()],
            numbers: vec![i64::MIN, -1, 0],
            ..Outer::default()
        };
        assert_eq!(Outer::decode(&outer.encode()), Ok(outer.clone()));
        // Numbers one by one, a field that is not known, and ones of fixed width.
        let mut bytes = outer.encode();
        bytes.extend_from_slice(b"\x28\x07\xfa\x01\x02hi\x99\x06\0\0\0\0\0\0\0\0\x9d\x06\0\0\0\0");
        let read = Outer::decode(&bytes).unwrap();
        assert_eq!(read.numbers, [i64::MIN, -1, 0, 7]);
        assert_eq!(read.many, outer.many);
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x0a\x01\xff",
            b"\x08\x01",
            b"\x1a\x01\x08",
            b"\x40\xff",
            b"\x2a\x01\xff",
            b"\x29\0\0\0\0\0\0\0\0",
            b"\x0b",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(Outer::decode(nonsense), Err(Malformed), "{nonsense:?}");
        }
    }
}

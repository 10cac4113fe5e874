//! The wire form of protobuf, as much as the messages of etcd need: numbers and bytes, in fields with a tag.

use bytes::{Bytes, BytesMut};

/// The head of a message on a gRPC stream: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// The largest message that is taken. A page of keys may be large; nothing else is.
const MESSAGE_LIMIT: usize = 256 << 20;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A field ends early, or its kind is none that is known.
    Field,
    /// A frame is compressed, which nobody asked for.
    Compressed,
    /// A frame is larger than any that is taken.
    TooLarge,
}

/// A message that is being written. What has its default value is left out, as the format wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A number, unless it is zero.
    pub(crate) fn number(self, field: u32, value: i64) -> Writer {
        if value == 0 { self } else { self.choice(field, value) }
    }

    /// A number that says by being there which of several fields is meant: it is written even if it is zero.
    pub(crate) fn choice(mut self, field: u32, value: i64) -> Writer {
        self.varint(u64::from(field) << 3);
        self.varint(value.cast_unsigned());
        self
    }

    /// A truth, unless it is false.
    pub(crate) fn flag(self, field: u32, value: bool) -> Writer {
        self.number(field, i64::from(value))
    }

    /// Bytes, unless there are none.
    pub(crate) fn bytes(self, field: u32, value: &[u8]) -> Writer {
        if value.is_empty() { self } else { self.part(field, value) }
    }

    /// A message within this one. It is written even if it is empty: being there is what it says.
    pub(crate) fn message(self, field: u32, value: &Writer) -> Writer {
        self.part(field, &value.bytes)
    }

    /// The message in its frame.
    pub(crate) fn framed(&self) -> Bytes {
        let mut frame = BytesMut::with_capacity(FRAME_HEAD + self.bytes.len());
        frame.extend_from_slice(&[0]);
        let length =
            u32::try_from(self.bytes.len()).expect("the store's limits keep messages far below 4 GiB");
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&self.bytes);
        frame.freeze()
    }

    fn part(mut self, field: u32, value: &[u8]) -> Writer {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number or a truth.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(Bytes),
}

impl Value {
    /// The number; zero if it is none.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Value::Number(number) => number.cast_signed(),
            Value::Bytes(_) => 0,
        }
    }

    /// The bytes; empty if there are none.
    pub(crate) fn bytes(self) -> Bytes {
        match self {
            Value::Number(_) => Bytes::new(),
            Value::Bytes(bytes) => bytes,
        }
    }
}

/// Reads a message field by field. Bytes are shared, not copied.
#[derive(Debug)]
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) fn new(message: Bytes) -> Reader {
        Reader { rest: message }
    }

    /// The next field, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value)>, Malformed> {
        while !self.rest.is_empty() {
            let tag = self.varint()?;
            let field = u32::try_from(tag >> 3).map_err(|_| Malformed::Field)?;
            match tag & 7 {
                0 => return Ok(Some((field, Value::Number(self.varint()?)))),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Field)?;
                    return Ok(Some((field, Value::Bytes(self.take(length)?))));
                }
                // Fixed widths: no field that is read here has one.
                1 => drop(self.take(8)?),
                5 => drop(self.take(4)?),
                _ => return Err(Malformed::Field),
            }
        }
        Ok(None)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return Err(Malformed::Field);
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                drop(self.rest.split_to(place + 1));
                return Ok(value);
            }
        }
        Err(Malformed::Field)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.rest.len() {
            return Err(Malformed::Field);
        }
        Ok(self.rest.split_to(length))
    }
}

/// Takes a stream of bytes apart into messages.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: BytesMut,
}

impl Frames {
    /// Adds what has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some((&[compressed, a, b, c, d], rest)) = self.bytes.split_first_chunk::<FRAME_HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if compressed != 0 {
            return Err(Malformed::Compressed);
        }
        if length > MESSAGE_LIMIT {
            return Err(Malformed::TooLarge);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(FRAME_HEAD + length).freeze();
        Ok(Some(frame.split_off(FRAME_HEAD)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Value)>, Malformed> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let mut fields = Vec::new();
        while let Some(field) = reader.next()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn fields_have_their_published_form() {
        let inner = Writer::default().number(1, 150);
        assert_eq!(&inner.framed()[..], [0, 0, 0, 0, 3, 8, 0x96, 1]);
        let outer = Writer::default().message(3, &inner).bytes(2, b"testing").flag(15, true).number(4, 0);
        let expected = b"\x1a\x03\x08\x96\x01\x12\x07testing\x78\x01";
        assert_eq!(&outer.framed()[FRAME_HEAD..], expected);
        assert_eq!(Writer::default().choice(6, 0).framed()[FRAME_HEAD..], [0x30, 0]);
        let negative = Writer::default().number(1, -1).framed();
        assert_eq!(read(&negative[FRAME_HEAD..]), Ok(vec![(1, Value::Number(u64::MAX))]));
        let fields = read(expected).expect("well formed");
        assert_eq!(fields[1], (2, Value::Bytes(Bytes::from_static(b"testing"))));
        assert_eq!((fields.len(), fields[2].1.number()), (3, 1));
    }

    #[test]
    fn unknown_widths_are_passed_over_and_nonsense_is_refused() {
        assert_eq!(read(b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0\x08\x05"), Ok(vec![(1, Value::Number(5))]));
        for nonsense in [
            &b"\x08"[..],
            b"\x08\xff",
            b"\x0a\x05abc",
            b"\x0b",
            b"\x0d\0",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(read(nonsense), Err(Malformed::Field), "{nonsense:?}");
        }
    }

    #[test]
    fn frames_come_together_whatever_the_pieces() {
        let stream = [Writer::default().bytes(1, &[7; 300]).framed(), Writer::default().framed()].concat();
        for piece in 1..stream.len() {
            let mut frames = Frames::default();
            let mut lengths = Vec::new();
            for bytes in stream.chunks(piece) {
                frames.push(bytes);
                while let Some(message) = frames.next().expect("well formed") {
                    lengths.push(message.len());
                }
            }
            assert_eq!(lengths, [303, 0], "pieces of {piece}");
        }
        for (head, refused) in
            [([1, 0, 0, 0, 0], Malformed::Compressed), ([0, 255, 0, 0, 0], Malformed::TooLarge)]
        {
            let mut frames = Frames::default();
            frames.push(&head);
            assert_eq!(frames.next(), Err(refused));
        }
    }
}

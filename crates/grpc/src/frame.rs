//! A message on its stream: whether it is compressed, its length, and it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Code, Failure};

/// What stands before a message.
pub(crate) const HEAD: usize = 5;

pub(crate) fn framed(message: &[u8]) -> Result<Bytes, Failure> {
    let length = u32::try_from(message.len()).map_err(|_| {
        Failure::new(Code::RESOURCE_EXHAUSTED, "the message is larger than any that can be sent")
    })?;
    let mut frame = BytesMut::with_capacity(HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Ok(frame.freeze())
}

pub(crate) fn unframed(mut bytes: Bytes) -> Result<Bytes, Failure> {
    let wrong = |why: &str| Err(Failure::new(Code::INTERNAL, why));
    let Some((&[compressed, a, b, c, d], rest)) = bytes.split_first_chunk::<HEAD>() else {
        return wrong("the answer is cut off");
    };
    if compressed != 0 {
        return wrong("the answer is compressed although nobody asked for that");
    }
    if u32::from_be_bytes([a, b, c, d]) as usize != rest.len() {
        return wrong("the answer is not one message");
    }
    Ok(bytes.split_off(HEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_message_each() {
        for message in [&b""[..], b"hello"] {
            assert_eq!(unframed(framed(message).unwrap()).unwrap(), message);
        }
        for bytes in [
            &b""[..],
            b"\0\0\0\0",
            b"\x01\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
            b"\0\xff\xff\xff\xffa",
        ] {
            assert_eq!(unframed(Bytes::from_static(bytes)).unwrap_err().code, Code::INTERNAL, "{bytes:?}");
        }
    }
}

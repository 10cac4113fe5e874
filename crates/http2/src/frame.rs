//! Frames: the head that each begins with, and the few that a server writes.

use crate::fault::{Code, Fault};

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// The longest payload that is taken, and that every peer takes: what the protocol begins with.
pub const LONGEST: usize = 16_384;
/// The largest window there may be.
pub const WIDEST: i64 = (1 << 31) - 1;

/// Kinds of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags; what they mean depends on the kind.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings by their numbers.
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of what follows.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    /// The stream it is about; 0 is the connection.
    pub stream: u32,
}

impl Head {
    /// From its bytes; `None` as long as there are too few.
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let [a, b, c, kind, flags, rest @ ..] = bytes.first_chunk::<HEAD>()?;
        Some(Head {
            length: usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*rest) & 0x7fff_ffff,
        })
    }

    /// As bytes.
    pub fn bytes(self) -> [u8; HEAD] {
        // A payload is never longer than the peer takes, which is less than 2^24.
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let stream = self.stream.to_be_bytes();
        let [a, b, c, d] = stream;
        [length[1], length[2], length[3], self.kind, self.flags, a, b, c, d]
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A payload without its padding.
pub fn unpadded(head: Head, payload: &[u8]) -> Result<&[u8], Fault> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let Some((padding, rest)) = payload.split_first() else {
        return Err(Fault::connection(Code::FrameSize, "a padded frame without the length of its padding"));
    };
    let content = rest.len().checked_sub(usize::from(*padding));
    let content = content.ok_or(Fault::connection(Code::Protocol, "more padding than payload"))?;
    Ok(&rest[..content])
}

/// The number at the beginning of a payload that must have exactly this one.
pub fn number(payload: &[u8]) -> Result<u32, Fault> {
    let bytes = payload.try_into();
    let bytes =
        bytes.map_err(|_| Fault::connection(Code::FrameSize, "a payload that is not 4 bytes long"))?;
    Ok(u32::from_be_bytes(bytes))
}

/// A frame whose payload is one number.
fn of_number(kind: u8, stream: u32, number: u32) -> [u8; HEAD + 4] {
    let mut frame = [0; HEAD + 4];
    frame[..HEAD].copy_from_slice(&Head { length: 4, kind, flags: 0, stream }.bytes());
    frame[HEAD..].copy_from_slice(&number.to_be_bytes());
    frame
}

/// Ends a stream at once.
pub fn reset(stream: u32, code: Code) -> [u8; HEAD + 4] {
    of_number(kind::RST_STREAM, stream, code as u32)
}

/// Allows the peer to send more.
pub fn more_window(stream: u32, bytes: u32) -> [u8; HEAD + 4] {
    of_number(kind::WINDOW_UPDATE, stream, bytes)
}

/// Asks whether the peer lives, or answers that question.
pub fn ping(payload: [u8; 8], flags: u8) -> [u8; HEAD + 8] {
    let mut frame = [0; HEAD + 8];
    frame[..HEAD].copy_from_slice(&Head { length: 8, kind: kind::PING, flags, stream: 0 }.bytes());
    frame[HEAD..].copy_from_slice(&payload);
    frame
}

/// Tells that streams after `last` are not looked at, and why.
pub fn go_away(last: u32, code: Code) -> [u8; HEAD + 8] {
    let mut frame = [0; HEAD + 8];
    frame[..HEAD].copy_from_slice(&Head { length: 8, kind: kind::GOAWAY, flags: 0, stream: 0 }.bytes());
    frame[HEAD..HEAD + 4].copy_from_slice(&last.to_be_bytes());
    frame[HEAD + 4..].copy_from_slice(&(code as u32).to_be_bytes());
    frame
}

/// Settings, or the agreement to them.
pub fn settings(settings: &[(u16, u32)], flags: u8) -> Vec<u8> {
    let head = Head { length: 6 * settings.len(), kind: kind::SETTINGS, flags, stream: 0 };
    let mut frame = head.bytes().to_vec();
    for (name, value) in settings {
        frame.extend_from_slice(&name.to_be_bytes());
        frame.extend_from_slice(&value.to_be_bytes());
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for head in [
            Head { length: 0, kind: 0, flags: 0, stream: 0 },
            Head { length: LONGEST, kind: kind::DATA, flags: flag::END_STREAM, stream: 0x7fff_ffff },
            Head { length: 0x00ff_fffe, kind: 255, flags: 255, stream: 1 },
        ] {
            assert_eq!(Head::read(&head.bytes()), Some(head));
            assert_eq!(Head::read(&head.bytes()[..HEAD - 1]), None);
        }
        let reserved = [0, 0, 0, 0, 0, 0x80, 0, 0, 5];
        assert_eq!(Head::read(&reserved).unwrap().stream, 5, "the reserved bit means nothing");
    }

    #[test]
    fn padding_is_taken_off_and_may_not_be_longer_than_the_payload() {
        let head = |flags| Head { length: 0, kind: kind::DATA, flags, stream: 1 };
        assert_eq!(unpadded(head(0), b"abc").unwrap(), b"abc");
        assert_eq!(unpadded(head(flag::PADDED), b"\x02abcde").unwrap(), b"abc");
        assert_eq!(unpadded(head(flag::PADDED), b"\x03abc").unwrap(), b"");
        assert!(unpadded(head(flag::PADDED), b"\x04abc").is_err());
        assert!(unpadded(head(flag::PADDED), b"").is_err());
    }
}

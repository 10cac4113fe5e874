//! Frames: what is read from bytes as they arrive, and the bytes of what is sent.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::headers::{HeaderError, Headers, Packer, Unpacker};

const VERSION: u16 = 3;
const FIN: u8 = 1;
/// The largest frame that is not data: packed headers, of which there are few.
const MOST_CONTROL: usize = 64 << 10;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// What happens on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A stream is opened.
    Open {
        /// Its number: odd if the client opened it.
        stream: u32,
        /// What it is for.
        headers: Headers,
        /// Whoever opens it sends nothing on it.
        fin: bool,
    },
    /// A stream was accepted.
    Reply {
        /// Which.
        stream: u32,
        /// What there is to say about it.
        headers: Headers,
        /// Whoever accepts it sends nothing on it.
        fin: bool,
    },
    /// A stream is broken off.
    Reset {
        /// Which.
        stream: u32,
        /// Why, as a number of the protocol.
        status: u32,
    },
    /// Whether the other side is still there. It is sent back as it came.
    Ping(u32),
    /// No more streams.
    GoAway {
        /// The last one that was accepted.
        last: u32,
        /// Why: zero for an orderly end.
        status: u32,
    },
    /// Bytes, or a piece of what a frame holds.
    Data {
        /// Of which stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
        /// Nothing follows.
        fin: bool,
    },
}

/// Why a connection cannot be read any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another protocol.
    #[error("version {0} of SPDY is not spoken here")]
    Version(u16),
    /// A frame beyond the limit.
    #[error("a frame of {0} bytes is too large")]
    TooLarge(usize),
    /// A frame whose parts are missing.
    #[error("a frame of kind {0} is too short")]
    TooShort(u16),
    /// Headers that cannot be read.
    #[error(transparent)]
    Headers(#[from] HeaderError),
}

/// A data frame of which the rest is still to come.
#[derive(Debug)]
struct Pending {
    stream: u32,
    left: usize,
    fin: bool,
}

/// Reads frames. Data is handed on as it comes, however large its frame.
#[derive(Debug, Default)]
pub struct Decoder {
    unpacker: Unpacker,
    pending: Option<Pending>,
}

impl Decoder {
    /// The next frame of these bytes, which are taken away; `None` if more are needed.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(pending) = self.pending.take() {
                return Ok(self.data(pending, bytes));
            }
            let Some((head, _)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
            let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let flags = head[4];
            let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
            if first >> 31 == 0 {
                bytes.advance(8);
                self.pending = Some(Pending { stream: first, left: length, fin: flags & FIN != 0 });
                continue;
            }
            let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
            if version != VERSION {
                return Err(FrameError::Version(version));
            }
            if length > MOST_CONTROL {
                return Err(FrameError::TooLarge(length));
            }
            if bytes.len() < 8 + length {
                return Ok(None);
            }
            bytes.advance(8);
            let body = bytes.split_to(length).freeze();
            if let Some(frame) = self.control(kind, flags & FIN != 0, body)? {
                return Ok(Some(frame));
            }
        }
    }

    fn data(&mut self, mut pending: Pending, bytes: &mut BytesMut) -> Option<Frame> {
        if bytes.is_empty() && pending.left > 0 {
            self.pending = Some(pending);
            return None;
        }
        let piece = bytes.split_to(pending.left.min(bytes.len())).freeze();
        pending.left -= piece.len();
        let (stream, last) = (pending.stream, pending.left == 0);
        let fin = pending.fin && last;
        self.pending = (!last).then_some(pending);
        Some(Frame::Data { stream, bytes: piece, fin })
    }

    /// A frame that is not data; `None` if it means nothing to us (settings, windows, what is yet to be invented).
    fn control(&mut self, kind: u16, fin: bool, mut body: Bytes) -> Result<Option<Frame>, FrameError> {
        let least = match kind {
            SYN_STREAM => 10,
            SYN_REPLY | PING | HEADERS => 4,
            RST_STREAM | GOAWAY => 8,
            _ => return Ok(None),
        };
        if body.len() < least {
            return Err(FrameError::TooShort(kind));
        }
        // All but pings begin with a stream, whose highest bit means nothing.
        let number = body.get_u32();
        let stream = number & 0x7fff_ffff;
        Ok(match kind {
            SYN_STREAM => {
                // The stream it belongs to, its priority and its slot are of no use here.
                body.advance(6);
                Some(Frame::Open { stream, headers: self.unpacker.unpack(&body)?, fin })
            }
            SYN_REPLY => Some(Frame::Reply { stream, headers: self.unpacker.unpack(&body)?, fin }),
            RST_STREAM => Some(Frame::Reset { stream, status: body.get_u32() }),
            PING => Some(Frame::Ping(number)),
            GOAWAY => Some(Frame::GoAway { last: stream, status: body.get_u32() }),
            _ => {
                // More headers of a stream: nobody needs them, but they must be unpacked for those that follow.
                self.unpacker.unpack(&body)?;
                None
            }
        })
    }
}

/// The longest data frame: what three bytes can say.
pub const MOST_DATA: usize = (1 << 24) - 1;

/// Writes frames.
#[derive(Debug, Default)]
pub struct Encoder {
    packer: Packer,
}

impl Encoder {
    /// Adds a frame to `out`.
    ///
    /// # Panics
    /// If it is data of more than [`MOST_DATA`] bytes.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::Open { stream, headers, fin } => {
                let packed = self.packer.pack(headers);
                control(out, SYN_STREAM, *fin, 10 + packed.len());
                out.put_u32(*stream);
                out.put_bytes(0, 6);
                out.put_slice(&packed);
            }
            Frame::Reply { stream, headers, fin } => {
                let packed = self.packer.pack(headers);
                control(out, SYN_REPLY, *fin, 4 + packed.len());
                out.put_u32(*stream);
                out.put_slice(&packed);
            }
            Frame::Reset { stream, status } => {
                control(out, RST_STREAM, false, 8);
                out.put_u32(*stream);
                out.put_u32(*status);
            }
            Frame::Ping(number) => {
                control(out, PING, false, 4);
                out.put_u32(*number);
            }
            Frame::GoAway { last, status } => {
                control(out, GOAWAY, false, 8);
                out.put_u32(*last);
                out.put_u32(*status);
            }
            Frame::Data { stream, bytes, fin } => {
                assert!(bytes.len() <= MOST_DATA, "data is sent in pieces");
                out.put_u32(*stream);
                out.put_u32(u32::from(*fin) << 24 | bytes.len() as u32);
                out.put_slice(bytes);
            }
        }
    }
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(1 << 15 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(fin) << 24 | length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Frame> {
        let headers = Headers::new([("streamtype", "error"), ("port", "80")]);
        let data =
            |bytes: &'static [u8], fin| Frame::Data { stream: 1, bytes: Bytes::from_static(bytes), fin };
        vec![
            Frame::Open { stream: 1, headers: headers.clone(), fin: false },
            Frame::Open { stream: 3, headers: headers.clone(), fin: true },
            Frame::Reply { stream: 1, headers: Headers::default(), fin: false },
            data(b"hello", false),
            Frame::Ping(0xffff_ffff),
            data(b"", true),
            Frame::Reset { stream: 3, status: 5 },
            Frame::GoAway { last: 3, status: 0 },
        ]
    }

    fn encoded(frames: &[Frame]) -> BytesMut {
        let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
        for frame in frames {
            encoder.encode(frame, &mut bytes);
        }
        bytes
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let (mut decoder, mut bytes) = (Decoder::default(), encoded(&samples()));
        for frame in samples() {
            assert_eq!(decoder.decode(&mut bytes), Ok(Some(frame)));
        }
        assert_eq!(decoder.decode(&mut bytes), Ok(None));
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let whole = encoded(&samples());
        let (mut decoder, mut bytes, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
        for byte in whole {
            bytes.put_u8(byte);
            while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
                frames.push(frame);
            }
        }
        let text: Vec<u8> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Data { bytes, .. } => Some(bytes.to_vec()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(text, b"hello");
        let others = |frames: Vec<Frame>| -> Vec<Frame> {
            frames.into_iter().filter(|frame| !matches!(frame, Frame::Data { fin: false, .. })).collect()
        };
        assert_eq!(others(frames), others(samples()));
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let bytes = encoded(&[
            Frame::Data { stream: 5, bytes: Bytes::from_static(b"hi"), fin: true },
            Frame::Reset { stream: 7, status: 3 },
            Frame::Ping(2),
        ]);
        let mut wanted = vec![0, 0, 0, 5, 1, 0, 0, 2, b'h', b'i'];
        wanted.extend([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 3]);
        wanted.extend([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2]);
        assert_eq!(bytes.to_vec(), wanted);
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_hostile_ends_it() {
        let decode = |bytes: &[u8]| Decoder::default().decode(&mut BytesMut::from(bytes));
        // Settings, a window, a kind that does not exist; then a ping.
        let mut bytes = vec![0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0];
        bytes.extend([0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend([0x80, 3, 0, 99, 0, 0, 0, 0]);
        bytes.extend([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
        assert_eq!(decode(&bytes), Ok(Some(Frame::Ping(1))));
        assert_eq!(decode(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]), Err(FrameError::Version(2)));
        assert_eq!(decode(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), Err(FrameError::TooLarge(0xff_ffff)));
        assert_eq!(decode(&[0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]), Err(FrameError::TooShort(1)));
        assert_eq!(decode(&[0x80, 3, 0, 3, 0, 0, 0, 1, 0]), Err(FrameError::TooShort(3)));
        assert_eq!(decode(b"GET / HTTP/1.1\r\n").unwrap().is_some(), true, "it looks like data");
    }
}

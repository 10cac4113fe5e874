//! HTTP/2's frames, as far as one who only watches reads and writes them. They are read out of pieces that are cut
//! anywhere; content is handed on where it lies.

use anyhow::{Result, ensure};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

/// Of settings and pings: an answer.
pub const ACK: u8 = 1;
/// Of content and headers: nothing follows on the stream.
pub const END_STREAM: u8 = 1;
/// Of headers: no more of them follow.
pub const END_HEADERS: u8 = 4;
/// Of content and headers: there is padding, which this server does not send.
const PADDED: u8 = 8;

const HEAD: usize = 9;
/// What the longest frame may have: nobody agreed on more than the protocol's default.
const LONGEST: usize = 16_384;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes follow.
    pub length: usize,
    /// What the frame is.
    pub kind: u8,
    /// What its kind lets it say of itself.
    pub flags: u8,
    /// Which stream it is about; 0 is the connection.
    pub stream: u32,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Content of a stream, or a piece of it.
    Content {
        /// The stream.
        stream: u32,
        /// The content.
        piece: &'a [u8],
        /// Whether nothing follows.
        ends: bool,
    },
    /// A frame that has no content.
    Frame(Head, Vec<u8>),
}

/// Where the reader stands.
#[derive(Debug, Default)]
pub struct Frames {
    begun: [u8; HEAD],
    /// How many bytes of the next frame's head are there.
    known: usize,
    /// The frame that is being read, and how much of it is to come.
    open: Option<(Head, usize)>,
    gathered: Vec<u8>,
}

impl Head {
    fn read(bytes: [u8; HEAD]) -> Result<Head> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        ensure!(length <= LONGEST, "a frame of {length} bytes: longer than any may be");
        ensure!(kind > HEADERS || flags & PADDED == 0, "a frame with padding");
        Ok(Head { length, kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]) })
    }

    /// Writes a frame; its length is what it has.
    pub fn write(self, payload: &[u8], out: &mut Vec<u8>) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(payload);
    }

    /// What a frame of a stream begins with, to be written.
    pub fn of(kind: u8, flags: u8, stream: u32) -> Head {
        Head { length: 0, kind, flags, stream }
    }
}

impl Frames {
    /// Reads the next part of what was received and moves behind it; `None` if more must come first.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<Part<'a>>> {
        let (head, left) = match self.open {
            Some(open) => open,
            None => match self.begin(rest)? {
                Some(head) => (head, head.length),
                None => return Ok(None),
            },
        };
        let (piece, behind) = rest.split_at(left.min(rest.len()));
        *rest = behind;
        let left = left - piece.len();
        self.open = (left > 0).then_some((head, left));
        if head.kind == DATA {
            let ends = left == 0 && head.flags & END_STREAM != 0;
            let content = Part::Content { stream: head.stream, piece, ends };
            return Ok((left == 0 || !piece.is_empty()).then_some(content));
        }
        self.gathered.extend_from_slice(piece);
        Ok((left == 0).then(|| Part::Frame(head, std::mem::take(&mut self.gathered))))
    }

    fn begin(&mut self, rest: &mut &[u8]) -> Result<Option<Head>> {
        let (piece, behind) = rest.split_at((HEAD - self.known).min(rest.len()));
        *rest = behind;
        self.begun[self.known..self.known + piece.len()].copy_from_slice(piece);
        self.known += piece.len();
        if self.known < HEAD {
            return Ok(None);
        }
        self.known = 0;
        Head::read(self.begun).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream says, with the pieces of content put together again.
    fn read(pieces: [&[u8]; 2]) -> Vec<(Head, Vec<u8>)> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        let mut content = Vec::new();
        for mut rest in pieces {
            while let Some(part) = frames.next(&mut rest).unwrap() {
                match part {
                    Part::Frame(head, payload) => all.push((head, payload)),
                    Part::Content { stream, piece, ends } => {
                        content.extend_from_slice(piece);
                        if ends {
                            let length = content.len();
                            let head = Head { length, ..Head::of(DATA, END_STREAM, stream) };
                            all.push((head, std::mem::take(&mut content)));
                        }
                    }
                }
            }
            assert!(rest.is_empty(), "all is read");
        }
        all
    }

    #[test]
    fn frames_are_whole_wherever_the_stream_is_cut() {
        let frames: [(Head, &[u8]); 5] = [
            (Head::of(SETTINGS, 0, 0), &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
            (Head::of(SETTINGS, ACK, 0), &[]),
            (Head::of(DATA, END_STREAM, 0x7fff_ffff), b"some content"),
            (Head::of(DATA, END_STREAM, 3), &[]),
            (Head::of(PING, 0, 0), b"12345678"),
        ];
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (head, payload) in frames {
            head.write(payload, &mut stream);
            expected.push((Head { length: payload.len(), ..head }, payload.to_vec()));
        }
        for cut in 0..=stream.len() {
            let (before, after) = stream.split_at(cut);
            assert_eq!(read([before, after]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_nobody_agreed_on_is_an_error() {
        for head in [[0, 0x40, 1, DATA, 0, 0, 0, 0, 1], [0, 0, 1, HEADERS, PADDED, 0, 0, 0, 1]] {
            assert!(Frames::default().next(&mut head.as_slice()).is_err(), "{head:?}");
        }
    }
}

//! What is said and heard on one connection with many watches: as little of HTTP/2 as that takes. It knows no socket.

use anyhow::{Context, Result, bail, ensure};

use super::follower::{Follower, Mark, Seen};
use super::frames::{
    ACK, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Head, PING, Part, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest window there is. No stream comes so far that it would have to be opened again.
const WINDOW: u32 = (1 << 31) - 1;
/// What the protocol gives a connection to begin with.
const FIRST_WINDOW: u32 = 65_535;
/// After so many bytes the connection's window is opened again: seldom, and long before it is used up.
const OPEN_AGAIN: u32 = 16 << 20;
/// A setting: nothing is to be pushed.
const ENABLE_PUSH: u16 = 2;
/// A setting: the window that every stream begins with.
const INITIAL_WINDOW: u16 = 4;
/// A header that is written out, name and value, and goes into no table.
const NEVER_INDEXED: u8 = 0x10;
/// `:status: 200`, which has a place in the table that every connection begins with.
const GOOD: u8 = 0x88;

/// A connection's watches.
#[derive(Debug)]
pub struct Conversation {
    frames: Frames,
    mark: Mark,
    watches: Vec<Watch>,
    /// What is to be sent.
    to_say: Vec<u8>,
    /// Content since the window was opened.
    taken: u32,
}

#[derive(Debug, Default)]
struct Watch {
    follower: Follower,
    /// Whether its answer has begun.
    open: bool,
}

impl Conversation {
    /// Begins so many watches, which all have the same headers.
    pub fn begin(watches: u32, headers: &[(&str, &str)]) -> Conversation {
        let mut settings = Vec::new();
        for (setting, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW, WINDOW)] {
            settings.extend_from_slice(&setting.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        let block = block(headers);
        let mut to_say = PREFACE.to_vec();
        Head::of(SETTINGS, 0, 0).write(&settings, &mut to_say);
        open_window(WINDOW - FIRST_WINDOW, &mut to_say);
        for number in 0..watches {
            Head::of(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1).write(&block, &mut to_say);
        }
        Conversation {
            frames: Frames::default(),
            mark: Mark::default(),
            watches: (0..watches).map(|_| Watch::default()).collect(),
            to_say,
            taken: 0,
        }
    }

    /// Takes in what was received; how many events that were.
    pub fn hear(&mut self, heard: &[u8]) -> Result<u64> {
        let (mut rest, mut events) = (heard, 0);
        while let Some(part) = self.frames.next(&mut rest)? {
            match part {
                Part::Content { stream, piece, ends } => {
                    self.taken += u32::try_from(piece.len())?;
                    let watch = watch(&mut self.watches, stream)?;
                    events += watch.follower.feed(&self.mark, piece);
                    if ends {
                        watch.follower.close();
                    }
                }
                Part::Frame(head, payload) => self.answer(head, &payload)?,
            }
        }
        if self.taken >= OPEN_AGAIN {
            open_window(std::mem::take(&mut self.taken), &mut self.to_say);
        }
        Ok(events)
    }

    /// What is to be sent by now.
    pub fn say(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_say)
    }

    /// Whether all watches have begun.
    pub fn is_open(&self) -> bool {
        self.watches.iter().all(|watch| watch.open)
    }

    /// The connection ended.
    pub fn close(&mut self) {
        self.watches.iter_mut().for_each(|watch| watch.follower.close());
    }

    /// What each watcher saw.
    pub fn seen(&self) -> Vec<Seen> {
        self.watches.iter().map(|watch| watch.follower.seen()).collect()
    }

    fn answer(&mut self, head: Head, payload: &[u8]) -> Result<()> {
        match head.kind {
            HEADERS => {
                let watch = watch(&mut self.watches, head.stream)?;
                if !watch.open {
                    let first = payload.first().context("an answer without headers")?;
                    ensure!(*first == GOOD, "a watch was refused: its headers begin with {first:#x}");
                    watch.open = true;
                }
                if head.flags & END_STREAM != 0 {
                    watch.follower.close();
                }
            }
            RST_STREAM => {
                let watch = watch(&mut self.watches, head.stream)?;
                ensure!(watch.open, "a watch was refused: its stream was reset with {payload:?}");
                watch.follower.close();
            }
            SETTINGS | PING if head.flags & ACK == 0 => {
                let payload = if head.kind == PING { payload } else { &[] };
                Head::of(head.kind, ACK, 0).write(payload, &mut self.to_say);
            }
            GOAWAY if self.is_open() => self.close(),
            GOAWAY => bail!("the server closes the connection: {}", String::from_utf8_lossy(payload)),
            // Windows are of no use to who has said all, and whatever else there is may be passed over.
            _ => {}
        }
        Ok(())
    }
}

fn watch(watches: &mut [Watch], stream: u32) -> Result<&mut Watch> {
    ensure!(stream % 2 == 1, "a frame of stream {stream}, which is no watch");
    watches
        .get_mut(stream as usize / 2)
        .with_context(|| format!("a frame of stream {stream}, which is no watch"))
}

fn open_window(by: u32, out: &mut Vec<u8>) {
    Head::of(WINDOW_UPDATE, 0, 0).write(&by.to_be_bytes(), out);
}

/// Headers as a frame has them.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(NEVER_INDEXED);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

/// Text after its length: in seven bits, or as much as it is more than fits there, seven bits a byte, the lowest first.
fn text(written: &str, out: &mut Vec<u8>) {
    const FULL: usize = 0x7f;
    let mut length = written.len();
    if length < FULL {
        out.push(length as u8);
    } else {
        out.push(FULL as u8);
        length -= FULL;
        while length > FULL {
            out.push(0x80 | (length & FULL) as u8);
            length >>= 7;
        }
        out.push(length as u8);
    }
    out.extend_from_slice(written.as_bytes());
}

#[cfg(test)]
mod tests;

//! What a peer sends, frame by frame.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use env::Clock;
use http::{HeaderMap, Request, StatusCode};

use crate::body::Incoming;
use crate::fault::{Code, Fault};
use crate::frame::{self, Head, LONGEST, flag, kind};
use crate::hpack::Decoder;
use crate::link::Link;
use crate::request::{Block, Read};

/// Bytes that the table of headers may hold: what the protocol begins with.
const TABLE: usize = 4_096;
/// Frames without content that may come one after the other: they cost work and bring nothing.
const EMPTY: u32 = 100;

/// What a server allows its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests at a time.
    pub streams: u32,
    /// Bytes of headers.
    pub headers: u32,
    /// Bytes of bodies that nobody has read yet.
    pub unread: u32,
}

/// Reads frames.
#[derive(Debug)]
pub struct Receiver {
    link: Arc<Link>,
    limits: Limits,
    clock: Clock,
    decoder: Decoder,
    /// Headers that do not end with the frame they began in.
    block: Option<Begun>,
    /// The newest stream, and how many there were.
    pub last: u32,
    opened: u32,
    /// Whether settings have come: they come first.
    pub has_begun: bool,
    /// Whether new streams are not looked at any more.
    pub is_closed: bool,
    /// Whether the peer will open no more streams.
    pub is_left: bool,
    /// Answers to our questions whether it lives.
    pub pongs: u32,
    empty: u32,
}

/// A block of headers that has begun.
#[derive(Debug)]
struct Begun {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
    frames: u32,
    /// What the stream is told when all of it has come.
    fault: Option<Code>,
}

/// A request that has come.
#[derive(Debug)]
pub struct Opened {
    pub id: u32,
    pub request: Request<Incoming>,
}

impl Receiver {
    pub fn new(link: Arc<Link>, limits: Limits, clock: Clock) -> Receiver {
        Receiver {
            link,
            limits,
            clock,
            decoder: Decoder::new(TABLE),
            block: None,
            last: 0,
            opened: 0,
            has_begun: false,
            is_closed: false,
            is_left: false,
            pongs: 0,
            empty: 0,
        }
    }

    /// Takes a frame.
    pub fn take(&mut self, head: Head, payload: &[u8]) -> Result<Option<Opened>, Fault> {
        if !self.has_begun && head.kind != kind::SETTINGS {
            return Err(Fault::connection(Code::Protocol, "settings come first"));
        }
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return Err(Fault::connection(Code::Protocol, "headers that do not end"));
        }
        match head.kind {
            kind::DATA => self.data(head, payload)?,
            kind::HEADERS => return self.headers(head, payload),
            kind::CONTINUATION => return self.continuation(head, payload),
            kind::PRIORITY => priority(head, payload)?,
            kind::RST_STREAM => self.reset(head, payload)?,
            kind::SETTINGS => self.settings(head, payload)?,
            kind::PUSH_PROMISE => {
                return Err(Fault::connection(Code::Protocol, "a promise to a server"));
            }
            kind::PING => self.ping(head, payload)?,
            kind::GOAWAY => self.go_away(head, payload)?,
            kind::WINDOW_UPDATE => self.window(head, payload)?,
            // What is not known is no harm.
            _ => {}
        }
        Ok(None)
    }

    /// The stream that a frame is about must have been opened.
    fn known(&self, head: Head) -> Result<u32, Fault> {
        if head.stream == 0 || head.stream > self.last {
            return Err(Fault::connection(Code::Protocol, "a frame on a stream that was not opened"));
        }
        Ok(head.stream)
    }

    fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let id = self.known(head)?;
        let content = frame::unpadded(head, payload)?;
        let ends = head.has(flag::END_STREAM);
        self.empty = if content.is_empty() && !ends { self.empty + 1 } else { 0 };
        if self.empty > EMPTY {
            return Err(Fault::connection(Code::EnhanceYourCalm, "too many frames without content"));
        }
        let mut state = self.link.lock();
        state.expect(payload.len())?;
        let padding = payload.len() - content.len();
        let Some(stream) = state.streams.get_mut(id) else {
            state.credit(payload.len());
            return if state.is_abandoned(id) { Ok(()) } else { Err(Fault::Stream(id, Code::StreamClosed)) };
        };
        let inbox = &mut stream.inbox;
        inbox.window -= payload.len() as i64;
        let fault = if !inbox.open {
            Some(Code::StreamClosed)
        } else if inbox.window < 0 {
            Some(Code::FlowControl)
        } else {
            inbox.is_unexpected(content.len(), ends).then_some(Code::Protocol)
        };
        if let Some(code) = fault {
            state.credit(payload.len());
            return Err(Fault::Stream(id, code));
        }
        let reader = inbox.put(content, ends);
        let unused = padding + if inbox.unwanted { content.len() } else { 0 };
        state.credit_stream(id, unused);
        state.credit(unused);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<Option<Opened>, Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(Fault::connection(Code::Protocol, "a stream that no client may open"));
        }
        let mut bytes = frame::unpadded(head, payload)?;
        let mut fault = None;
        if head.has(flag::PRIORITY) {
            let Some((priority, rest)) = bytes.split_at_checked(5) else {
                return Err(Fault::connection(Code::FrameSize, "a priority that is too short"));
            };
            fault = depends_on_itself(head.stream, priority).then_some(Code::Protocol);
            bytes = rest;
        }
        let mut begun = Begun { stream: head.stream, flags: head.flags, bytes: Vec::new(), frames: 0, fault };
        if head.has(flag::END_HEADERS) {
            return self.block(&begun, bytes);
        }
        begun.bytes = bytes.to_vec();
        self.block = Some(begun);
        Ok(None)
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<Option<Opened>, Fault> {
        let Some(mut begun) = self.block.take().filter(|begun| begun.stream == head.stream) else {
            return Err(Fault::connection(Code::Protocol, "more headers without a beginning"));
        };
        begun.bytes.extend_from_slice(payload);
        begun.frames += 1;
        // What is a little too much is told with an answer, which needs all of it; and not all frames may be small.
        let most = self.limits.headers as usize;
        if begun.bytes.len() > most + most / 4 || begun.frames as usize > 16 + most / LONGEST {
            return Err(Fault::connection(Code::EnhanceYourCalm, "too many headers"));
        }
        if !head.has(flag::END_HEADERS) {
            self.block = Some(begun);
            return Ok(None);
        }
        let bytes = std::mem::take(&mut begun.bytes);
        self.block(&begun, &bytes)
    }

    /// All headers have come. They are always read, or those that follow would not be understood.
    fn block(&mut self, begun: &Begun, bytes: &[u8]) -> Result<Option<Opened>, Fault> {
        let mut block = Block::new(self.limits.headers as usize);
        let decoded = self.decoder.decode(bytes, |field, size| block.take(field, size));
        decoded.map_err(|_| Fault::connection(Code::Compression, "headers that cannot be unpacked"))?;
        let (id, ends) = (begun.stream, begun.flags & flag::END_STREAM != 0);
        if id <= self.last {
            return self.trailers(id, ends, &block).map(|()| None);
        }
        (self.last, self.opened) = (id, self.opened + 1);
        if self.is_closed {
            return Ok(None);
        }
        if let Some(code) = begun.fault {
            return Err(Fault::Stream(id, code));
        }
        let (request, expected) = match block.finish() {
            Read::Request(request, expected) => (request, expected),
            Read::Malformed => return Err(Fault::Stream(id, Code::Protocol)),
            Read::TooLarge => {
                self.refuse(id, ends);
                return Ok(None);
            }
        };
        if ends && expected.is_some_and(|expected| expected > 0) {
            return Err(Fault::Stream(id, Code::Protocol));
        }
        let mut state = self.link.lock();
        if state.running >= self.limits.streams {
            return Err(Fault::Stream(id, Code::RefusedStream));
        }
        state.open(id, !ends, expected);
        drop(state);
        let body = if ends { Incoming::empty() } else { Incoming::new(self.link.clone(), id) };
        Ok(Some(Opened { id, request: request.map(|()| body) }))
    }

    /// Headers after a body: nobody reads them, but they end it.
    fn trailers(&mut self, id: u32, ends: bool, block: &Block) -> Result<(), Fault> {
        let mut state = self.link.lock();
        let Some(stream) = state.streams.get_mut(id) else {
            return if state.is_abandoned(id) { Ok(()) } else { Err(self.reopened()) };
        };
        if !stream.inbox.open {
            return Err(Fault::Stream(id, Code::StreamClosed));
        }
        if !ends || !block.is_trailer() || stream.inbox.is_unexpected(0, true) {
            return Err(Fault::Stream(id, Code::Protocol));
        }
        let reader = stream.inbox.put(&[], true);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The peer opens a stream that has ended, or whose number it left out: it may have left some out if there were fewer
    /// than the numbers allow.
    fn reopened(&self) -> Fault {
        if self.opened == self.last.div_ceil(2) {
            Fault::connection(Code::StreamClosed, "a stream that has ended is opened again")
        } else {
            Fault::connection(Code::Protocol, "the numbers of streams do not grow")
        }
    }

    /// More headers than are taken.
    fn refuse(&mut self, id: u32, ends: bool) {
        let mut state = self.link.lock();
        let head = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &HeaderMap::new(), self.clock.now());
        state.headers(id, head, true);
        if !ends {
            state.output.push(&frame::reset(id, Code::None));
        }
        state.wake();
    }

    fn reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        frame::number(payload)?;
        let id = self.known(head)?;
        self.link.lock().taken_back(id)
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::connection(Code::Protocol, "settings of a stream"));
        }
        let agreed = head.has(flag::ACK);
        if !payload.len().is_multiple_of(6) || (agreed && !payload.is_empty()) {
            return Err(Fault::connection(Code::FrameSize, "settings of a size that they cannot have"));
        }
        if agreed {
            return Ok(());
        }
        self.has_begun = true;
        let mut state = self.link.lock();
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            state.set(name, value)?;
        }
        state.output.push(&frame::settings(&[], flag::ACK));
        state.wake();
        Ok(())
    }

    fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::connection(Code::Protocol, "a ping of a stream"));
        }
        let payload = payload.try_into();
        let payload =
            payload.map_err(|_| Fault::connection(Code::FrameSize, "a ping that is not 8 bytes long"))?;
        if head.has(flag::ACK) {
            self.pongs += 1;
            return Ok(());
        }
        let mut state = self.link.lock();
        state.output.push(&frame::ping(payload, flag::ACK));
        state.wake();
        Ok(())
    }

    fn go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::connection(Code::Protocol, "a stream that goes away"));
        }
        if payload.len() < 8 {
            return Err(Fault::connection(Code::FrameSize, "a goodbye that is too short"));
        }
        self.is_left = true;
        Ok(())
    }

    fn window(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let more = frame::number(payload)? & 0x7fff_ffff;
        if head.stream != 0 {
            self.known(head)?;
        }
        self.link.lock().widen(head.stream, more)
    }
}

impl crate::streams::Inbox {
    /// Whether so many bytes more, or the end, contradict what was told of the body's length.
    fn is_unexpected(&self, more: usize, ends: bool) -> bool {
        let Some(expected) = self.expected else { return false };
        match expected.checked_sub(more as u64) {
            Some(left) => ends && left > 0,
            None => true,
        }
    }

    /// Takes a piece in; who waits for it.
    fn put(&mut self, content: &[u8], ends: bool) -> Option<Waker> {
        if let Some(expected) = &mut self.expected {
            *expected = expected.saturating_sub(content.len() as u64);
        }
        if !content.is_empty() && !self.unwanted {
            self.pieces.push_back(Bytes::copy_from_slice(content));
        }
        self.open &= !ends;
        self.reader.take()
    }
}

/// Priorities are read and not followed, as the protocol's second edition has it.
fn priority(head: Head, payload: &[u8]) -> Result<(), Fault> {
    if head.stream == 0 {
        return Err(Fault::connection(Code::Protocol, "a priority of the connection"));
    }
    if payload.len() != 5 {
        return Err(Fault::Stream(head.stream, Code::FrameSize));
    }
    if depends_on_itself(head.stream, payload) {
        return Err(Fault::Stream(head.stream, Code::Protocol));
    }
    Ok(())
}

fn depends_on_itself(stream: u32, priority: &[u8]) -> bool {
    let on = priority.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff);
    on == Some(stream)
}

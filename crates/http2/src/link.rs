//! What the tasks of one connection share: its streams, its windows, and what waits to be sent. The connection's own task
//! reads and writes the socket; the tasks of streams put their answers here, and the bodies of requests take theirs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use env::WallTime;
use http::{HeaderMap, StatusCode};

use crate::date;
use crate::fault::{Code, Fault};
use crate::frame::{self, HEAD, Head, LONGEST, WIDEST, flag, kind};
use crate::hpack::Encoder;
use crate::output::{Output, Part, Rooms};
use crate::streams::{Inbox, Stream, Streams};

/// How many bytes of answers wait to be sent at a time; beyond it streams wait.
pub const BACKLOG: usize = 128 * 1024;
/// How many bytes wait when nothing more is read from the peer: it asks for more than it takes.
const CHOKED: usize = 4 * BACKLOG;
/// How many requests may be taken back before their answer begins, one after the other.
const TAKEN_BACK: u32 = 1_000;

/// How many streams are known that we broke off: what is on its way for them is no fault of the peer's.
const ABANDONED: usize = 64;

/// The stream is gone: the peer took it back, or the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What the tasks of one connection share.
#[derive(Debug)]
pub struct Link {
    state: Mutex<State>,
}

#[derive(Debug)]
pub struct State {
    pub output: Output,
    pub streams: Streams,
    encoder: Encoder,
    /// How many bytes the peer takes, of all streams together.
    window: i64,
    /// How many bytes it takes of a new stream.
    first_window: i64,
    /// How many bytes of bodies may come, of all streams together.
    incoming: i64,
    /// How many were read that the peer was not told of.
    owed: u32,
    /// How many may come before the peer must be told.
    allowance: u32,
    /// Streams that wait for room.
    waiting: VecDeque<u32>,
    /// Streams that we broke off, the newest last.
    abandoned: VecDeque<u32>,
    /// Tasks that answer: they may outlive their stream by a moment.
    pub running: u32,
    taken_back: u32,
    /// Who sends.
    driver: Option<Waker>,
    woken: bool,
}

impl Link {
    /// A new connection: `allowance` bytes of bodies may come before the first of them is read.
    pub fn new(rooms: Rooms, allowance: u32) -> Arc<Link> {
        let state = State {
            output: Output::new(rooms),
            streams: Streams::default(),
            encoder: Encoder::new(),
            window: 65_535,
            first_window: 65_535,
            incoming: i64::from(allowance),
            owed: 0,
            allowance,
            waiting: VecDeque::new(),
            abandoned: VecDeque::new(),
            running: 0,
            taken_back: 0,
            driver: None,
            woken: false,
        };
        Arc::new(Link { state: Mutex::new(state) })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an answer and, as far as there is room, sends its body, if there is one that is known as a whole. What is
    /// left of it stays in `body`.
    pub fn answer(
        &self,
        id: u32,
        head: (StatusCode, &HeaderMap, WallTime),
        body: Option<&mut Bytes>,
    ) -> Result<(), Gone> {
        let mut state = self.lock();
        let stream = state.streams.get_mut(id).ok_or(Gone)?;
        stream.answered = true;
        state.taken_back = state.taken_back.saturating_sub(1);
        let ends = body.as_ref().is_some_and(|body| body.is_empty());
        state.headers(id, head, ends);
        match body {
            Some(_) if ends => state.answered(id),
            Some(body) => state.data(id, body, true),
            None => {}
        }
        state.wake();
        Ok(())
    }

    /// Whether a stream may send something.
    pub fn poll_ready(&self, context: &mut Context<'_>, id: u32) -> Poll<Result<(), Gone>> {
        let mut state = self.lock();
        let has_room = state.window > 0 && state.output.length() < BACKLOG;
        let Some(stream) = state.streams.get_mut(id) else { return Poll::Ready(Err(Gone)) };
        if stream.window > 0 && has_room {
            return Poll::Ready(Ok(()));
        }
        stream.sender = Some(context.waker().clone());
        if stream.window > 0 && !stream.queued {
            stream.queued = true;
            state.waiting.push_back(id);
        }
        Poll::Pending
    }

    /// Sends as much of a body as there is room for; what is left stays in `body`. Whether there is room for more.
    pub fn send(&self, id: u32, body: &mut Bytes, last: bool) -> Result<bool, Gone> {
        let mut state = self.lock();
        state.streams.get_mut(id).ok_or(Gone)?;
        state.data(id, body, last);
        state.wake();
        let has_room = state.window > 0 && state.output.length() < BACKLOG;
        Ok(has_room && state.streams.get_mut(id).is_some_and(|stream| stream.window > 0))
    }

    /// Breaks a stream off.
    pub fn reset(&self, id: u32, code: Code) {
        let mut state = self.lock();
        if state.reset(id, code) {
            state.wake();
        }
    }

    /// Ends all streams.
    pub fn end(&self) {
        let mut state = self.lock();
        state.waiting = VecDeque::new();
        let streams = state.streams.take();
        drop(state);
        streams.for_each(|stream| release(*stream));
    }

    /// Everything that waits to be sent; `None` if there is something and it may not go out now. Who asks is woken when
    /// there is more.
    pub fn take_output(&self, context: &Context<'_>, may_go: bool) -> Option<VecDeque<Part>> {
        let mut state = self.lock();
        state.woken = false;
        if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
            state.driver = Some(context.waker().clone());
        }
        if state.output.length() == 0 {
            return Some(VecDeque::new());
        }
        if !may_go {
            return None;
        }
        let parts = state.output.take();
        state.wake_waiting();
        Some(parts)
    }

    /// Whether no stream is open and nothing waits to be sent.
    pub fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.streams.is_empty() && state.output.length() == 0
    }

    /// Whether the peer asks for more than it takes.
    pub fn is_choked(&self) -> bool {
        self.lock().output.length() > CHOKED
    }
}

/// Ends the task of a stream, and tells whoever reads its body.
pub fn release(stream: Stream) {
    if let Some(task) = &stream.task {
        task.abort();
    }
    if let Some(reader) = stream.inbox.reader {
        reader.wake();
    }
}

impl State {
    /// A stream that the peer opens.
    pub fn open(&mut self, id: u32, open: bool, expected: Option<u64>) {
        let inbox = Inbox {
            pieces: VecDeque::new(),
            open,
            window: i64::from(self.allowance),
            owed: 0,
            expected,
            unwanted: false,
            reader: None,
        };
        let window = self.first_window;
        let stream = Stream { window, sender: None, queued: false, answered: false, inbox, task: None };
        self.streams.push(id, stream);
        self.running += 1;
    }

    /// Lets the connection's task send.
    pub fn wake(&mut self) {
        if !self.woken
            && let Some(driver) = &self.driver
        {
            self.woken = true;
            driver.wake_by_ref();
        }
    }

    /// Adds the headers of an answer.
    pub fn headers(
        &mut self,
        id: u32,
        (status, headers, now): (StatusCode, &HeaderMap, WallTime),
        ends: bool,
    ) {
        let State { output, encoder, .. } = self;
        let end = if ends { flag::END_STREAM } else { 0 };
        output.write(|tail| {
            let begin = tail.len();
            tail.extend_from_slice(&[0; HEAD]);
            encoder.encode(status, headers, tail);
            if !headers.contains_key(http::header::DATE) {
                date::append(now, tail);
            }
            let length = tail.len() - begin - HEAD;
            if length <= LONGEST {
                let head = Head { length, kind: kind::HEADERS, flags: end | flag::END_HEADERS, stream: id };
                tail[begin..begin + HEAD].copy_from_slice(&head.bytes());
            } else {
                let block = tail.split_off(begin + HEAD);
                tail.truncate(begin);
                in_frames(id, &block, end, tail);
            }
        });
    }

    /// Adds as much of a body as windows and room allow.
    fn data(&mut self, id: u32, body: &mut Bytes, last: bool) {
        let State { output, streams, window, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        loop {
            let open = usize::try_from(stream.window.min(*window)).unwrap_or(0);
            let room = BACKLOG.saturating_sub(output.length());
            let length = body.len().min(open).min(LONGEST).min(room);
            if length == 0 && !body.is_empty() {
                return;
            }
            let payload = if length == body.len() { std::mem::take(body) } else { body.split_to(length) };
            let ends = last && body.is_empty();
            let flags = if ends { flag::END_STREAM } else { 0 };
            if length > 0 || ends {
                output.frame(Head { length, kind: kind::DATA, flags, stream: id }, payload);
            }
            stream.window -= length as i64;
            *window -= length as i64;
            if body.is_empty() {
                if ends {
                    self.answered(id);
                }
                return;
            }
        }
    }

    /// The answer was given: what the peer still sends is of no use.
    fn answered(&mut self, id: u32) {
        let Some(mut stream) = self.streams.remove(id) else { return };
        if stream.inbox.open {
            self.tell_reset(id, Code::None);
        }
        self.discard(&mut stream.inbox);
        if let Some(reader) = stream.inbox.reader.take() {
            reader.wake();
        }
    }

    /// Breaks a stream off; whether there was one.
    pub fn reset(&mut self, id: u32, code: Code) -> bool {
        let Some(mut stream) = self.streams.remove(id) else { return false };
        self.tell_reset(id, code);
        self.discard(&mut stream.inbox);
        release(*stream);
        true
    }

    /// The peer took a request back.
    pub fn taken_back(&mut self, id: u32) -> Result<(), Fault> {
        let Some(mut stream) = self.streams.remove(id) else { return Ok(()) };
        self.discard(&mut stream.inbox);
        if !stream.answered {
            self.taken_back += 1;
        }
        release(*stream);
        if self.taken_back > TAKEN_BACK {
            return Err(Fault::connection(Code::EnhanceYourCalm, "too many requests are taken back"));
        }
        Ok(())
    }

    /// The peer did something wrong on a stream.
    pub fn break_off(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        self.tell_reset(id, code);
        self.wake();
        self.taken_back(id)
    }

    fn tell_reset(&mut self, id: u32, code: Code) {
        self.output.push(&frame::reset(id, code));
        if self.abandoned.len() == ABANDONED {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(id);
    }

    /// Whether the peer may not know yet that this stream is no more.
    pub fn is_abandoned(&self, id: u32) -> bool {
        self.abandoned.contains(&id)
    }

    /// Whether the peer may send so many bytes more.
    pub fn expect(&mut self, bytes: usize) -> Result<(), Fault> {
        self.incoming -= bytes as i64;
        if self.incoming < 0 {
            return Err(Fault::connection(Code::FlowControl, "more data than the connection's window"));
        }
        Ok(())
    }

    /// So many bytes of bodies are done with: the peer may send as many again, of which it is told now and then.
    pub fn credit(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.owed >= self.allowance / 2 {
            self.incoming += i64::from(self.owed);
            self.output.push(&frame::more_window(0, std::mem::take(&mut self.owed)));
            self.wake();
        }
    }

    /// The same for one stream.
    pub fn credit_stream(&mut self, id: u32, bytes: usize) {
        let allowance = self.allowance;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let inbox = &mut stream.inbox;
        inbox.owed = inbox.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if inbox.open && inbox.owed >= allowance / 2 {
            inbox.window += i64::from(inbox.owed);
            let owed = std::mem::take(&mut inbox.owed);
            self.output.push(&frame::more_window(id, owed));
            self.wake();
        }
    }

    /// Drops what nobody will read.
    pub fn discard(&mut self, inbox: &mut Inbox) {
        let left: usize = std::mem::take(&mut inbox.pieces).iter().map(Bytes::len).sum();
        if left > 0 {
            self.credit(left);
        }
    }

    /// The peer takes more.
    pub fn widen(&mut self, id: u32, bytes: u32) -> Result<(), Fault> {
        if id == 0 {
            if bytes == 0 {
                return Err(Fault::connection(Code::Protocol, "a window that grows by nothing"));
            }
            self.window += i64::from(bytes);
            if self.window > WIDEST {
                return Err(Fault::connection(Code::FlowControl, "a window that is too wide"));
            }
            self.wake_waiting();
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        if bytes == 0 {
            return Err(Fault::Stream(id, Code::Protocol));
        }
        stream.window += i64::from(bytes);
        if stream.window > WIDEST {
            return Err(Fault::Stream(id, Code::FlowControl));
        }
        if stream.window > 0
            && let Some(sender) = stream.sender.take()
        {
            sender.wake();
        }
        Ok(())
    }

    /// The peer's settings, one of them.
    pub fn set(&mut self, name: u16, value: u32) -> Result<(), Fault> {
        use frame::setting;
        match name {
            setting::HEADER_TABLE_SIZE => self.encoder.set_table_size(value),
            setting::ENABLE_PUSH if value > 1 => {
                return Err(Fault::connection(Code::Protocol, "a setting that is neither on nor off"));
            }
            setting::INITIAL_WINDOW_SIZE => return self.set_first_window(i64::from(value)),
            setting::MAX_FRAME_SIZE => {
                let size = usize::try_from(value).unwrap_or(usize::MAX);
                if !(LONGEST..1 << 24).contains(&size) {
                    return Err(Fault::connection(Code::Protocol, "a size of frames out of range"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn set_first_window(&mut self, size: i64) -> Result<(), Fault> {
        if size > WIDEST {
            return Err(Fault::connection(Code::FlowControl, "a window that is too wide"));
        }
        let more = size - self.first_window;
        self.first_window = size;
        for (_, stream) in self.streams.iter_mut() {
            stream.window += more;
            if stream.window > WIDEST {
                return Err(Fault::connection(Code::FlowControl, "a window that is too wide"));
            }
            if stream.window > 0
                && let Some(sender) = stream.sender.take()
            {
                sender.wake();
            }
        }
        Ok(())
    }

    fn wake_waiting(&mut self) {
        if self.window <= 0 {
            return;
        }
        for id in std::mem::take(&mut self.waiting) {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.queued = false;
            if let Some(sender) = stream.sender.take() {
                sender.wake();
            }
        }
    }
}

/// A block of headers that is longer than a frame may be.
fn in_frames(stream: u32, block: &[u8], end: u8, out: &mut Vec<u8>) {
    let mut parts = block.chunks(LONGEST).peekable();
    let (mut kind, mut flags) = (kind::HEADERS, end);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        out.extend_from_slice(&Head { length: part.len(), kind, flags, stream }.bytes());
        out.extend_from_slice(part);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
}

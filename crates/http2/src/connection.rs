//! The task of a connection: reads frames, lets requests be answered, and sends what their tasks have put on the link.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answer::Pending;
use crate::body::Incoming;
use crate::fault::{Code, Error, Fault};
use crate::frame::{self, HEAD, Head, LONGEST, PREFACE, setting};
use crate::link::Link;
use crate::output::Sending;
use crate::receive::{Opened, Receiver};
use crate::server::Shared;

/// What is read at a time: more than the longest frame, so that there is always room behind the beginning of one.
pub const INPUT: usize = 2 * 16 * 1024 + 64;
/// How many pieces are sent in one call.
const SLICES: usize = 64;
/// How long the last words of a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What we ask when we want to know whether the peer lives.
const ALIVE: [u8; 8] = *b"alive?  ";
/// The highest number a stream may have.
const ANY_STREAM: u32 = 0x7fff_ffff;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes new streams.
    Open,
    /// The peer was told to open no more, which it may not have read yet: it will have when it answers a ping.
    Leaving { pongs: u32 },
    /// Answers what was opened.
    Draining,
}

/// A connection.
pub struct Connection<S, A> {
    io: S,
    shared: Arc<Shared>,
    link: Arc<Link>,
    receiver: Receiver,
    answer: A,
    phase: Phase,
    /// How much of the preface is still to come.
    preface: &'static [u8],
    /// The beginning of a frame that has not come as a whole.
    rest: Vec<u8>,
    sending: Sending,
    /// Whether what was written must still be flushed.
    unflushed: bool,
    /// Whether others had their turn since there is something to send: what they add goes out with it.
    waited: bool,
    /// Whether nothing is read before more is sent.
    choked: bool,
    /// Whether the peer has said anything since the timer was set, and whether it was asked to.
    heard: bool,
    asked: bool,
    timer: Waiting,
    stopping: Waiting,
}

impl<S, A, F, B> Connection<S, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    pub fn new(io: S, shared: Arc<Shared>, answer: A) -> Connection<S, A> {
        let limits = shared.config.limits;
        let link = Link::new(shared.rooms.clone(), limits.unread);
        let mut state = link.lock();
        state.output.push(&frame::settings(
            &[
                (setting::MAX_CONCURRENT_STREAMS, limits.streams),
                (setting::INITIAL_WINDOW_SIZE, limits.unread),
                (setting::MAX_HEADER_LIST_SIZE, limits.headers),
            ],
            0,
        ));
        // The connection's window has no setting; the protocol's first size is 65,535.
        state.output.push(&frame::more_window(0, limits.unread.saturating_sub(65_535).max(1)));
        drop(state);
        Connection {
            io,
            receiver: Receiver::new(link.clone(), limits, shared.clock.clone()),
            link,
            answer,
            phase: Phase::Open,
            preface: PREFACE,
            rest: Vec::new(),
            sending: Sending::default(),
            unflushed: false,
            waited: true,
            choked: false,
            heard: false,
            asked: false,
            timer: shared.sleep(shared.config.preface),
            stopping: shared.tasks.stopping(),
            shared,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self) -> Result<(), Error> {
        let ended = poll_fn(|context| self.poll(context)).await;
        self.link.end();
        if let Err(Error::Violated { code, .. }) = &ended {
            let last = self.receiver.last;
            self.link.lock().output.push(&frame::go_away(last, *code));
        }
        let clock = self.shared.clock.clone();
        let last_words = async {
            self.waited = true;
            poll_fn(|context| self.poll_send(context)).await?;
            poll_fn(|context| Pin::new(&mut self.io).poll_shutdown(context)).await
        };
        // Whoever does not listen any more need not be told.
        if !matches!(ended, Err(Error::Io(_))) {
            let _ = clock.timeout(LAST_WORDS, last_words).await;
        }
        ended
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.phase == Phase::Open && self.stopping.as_mut().poll(context).is_ready() {
            self.leave();
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if self.phase != Phase::Open {
                // What is still open by now has had its time.
                return Poll::Ready(Ok(()));
            }
            self.rang()?;
        }
        loop {
            let received = self.poll_receive(context)?;
            self.drain();
            let sent = self.poll_send(context)?;
            if received.is_ready() || (self.is_done() && sent.is_ready()) {
                return Poll::Ready(Ok(()));
            }
            // What could not be read for all that waited to be sent is read as soon as that is gone.
            if !self.choked || sent.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Asks the peer to open no more streams.
    fn leave(&mut self) {
        self.phase = Phase::Leaving { pongs: self.receiver.pongs };
        self.timer = self.shared.sleep(self.shared.config.drain);
        let mut state = self.link.lock();
        state.output.push(&frame::go_away(ANY_STREAM, Code::None));
        state.output.push(&frame::ping(ALIVE, 0));
    }

    /// What the peer opens after it has read that, nobody looks at.
    fn drain(&mut self) {
        if matches!(self.phase, Phase::Leaving { pongs } if pongs != self.receiver.pongs) {
            self.phase = Phase::Draining;
            self.receiver.is_closed = true;
            self.link.lock().output.push(&frame::go_away(self.receiver.last, Code::None));
        }
    }

    fn is_done(&self) -> bool {
        (self.receiver.is_left || self.phase == Phase::Draining)
            && self.sending.is_empty()
            && self.link.is_quiet()
    }

    /// Whether the peer lives is asked when it has said nothing for a while.
    fn rang(&mut self) -> Result<(), Error> {
        if !self.receiver.has_begun || (self.asked && !self.heard) {
            return Err(Error::Silent);
        }
        self.asked = !self.heard;
        self.heard = false;
        if self.asked {
            self.link.lock().output.push(&frame::ping(ALIVE, 0));
        }
        self.timer = self.shared.sleep(self.shared.config.ping);
        Ok(())
    }

    /// Reads and takes what has come; ready when the peer says no more.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.choked = self.link.is_choked();
            if self.choked {
                return Poll::Pending;
            }
            let mut room = self.shared.inputs.take();
            room.resize(INPUT, 0);
            let polled = self.poll_read(context, &mut room);
            let taken = match &polled {
                Poll::Ready(Ok(length)) => self.read(&room[..*length]),
                Poll::Ready(Err(_)) | Poll::Pending => Ok(()),
            };
            self.shared.inputs.give_back(room);
            taken?;
            if ready!(polled)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads behind what is left of the time before; how much there is then, or nothing at the end.
    fn poll_read(&mut self, context: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let kept = self.rest.len();
        let mut buffer = ReadBuf::new(&mut room[kept..]);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
        let length = buffer.filled().len();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        room[..kept].copy_from_slice(&self.rest);
        Poll::Ready(Ok(kept + length))
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.rest = Vec::new();
        self.heard = true;
        let mut bytes = self.read_preface(bytes)?;
        while let Some(head) = Head::read(bytes) {
            if head.length > LONGEST {
                let why = "a frame that is longer than was agreed";
                return Err(Error::Violated { code: Code::FrameSize, why });
            }
            let Some(payload) = bytes.get(HEAD..HEAD + head.length) else { break };
            self.take(head, payload)?;
            bytes = &bytes[HEAD + head.length..];
        }
        self.rest = bytes.to_vec();
        Ok(())
    }

    fn read_preface<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let length = bytes.len().min(self.preface.len());
        let (said, rest) = bytes.split_at(length);
        let (expected, missing) = self.preface.split_at(length);
        if said != expected {
            return Err(Error::Violated { code: Code::Protocol, why: "it does not begin as HTTP/2 does" });
        }
        self.preface = missing;
        Ok(rest)
    }

    fn take(&mut self, head: Head, payload: &[u8]) -> Result<(), Error> {
        let taken = match self.receiver.take(head, payload) {
            Ok(None) => Ok(()),
            Ok(Some(opened)) => {
                self.open(opened);
                Ok(())
            }
            Err(Fault::Stream(id, code)) => self.link.lock().break_off(id, code),
            Err(fault) => Err(fault),
        };
        taken.map_err(|fault| match fault {
            Fault::Connection(code, why) => Error::Violated { code, why },
            Fault::Stream(_, code) => Error::Violated { code, why: "a stream" },
        })
    }

    fn open(&mut self, Opened { id, request }: Opened) {
        let headers_only = request.method() == Method::HEAD;
        let pending = Pending { link: self.link.clone(), id, clock: self.shared.clock.clone(), headers_only };
        let task = self.shared.tasks.spawn_part(pending.run((self.answer)(request)));
        // It may have given its answer already.
        if let Some(stream) = self.link.lock().streams.get_mut(id) {
            stream.task = Some(task);
        }
    }

    /// Sends what there is; ready when nothing is left.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sending.is_empty() {
                let ready = self.link.take_output(context, self.waited);
                let Some(parts) = ready else {
                    // A place at the end of the queue: what others add before goes out with it.
                    self.waited = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.sending = Sending::new(parts);
            }
            if self.sending.is_empty() {
                break;
            }
            ready!(self.poll_write(context))?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.unflushed = false;
        }
        self.waited = false;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sending.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.sending.fill(&mut slices);
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(context, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.sending.advance(written, &self.shared.rooms);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;

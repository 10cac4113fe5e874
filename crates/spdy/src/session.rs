//! A connection with its streams: who opens one, who takes it, and the bytes each way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::frame::{Decoder, Encoder, Frame, FrameError};
use crate::headers::Headers;

/// Streams that may be open at once: two for each connection to a port.
const MOST_STREAMS: usize = 4_096;
/// Offers that may wait to be taken.
const OFFERS: usize = 16;
/// Pieces of a stream that may wait to be read; then the whole connection waits.
const PIECES: usize = 16;
/// Frames that may wait to be sent; then whoever sends waits.
const FRAMES: usize = 16;
/// What is sent in one frame, and read at once.
const PIECE: usize = 32 << 10;

/// Why a stream is refused, as numbers of the protocol.
const PROTOCOL_ERROR: u32 = 1;
const REFUSED: u32 = 3;
const CANCEL: u32 = 5;

/// Why a connection ended that did not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It broke.
    #[error("the connection broke")]
    Connection(#[from] std::io::Error),
    /// What came makes no sense.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connected: its streams have odd numbers.
    Client,
    /// The one that was connected to.
    Server,
}

#[derive(Debug)]
enum Command {
    Send(Frame),
    /// Of the streams of the other side this was the last.
    Close(u32),
}

/// A piece of a stream; `None` is its end.
type Piece = Option<Bytes>;

#[derive(Debug)]
struct Shared {
    side: Side,
    state: Mutex<State>,
    commands: mpsc::Sender<Command>,
}

#[derive(Debug, Default)]
struct State {
    /// The last stream that each side opened.
    ours: u32,
    theirs: u32,
    incoming: BTreeMap<u32, mpsc::Sender<Piece>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, frame: Frame) -> bool {
        self.commands.send(Command::Send(frame)).await.is_ok()
    }

    fn stream(self: &Arc<Self>, number: u32, headers: Headers, pieces: mpsc::Receiver<Piece>) -> Stream {
        Stream {
            headers,
            reader: Reader { pieces, finished: false },
            writer: Writer { number, shared: self.clone() },
        }
    }
}

/// A connection. When it is dropped the connection ends at once.
#[derive(Debug)]
pub struct Session {
    offers: mpsc::Receiver<Offer>,
    shared: Arc<Shared>,
}

impl Session {
    /// Speaks SPDY over `connection`. The second value does the work, until the other side hangs up or the session is
    /// dropped; it must be polled all the time.
    pub fn start<C>(
        connection: C,
        side: Side,
    ) -> (Session, impl Future<Output = Result<(), SessionError>> + Send)
    where
        C: AsyncRead + AsyncWrite + Send,
    {
        let (commands, to_send) = mpsc::channel(FRAMES);
        let (offer, offers) = mpsc::channel(OFFERS);
        let shared = Arc::new(Shared { side, state: Mutex::default(), commands });
        let session = Session { offers, shared: shared.clone() };
        let work = async move {
            let (read, write) = tokio::io::split(connection);
            let dropped = offer.clone();
            let result = tokio::select! {
                biased;
                () = dropped.closed() => Ok(()),
                result = receive(read, &shared, &offer) => result,
                Err(error) = send(write, to_send) => Err(error),
            };
            // Whoever reads learns that nothing more comes.
            shared.state().incoming.clear();
            result
        };
        (session, work)
    }

    /// The next stream that the other side wants to open; `None` if it is gone.
    pub async fn offered(&mut self) -> Option<Offer> {
        self.offers.recv().await
    }

    /// Opens a stream. Whether it is accepted shows when it is read.
    pub async fn open(&self, headers: Headers) -> Option<Stream> {
        let (sender, pieces) = mpsc::channel(PIECES);
        let number = {
            let mut state = self.shared.state();
            state.ours = match (state.ours, self.shared.side) {
                (0, Side::Client) => 1,
                (last, _) => last.checked_add(2)?,
            };
            let number = state.ours;
            state.incoming.insert(number, sender);
            number
        };
        let opened = self.shared.send(Frame::Open { stream: number, headers: headers.clone(), fin: false });
        opened.await.then(|| self.shared.stream(number, headers, pieces))
    }

    /// Says that everything was said. What was sent before still arrives; wait for the other side with
    /// [`Session::offered`], and then drop the session.
    pub async fn close(&self) {
        // If nobody takes the command, the connection has ended already.
        let last = self.shared.state().theirs;
        let _ = self.shared.commands.send(Command::Close(last)).await;
    }
}

/// A stream that the other side wants to open.
#[derive(Debug)]
pub struct Offer(Stream);

impl Offer {
    /// Its number: odd if the client opened it.
    pub fn number(&self) -> u32 {
        self.0.writer.number
    }

    /// What it is for.
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// Takes it.
    pub async fn accept(self) -> Stream {
        let Offer(stream) = self;
        let reply = Frame::Reply { stream: stream.writer.number, headers: Headers::default(), fin: false };
        // If the connection has ended, reading tells.
        stream.writer.shared.send(reply).await;
        stream
    }

    /// Does not take it.
    pub async fn refuse(self) {
        self.0.writer.reset_with(REFUSED).await;
    }
}

/// A stream of bytes each way.
#[derive(Debug)]
pub struct Stream {
    /// What it was opened for.
    pub headers: Headers,
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
}

/// The end of a stream that is read.
#[derive(Debug)]
pub struct Reader {
    pieces: mpsc::Receiver<Piece>,
    finished: bool,
}

impl Reader {
    /// The next bytes; `None` when nothing more comes.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.finished {
            return None;
        }
        match self.pieces.recv().await? {
            Some(bytes) => Some(bytes),
            None => {
                self.finished = true;
                None
            }
        }
    }

    /// Whether the other side said that this was all, instead of breaking off.
    pub fn finished(&self) -> bool {
        self.finished
    }
}

/// The end of a stream that is written.
#[derive(Debug)]
pub struct Writer {
    number: u32,
    shared: Arc<Shared>,
}

impl Writer {
    /// Sends bytes. Answers whether the connection is still there.
    pub async fn send(&self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE) {
            if !self.data(Bytes::copy_from_slice(piece), false).await {
                return false;
            }
        }
        true
    }

    /// Says that this was all.
    pub async fn finish(&self) -> bool {
        self.data(Bytes::new(), true).await
    }

    /// Breaks the stream off, both ways.
    pub async fn reset(&self) {
        self.reset_with(CANCEL).await;
    }

    async fn data(&self, bytes: Bytes, fin: bool) -> bool {
        self.shared.send(Frame::Data { stream: self.number, bytes, fin }).await
    }

    async fn reset_with(&self, status: u32) {
        self.shared.state().incoming.remove(&self.number);
        self.shared.send(Frame::Reset { stream: self.number, status }).await;
    }
}

async fn receive(
    mut connection: impl AsyncRead + Unpin,
    shared: &Arc<Shared>,
    offer: &mpsc::Sender<Offer>,
) -> Result<(), SessionError> {
    let (mut decoder, mut bytes) = (Decoder::default(), BytesMut::new());
    loop {
        while let Some(frame) = decoder.decode(&mut bytes)? {
            take(frame, shared, offer).await;
        }
        bytes.reserve(PIECE);
        if connection.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

async fn take(frame: Frame, shared: &Arc<Shared>, offer: &mpsc::Sender<Offer>) {
    match frame {
        Frame::Open { stream, headers, fin } => match opened(shared, stream, fin) {
            // If nobody waits for offers, the session is gone, and all ends.
            Ok(pieces) => {
                let _ = offer.send(Offer(shared.stream(stream, headers, pieces))).await;
            }
            Err(status) => {
                shared.send(Frame::Reset { stream, status }).await;
            }
        },
        Frame::Data { stream, bytes, fin } => {
            let incoming = shared.state().incoming.get(&stream).cloned();
            // A stream that was broken off may still be sent to.
            let Some(incoming) = incoming else { return };
            let heard = bytes.is_empty() || incoming.send(Some(bytes)).await.is_ok();
            if fin || !heard {
                shared.state().incoming.remove(&stream);
            }
            if fin {
                // Nobody may be reading any more.
                let _ = incoming.send(None).await;
            }
        }
        Frame::Reply { stream, fin: true, .. } => end(shared, stream).await,
        Frame::Reset { stream, .. } => {
            shared.state().incoming.remove(&stream);
        }
        // Only the other side's numbers are sent back: ours would be answers.
        Frame::Ping(number) if (number % 2 == 1) == (shared.side == Side::Server) => {
            shared.send(Frame::Ping(number)).await;
        }
        Frame::Reply { .. } | Frame::Ping(_) | Frame::GoAway { .. } => {}
    }
}

async fn end(shared: &Shared, stream: u32) {
    let incoming = shared.state().incoming.remove(&stream);
    if let Some(incoming) = incoming {
        let _ = incoming.send(None).await;
    }
}

/// Makes room for a stream of the other side's; or answers why it cannot be.
fn opened(shared: &Shared, stream: u32, fin: bool) -> Result<mpsc::Receiver<Piece>, u32> {
    let mut state = shared.state();
    let theirs = (stream % 2 == 1) == (shared.side == Side::Server);
    if !theirs || stream <= state.theirs {
        return Err(PROTOCOL_ERROR);
    }
    if state.incoming.len() >= MOST_STREAMS {
        return Err(REFUSED);
    }
    state.theirs = stream;
    let (sender, pieces) = mpsc::channel(PIECES);
    if fin {
        sender.try_send(None).expect("a new channel has room");
    } else {
        state.incoming.insert(stream, sender);
    }
    Ok(pieces)
}

/// Sends until told to close, and then never ends: the other side has the last word.
async fn send(
    mut connection: impl AsyncWrite + Unpin,
    mut commands: mpsc::Receiver<Command>,
) -> Result<(), SessionError> {
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    let mut open = true;
    while open {
        let mut next = commands.recv().await;
        // What waits goes with it.
        loop {
            match next {
                Some(Command::Send(frame)) => encoder.encode(&frame, &mut bytes),
                Some(Command::Close(last)) => {
                    encoder.encode(&Frame::GoAway { last, status: 0 }, &mut bytes);
                    open = false;
                    break;
                }
                None => {
                    open = false;
                    break;
                }
            }
            match commands.try_recv() {
                Ok(command) => next = Some(command),
                Err(_) => break,
            }
        }
        connection.write_all(&bytes).await?;
        connection.flush().await?;
        bytes.clear();
    }
    connection.shutdown().await?;
    std::future::pending().await
}

#[cfg(test)]
mod tests;

//! The engine's end of a shim's socket: requests that are answered, and news that comes unasked.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::protocol::{Answer, Failure, Inbox, Message, Request, encode};
use crate::state::SOCKET;
use crate::sys::{reactor, socket};

type Reply = (Answer, Vec<OwnedFd>);

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct Link {
    socket: AsyncFd<OwnedFd>,
    /// Frames must not mix.
    sending: tokio::sync::Mutex<()>,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    closed: bool,
}

/// What comes unasked.
#[derive(Debug)]
pub(crate) enum News {
    // Small, because its channel has room for many from the beginning.
    Told(Box<Answer>),
    /// The shim closed the connection. (That the news end without this means that the engine does.)
    Closed,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the pod's shim is gone")]
    Gone,
    #[error("{}", .0.text)]
    Failed(Failure),
    #[error("the request cannot be sent: {0}")]
    Send(io::Error),
}

impl Link {
    /// Connects to the shim of the sandbox in `directory`. What it tells unasked goes to `news`, which ends with it.
    pub fn connect(
        directory: &Path,
        tasks: &env::Tasks,
        news: mpsc::UnboundedSender<News>,
    ) -> io::Result<Arc<Link>> {
        // By way of a descriptor, because a socket's path may have 108 bytes only.
        let opened = std::fs::File::open(directory)?;
        let socket = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
        socket.set_nonblocking(true)?;
        let link = Arc::new(Link {
            socket: reactor::watch(socket)?,
            sending: tokio::sync::Mutex::new(()),
            next: AtomicU64::new(1),
            waiting: Mutex::new(Waiting::default()),
        });
        let reader = link.clone();
        tasks.spawn("shim link", async move { reader.read(&news).await });
        Ok(link)
    }

    /// Asks and waits for the answer.
    pub async fn call(&self, request: Request) -> Result<Answer, LinkError> {
        self.call_with(request, &[]).await.map(|(answer, _)| answer)
    }

    /// Asks, handing descriptors over, and waits for the answer and its descriptors.
    pub async fn call_with(
        &self,
        request: Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, LinkError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = encode(&Message { number, body: request }, descriptors.len()).map_err(LinkError::Send)?;
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.closed {
                return Err(LinkError::Gone);
            }
            waiting.replies.insert(number, sender);
        }
        let sent = self.send(&frame, descriptors).await;
        if sent.is_err() {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).replies.remove(&number);
            return Err(LinkError::Gone);
        }
        match receiver.await {
            Ok((Answer::Failed(failure), _)) => Err(LinkError::Failed(failure)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(LinkError::Gone),
        }
    }

    async fn send(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let _sending = self.sending.lock().await;
        let (mut sent, mut descriptors) = (0, descriptors);
        while sent < frame.len() {
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| socket::send(socket.as_fd(), &frame[sent..], descriptors)) {
                Ok(count) => {
                    sent += count?;
                    descriptors = &[];
                }
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    async fn read(&self, news: &mpsc::UnboundedSender<News>) {
        let mut inbox = Inbox::default();
        loop {
            let Ok(mut ready) = self.socket.readable().await else { break };
            // Not kept while nothing comes: there is one of us for each pod.
            let mut buffer = [0; 4096];
            match ready.try_io(|socket| socket::receive(socket.as_fd(), &mut buffer, &mut inbox.descriptors))
            {
                Ok(Ok(count)) if count > 0 => inbox.bytes.extend_from_slice(&buffer[..count]),
                Ok(_) => break,
                Err(_would_block) => continue,
            }
            if !self.deliver(&mut inbox, news) {
                break;
            }
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        waiting.replies.clear();
        let _ = news.send(News::Closed);
    }

    /// Hands on what is whole. False when the shim does not speak our language.
    fn deliver(&self, inbox: &mut Inbox, news: &mpsc::UnboundedSender<News>) -> bool {
        loop {
            match inbox.next::<Answer>() {
                Ok(Some((Message { number: 0, body }, _))) => {
                    // If nobody listens the engine is ending.
                    let _ = news.send(News::Told(Box::new(body)));
                }
                Ok(Some((message, descriptors))) => {
                    let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(reply) = waiting.replies.remove(&message.number) {
                        // Who asked may have given up.
                        let _ = reply.send((message.body, descriptors));
                    }
                }
                Ok(None) => return true,
                Err(error) => {
                    tracing::error!(%error, "a shim's answer is not understood");
                    return false;
                }
            }
        }
    }
}

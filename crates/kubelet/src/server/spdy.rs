//! Streams over SPDY: the client opens one for each channel, and says with a header which it is.

use std::time::Duration;

use env::Env;
use http::header::HeaderName;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use machinery::{Reason, Status};
use spdy::{Offer, Reader, Session, Side, Writer};

use super::streams::{ERROR, RESIZE, Received, STDERR, STDIN, STDOUT, Wanted};
use super::{Answer, upgrade};

/// In which client and server say what they speak.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// For commands, best first. The first two tell the end as a `Status`, and all but the last two carry sizes of terminals.
pub(super) const OF_COMMANDS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// How long a client may take to open its streams: upstream's limit.
pub(super) const OPENING: Duration = Duration::from_secs(30);
/// The longest word about the size of a terminal.
const MOST_SIZE: usize = 4 << 10;

/// A connection that is about to speak SPDY.
pub(super) struct Pending {
    upgrade: OnUpgrade,
    protocol: &'static str,
}

/// Agrees to the upgrade that a request asks for. The answer must be sent before the connection can be used.
pub(super) fn accept(
    request: Request<Incoming>,
    known: &[&'static str],
) -> Result<(Answer, Pending), Status> {
    let offered = upgrade::listed(request.headers(), &PROTOCOL);
    let found = offered.iter().find_map(|offer| known.iter().find(|name| *name == offer));
    let protocol = match found {
        Some(protocol) => protocol,
        // The oldest clients do not name what they speak.
        None if offered.is_empty() => "",
        None => {
            let (offered, known) = (offered.join(" "), known.join(" "));
            let message = format!(
                "unable to negotiate protocol: client supports [{offered}], server accepts [{known}]"
            );
            return Err(Status::new(403, Reason::Forbidden, message));
        }
    };
    let upgrade = hyper::upgrade::on(request);
    let mut answer = upgrade::switching("SPDY/3.1");
    if !protocol.is_empty() {
        answer.headers_mut().insert(PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok((answer, Pending { upgrade, protocol }))
}

impl Pending {
    /// Waits for the upgrade.
    pub async fn upgraded(self) -> Result<TokioIo<Upgraded>, hyper::Error> {
        Ok(TokioIo::new(self.upgrade.await?))
    }

    /// Whether the end is told as a `Status` in JSON.
    pub fn with_status(&self) -> bool {
        OF_COMMANDS[..2].contains(&self.protocol)
    }

    fn with_sizes(&self) -> bool {
        OF_COMMANDS[..3].contains(&self.protocol)
    }
}

/// Starts to speak SPDY on a connection; the work is done by a task of its own.
pub(super) fn begin<C>(env: &Env, connection: C) -> Session
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let (session, work) = Session::start(connection, Side::Server);
    env.tasks.spawn("SPDY connection", async move {
        if let Err(error) = work.await {
            tracing::debug!("a client's connection ended badly: {error}");
        }
    });
    session
}

/// The streams of a command.
pub(super) struct Channels {
    session: Session,
    stdin: Option<Reader>,
    resize: Option<Reader>,
    /// The beginning of the next size.
    size: Vec<u8>,
    writers: [Option<Writer>; 4],
}

impl Channels {
    /// Waits until the client has opened what it asked for.
    pub async fn open(env: &Env, pending: Pending, wanted: Wanted) -> Result<Channels, String> {
        let with_sizes = wanted.tty && pending.with_sizes();
        let connection = pending.upgraded().await.map_err(|error| error.to_string())?;
        let session = begin(env, connection);
        let mut channels =
            Channels { session, stdin: None, resize: None, size: Vec::new(), writers: Default::default() };
        let expected = 1 + [wanted.stdin, wanted.stdout, wanted.stderr, with_sizes]
            .into_iter()
            .filter(|one| *one)
            .count();
        let opening = async {
            let mut opened = 0;
            while opened < expected {
                let offer = channels.session.offered().await.ok_or("it has gone")?;
                opened += usize::from(channels.take(offer).await);
            }
            Ok(())
        };
        match env.clock.timeout(OPENING, opening).await {
            Some(Ok(())) => Ok(channels),
            Some(Err(error)) => Err(error),
            None => Err("timed out waiting for client to create streams".to_owned()),
        }
    }

    /// Takes a stream if it is one of ours that is not there yet.
    async fn take(&mut self, offer: Offer) -> bool {
        let channel = match offer.headers().get("streamtype") {
            "stdin" if self.stdin.is_none() => STDIN,
            "stdout" => STDOUT,
            "stderr" => STDERR,
            "error" => ERROR,
            "resize" if self.resize.is_none() => RESIZE,
            _ => {
                offer.refuse().await;
                return false;
            }
        };
        if self.writers.get(usize::from(channel)).is_some_and(Option::is_some) {
            offer.refuse().await;
            return false;
        }
        let stream = offer.accept().await;
        match channel {
            STDIN => self.stdin = Some(stream.reader),
            RESIZE => self.resize = Some(stream.reader),
            _ => self.writers[usize::from(channel)] = Some(stream.writer),
        }
        true
    }

    /// Waits for what the client sends.
    pub async fn receive(&mut self) -> Received {
        loop {
            tokio::select! {
                biased;
                piece = next(&mut self.stdin) => match piece {
                    Some(bytes) => return Received::Data(STDIN, bytes),
                    None => {
                        self.stdin = None;
                        return Received::Closed(STDIN);
                    }
                },
                piece = next(&mut self.resize) => match piece {
                    Some(bytes) => if let Some(size) = last_line(&mut self.size, &bytes) {
                        return Received::Data(RESIZE, size.into());
                    },
                    None => self.resize = None,
                },
                offer = self.session.offered() => match offer {
                    // All that was asked for is there.
                    Some(offer) => offer.refuse().await,
                    None => return Received::Gone,
                },
            }
        }
    }

    /// Sends bytes on a channel. Answers whether the client is still there.
    pub async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        match self.writers.get(usize::from(channel)) {
            Some(Some(writer)) => writer.send(bytes).await,
            // Nobody asked for it.
            _ => true,
        }
    }

    /// Ends in good order.
    pub async fn close(mut self) {
        for writer in self.writers.iter().flatten() {
            writer.finish().await;
        }
        self.session.close().await;
        // The client hangs up when it has read everything.
        while let Some(offer) = self.session.offered().await {
            offer.refuse().await;
        }
    }
}

async fn next(reader: &mut Option<Reader>) -> Option<bytes::Bytes> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// The last whole line, when one is there. Lines before it are superseded.
fn last_line(pending: &mut Vec<u8>, bytes: &[u8]) -> Option<Vec<u8>> {
    pending.extend_from_slice(bytes);
    let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
        // Nobody's terminal needs so many words.
        pending.truncate(MOST_SIZE);
        return None;
    };
    let rest = pending.split_off(end + 1);
    let lines = std::mem::replace(pending, rest);
    let line = lines[..end].rsplit(|byte| *byte == b'\n').next();
    line.map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::last_line;

    #[test]
    fn sizes_are_read_however_they_are_cut() {
        let mut pending = Vec::new();
        assert_eq!(last_line(&mut pending, b"{\"Width\":1}\n{\"Wid"), Some(b"{\"Width\":1}".to_vec()));
        assert_eq!(last_line(&mut pending, b"th\":2"), None);
        assert_eq!(last_line(&mut pending, b"}\n{\"Width\":3}\n"), Some(b"{\"Width\":3}".to_vec()));
        assert_eq!(last_line(&mut pending, &[b'x'; 10_000]), None);
        assert!(pending.len() <= super::MOST_SIZE);
    }
}

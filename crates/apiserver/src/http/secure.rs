//! A connection over TLS after its handshake. What is written becomes records at once, and records go out when they are
//! flushed or are many: one call of the system sends all of them.

use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes the session takes that are not sent yet: an event for a dozen watches that share the connection.
const UNSENT: usize = 128 * 1024;

/// A stream in the clear over one that is encrypted.
#[derive(Debug)]
pub struct Secure<S> {
    socket: S,
    session: Box<ServerConnection>,
    /// Whether the other side was told that nothing follows.
    said_goodbye: bool,
}

impl<S> Secure<S> {
    /// Over a connection whose session is agreed on.
    pub fn new(socket: S, session: ServerConnection) -> Secure<S> {
        let mut session = Box::new(session);
        session.set_buffer_limit(Some(UNSENT));
        Secure { socket, session, said_goodbye: false }
    }

    /// What was agreed on.
    pub fn session(&self) -> &ServerConnection {
        &self.session
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secure<S> {
    /// Sends all records there are.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Blocking { socket: &mut self.socket, context };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket and opens the records that came.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = Blocking { socket: &mut self.socket, context };
        match self.session.read_tls(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        let processed = self.session.process_new_packets();
        // What the session itself has to say goes out as far as there is room now, or else with the next write: a new key
        // was agreed on, or what came is wrong, of which the other side is told if it still listens.
        let answered = self.poll_send(context);
        if let Err(error) = processed {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        match answered {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secure<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let mut reader = this.session.reader();
            match reader.fill_buf() {
                // Empty at the end: the other side has said goodbye.
                Ok(opened) => {
                    let length = opened.len().min(buffer.remaining());
                    buffer.put_slice(&opened[..length]);
                    reader.consume(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.poll_receive(context))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secure<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            match this.session.writer().write_vectored(slices)? {
                0 => ready!(this.poll_send(context))?,
                written => return Poll::Ready(Ok(written)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            self.said_goodbye = true;
            self.session.send_close_notify();
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// A socket as the session wants it: what would have to wait is an error.
struct Blocking<'a, 'c, S> {
    socket: &'a mut S,
    context: &'a mut Context<'c>,
}

fn would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> io::Read for Blocking<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        would_block(Pin::new(&mut *self.socket).poll_read(self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Blocking<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.socket).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.socket).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        would_block(Pin::new(&mut *self.socket).poll_flush(self.context))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::config::KeyPair;
    use crate::http::tls;

    /// Both ends of a connection whose pipe holds `room` bytes.
    async fn connected(room: usize) -> (Secure<DuplexStream>, TlsStream<DuplexStream>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem().into_bytes();
        let serving = KeyPair { chain: made.cert.pem().into_bytes(), key };
        let acceptor = TlsAcceptor::from(tls::server_config(&serving).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = duplex(room);
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let (accepted, connected) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
        let (socket, session) = accepted.unwrap().into_inner();
        (Secure::new(socket, session), connected.unwrap())
    }

    #[tokio::test]
    async fn much_goes_through_a_narrow_pipe_both_ways_and_ends_well() {
        let sent: Vec<u8> = (0..300_000).map(|number: usize| (number % 251) as u8).collect();
        let (mut server, mut client) = connected(1_000).await;
        let talk = async {
            server.write_all(&sent).await.unwrap();
            server.flush().await.unwrap();
            let mut received = vec![0; sent.len()];
            server.read_exact(&mut received).await.unwrap();
            assert!(received == sent);
            server.shutdown().await.unwrap();
            server
        };
        let answer = async {
            let mut received = vec![0; sent.len()];
            client.read_exact(&mut received).await.unwrap();
            assert!(received == sent);
            client.write_all(&received).await.unwrap();
            client.flush().await.unwrap();
            assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "the end is told");
            client.shutdown().await.unwrap();
        };
        let (mut server, ()) = tokio::join!(talk, answer);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "a goodbye is an end");
    }

    #[tokio::test]
    async fn nothing_goes_out_before_it_is_flushed() {
        let (mut server, mut client) = connected(1 << 20).await;
        // What the handshake left to be read is read first.
        server.write_all(b"one").await.unwrap();
        server.flush().await.unwrap();
        let mut received = [0; 3];
        client.read_exact(&mut received).await.unwrap();
        server.write_all(b"two").await.unwrap();
        let mut waiting = Box::pin(client.read_exact(&mut received));
        assert!((&mut waiting).now_or_never().is_none());
        server.flush().await.unwrap();
        waiting.await.unwrap();
        assert_eq!(&received, b"two");
    }

    #[tokio::test]
    async fn an_end_without_a_goodbye_and_what_is_no_record_are_errors() {
        let (mut server, client) = connected(1 << 20).await;
        drop(client.into_inner());
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (mut server, client) = connected(1 << 20).await;
        let (mut pipe, _) = client.into_inner();
        pipe.write_all(b"no record of TLS at all").await.unwrap();
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

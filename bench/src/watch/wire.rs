//! A connection with many watches, read by one task: what is received is decrypted and read where it lies.

use std::io::{self, BufRead, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use env::Tasks;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::conversation::Conversation;
use super::follower::Seen;

/// What is read at a time: a moment's events of all watches of the connection.
const ROOM: usize = 256 * 1024;

/// A connection.
pub struct Wire {
    socket: TcpStream,
    session: ClientConnection,
    room: Box<[u8]>,
    conversation: Conversation,
}

impl Wire {
    /// Connects, says what is to be said, and waits until all watches have begun.
    pub async fn open(
        address: (&str, u16),
        tls: Arc<ClientConfig>,
        conversation: Conversation,
    ) -> Result<Wire> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(address.0.to_owned())?;
        let (socket, mut session) = TlsConnector::from(tls).connect(name, socket).await?.into_inner();
        ensure!(session.alpn_protocol() == Some(b"h2"), "the server does not speak HTTP/2");
        session.set_buffer_limit(None);
        let room = vec![0; ROOM].into_boxed_slice();
        let mut wire = Wire { socket, session, room, conversation };
        wire.send().await?;
        while !wire.conversation.is_open() {
            wire.receive().await?;
            wire.send().await?;
        }
        Ok(wire)
    }

    /// Reads on until `tasks` stop, and tells how many events there were; what each watcher saw.
    pub async fn follow(mut self, tasks: Tasks, news: Arc<AtomicU64>) -> Vec<Seen> {
        let mut stopping = pin!(tasks.stopping());
        loop {
            let received = tokio::select! {
                biased;
                () = stopping.as_mut() => break,
                received = self.receive() => received,
            };
            let went_on = match received {
                Ok(events) => {
                    news.fetch_add(events, Ordering::Relaxed);
                    self.send().await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = went_on {
                eprintln!("a connection with watches ended: {error:#}");
                self.conversation.close();
                break;
            }
        }
        self.conversation.seen()
    }

    /// Reads once; how many events came.
    async fn receive(&mut self) -> Result<u64> {
        let received = self.socket.read(&mut self.room).await.context("reading")?;
        ensure!(received > 0, "the server closed it");
        let mut rest = &self.room[..received];
        let mut events = 0;
        while !rest.is_empty() {
            self.session.read_tls(&mut rest)?;
            self.session.process_new_packets()?;
            let mut decrypted = self.session.reader();
            loop {
                let piece = match decrypted.fill_buf() {
                    Ok([]) => bail!("the server said goodbye"),
                    Ok(piece) => piece,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                events += self.conversation.hear(piece)?;
                let heard = piece.len();
                decrypted.consume(heard);
            }
        }
        Ok(events)
    }

    /// Sends what there is to say.
    async fn send(&mut self) -> Result<()> {
        self.session.writer().write_all(&self.conversation.say())?;
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records)?;
        }
        if !records.is_empty() {
            self.socket.write_all(&records).await.context("writing")?;
        }
        Ok(())
    }
}

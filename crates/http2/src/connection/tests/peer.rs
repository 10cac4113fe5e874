//! A peer that says what a test wants, in frames.

use super::*;

/// A frame that was read.
#[derive(Debug)]
pub struct Read {
    pub head: Head,
    pub payload: Vec<u8>,
}

/// The other end of a connection.
pub struct Peer {
    io: DuplexStream,
}

impl Peer {
    pub fn new(io: DuplexStream) -> Peer {
        Peer { io }
    }

    /// Begins as the protocol wants it; the settings of the server.
    pub async fn open(io: DuplexStream) -> (Peer, Vec<u8>) {
        let mut peer = Peer::new(io);
        peer.send(PREFACE).await;
        peer.send(&frame::settings(&[], 0)).await;
        let settings = peer.next().await;
        assert_eq!((settings.head.kind, settings.head.flags), (kind::SETTINGS, 0));
        assert_eq!(peer.next().await.head.kind, kind::WINDOW_UPDATE);
        assert_eq!(peer.next().await.head.flags, flag::ACK);
        (peer, settings.payload)
    }

    /// Says something; whoever has gone does not hear it.
    pub async fn send(&mut self, bytes: &[u8]) {
        drop(self.io.write_all(bytes).await);
    }

    /// The next frame.
    pub async fn next(&mut self) -> Read {
        self.read().await.expect("the connection is open")
    }

    async fn read(&mut self) -> Option<Read> {
        let mut head = [0; HEAD];
        self.io.read_exact(&mut head).await.ok()?;
        let head = Head::read(&head)?;
        let mut payload = vec![0; head.length];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(Read { head, payload })
    }

    /// Bytes of the body of a stream that come until nothing more does.
    pub async fn data(&mut self, stream: u32) -> usize {
        let mut length = 0;
        while let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), self.next()).await {
            if frame.head.kind == kind::DATA {
                assert_eq!(frame.head.stream, stream);
                length += frame.payload.len();
            }
        }
        length
    }

    /// Waits until the server has done what it can; it says nothing to that.
    pub async fn quiet(&mut self) {
        let said = tokio::time::timeout(Duration::from_secs(1), self.next()).await;
        assert!(said.is_err(), "{said:?}");
    }

    pub async fn expect_reset(&mut self, stream: u32, code: Code) {
        let frame = self.next().await;
        assert_eq!((frame.head.kind, frame.head.stream), (kind::RST_STREAM, stream), "{frame:?}");
        assert_eq!(frame.payload, (code as u32).to_be_bytes());
    }

    pub async fn expect_end(&mut self, code: Code) {
        assert_eq!(self.end().await, Some(code as u32));
    }

    /// With which code the connection ends.
    pub async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read().await {
            if frame.head.kind == kind::GOAWAY {
                code = frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        code
    }

    /// Whether the connection ends without another word.
    pub async fn is_closed(&mut self) -> bool {
        self.read().await.is_none()
    }
}

/// Fields of a request, packed without any table.
pub fn headers_of(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // `:method: POST`, `:scheme: https`, and the name `:path` are in the static table.
    let mut block = vec![0x83, 0x87, 0x04];
    append(path, &mut block);
    for (name, value) in more {
        block.push(0);
        append(name, &mut block);
        append(value, &mut block);
    }
    block
}

fn append(text: &str, block: &mut Vec<u8>) {
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text.as_bytes());
}

/// One frame of headers.
pub fn headers(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let end = if ends { flag::END_STREAM } else { 0 };
    let flags = end | flag::END_HEADERS;
    let mut frame = Head { length: block.len(), kind: kind::HEADERS, flags, stream }.bytes().to_vec();
    frame.extend_from_slice(block);
    frame
}

/// A block in frames of this size.
pub fn in_frames(stream: u32, block: &[u8], size: usize) -> Vec<u8> {
    let parts: Vec<&[u8]> = block.chunks(size).collect();
    let mut frames = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let kind = if number == 0 { kind::HEADERS } else { kind::CONTINUATION };
        let end = if number == 0 { flag::END_STREAM } else { 0 };
        let last = if number + 1 == parts.len() { flag::END_HEADERS } else { 0 };
        frames.extend_from_slice(&Head { length: part.len(), kind, flags: end | last, stream }.bytes());
        frames.extend_from_slice(part);
    }
    frames
}

/// A request without more than it needs.
pub fn request(stream: u32, path: &str, ends: bool) -> Vec<u8> {
    headers(stream, &headers_of(path, &[]), ends)
}

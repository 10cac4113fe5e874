//! What a peer may do wrong, and what ends a connection.

use std::io;

/// Why a stream or a connection ends, by the protocol's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// Nothing is wrong.
    None = 0,
    /// What was said has no place there.
    Protocol = 1,
    /// The server is to blame.
    Internal = 2,
    /// More came than was allowed.
    FlowControl = 3,
    /// Something came after the end.
    StreamClosed = 5,
    /// A frame has a size that it cannot have.
    FrameSize = 6,
    /// The request was not looked at, and may be sent again.
    RefusedStream = 7,
    /// Headers cannot be unpacked.
    Compression = 9,
    /// Too much of something that is no fault once.
    EnhanceYourCalm = 11,
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One stream is to blame.
    Stream(u32, Code),
    /// Nothing that follows can be trusted.
    Connection(Code, &'static str),
}

impl Fault {
    pub const fn connection(code: Code, why: &'static str) -> Fault {
        Fault::Connection(code, why)
    }
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It broke off.
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    /// The peer does not keep to the protocol.
    #[error("the peer does not keep to HTTP/2 ({code:?}): {why}")]
    Violated {
        /// As it was told.
        code: Code,
        /// In words.
        why: &'static str,
    },
    /// The peer did not answer.
    #[error("the peer was silent for too long")]
    Silent,
}

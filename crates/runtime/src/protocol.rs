//! What engine and shim say to each other over the sandbox's socket: frames of a length, a count of descriptors, and JSON.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::plan::{CgroupPlan, ProcessPlan};
use crate::state::{ExitState, RunState};

/// The longest frame: a command with its environment is bounded by what `execve` takes.
const MAX_FRAME: usize = 4 << 20;
const HEADER: usize = 8;

/// What the engine asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start the container whose record is on disk.
    Start { container: String },
    /// Send a signal to a container's main process.
    Signal { container: String, signal: i32 },
    /// Kill all processes of a container.
    Kill { container: String },
    /// Run a command in a container. Carries its standard streams (three descriptors), or none if it has a terminal.
    Exec { container: String, exec: u64, process: Box<ProcessPlan>, cgroup: Box<CgroupPlan> },
    /// Kill a command that was run.
    KillExec { exec: u64 },
    /// Connect streams: descriptors for those that are true, in this order.
    Attach { container: String, stdin: bool, stdout: bool, stderr: bool },
    /// A container's terminal has a new size.
    Resize { container: String, columns: u16, rows: u16 },
    /// Open a container's log file anew.
    ReopenLog { container: String },
    /// A socket being connected to a port of the sandbox's loopback.
    Connect { port: u16, v6: bool },
    /// How the containers are that the shim knows.
    Report,
    /// Kill every container and end.
    Shutdown,
}

/// What the shim answers or tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    /// The container's program runs.
    Started(RunState),
    /// The command runs. Carries its terminal if it has one.
    ExecStarted {
        pid: i32,
    },
    /// A socket; carries it.
    Connecting,
    /// The containers that run.
    Report {
        running: Vec<String>,
    },
    /// It could not be done.
    Failed(Failure),
    /// Not an answer: a container's program runs. Who asked for it may be gone, and another engine be there.
    Running {
        container: String,
        run: RunState,
    },
    /// Not an answer: a container ended.
    Ended {
        container: String,
        exit: ExitState,
    },
    /// Not an answer: a command ended.
    ExecEnded {
        exec: u64,
        code: i32,
    },
}

/// Why the shim could not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub text: String,
    /// The container or command asked for does not run.
    pub not_running: bool,
}

/// A request or an answer with the number that pairs them; zero for what is told unasked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message<T> {
    pub number: u64,
    pub body: T,
}

/// The bytes of a message.
pub(crate) fn encode<T: Serialize>(message: &Message<T>, descriptors: usize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the command is longer than can be passed on",
        ));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[4..8].copy_from_slice(&(descriptors as u32).to_le_bytes());
    Ok(frame)
}

/// Received bytes and descriptors, until they make messages.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub bytes: Vec<u8>,
    pub descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// The next whole message with its descriptors, if it is there.
    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(Message<T>, Vec<OwnedFd>)>> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize
        };
        let (length, descriptors) = (word(0), word(4));
        if length > MAX_FRAME || descriptors > crate::sys::socket::MAX_DESCRIPTORS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame beyond the limits"));
        }
        if self.bytes.len() < HEADER + length {
            return Ok(None);
        }
        if self.descriptors.len() < descriptors {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were lost on the way"));
        }
        let message = serde_json::from_slice(&self.bytes[HEADER..HEADER + length])?;
        self.bytes.drain(..HEADER + length);
        if self.bytes.is_empty() {
            self.bytes.shrink_to(4096);
        }
        Ok(Some((message, self.descriptors.drain(..descriptors).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let mut wire = Vec::new();
        for number in 1..=3 {
            let body = Request::Connect { port: 80, v6: false };
            wire.extend(encode(&Message { number, body }, 0).unwrap());
        }
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for byte in wire {
            inbox.bytes.push(byte);
            while let Some((message, _)) = inbox.next::<Request>().unwrap() {
                seen.push(message.number);
            }
        }
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn absurd_frames_are_refused() {
        for header in [[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 0, 9, 0, 0, 0]] {
            let mut inbox = Inbox { bytes: header.to_vec(), ..Inbox::default() };
            assert!(inbox.next::<Request>().is_err());
        }
        let mut lost = Inbox {
            bytes: encode(&Message { number: 1, body: Request::Report }, 1).unwrap(),
            ..Inbox::default()
        };
        assert!(lost.next::<Request>().is_err());
    }
}

//! As much of D-Bus as it takes to call methods, to be handed files, and to hear signals.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// No message that is meant for us comes near.
const MESSAGE_MAX: usize = 1 << 20;
/// Nor is handed so many files.
const FILES_MAX: usize = 16;
/// Signals that come while an answer is waited for.
const SIGNALS_MAX: usize = 256;
const LINE_MAX: usize = 1024;

/// Why the bus is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// It is not there, or went away.
    #[error("the machine's bus: {0}")]
    Io(#[from] io::Error),
    /// It says something that nobody should.
    #[error("the machine's bus speaks in riddles: {0}")]
    Malformed(&'static str),
    /// What was asked is refused.
    #[error("{0}")]
    Refused(String),
}

type Result<T> = std::result::Result<T, BusError>;

/// Kinds of messages.
pub(super) const CALL: u8 = 1;
pub(super) const ANSWER: u8 = 2;
const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// A method and what it is given.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    pub arguments: Arguments,
}

impl<'a> Call<'a> {
    /// A call of the bus itself.
    pub fn of_bus(member: &'a str, arguments: Arguments) -> Call<'a> {
        Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
            arguments,
        }
    }
}

/// Values with their types, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    signature: String,
    body: Writer,
}

impl Arguments {
    pub fn text(mut self, value: &str) -> Arguments {
        self.signature.push('s');
        self.body.text(value);
        self
    }

    pub fn signed(mut self, value: u32) -> Arguments {
        self.signature.push('i');
        self.body.number(value);
        self
    }

    #[cfg(test)]
    pub fn unsigned(mut self, value: u32) -> Arguments {
        self.signature.push('u');
        self.body.number(value);
        self
    }

    #[cfg(test)]
    pub fn boolean(mut self, value: bool) -> Arguments {
        self.signature.push('b');
        self.body.number(u32::from(value));
        self
    }

    #[cfg(test)]
    pub fn variant_u64(mut self, value: u64) -> Arguments {
        self.signature.push('v');
        self.body.signature("t");
        self.body.align(8);
        self.body.0.extend(value.to_le_bytes());
        self
    }

    /// The first of the files that go with the message.
    #[cfg(test)]
    pub fn file(mut self) -> Arguments {
        self.signature.push('h');
        self.body.number(0);
        self
    }
}

/// Bytes as D-Bus lays them out, little end first.
#[derive(Clone, Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, value: &str) {
        self.number(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.0.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    /// A field of a header.
    fn field(&mut self, code: u8, kind: &str, write: impl FnOnce(&mut Writer)) {
        self.align(8);
        self.0.push(code);
        self.signature(kind);
        write(self);
    }
}

/// Lays a message out.
pub(super) fn encode(kind: u8, serial: u32, fields: &[Field<'_>], arguments: &Arguments) -> Vec<u8> {
    let mut list = Writer::default();
    for field in fields {
        match *field {
            Field::Path(path) => list.field(1, "o", |list| list.text(path)),
            Field::Interface(name) => list.field(2, "s", |list| list.text(name)),
            Field::Member(name) => list.field(3, "s", |list| list.text(name)),
            #[cfg(test)]
            Field::AnswerTo(serial) => list.field(5, "u", |list| list.number(serial)),
            Field::Destination(name) => list.field(6, "s", |list| list.text(name)),
            #[cfg(test)]
            Field::Files(count) => list.field(9, "u", |list| list.number(count)),
        }
    }
    if !arguments.signature.is_empty() {
        list.field(8, "g", |list| list.signature(&arguments.signature));
    }
    let mut message = Writer(vec![b'l', kind, 0, 1]);
    message.number(u32::try_from(arguments.body.0.len()).unwrap_or(u32::MAX));
    message.number(serial);
    message.number(u32::try_from(list.0.len()).unwrap_or(u32::MAX));
    message.0.extend(list.0);
    message.align(8);
    message.0.extend(&arguments.body.0);
    message.0
}

/// A field of a message's header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Path(&'a str),
    Interface(&'a str),
    Member(&'a str),
    #[cfg(test)]
    AnswerTo(u32),
    Destination(&'a str),
    #[cfg(test)]
    Files(u32),
}

/// A message that came.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub kind: u8,
    pub serial: u32,
    pub interface: String,
    pub member: String,
    pub sender: String,
    answer_to: u32,
    error: String,
    signature: String,
    file_count: u32,
    body: Vec<u8>,
    files: Vec<OwnedFd>,
}

impl Message {
    pub fn is(&self, interface: &str, member: &str) -> bool {
        self.interface == interface && self.member == member
    }

    /// A truth value, if that is what it carries.
    pub fn boolean(&self) -> Result<bool> {
        self.expect("b")?;
        Ok(Reader::new(&self.body).number()? != 0)
    }

    /// A number of 64 bits in a wrapping of any type.
    pub fn variant_u64(&self) -> Result<u64> {
        self.expect("v")?;
        let mut body = Reader::new(&self.body);
        if body.signature()? != "t" {
            return Err(BusError::Malformed("a property of another type"));
        }
        body.align(8);
        let bytes = body.take(8)?.try_into().map_err(|_| BusError::Malformed("a short number"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The file that it hands over.
    pub fn file(mut self) -> Result<OwnedFd> {
        self.expect("h")?;
        let index = Reader::new(&self.body).number()? as usize;
        if index >= self.files.len() {
            return Err(BusError::Malformed("a file that did not come"));
        }
        Ok(self.files.swap_remove(index))
    }

    #[cfg(test)]
    pub fn first_text(&self) -> Result<String> {
        Reader::new(&self.body).text()
    }

    fn expect(&self, signature: &str) -> Result<()> {
        if self.signature == signature {
            Ok(())
        } else {
            Err(BusError::Malformed("an answer of another type"))
        }
    }
}

/// Reads what [`Writer`] writes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(BusError::Malformed("a length beyond all bounds"))?;
        let taken =
            self.bytes.get(self.at..end).ok_or(BusError::Malformed("a message that ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    fn number(&mut self) -> Result<u32> {
        self.align(4);
        let bytes = self.take(4)?.try_into().map_err(|_| BusError::Malformed("a short number"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn words(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_| BusError::Malformed("a text that is none"))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number()? as usize;
        self.words(length)
    }

    fn signature(&mut self) -> Result<String> {
        let length = usize::from(self.byte()?);
        self.words(length)
    }
}

/// How long a whole message is that begins with these sixteen bytes: up to its body, and with it.
fn lengths(start: &[u8]) -> Result<(usize, usize)> {
    let mut reader = Reader::new(start);
    if reader.byte()? != b'l' {
        return Err(BusError::Malformed("a message that does not begin little end first"));
    }
    reader.at = 4;
    let (body, _serial, fields) = (reader.number()? as usize, reader.number()?, reader.number()? as usize);
    if body > MESSAGE_MAX || fields > MESSAGE_MAX {
        return Err(BusError::Malformed("a message that is too long"));
    }
    let head = (16 + fields).next_multiple_of(8);
    Ok((head, head + body))
}

/// Takes a whole message apart.
fn decode(bytes: &[u8]) -> Result<Message> {
    let (head, _) = lengths(bytes)?;
    let mut reader = Reader::new(bytes);
    reader.at = 1;
    let mut message = Message { kind: reader.byte()?, ..Message::default() };
    reader.at = 8;
    message.serial = reader.number()?;
    let end = 16 + reader.number()? as usize;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let kind = reader.signature()?;
        match (code, kind.as_str()) {
            (2, "s") => message.interface = reader.text()?,
            (3, "s") => message.member = reader.text()?,
            (4, "s") => message.error = reader.text()?,
            (5, "u") => message.answer_to = reader.number()?,
            (7, "s") => message.sender = reader.text()?,
            (8, "g") => message.signature = reader.signature()?,
            (9, "u") => message.file_count = reader.number()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.number()?),
            _ => return Err(BusError::Malformed("a field of a type that no field has")),
        }
    }
    message.body = bytes.get(head..).ok_or(BusError::Malformed("a message without its end"))?.to_vec();
    Ok(message)
}

/// A connection to the bus.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    unread: Vec<u8>,
    files: VecDeque<OwnedFd>,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects, says who we are, and has the bus give us a name.
    pub async fn connect(path: &Path) -> Result<Bus> {
        let mut stream = UnixStream::connect(path).await?;
        let user: String = rustix::process::getuid()
            .as_raw()
            .to_string()
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).await?;
        expect_line(&mut stream, "OK ").await?;
        stream.write_all(b"NEGOTIATE_UNIX_FD\r\n").await?;
        expect_line(&mut stream, "AGREE_UNIX_FD").await?;
        stream.write_all(b"BEGIN\r\n").await?;
        let mut bus = Bus::over(stream);
        bus.call(&Call::of_bus("Hello", Arguments::default())).await?;
        Ok(bus)
    }

    /// Over a connection whose greeting is over.
    pub(super) fn over(stream: UnixStream) -> Bus {
        Bus { stream, serial: 0, unread: Vec::new(), files: VecDeque::new(), signals: VecDeque::new() }
    }

    /// Calls a method, and waits for its answer.
    pub async fn call(&mut self, call: &Call<'_>) -> Result<Message> {
        self.serial += 1;
        let fields = [
            Field::Path(call.path),
            Field::Interface(call.interface),
            Field::Member(call.member),
            Field::Destination(call.destination),
        ];
        let message = encode(CALL, self.serial, &fields, &call.arguments);
        self.stream.write_all(&message).await?;
        loop {
            let message = self.receive().await?;
            match message.kind {
                SIGNAL if self.signals.len() < SIGNALS_MAX => self.signals.push_back(message),
                ANSWER if message.answer_to == self.serial => return Ok(message),
                ERROR if message.answer_to == self.serial => {
                    let said = Reader::new(&message.body).text().unwrap_or_default();
                    let (member, error) = (call.member, &message.error);
                    return Err(BusError::Refused(format!(
                        "{member} of {}: {error}: {said}",
                        call.destination
                    )));
                }
                _ => {}
            }
        }
    }

    /// The next signal.
    pub async fn signal(&mut self) -> Result<Message> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            let message = self.receive().await?;
            if message.kind == SIGNAL {
                return Ok(message);
            }
        }
    }

    /// The next message of any kind.
    pub(super) async fn receive(&mut self) -> Result<Message> {
        loop {
            if self.unread.len() >= 16 {
                let (_, whole) = lengths(&self.unread)?;
                if self.unread.len() >= whole {
                    let bytes: Vec<u8> = self.unread.drain(..whole).collect();
                    let mut message = decode(&bytes)?;
                    let count = message.file_count as usize;
                    if count > self.files.len() {
                        return Err(BusError::Malformed("files that did not come"));
                    }
                    message.files = self.files.drain(..count).collect();
                    return Ok(message);
                }
            }
            self.read().await?;
        }
    }

    /// Reads what has come, files too.
    async fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
        let count = self
            .stream
            .async_io(Interest::READABLE, || {
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
                let slices = &mut [IoSliceMut::new(&mut bytes)];
                let received = rustix::net::recvmsg(&self.stream, slices, &mut control, flags)?;
                for part in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(files) = part {
                        self.files.extend(files);
                    }
                }
                Ok(received.bytes)
            })
            .await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.unread.extend(bytes.iter().take(count));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

/// Reads a line of the greeting, which must begin so.
async fn expect_line(stream: &mut UnixStream, start: &str) -> Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() > LINE_MAX {
            return Err(BusError::Malformed("a greeting without end"));
        }
        line.push(stream.read_u8().await?);
    }
    if line.starts_with(start.as_bytes()) {
        Ok(())
    } else {
        Err(BusError::Refused(format!(
            "the machine's bus does not let us in: {}",
            String::from_utf8_lossy(&line).trim()
        )))
    }
}

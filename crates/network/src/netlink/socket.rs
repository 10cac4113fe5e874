//! A netlink socket: one request at a time, its acknowledgement or its dump read to the end.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
    sockopt,
};

use super::message::{Message, Reply, control, flags, replies};
use super::{Error, Namespace, Result};

/// How long an answer may take: the kernel answers at once, so this only bounds a defect.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Larger than any single message of a dump.
const RECEIVE_BUFFER: usize = 256 << 10;
/// What the kernel may queue for us: acknowledgements of large batches.
const RECEIVE_QUEUE: usize = 4 << 20;

/// The kernel subsystems we talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// A netlink socket of one namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    send_limit: usize,
}

impl Socket {
    /// Opens one in the namespace of this thread.
    pub fn open(protocol: Protocol) -> Result<Socket> {
        let kernel_protocol = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let failed = |source: Errno| Error::io("opening a netlink socket", source);
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, kernel_protocol)
            .map_err(failed)?;
        bind(&fd, &netlink::SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_LIMIT)).map_err(failed)?;
        // Without the privilege the ordinary queue has to do; large batches then fail with a clear error.
        if sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_QUEUE).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_QUEUE).map_err(failed)?;
        }
        set_option(&fd, libc::NETLINK_CAP_ACK)?;
        set_option(&fd, libc::NETLINK_EXT_ACK)?;
        Ok(Socket { fd, sequence: 1, buffer: vec![0; RECEIVE_BUFFER], send_limit: 0 })
    }

    /// Opens one in another namespace.
    pub fn open_in(namespace: &Namespace, protocol: Protocol) -> Result<Socket> {
        namespace.run(|| Socket::open(protocol))?
    }

    /// Sends a request and waits until it is acknowledged.
    pub fn request(&mut self, what: &str, message: Message) -> Result<()> {
        self.exchange(what, message, |_| {})
    }

    /// Sends a request and gives every message of its answer to `each`.
    pub fn query(&mut self, what: &str, message: Message, each: impl FnMut(Reply<'_>)) -> Result<()> {
        self.exchange(what, message, each)
    }

    /// Sends messages that already carry sequence numbers, as one packet, and gives everything the kernel answered by
    /// the time it has taken them to `each`. For netfilter's batches, which it works off before the call returns.
    pub fn batch(&mut self, what: &str, packet: &[u8], mut each: impl FnMut(Reply<'_>)) -> Result<()> {
        self.make_room(packet.len()).map_err(|source| Error::io(what, source))?;
        self.send(what, packet)?;
        loop {
            match self.receive(RecvFlags::DONTWAIT) {
                Ok(length) => replies(&self.buffer[..length]).for_each(&mut each),
                Err(Errno::AGAIN) => return Ok(()),
                Err(source) => return Err(Error::io(what, source)),
            }
        }
    }

    /// The next unused sequence number, with `count` of them reserved.
    pub fn reserve(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(count).max(1);
        first
    }

    fn exchange(&mut self, what: &str, message: Message, mut each: impl FnMut(Reply<'_>)) -> Result<()> {
        let sequence = self.reserve(1);
        let packet = message.finish(sequence)?;
        self.send(what, &packet)?;
        loop {
            let length = self.receive(RecvFlags::empty()).map_err(|source| Error::io(what, source))?;
            for reply in replies(&self.buffer[..length]) {
                if reply.sequence != sequence {
                    continue;
                }
                if let Some((number, detail)) = reply.error() {
                    return outcome(what, number, detail);
                }
                if reply.kind == control::DONE {
                    return Ok(());
                }
                each(reply);
            }
        }
    }

    fn send(&self, what: &str, packet: &[u8]) -> Result<()> {
        loop {
            match send(&self.fd, packet, SendFlags::empty()) {
                Ok(sent) if sent == packet.len() => return Ok(()),
                Ok(_) => return Err(Error::Malformed(format!("{what}: the kernel took only a part"))),
                Err(Errno::INTR) => {}
                Err(source) => return Err(Error::io(what, source)),
            }
        }
    }

    fn receive(&mut self, flags: RecvFlags) -> std::result::Result<usize, Errno> {
        loop {
            match recv(&self.fd, self.buffer.as_mut_slice(), flags | RecvFlags::TRUNC) {
                Ok((_, length)) if length > self.buffer.len() => return Err(Errno::MSGSIZE),
                Ok((_, length)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn make_room(&mut self, length: usize) -> std::result::Result<(), Errno> {
        let wanted = length.next_power_of_two().max(1 << 18);
        if wanted > self.send_limit {
            sockopt::set_socket_send_buffer_size_force(&self.fd, wanted)
                .or_else(|_| sockopt::set_socket_send_buffer_size(&self.fd, wanted))?;
            self.send_limit = wanted;
        }
        Ok(())
    }
}

/// What an acknowledgement with this number means.
pub fn outcome(what: &str, number: i32, detail: String) -> Result<()> {
    if number == 0 {
        return Ok(());
    }
    let errno = Errno::from_raw_os_error(number.saturating_neg());
    Err(Error::Refused { what: what.to_owned(), errno, detail })
}

/// A dump of all objects of a kind.
pub fn dump(kind: u16) -> Message {
    Message::new(kind, flags::REQUEST | flags::DUMP)
}

#[expect(unsafe_code, reason = "no safe wrapper knows netlink's socket options")]
fn set_option(fd: &OwnedFd, option: libc::c_int) -> Result<()> {
    let on: libc::c_int = 1;
    let mut value = MaybeUninit::new(on);
    // SAFETY: the descriptor is open, and the pointer and length describe one integer that lives until the call ends.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            value.as_mut_ptr().cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::io("setting a netlink option", std::io::Error::last_os_error()))
    }
}

//! Queries in packets: read by a thread of their own, so that no answer waits for what else this process does; and from
//! a queue long enough that what comes while the process is not run is answered late, not lost.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{SendFlags, Shutdown, sendto, shutdown, sockopt};

use super::forward::Over;
use super::turn::take_short_turns;
use super::{Server, Step};

/// The largest query we read.
const QUERY_LIMIT: usize = 4_096;
/// What may wait to be read, in bytes; the kernel counts almost one KiB for a query. Half a second of 20,000 a second.
const QUEUE: usize = 4 << 20;
/// How long the thread rests when a socket cannot be read, out of memory, say.
const REST: Duration = Duration::from_millis(20);

/// A socket that is read until it is closed.
#[derive(Debug)]
struct Door {
    socket: UdpSocket,
    is_closed: AtomicBool,
}

/// Closes the door when it is dropped: with the task that holds it.
struct Closing(Arc<Door>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        // Wakes who waits for packets, although the kernel then says that the socket was never connected.
        let _ = shutdown(&self.0.socket, Shutdown::Both);
    }
}

/// Opens a socket in the namespace of this thread.
pub(super) fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    // Without the privilege, as much as the machine lets everybody have.
    if sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, QUEUE)?;
    }
    Ok(socket)
}

/// Answers until the tasks stop.
pub(super) async fn serve(server: Arc<Server>, socket: UdpSocket) {
    let tasks = server.env.tasks.clone();
    let door = Arc::new(Door { socket, is_closed: AtomicBool::new(false) });
    let (stopping, closing) = (tasks.stopping(), Closing(door.clone()));
    let close = async move {
        stopping.await;
        drop(closing);
    };
    tokio::join!(biased; close, tasks.blocking(move || read(&server, &door)));
}

fn read(server: &Arc<Server>, door: &Arc<Door>) {
    take_short_turns();
    let mut message = [0; QUERY_LIMIT];
    let mut answer = Vec::with_capacity(QUERY_LIMIT);
    while !door.is_closed.load(Ordering::SeqCst) {
        match door.socket.recv_from(&mut message) {
            Ok((length, peer)) => respond(server, door, (&message[..length], peer), &mut answer),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "queries of names cannot be read");
                std::thread::sleep(REST);
            }
        }
    }
}

fn respond(
    server: &Arc<Server>,
    door: &Arc<Door>,
    (message, peer): (&[u8], SocketAddr),
    answer: &mut Vec<u8>,
) {
    match server.answer(message, answer, Over::Udp) {
        Step::Ignore => {}
        Step::Send => door.send(answer, peer),
        Step::Forward(query, other) => {
            let (asking, door, message) = (server.clone(), door.clone(), message.to_vec());
            server.env.tasks.spawn("a name elsewhere", async move {
                let answer = asking.forward(&message, &query, other, Over::Udp).await;
                door.send(&answer, peer);
            });
        }
    }
}

impl Door {
    /// Sends without waiting. A client that cannot be sent to asks again or not; there is nobody to tell.
    fn send(&self, answer: &[u8], peer: SocketAddr) {
        let _ = sendto(&self.socket, answer, SendFlags::DONTWAIT, &peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_come_while_nobody_reads_are_not_lost() {
        const QUERIES: usize = 5_000;
        let server = open("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..QUERIES {
            client.send_to(&[0; 64], server.local_addr().unwrap()).unwrap();
        }
        server.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        for number in 0..QUERIES {
            let received = server.recv_from(&mut [0; 64]);
            assert!(received.is_ok(), "only {number} of {QUERIES} are there");
        }
    }
}

//! Ports of pods over a WebSocket: for each port one channel of bytes and one for what goes wrong.

use cri::Duplex;
use http::Request;
use hyper::body::Incoming;
use machinery::{Reason, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::socket::{self, OF_PORTS, Pending, Received, Socket};
use super::{Answer, Query, Server, pods};
use crate::kit::Kit;
use std::sync::Arc;

/// As many ports as channels can be numbered with one digit each way.
const MOST_PORTS: usize = 64;
/// What is carried at once.
const PIECE: usize = 16 * 1_024;
/// Pieces that may wait.
const PIECES: usize = 8;

pub(super) async fn forward(
    server: &Server,
    (namespace, pod): (&str, &str),
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let pod = pods::find(server, namespace, pod)?;
    let observed = server.kit.observer.pod(pod.uid());
    let gone =
        || Status::new(500, Reason::InternalError, format!("pod {:?} has no running sandbox", pod.name()));
    let sandbox = observed.ready_sandbox().ok_or_else(gone)?.id.clone();
    let listed = query.all("port").iter().chain(query.all("ports")).flat_map(|ports| ports.split(','));
    let ports: Result<Vec<u16>, Status> = listed
        .map(|port| {
            let number = port.parse::<u16>().ok().filter(|port| *port > 0);
            number.ok_or_else(|| Status::bad_request(format!("unable to parse {port:?} as a port")))
        })
        .collect();
    let ports = ports?;
    if ports.is_empty() {
        return Err(Status::bad_request("query parameter \"port\" is required"));
    }
    if ports.len() > MOST_PORTS {
        return Err(Status::bad_request(format!("at most {MOST_PORTS} ports can be forwarded at once")));
    }
    let (answer, pending) = socket::accept(request, &OF_PORTS)?;
    let kit = server.kit.clone();
    server.kit.env.tasks.spawn("port forward", async move { carry_all(kit, pending, sandbox, ports).await });
    Ok(answer)
}

/// Something that goes to the client: on which channel.
type Outgoing = (u8, Vec<u8>);

async fn carry_all(kit: Arc<Kit>, pending: Pending, sandbox: String, ports: Vec<u16>) {
    let mut socket = match pending.open().await {
        Ok(socket) => socket,
        Err(error) => return tracing::debug!("a connection was not upgraded: {error}"),
    };
    for (position, port) in ports.iter().enumerate() {
        let channel = (position * 2) as u8;
        // Both channels begin with the port that they are for.
        for channel in [channel, channel + 1] {
            if !socket.send(channel, &port.to_le_bytes()).await {
                return;
            }
        }
    }
    let (outgoing, mut to_client) = mpsc::channel::<Outgoing>(PIECES);
    let mut inputs = Vec::new();
    for (position, port) in ports.into_iter().enumerate() {
        let (input, from_client) = mpsc::channel::<Vec<u8>>(PIECES);
        inputs.push(Some(input));
        let work =
            carry(kit.clone(), (sandbox.clone(), port), (position * 2) as u8, from_client, outgoing.clone());
        kit.env.tasks.spawn("forwarded port", work);
    }
    drop(outgoing);
    loop {
        tokio::select! {
            biased;
            piece = to_client.recv() => match piece {
                Some((channel, bytes)) => if !socket.send(channel, &bytes).await { return },
                // Every port has ended.
                None => break,
            },
            received = socket.receive() => match received {
                Received::Data(channel, bytes) => deliver(&mut inputs, channel, bytes.to_vec()).await,
                Received::Closed(channel) => {
                    if let Some(input) = inputs.get_mut(usize::from(channel / 2)) {
                        *input = None;
                    }
                }
                Received::Gone => return,
            },
        }
    }
    close(socket).await;
}

async fn deliver(inputs: &mut [Option<mpsc::Sender<Vec<u8>>>], channel: u8, bytes: Vec<u8>) {
    // Nothing is sent to us on channels of errors.
    let Some(slot) = inputs.get_mut(usize::from(channel / 2)).filter(|_| channel.is_multiple_of(2)) else {
        return;
    };
    if let Some(input) = slot
        && input.send(bytes).await.is_err()
    {
        *slot = None;
    }
}

async fn close(socket: Socket) {
    socket.close().await;
}

async fn carry(
    kit: Arc<Kit>,
    (sandbox, port): (String, u16),
    channel: u8,
    from_client: mpsc::Receiver<Vec<u8>>,
    outgoing: mpsc::Sender<Outgoing>,
) {
    let connected = kit.runtime.port_forward(sandbox, port).await;
    let problem = match connected {
        Ok(stream) => {
            exchange(stream, channel, from_client, &outgoing).await.err().map(|error| error.to_string())
        }
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        let text =
            format!("an error occurred forwarding {port} -> {port}: error forwarding port {port}: {problem}");
        // The client may have gone.
        let _ = outgoing.send((channel + 1, text.into_bytes())).await;
    }
}

async fn exchange(
    stream: Box<dyn Duplex>,
    channel: u8,
    mut from_client: mpsc::Receiver<Vec<u8>>,
    outgoing: &mpsc::Sender<Outgoing>,
) -> std::io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut open = true;
    let mut piece = vec![0; PIECE];
    loop {
        tokio::select! {
            biased;
            length = read.read(&mut piece) => {
                let length = length?;
                if length == 0 || outgoing.send((channel, piece[..length].to_vec())).await.is_err() {
                    return Ok(());
                }
            }
            bytes = from_client.recv(), if open => match bytes {
                Some(bytes) => write.write_all(&bytes).await?,
                None => {
                    open = false;
                    write.shutdown().await?;
                }
            },
        }
    }
}

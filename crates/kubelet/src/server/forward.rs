//! Ports of pods over a WebSocket: for each port one channel of bytes and one for what goes wrong. Clients that speak
//! SPDY, bare or through a WebSocket, open streams of both kinds for each connection instead ([`pairs`]).

mod pairs;

use bytes::Bytes;
use cri::Duplex;
use http::Request;
use hyper::body::Incoming;
use machinery::{Reason, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::commands::Means;
use super::socket::{self, OF_PORTS, Pending, TUNNEL};
use super::streams::Received;
use super::tunnel::Tunnel;
use super::{Answer, Query, Server, pods, spdy, upgrade};

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
    let observed = server.kit.observer.pod(pod.runtime_uid());
    let gone =
        || Status::new(500, Reason::InternalError, format!("pod {:?} has no running sandbox", pod.name()));
    let sandbox = observed.ready_sandbox().ok_or_else(gone)?.id.clone();
    let target =
        Target { means: server.means(), sandbox, pod: pod.name().to_owned(), uid: pod.uid().to_owned() };
    begin(target, || ports(query), request)
}

/// The pod whose ports they are.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// How it is reached.
    pub means: Means,
    /// Its sandbox.
    pub sandbox: String,
    /// Its name.
    pub pod: String,
    /// Its identity.
    pub uid: String,
}

/// Forwards ports when the client has opened its streams. Over a bare WebSocket they must be named beforehand.
pub(crate) fn begin(
    target: Target,
    ports: impl FnOnce() -> Result<Vec<u16>, Status>,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let tasks = target.means.env.tasks.clone();
    if upgrade::is_spdy(request.headers()) {
        let (answer, pending) = spdy::accept(request, &["portforward.k8s.io"])?;
        tasks.spawn("port forward", async move {
            match pending.upgraded().await {
                Ok(connection) => pairs::carry(target, connection).await,
                Err(error) => tracing::debug!("a connection was not upgraded: {error}"),
            }
        });
        return Ok(answer);
    }
    upgrade::expect_websocket(request.headers())?;
    if upgrade::listed(request.headers(), &http::header::SEC_WEBSOCKET_PROTOCOL).first() == Some(&TUNNEL) {
        let (answer, pending) = socket::accept(request, &OF_PORTS)?;
        tasks.spawn("port forward", async move {
            match pending.raw().await {
                Ok(socket) => pairs::carry(target, Tunnel::new(socket)).await,
                Err(error) => tracing::debug!("a connection was not upgraded: {error}"),
            }
        });
        return Ok(answer);
    }
    let ports = ports()?;
    let (answer, pending) = socket::accept(request, &OF_PORTS)?;
    tasks.spawn("port forward", async move { carry_all(target, pending, ports).await });
    Ok(answer)
}

/// The ports that a request names.
fn ports(query: &Query) -> Result<Vec<u16>, Status> {
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
    Ok(ports)
}

/// Something that goes to the client: on which channel.
type Outgoing = (u8, Vec<u8>);

async fn carry_all(target: Target, pending: Pending, ports: Vec<u16>) {
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
        let work = carry(target.clone(), port, (position * 2) as u8, from_client, outgoing.clone());
        target.means.env.tasks.spawn("forwarded port", work);
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
    socket.close().await;
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

async fn carry(
    target: Target,
    port: u16,
    channel: u8,
    from_client: mpsc::Receiver<Vec<u8>>,
    outgoing: mpsc::Sender<Outgoing>,
) {
    let connected = target.means.runtime.port_forward(target.sandbox, port).await;
    let problem = match connected {
        Ok(stream) => {
            let output = Channel { number: channel, outgoing: outgoing.clone() };
            exchange(stream, from_client, &output).await.err().map(|error| error.to_string())
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

/// What comes from a client for a port.
trait Input: Send {
    /// The next bytes; `None` when nothing more comes, and an error when it was broken off.
    fn next(&mut self) -> impl Future<Output = std::io::Result<Option<Bytes>>> + Send;
}

/// What goes to a client from a port.
trait Output: Sync {
    /// Sends bytes; answers whether there is still somebody to send to.
    fn send(&self, bytes: &[u8]) -> impl Future<Output = bool> + Send;
}

impl Input for mpsc::Receiver<Vec<u8>> {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        Ok(self.recv().await.map(Bytes::from))
    }
}

struct Channel {
    number: u8,
    outgoing: mpsc::Sender<Outgoing>,
}

impl Output for Channel {
    async fn send(&self, bytes: &[u8]) -> bool {
        self.outgoing.send((self.number, bytes.to_vec())).await.is_ok()
    }
}

/// Carries bytes both ways at once, so that a pod that waits for being read is read, until the pod has said all.
async fn exchange(
    stream: Box<dyn Duplex>,
    mut input: impl Input,
    output: &impl Output,
) -> std::io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let from_pod = async {
        let mut piece = vec![0; PIECE];
        loop {
            let length = read.read(&mut piece).await?;
            if length == 0 || !output.send(&piece[..length]).await {
                return Ok(());
            }
        }
    };
    let to_pod = async {
        while let Some(bytes) = input.next().await? {
            write.write_all(&bytes).await?;
        }
        write.shutdown().await
    };
    tokio::select! {
        biased;
        ended = from_pod => ended,
        Err(error) = to_pod => Err(error),
    }
}

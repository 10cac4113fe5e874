//! The server of streams: what `Exec`, `Attach` and `PortForward` answer is an address of it with a token, which is good
//! once and for a minute. It listens on the loopback only; the kubelet that asked carries the client's connection on.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::{AttachRequest, ExecRequest, Runtime, RuntimeError, Sandbox};
use env::Env;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use machinery::{Reason, Status};
use tokio::net::{TcpListener, TcpStream};

use crate::server::commands::{self, Means};
use crate::server::forward::{self, Target};
use crate::server::{Answer, plain};

/// How long a token is good, and how many may be: upstream's numbers.
const GOOD_FOR: Duration = Duration::from_secs(60);
const MOST_TOKENS: usize = 1_000;
/// The pause after the machine could not give us a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What a token opens.
#[derive(Clone, Debug)]
enum Wanted {
    Exec(String, ExecRequest),
    Attach(String, AttachRequest),
    Forward(Box<Sandbox>, Vec<u16>),
}

impl Wanted {
    fn path(&self) -> &'static str {
        match self {
            Wanted::Exec(..) => "exec",
            Wanted::Attach(..) => "attach",
            Wanted::Forward(..) => "portforward",
        }
    }
}

/// The server. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Streaming {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Arc<dyn Runtime>,
    env: Env,
    /// By token: until when, on the monotonic clock, and what for.
    tokens: Mutex<BTreeMap<String, (Duration, Wanted)>>,
}

impl Streaming {
    /// Starts it at a free port.
    pub async fn start(runtime: Arc<dyn Runtime>, env: Env) -> std::io::Result<Streaming> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { runtime, env: env.clone(), tokens: Mutex::default() });
        env.tasks.spawn("streams of containers", serve(listener, shared.clone()));
        Ok(Streaming { address, shared })
    }

    /// Where a command can be connected to.
    pub fn exec(&self, container: String, request: ExecRequest) -> cri::Result<String> {
        self.address(Wanted::Exec(container, request))
    }

    /// Where a container's main process can be connected to.
    pub fn attach(&self, container: String, request: AttachRequest) -> cri::Result<String> {
        self.address(Wanted::Attach(container, request))
    }

    /// Where ports of a sandbox can be connected to.
    pub fn forward(&self, sandbox: Sandbox, ports: &[i32]) -> cri::Result<String> {
        let port = |port: &i32| {
            let number = u16::try_from(*port).ok().filter(|port| *port > 0);
            number.ok_or_else(|| RuntimeError::Invalid(format!("invalid port {port}")))
        };
        let ports = ports.iter().map(port).collect::<cri::Result<_>>()?;
        self.address(Wanted::Forward(Box::new(sandbox), ports))
    }

    fn address(&self, wanted: Wanted) -> cri::Result<String> {
        let token = self.shared.env.entropy.uuid();
        let url = format!("http://{}/{}/{token}", self.address, wanted.path());
        let now = self.shared.env.clock.monotonic();
        let mut tokens = self.shared.tokens();
        tokens.retain(|_, (until, _)| *until > now);
        if tokens.len() >= MOST_TOKENS {
            return Err(RuntimeError::Failed("maximum number of in-flight requests exceeded".to_owned()));
        }
        tokens.insert(token, (now + GOOD_FOR, wanted));
        Ok(url)
    }
}

impl Shared {
    fn tokens(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Duration, Wanted)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a path opens, once.
    fn take(&self, path: &str) -> Option<Wanted> {
        let (kind, token) = path.strip_prefix('/')?.split_once('/')?;
        let now = self.env.clock.monotonic();
        let (until, wanted) = self.tokens().remove(token)?;
        (until > now && wanted.path() == kind).then_some(wanted)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let Some(wanted) = self.take(request.uri().path()) else {
            return plain(404, "404 page not found".to_owned());
        };
        let means = Means { runtime: self.runtime.clone(), env: self.env.clone() };
        let answer = match wanted {
            Wanted::Exec(container, wanted) => commands::begin_exec(&means, container, wanted, request),
            Wanted::Attach(container, wanted) => commands::begin_attach(&means, container, wanted, request),
            Wanted::Forward(sandbox, ports) => {
                let target =
                    Target { means, sandbox: sandbox.id, pod: sandbox.pod.name, uid: sandbox.pod.uid };
                forward::begin(target, || named(ports), request)
            }
        };
        answer.unwrap_or_else(|refusal| plain(refusal.code, refusal.message))
    }
}

/// Over a WebSocket ports must have been named; over SPDY each connection names its own.
fn named(ports: Vec<u16>) -> Result<Vec<u16>, Status> {
    if ports.is_empty() {
        return Err(Status::new(400, Reason::BadRequest, "no port was named"));
    }
    Ok(ports)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.env.tasks.spawn("stream connection", connection(shared.clone(), stream));
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                shared.env.clock.sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    // Small pieces (a typed letter) must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection cannot be made quick: {error}");
    }
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!("a connection ended badly: {error}");
    }
}

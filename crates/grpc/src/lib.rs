//! gRPC, the asking side, over a socket of this machine: calls of one question and one answer.
//!
//! What is asked and answered are bytes; whoever calls knows the messages. The connection is made when it is first needed,
//! and anew when it was lost.

mod failure;
mod frame;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

pub use failure::{Code, Failure};

/// The largest answer: what gRPC takes where nothing else is said.
const MOST_ANSWER: usize = 4 << 20;
/// How much of an answer may be on its way: lists come in one piece then.
const WINDOW: u32 = 1 << 20;
/// How often somebody who is not there is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// The most that `grpc-timeout` has digits for.
const LONGEST: u128 = 99_999_999;

/// What to do when nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The call has failed.
    Fail,
    /// It waits, as long as it may take.
    Wait,
}

type Sender = SendRequest<Full<Bytes>>;

/// The way to a service.
pub struct Connection {
    socket: PathBuf,
    absent: Absent,
    most_answer: usize,
    env: Env,
    sender: Mutex<Option<Sender>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Connection({})", self.socket.display())
    }
}

impl Connection {
    /// To the service at a socket; a name that begins with `@` is none of a file, but of the kernel's own.
    pub fn new(socket: &Path, absent: Absent, env: &Env) -> Connection {
        let socket = match socket.to_str().and_then(|path| path.strip_prefix('@')) {
            Some(name) => PathBuf::from(OsString::from(format!("\0{name}"))),
            None => socket.to_owned(),
        };
        Connection { socket, absent, most_answer: MOST_ANSWER, env: env.clone(), sender: Mutex::default() }
    }

    /// The same, for answers of so many bytes at most.
    pub fn with_answers_up_to(self, most_answer: usize) -> Connection {
        Connection { most_answer, ..self }
    }

    /// Asks a method (`/package.Service/Method`). What is not answered within the limit has failed.
    pub async fn call(&self, method: &str, question: &[u8], limit: Duration) -> Result<Bytes, Failure> {
        let question = frame::framed(question)?;
        let asked = async {
            match self.ask(method, question.clone(), limit).await {
                // The connection had ended before the question was sent: the service was started anew.
                Err(Lost::Unsent(_)) => self.ask(method, question, limit).await,
                other => other,
            }
        };
        let late = || Failure::new(Code::DEADLINE_EXCEEDED, "context deadline exceeded");
        let answer = self.env.clock.timeout(limit, asked).await.ok_or_else(late)?;
        answer.map_err(|lost| match lost {
            Lost::Unsent(failure) | Lost::Failed(failure) => failure,
        })
    }

    async fn ask(&self, method: &str, question: Bytes, limit: Duration) -> Result<Bytes, Lost> {
        let mut sender = self.sender().await.map_err(Lost::Failed)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://localhost{method}"))
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .header("grpc-timeout", format!("{}m", limit.as_millis().clamp(1, LONGEST)))
            .body(Full::new(question))
            .map_err(|error| Lost::Failed(Failure::new(Code::INTERNAL, error.to_string())))?;
        let answer = sender.send_request(request).await.map_err(|error| {
            let failure = Failure::new(Code::UNAVAILABLE, format!("error reading from server: {error}"));
            if error.is_canceled() { Lost::Unsent(failure) } else { Lost::Failed(failure) }
        })?;
        if !answer.status().is_success() {
            return Err(Lost::Failed(failure::of_status(answer.status())));
        }
        let early = failure::told(answer.headers());
        let body = Limited::new(answer.into_body(), self.most_answer + frame::HEAD).collect().await;
        let body = body.map_err(|error| Lost::Failed(Failure::new(Code::UNAVAILABLE, error.to_string())))?;
        match early.or_else(|| body.trailers().and_then(failure::told)) {
            Some(failure) => Err(Lost::Failed(failure)),
            None => frame::unframed(body.to_bytes()).map_err(Lost::Failed),
        }
    }

    async fn sender(&self) -> Result<Sender, Failure> {
        let mut kept = self.sender.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = loop {
            match self.connect().await {
                Ok(sender) => break sender,
                Err(error) if self.absent == Absent::Fail => {
                    let socket = self.socket.display();
                    let why = format!("connection error: desc = \"dial unix {socket}: {error}\"");
                    return Err(Failure::new(Code::UNAVAILABLE, why));
                }
                Err(_) => self.env.clock.sleep(LOOK).await,
            }
        };
        *kept = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| error.to_string())?;
        let mut builder = http2::Builder::new(Executor(self.env.clone()));
        builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        self.env.tasks.spawn("grpc connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to a socket of this machine ended badly: {error}");
            }
        });
        Ok(sender)
    }
}

/// Why a question has no answer.
enum Lost {
    /// It was never sent, and can be asked again.
    Unsent(Failure),
    Failed(Failure),
}

/// Lets the HTTP/2 machinery start its tasks through the one door.
#[derive(Clone)]
struct Executor(Env);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.0.tasks.spawn("grpc stream", async move {
            work.await;
        });
    }
}

//! Commands in containers, and their main processes, connected to a client.

use std::sync::Arc;
use std::time::Duration;

use cri::{AttachRequest, ExecRequest, Runtime, Session};
use env::Env;
use http::Request;
use hyper::body::Incoming;
use machinery::{Reason, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::streams::{self, ERROR, Pending, RESIZE, Received, STDERR, STDIN, STDOUT, Streams, Wanted};
use super::{Answer, Query, Server, pods};

/// After this long without a byte either way a connection is given up.
const IDLE: Duration = Duration::from_secs(4 * 3_600);
/// How long a client gets to take leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// What it takes to connect a client to something of the runtime's.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    /// The runtime.
    pub runtime: Arc<dyn Runtime>,
    /// Time and tasks.
    pub env: Env,
}

type Path<'a> = (&'a str, &'a str, &'a [&'a str]);

fn wanted(query: &Query) -> Result<Wanted, Status> {
    let tty = query.is_set(["tty", "tty"]);
    let streams = Wanted {
        stdin: query.is_set(["input", "stdin"]),
        stdout: query.is_set(["output", "stdout"]),
        // A terminal has one output.
        stderr: query.is_set(["error", "stderr"]) && !tty,
        tty,
    };
    if !(streams.stdin || streams.stdout || streams.stderr) {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(streams)
}

/// The last part of the path names the container; the one before it, if any, is the pod's identity.
fn container(server: &Server, (namespace, pod, rest): Path<'_>) -> Result<cri::Container, Status> {
    let pod = pods::find(server, namespace, pod)?;
    match rest {
        [container] => pods::running_container(server, &pod, container),
        [uid, container] if *uid == pod.uid() => pods::running_container(server, &pod, container),
        [_, _] => Err(Status::new(404, Reason::NotFound, "pod does not exist")),
        _ => Err(Status::new(404, Reason::NotFound, "404 page not found")),
    }
}

/// Runs a command, connected.
pub(super) async fn exec(
    server: &Server,
    path: Path<'_>,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let container = container(server, path)?;
    let streams = wanted(query)?;
    let wanted = ExecRequest {
        command: query.all("command").to_vec(),
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    begin_exec(&server.means(), container.id, wanted, request)
}

/// Connects to the main process.
pub(super) async fn attach(
    server: &Server,
    path: Path<'_>,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let container = container(server, path)?;
    let streams = wanted(query)?;
    let wanted = AttachRequest {
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    begin_attach(&server.means(), container.id, wanted, request)
}

/// Runs a command in a container when the client has opened its streams.
pub(crate) fn begin_exec(
    means: &Means,
    container: String,
    wanted: ExecRequest,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let ExecRequest { stdin, stdout, stderr, tty, .. } = wanted;
    let (answer, pending) = streams::accept(&means.env, request, Wanted { stdin, stdout, stderr, tty })?;
    let (runtime, clock) = (means.runtime.clone(), means.env.clock.clone());
    means.env.tasks.spawn("exec", async move {
        let shown = wanted.command.clone();
        connect(pending, clock, async move { runtime.exec(container, wanted).await }, Some(&shown)).await;
    });
    Ok(answer)
}

/// Connects to a container's main process when the client has opened its streams.
pub(crate) fn begin_attach(
    means: &Means,
    container: String,
    wanted: AttachRequest,
    request: Request<Incoming>,
) -> Result<Answer, Status> {
    let AttachRequest { stdin, stdout, stderr, tty } = wanted;
    let (answer, pending) = streams::accept(&means.env, request, Wanted { stdin, stdout, stderr, tty })?;
    let (runtime, clock) = (means.runtime.clone(), means.env.clock.clone());
    means.env.tasks.spawn("attach", async move {
        connect(pending, clock, async move { runtime.attach(container, wanted).await }, None).await;
    });
    Ok(answer)
}

/// Runs a command and answers what it printed.
pub(super) async fn run(server: &Server, path: Path<'_>, query: &Query) -> Result<Answer, Status> {
    let container = container(server, path)?;
    let command: Vec<String> =
        query.all("cmd").iter().flat_map(|cmd| cmd.split(' ')).map(str::to_owned).collect();
    let output = server.kit.runtime.exec_sync(container.id, command, 0).await.map_err(Status::internal)?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok(super::plain(200, said))
}

/// Connects a client and tells it how a command ended. How a container ends that was only connected to (there is no
/// `command` then) is not the connection's affair: the pod's status tells.
async fn connect(
    pending: Pending,
    clock: env::Clock,
    begin: impl Future<Output = cri::Result<Session>>,
    command: Option<&[String]>,
) {
    let with_status = pending.with_status();
    let mut streams = match pending.open().await {
        Ok(streams) => streams,
        Err(error) => return tracing::debug!("a client could not be connected: {error}"),
    };
    let outcome = match begin.await {
        Ok(session) => pump(&mut streams, session, &clock).await,
        Err(error) => Some(Err(error.to_string())),
    };
    let Some(outcome) = outcome else { return };
    let outcome = outcome.map(|code| if command.is_some() { code } else { 0 });
    let command = command.unwrap_or_default();
    let told =
        if with_status { status(&outcome, command).to_string() } else { plain_error(&outcome, command) };
    if !told.is_empty() {
        streams.send(ERROR, told.as_bytes()).await;
    }
    // A client that does not take leave is left.
    clock.timeout(FAREWELL, streams.close()).await;
}

/// Carries bytes both ways until the command ends. `None` if the client went first.
async fn pump(streams: &mut Streams, session: Session, clock: &env::Clock) -> Option<Result<i32, String>> {
    let Session { mut stdin, mut stdout, mut stderr, resize, mut exit } = session;
    let mut outcome: Option<Result<i32, String>> = None;
    while outcome.is_none() || stdout.is_some() || stderr.is_some() {
        tokio::select! {
            biased;
            piece = next(&mut stdout), if stdout.is_some() => match piece {
                Some(bytes) => if !streams.send(STDOUT, &bytes).await { return None },
                None => stdout = None,
            },
            piece = next(&mut stderr), if stderr.is_some() => match piece {
                Some(bytes) => if !streams.send(STDERR, &bytes).await { return None },
                None => stderr = None,
            },
            ended = &mut exit, if outcome.is_none() => {
                stdin = None;
                outcome = Some(ended.unwrap_or_else(|_| Err("the connection to the container was lost".to_owned())));
            }
            received = streams.receive() => match received {
                Received::Data(STDIN, bytes) => {
                    if let Some(sender) = &stdin
                        && sender.send(bytes.to_vec()).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Received::Data(RESIZE, bytes) => {
                    if let (Some(sender), Some(size)) = (&resize, size(&bytes)) {
                        // A size that comes too fast is superseded by the next.
                        let _ = sender.try_send(size);
                    }
                }
                Received::Closed(STDIN) => stdin = None,
                Received::Data(..) | Received::Closed(_) => {}
                Received::Gone => return None,
            },
            () = clock.sleep(IDLE) => return None,
        }
    }
    outcome
}

async fn next(receiver: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => None,
    }
}

/// Columns and rows from `{"Width":80,"Height":24}`.
fn size(bytes: &[u8]) -> Option<(u16, u16)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let number = |name: &str| value[name].as_u64().and_then(|number| u16::try_from(number).ok());
    Some((number("Width")?, number("Height")?))
}

fn status(outcome: &Result<i32, String>, command: &[String]) -> Value {
    match outcome {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": non_zero(*code, command),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => {
            let text = format!("error executing command in container: {error}");
            json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {text}"),
                "reason": "InternalError",
                "details": {"causes": [{"message": text}]},
                "code": 500,
            })
        }
    }
}

fn non_zero(code: i32, command: &[String]) -> String {
    format!(
        "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
        command.join(" ")
    )
}

fn plain_error(outcome: &Result<i32, String>, command: &[String]) -> String {
    match outcome {
        Ok(0) => String::new(),
        Ok(code) => non_zero(*code, command),
        Err(error) => format!("error executing command in container: {error}"),
    }
}

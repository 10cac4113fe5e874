//! Logs over HTTP.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cri::{Container, ContainerState};
use env::WallTime;
use futures_util::stream;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use machinery::{Reason, Status};
use tokio::sync::mpsc;

use super::{Answer, Query, Server, pods};
use crate::kit::Kit;
use crate::logs::{Options, Reader};
use crate::pod::PodView;

/// How often a log that is followed is looked at. Only while somebody follows it, which needs no inotify instance:
/// machines have few of those.
const LOOK: Duration = Duration::from_millis(200);
/// Pieces that may wait for a slow client.
const PIECES: usize = 8;

pub(super) async fn logs(
    server: &Server,
    (namespace, pod, container): (&str, &str, &str),
    query: &Query,
) -> Result<Answer, Status> {
    let options = options(query, server.kit.env.clock.now())?;
    let pod = pods::find(server, namespace, pod)?;
    let container = find(server, &pod, container, query.is_set(["previous", "previous"]))?;
    let follow = query.is_set(["follow", "follow"]);
    let path = container.log_path.clone();
    let (sender, receiver) = mpsc::channel(PIECES);
    let source = Source { kit: server.kit.clone(), path, options, follow, container };
    server.kit.env.tasks.spawn("log reader", source.send_all(sender));
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), receiver))
    });
    let mut answer = Response::new(StreamBody::new(pieces).boxed_unsync());
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(answer)
}

fn options(query: &Query, now: WallTime) -> Result<Options, Status> {
    let number = |name: &'static str| match query.one(name) {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Status::bad_request(format!("{name}: {text:?} is no number"))),
        },
    };
    let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let since = match (number("sinceSeconds")?, query.one("sinceTime")) {
        (Some(secs), _) => Some(WallTime(now.0.saturating_sub(secs.saturating_mul(1_000_000_000)))),
        (None, Some(text)) => match client::time::parse(text) {
            Some(at) => Some(at),
            None => return Err(Status::bad_request(format!("sinceTime: {text:?} is no time"))),
        },
        (None, None) => None,
    };
    Ok(Options {
        tail: positive(number("tailLines")?),
        since,
        timestamps: query.is_set(["timestamps", "timestamps"]),
        limit: positive(number("limitBytes")?),
        stream: match query.one("stream") {
            Some("Stdout") => Some("stdout"),
            Some("Stderr") => Some("stderr"),
            _ => None,
        },
    })
}

/// The instance whose log is wanted.
fn find(server: &Server, pod: &PodView, name: &str, previous: bool) -> Result<Container, Status> {
    let observed = server.kit.observer.pod(pod.runtime_uid());
    let bad = |text: String| Status::new(400, Reason::BadRequest, text);
    let shown = format!("container {name:?} in pod {:?}", pod.name());
    if pod.member(name).is_none() {
        let text = format!("container {name:?} not found in pod {:?}\n", pod.name());
        return Err(Status::new(404, Reason::NotFound, text));
    }
    // An instance that was only made has said nothing; the one before may have.
    let made = observed.latest(name).is_some_and(|newest| newest.state == ContainerState::Created);
    let mut spoke = observed.begun(name);
    if previous {
        // Where the newest ended and is to be started again, it is the previous one.
        let restarting = made || server_waits(server, pod, name);
        let found = if restarting { spoke.next() } else { spoke.nth(1) };
        return found.cloned().ok_or_else(|| bad(format!("previous terminated {shown} not found")));
    }
    spoke.next().cloned().ok_or_else(|| {
        let status = pod.status();
        let lists = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let known = lists.into_iter().flatten().flatten().find(|status| status.name == name);
        let waiting = known.and_then(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
        match waiting {
            Some(reason) if reason.contains("Image") => {
                bad(format!("{shown} is waiting to start: trying and failing to pull image"))
            }
            Some(reason) => bad(format!("{shown} is waiting to start: {reason}")),
            None => bad(format!("{shown} is not available")),
        }
    })
}

fn server_waits(server: &Server, pod: &PodView, name: &str) -> bool {
    let latest = server.kit.observer.pod(pod.runtime_uid()).latest(name).map(|container| container.state);
    let status = pod.status();
    let waits = status.container_statuses.iter().flatten().any(|status| {
        status.name == name && status.state.as_ref().is_some_and(|state| state.waiting.is_some())
    });
    waits && latest == Some(ContainerState::Exited)
}

struct Source {
    kit: Arc<Kit>,
    path: PathBuf,
    options: Options,
    follow: bool,
    container: Container,
}

impl Source {
    async fn send_all(self, sender: mpsc::Sender<Bytes>) {
        let path = self.path.clone();
        let options = self.options.clone();
        let opened = self.kit.env.tasks.blocking(move || Reader::open(&path, options)).await;
        let mut reader = match opened {
            Some(Ok(reader)) => reader,
            Some(Err(error)) => {
                let text = format!("failed to open log file {:?}: {error}\n", self.path);
                let _ = sender.send(text.into()).await;
                return;
            }
            None => return,
        };
        loop {
            // Whether it ended is asked before the last read, so that nothing it wrote is missed.
            let runs = self.runs();
            let read = self.kit.env.tasks.blocking(move || {
                let piece = reader.read();
                (reader, piece)
            });
            let Some((back, piece)) = read.await else { return };
            reader = back;
            match piece {
                Ok(piece) if !piece.is_empty() => {
                    if sender.send(piece.into()).await.is_err() {
                        return;
                    }
                }
                Ok(_) if reader.is_exhausted() || !self.follow || !runs => return,
                Ok(_) => {
                    tokio::select! {
                        biased;
                        () = sender.closed() => return,
                        () = self.kit.env.clock.sleep(LOOK) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), "a log cannot be read: {error}");
                    return;
                }
            }
        }
    }

    fn runs(&self) -> bool {
        let observed = self.kit.observer.pod(&self.container.pod.uid);
        observed
            .container(&self.container.id)
            .is_some_and(|container| container.state == ContainerState::Running)
    }
}

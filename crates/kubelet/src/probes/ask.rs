//! One question: run a command, fetch a page, open a connection, or ask a gRPC service.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

use super::grpc;
use crate::http;
use crate::kit::Kit;

/// Who asks.
const AGENT: &str = "kube-probe/1.36";
/// How much of what a command printed is shown.
const MOST_OUTPUT: usize = 10 * 1_024;

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The container's specification.
    pub container: Container,
    /// Its id.
    pub id: String,
    /// Its address.
    pub ip: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is well.
    Yes,
    /// It is well, but somebody should look at it.
    Warning(String),
    /// It is not.
    No(String),
    /// It could not be asked.
    Error(String),
}

impl Verdict {
    /// Whether the container is well; `None` if that is not known, which counts for nothing.
    pub fn says(&self) -> Option<bool> {
        match self {
            Verdict::Yes | Verdict::Warning(_) => Some(true),
            Verdict::No(_) => Some(false),
            Verdict::Error(_) => None,
        }
    }
}

/// Asks once.
pub(super) async fn ask(kit: &Kit, probe: &Probe, subject: &Subject, limit: Duration) -> Verdict {
    if let Some(exec) = &probe.exec {
        let secs = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
        let command = exec.command.clone().unwrap_or_default();
        return match kit.runtime.exec_sync(subject.id.clone(), command.clone(), secs).await {
            Ok(output) if output.exit_code == 0 => Verdict::Yes,
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                let said = &said[..said.len().min(MOST_OUTPUT)];
                Verdict::No(String::from_utf8_lossy(said).into_owned())
            }
            Err(cri::RuntimeError::Timeout(_)) => {
                Verdict::No(format!("command timed out: {:?} timed out after {secs}s", command.join(" ")))
            }
            Err(error) => Verdict::Error(format!("rpc error: {error}")),
        };
    }
    let work = over_network(probe, subject);
    match kit.env.clock.timeout(limit, work).await {
        Some(verdict) => verdict,
        None => Verdict::No(late(probe, subject, limit)),
    }
}

fn late(probe: &Probe, subject: &Subject, limit: Duration) -> String {
    if let Some(action) = &probe.http_get
        && let Ok(ask) = http::from_action(action, &subject.container, &subject.ip, AGENT)
    {
        let url = machinery::field::go_quote(&ask.url());
        return format!(
            "Get {url}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        );
    }
    if let Some(action) = &probe.grpc {
        let address = format!("{}:{}", subject.ip, action.port);
        return format!(
            "timeout: failed to connect service {} within {}s: context deadline exceeded",
            machinery::field::go_quote(&address),
            limit.as_secs()
        );
    }
    format!("dial tcp {}: i/o timeout", subject.ip)
}

async fn over_network(probe: &Probe, subject: &Subject) -> Verdict {
    if let Some(action) = &probe.http_get {
        let ask = match http::from_action(action, &subject.container, &subject.ip, AGENT) {
            Ok(ask) => ask,
            Err(error) => return Verdict::Error(error),
        };
        return match http::get(&ask).await {
            Err(error) => Verdict::No(error),
            Ok(answer) if answer.elsewhere.is_some() => {
                Verdict::Warning(format!("Probe terminated redirects, Response body: {}", answer.body))
            }
            Ok(answer) if http::is_success(answer.status) => Verdict::Yes,
            Ok(answer) => Verdict::No(format!("HTTP probe failed with statuscode: {}", answer.status)),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| subject.ip.clone());
        return match http::port(&action.port, &subject.container) {
            Err(error) => Verdict::Error(error),
            Ok(port) => match http::connect(&host, port).await {
                Ok(_) => Verdict::Yes,
                Err(error) => Verdict::No(error),
            },
        };
    }
    if let Some(action) = &probe.grpc {
        let Ok(port) = u16::try_from(action.port) else {
            return Verdict::Error(format!("invalid port number: {}", action.port));
        };
        return grpc::check(&subject.ip, port, action.service.as_deref().unwrap_or_default()).await;
    }
    Verdict::Error(format!("missing probe handler for container {}", subject.container.name))
}

//! A runtime's two services, asked over its socket, and what their failures mean to the port.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cri::RuntimeError;
use cri::wire::Message;
use env::Env;
use grpc::{Absent, Code};

/// The largest answer: what kubelets take.
const MOST_ANSWER: usize = 16 << 20;

/// Which of a runtime's two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Runtime,
    Image,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Runtime => "runtime.v1.RuntimeService",
            Service::Image => "runtime.v1.ImageService",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: Code,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> RuntimeError {
        match failure.code {
            Code::INVALID_ARGUMENT => RuntimeError::Invalid(failure.message),
            Code::DEADLINE_EXCEEDED => RuntimeError::Timeout(failure.message),
            _ => RuntimeError::Failed(failure.message),
        }
    }
}

impl Failure {
    /// As the port says it where something was asked for by its id.
    pub fn about(self, what: &'static str, id: &str) -> RuntimeError {
        match self.code {
            Code::NOT_FOUND => RuntimeError::NotFound { what, id: id.to_owned() },
            _ => self.into(),
        }
    }
}

/// The way to a runtime.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: PathBuf,
    inner: grpc::Connection,
}

impl Connection {
    pub fn new(socket: PathBuf, env: &Env) -> Connection {
        let inner = grpc::Connection::new(&socket, Absent::Fail, env).with_answers_up_to(MOST_ANSWER);
        Connection { socket, inner }
    }

    /// Asks. What the runtime has not answered within the limit has failed.
    pub async fn call<M: Message>(
        &self,
        service: Service,
        method: &str,
        question: &impl Message,
        limit: Duration,
    ) -> Result<M, Failure> {
        let path = format!("/{}/{method}", service.name());
        let answer = self.inner.call(&path, &question.encode(), limit).await;
        let answer = answer.map_err(|failure| self.told(method, failure, limit))?;
        M::decode(&answer)
            .map_err(|error| Failure { code: Code::INTERNAL, message: format!("{method}: {error}") })
    }

    fn told(&self, method: &str, failure: grpc::Failure, limit: Duration) -> Failure {
        let grpc::Failure { code, message } = failure;
        let message = match code {
            Code::DEADLINE_EXCEEDED => format!("{method} took longer than {} s", limit.as_secs()),
            Code::UNAVAILABLE => {
                format!("the container runtime at {} cannot be reached: {message}", self.socket.display())
            }
            _ => message,
        };
        Failure { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_errors_of_the_port() {
        let failure = |code| Failure { code, message: "why".to_owned() };
        let why = "why".to_owned();
        for (code, wanted) in [
            (Code::INVALID_ARGUMENT, RuntimeError::Invalid(why.clone())),
            (Code::DEADLINE_EXCEEDED, RuntimeError::Timeout(why.clone())),
            (Code::NOT_FOUND, RuntimeError::NotFound { what: "container", id: "c1".to_owned() }),
            (Code::UNKNOWN, RuntimeError::Failed(why.clone())),
            (Code::UNAVAILABLE, RuntimeError::Failed(why)),
        ] {
            assert_eq!(failure(code).about("container", "c1"), wanted, "{code}");
        }
    }

    #[tokio::test]
    async fn a_runtime_that_is_not_there_is_told_by_its_place() {
        let socket = std::env::temp_dir().join(format!("ironclad-remote-{}.sock", std::process::id()));
        let connection = Connection::new(socket.clone(), &Env::real());
        let asked = cri::v1::VersionRequest::default();
        let limit = Duration::from_secs(60);
        let answer = connection.call::<cri::v1::VersionResponse>(Service::Runtime, "Version", &asked, limit);
        let failure = answer.await.unwrap_err();
        assert_eq!(failure.code, Code::UNAVAILABLE);
        assert!(failure.message.contains(&socket.display().to_string()), "{failure}");
    }
}

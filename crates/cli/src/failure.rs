//! What can go wrong, in kubectl's words.

use std::fmt;

use machinery::Status;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The server said no.
    Server(Status),
    /// The command line, a file or the connection was wrong.
    Client(String),
    /// A program run in a container ended with this code.
    Exited(u8),
}

impl Failure {
    /// A failure of our own.
    pub fn client(message: impl Into<String>) -> Failure {
        Failure::Client(message.into())
    }

    /// The code the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Exited(code) => *code,
            _ => 1,
        }
    }

    /// Whether the server knows no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Failure::Server(status) if status.code == 404)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Server(status) => {
                let reason = status.reason.as_str();
                match reason {
                    "" => write!(out, "Error from server: {}", status.message),
                    "Invalid" => write!(out, "The {}", status.message),
                    _ => write!(out, "Error from server ({reason}): {}", status.message),
                }
            }
            Failure::Client(message) => write!(out, "error: {message}"),
            Failure::Exited(code) => write!(out, "command terminated with exit code {code}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::Server(status)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Client(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use machinery::status::{GroupName, Reason};

    use super::*;

    #[test]
    fn failures_read_as_kubectls() {
        let pods = GroupName { group: "", name: "pods" };
        let missing = Failure::from(Status::not_found(pods, "x"));
        assert_eq!(missing.to_string(), "Error from server (NotFound): pods \"x\" not found");
        assert!(missing.is_not_found());
        let invalid =
            Failure::from(Status::new(422, Reason::Invalid, "Pod \"x\" is invalid: spec: Required value"));
        assert_eq!(invalid.to_string(), "The Pod \"x\" is invalid: spec: Required value");
        assert_eq!(Failure::client("no").to_string(), "error: no");
        assert_eq!(Failure::Exited(3).exit_code(), 3);
    }
}

//! What went wrong with a call: a code that gRPC numbers, and a text.

use std::fmt;

use http::{HeaderMap, StatusCode};

/// A code, as gRPC numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl Code {
    /// Nothing is known of what went wrong.
    pub const UNKNOWN: Code = Code(2);
    /// The question makes no sense.
    pub const INVALID_ARGUMENT: Code = Code(3);
    /// It took too long.
    pub const DEADLINE_EXCEEDED: Code = Code(4);
    /// What was asked for is not there.
    pub const NOT_FOUND: Code = Code(5);
    /// Something is too large, or used up.
    pub const RESOURCE_EXHAUSTED: Code = Code(8);
    /// The service has no such method.
    pub const UNIMPLEMENTED: Code = Code(12);
    /// What came back makes no sense.
    pub const INTERNAL: Code = Code(13);
    /// Nobody is there.
    pub const UNAVAILABLE: Code = Code(14);
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => out.write_str(name),
            None => write!(out, "Code({})", self.0),
        }
    }
}

/// Why a call has no answer. It is shown as Go's clients show it, which users of Kubernetes know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub code: Code,
    /// What the service said, or what we found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rpc error: code = {} desc = {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

/// The failure that headers or trailers tell, if they tell one.
pub(crate) fn told(headers: &HeaderMap) -> Option<Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().map_or(Code::UNKNOWN, Code);
    let message = unescaped(text("grpc-message").unwrap_or_default());
    (code != Code(0)).then_some(Failure { code, message })
}

/// What an answer means that is none of gRPC's.
pub(crate) fn of_status(status: StatusCode) -> Failure {
    let message = format!("unexpected HTTP status code received from server: {status}");
    Failure::new(if status == StatusCode::NOT_FOUND { Code::UNIMPLEMENTED } else { Code::UNKNOWN }, message)
}

/// A message whose unusual bytes are written as a percent sign and two digits.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| byte == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn messages_of_failures_are_read_as_they_were_meant() {
        for (escaped, meant) in [
            ("plain", "plain"),
            ("100%25 \"%C3%BCnknown\"%0A", "100% \"ünknown\"\n"),
            ("50%", "50%"),
            ("50%2", "50%2"),
            ("%zz%", "%zz%"),
            ("%+1", "%+1"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(unescaped(escaped), meant, "{escaped}");
        }
    }

    #[test]
    fn a_status_of_zero_is_no_failure_and_nonsense_is_an_unknown_one() {
        let headers = |status: &str| {
            let status = HeaderValue::from_str(status).unwrap();
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), status)])
        };
        assert_eq!(told(&HeaderMap::new()), None);
        assert_eq!(told(&headers("0")), None);
        for (status, shown) in [
            ("x", "rpc error: code = Unknown desc = "),
            ("14", "rpc error: code = Unavailable desc = "),
            ("77", "rpc error: code = Code(77) desc = "),
        ] {
            assert_eq!(told(&headers(status)).unwrap().to_string(), shown);
        }
    }
}

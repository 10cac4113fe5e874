//! `Status`: how every request that does not answer with an object is answered, and the only error the API shows.

use std::fmt;

use crate::Value;
use crate::field;

/// The machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// None given.
    Unknown,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409, the name is taken
    AlreadyExists,
    /// 409, somebody was faster
    Conflict,
    /// 410, forgotten for good
    Gone,
    /// 422
    Invalid,
    /// 504, try again later
    ServerTimeout,
    /// 410, the resource version is forgotten
    Expired,
    /// 507 and the like
    StoreReadError,
    /// 504, it took too long
    Timeout,
    /// 429
    TooManyRequests,
    /// 400
    BadRequest,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
}

impl Reason {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::Expired => "Expired",
            Reason::StoreReadError => "StorageReadError",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// From its form on the wire.
    pub fn parse(text: &str) -> Reason {
        const ALL: [Reason; 19] = [
            Reason::Unauthorized,
            Reason::Forbidden,
            Reason::NotFound,
            Reason::AlreadyExists,
            Reason::Conflict,
            Reason::Gone,
            Reason::Invalid,
            Reason::ServerTimeout,
            Reason::Expired,
            Reason::StoreReadError,
            Reason::Timeout,
            Reason::TooManyRequests,
            Reason::BadRequest,
            Reason::MethodNotAllowed,
            Reason::NotAcceptable,
            Reason::RequestEntityTooLarge,
            Reason::UnsupportedMediaType,
            Reason::InternalError,
            Reason::ServiceUnavailable,
        ];
        ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Reason::Unknown)
    }
}

/// One cause of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Where in the document; empty if nowhere.
    pub field: String,
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its kind, or the resource's plural: upstream mixes them, and so must we.
    pub kind: String,
    /// The object's identity.
    pub uid: String,
    /// What led to it.
    pub causes: Vec<Cause>,
    /// When to try again; zero if it is not said.
    pub retry_after_secs: u32,
}

/// A failure as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// Machine-readable.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// Where a list can be continued (only with [`Reason::Expired`]); empty otherwise.
    pub continue_token: String,
}

/// A group and a resource (plural) or kind, as failures name them: `deployments.apps`, `pods`.
#[derive(Clone, Copy, Debug)]
pub struct GroupName<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The plural, or the kind.
    pub name: &'a str,
}

impl fmt::Display for GroupName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            out.write_str(self.name)
        } else {
            write!(out, "{}.{}", self.name, self.group)
        }
    }
}

impl Status {
    /// A failure with nothing but its code, reason and message.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: None, continue_token: String::new() }
    }

    /// The same failure, about something.
    pub fn about(mut self, subject: GroupName<'_>, name: &str) -> Status {
        let details = self.details.get_or_insert_default();
        details.group = subject.group.to_owned();
        details.kind = subject.name.to_owned();
        details.name = name.to_owned();
        self
    }

    /// The same failure, with one more cause.
    pub fn caused_by(mut self, cause: Cause) -> Status {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The same failure, to be tried again after some seconds.
    pub fn retry_after(mut self, seconds: u32) -> Status {
        self.details.get_or_insert_default().retry_after_secs = seconds;
        self
    }

    /// 404 for an object.
    pub fn not_found(resource: GroupName<'_>, name: &str) -> Status {
        Status::new(404, Reason::NotFound, format!("{resource} {} not found", field::go_quote(name)))
            .about(resource, name)
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: GroupName<'_>, name: &str) -> Status {
        let message = format!("{resource} {} already exists", field::go_quote(name));
        Status::new(409, Reason::AlreadyExists, message).about(resource, name)
    }

    /// 409: somebody was faster, or a precondition does not hold.
    pub fn conflict(resource: GroupName<'_>, name: &str, why: &str) -> Status {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", field::go_quote(name));
        Status::new(409, Reason::Conflict, message).about(resource, name)
    }

    /// 403.
    pub fn forbidden(resource: GroupName<'_>, name: &str, why: &str) -> Status {
        let message = match (resource.name.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} {} is forbidden: {why}", field::go_quote(name)),
        };
        Status::new(403, Reason::Forbidden, message).about(resource, name)
    }

    /// 422: the document breaks rules of its kind.
    pub fn invalid(kind: GroupName<'_>, name: &str, errors: &[field::Error]) -> Status {
        let message = format!("{kind} {} is invalid: {}", field::go_quote(name), field::listed(errors));
        let status = Status::new(422, Reason::Invalid, message).about(kind, name);
        errors.iter().fold(status, |status, error| {
            let field = error.path.to_string();
            status.caused_by(Cause { reason: error.kind.reason().to_owned(), message: error.body(), field })
        })
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, Reason::BadRequest, message)
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 410: the resource version is forgotten.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, Reason::Expired, message)
    }

    /// 500, with what went wrong as its one cause.
    pub fn internal(why: impl fmt::Display) -> Status {
        let message = format!("Internal error occurred: {why}");
        Status::new(500, Reason::InternalError, message)
            .caused_by(Cause { message: why.to_string(), ..Cause::default() })
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, Reason::ServiceUnavailable, message)
    }

    /// Whether this is a failure for this reason.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    /// The document, as it goes over the wire.
    pub fn to_value(&self) -> Value {
        let mut document = Value::from([
            ("kind", Value::from("Status")),
            ("apiVersion", Value::from("v1")),
            ("metadata", Value::object()),
            ("status", Value::from("Failure")),
        ]);
        if !self.continue_token.is_empty() {
            *document.at_mut(&["metadata", "continue"]) = Value::from(self.continue_token.as_str());
        }
        let mut set = |name: &str, text: &str| {
            if !text.is_empty() {
                document.set(name, text);
            }
        };
        set("message", &self.message);
        set("reason", self.reason.as_str());
        if let Some(details) = &self.details {
            document.set("details", details.to_value());
        }
        document.set("code", i64::from(self.code));
        document
    }

    /// From its document; anything that is missing is left at its default.
    pub fn from_value(document: &Value) -> Status {
        let details = document.get("details");
        Status {
            code: document.get("code").as_int().and_then(|code| u16::try_from(code).ok()).unwrap_or(500),
            reason: Reason::parse(document.get("reason").str_or_empty()),
            message: document.get("message").str_or_empty().to_owned(),
            details: (!details.is_null()).then(|| Box::new(Details::from_value(details))),
            continue_token: document.at(&["metadata", "continue"]).str_or_empty().to_owned(),
        }
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut document = Value::object();
        for (name, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                document.set(name, text.as_str());
            }
        }
        if !self.causes.is_empty() {
            document.set("causes", self.causes.iter().map(Cause::to_value).collect::<Vec<_>>());
        }
        if self.retry_after_secs > 0 {
            document.set("retryAfterSeconds", i64::from(self.retry_after_secs));
        }
        document
    }

    fn from_value(document: &Value) -> Details {
        let text = |name: &str| document.get(name).str_or_empty().to_owned();
        let seconds = document.get("retryAfterSeconds").as_int().unwrap_or(0);
        Details {
            name: text("name"),
            group: text("group"),
            kind: text("kind"),
            uid: text("uid"),
            causes: document.get("causes").items().iter().map(Cause::from_value).collect(),
            retry_after_secs: u32::try_from(seconds).unwrap_or(0),
        }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut document = Value::object();
        for (name, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                document.set(name, text.as_str());
            }
        }
        document
    }

    fn from_value(document: &Value) -> Cause {
        let text = |name: &str| document.get(name).str_or_empty().to_owned();
        Cause { reason: text("reason"), message: text("message"), field: text("field") }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Error, Path};

    #[test]
    fn failures_carry_upstreams_words() {
        let deployments = GroupName { group: "apps", name: "deployments" };
        let status = Status::not_found(deployments, "web");
        assert_eq!(status.message, "deployments.apps \"web\" not found");
        let errors = [Error::required(&Path::new("spec"), ""), Error::required(&Path::new("kind"), "")];
        let pod = GroupName { group: "", name: "Pod" };
        let status = Status::invalid(pod, "p", &errors);
        assert_eq!(status.message, "Pod \"p\" is invalid: [spec: Required value, kind: Required value]");
        assert_eq!(status.details.as_ref().map(|details| details.causes.len()), Some(2));
    }

    #[test]
    fn a_status_survives_its_document() {
        let subject = GroupName { group: "", name: "pods" };
        let status = Status::conflict(subject, "p", "changed")
            .caused_by(Cause { reason: "R".into(), message: "m".into(), field: "f".into() })
            .retry_after(3);
        assert_eq!(Status::from_value(&status.to_value()), status);
    }
}

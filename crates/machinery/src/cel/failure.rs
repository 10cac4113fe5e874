//! Why an evaluation failed.

use std::fmt;

use super::value::Val;

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of what kind.
    pub kind: FailureKind,
    message: String,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The expression has no value. `true || …` has one even if the rest has none.
    NoValue,
    /// It cost too much.
    Cost,
}

/// What an evaluation leads to.
pub type Outcome<'a> = Result<Val<'a>, Failure>;

impl Failure {
    /// There is no value, for this reason.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::NoValue, message: message.into() }
    }

    /// No function of that name takes such arguments.
    pub(super) fn no_such_overload() -> Failure {
        Failure::new("no such overload")
    }

    /// The expression may not cost more.
    pub(super) fn cost() -> Failure {
        let message = "operation cancelled: actual cost limit exceeded".to_owned();
        Failure { kind: FailureKind::Cost, message }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

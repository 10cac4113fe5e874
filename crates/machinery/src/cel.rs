//! CEL: expressions in definitions of custom resources, in policies and in selectors.
//!
//! An [`Environment`] says what an expression can refer to; it compiles text to a [`Program`], or says what is wrong
//! in upstream's words. A program is evaluated with an [`Activation`]: what its variables stand for. Documents are used
//! where they are; [`Declaration`]s say what they look like. Every evaluation has a limit of cost, so every one ends.
//!
//! ```
//! use machinery::cel::{Activation, Declaration, Environment, Val};
//!
//! let environment = Environment::kubernetes().with("object", Declaration::dynamic());
//! let program = environment.compile("object.spec.replicas > 1").unwrap();
//! let document = machinery::json::parse(br#"{"spec":{"replicas":3}}"#).unwrap();
//! let activation = Activation::new().with("object", Val::dynamic(&document));
//! assert!(program.evaluate(&activation, 1_000).outcome.unwrap().is_true());
//! ```

mod authorizer;
mod charge;
mod check;
mod declaration;
mod environment;
mod estimate;
mod evaluate;
mod failure;
mod library;
mod macros;
mod parse;
mod plan;
mod program;
mod source;
mod syntax;
mod token;
mod types;
mod value;

pub use authorizer::{Authorizer, Check, Decision, Question};
pub use declaration::{Declaration, ObjectType, Sameness, escape};
pub use environment::Environment;
pub use estimate::Cost;
pub use failure::{Failure, FailureKind, Outcome};
pub use library::cidr::Cidr;
pub use library::format::Format;
pub use library::semver::Version;
pub use library::url::Url;
pub use program::{Activation, Evaluation, Program};
pub use source::{Issue, Issues};
pub use types::Type;
pub use value::{Entries, Key, List, Map, Opaque, Struct, Val};

/// What one evaluation may cost: upstream's limit.
pub const CALL_LIMIT: u64 = 1_000_000;
/// What all evaluations for one request or object may cost together: upstream's limit.
pub const BUDGET: u64 = 10_000_000;

#[cfg(test)]
mod tests;

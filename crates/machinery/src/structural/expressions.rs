//! `x-kubernetes-validations`: rules in CEL, compiled with the schema they belong to, and held against documents.

mod check;
mod compile;
mod declare;

use smol_str::SmolStr;

pub use check::Verdicts;
pub use compile::{Compiled, Scope};

use super::Structural;
use crate::Value;
use crate::cel::Declaration;

/// How large a request can be: whatever a schema does not limit is estimated from it.
const REQUEST_MAX: u64 = 3 << 20;

/// A rule as it is written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The expression that must be true.
    pub rule: SmolStr,
    /// What is said if it is not.
    pub message: SmolStr,
    /// The expression that makes what is said.
    pub message_expression: SmolStr,
    /// The reason that is given.
    pub reason: SmolStr,
    /// Which part is at fault, as a path from where the rule stands.
    pub field_path: SmolStr,
    /// `oldSelf` may be missing.
    pub optional_old: Option<bool>,
}

impl Rule {
    /// From its document.
    pub fn of(document: &Value) -> Rule {
        let text = |name: &str| SmolStr::new(document.get(name).str_or_empty());
        Rule {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old: document.get("optionalOldSelf").as_bool(),
        }
    }

    /// What is said where nothing better is known.
    fn words(&self) -> String {
        match self.message.trim() {
            "" => format!("failed rule: {}", self.rule.trim()),
            message => message.to_owned(),
        }
    }

    /// How the rule is named in errors about itself.
    fn name(&self) -> &str {
        match self.message.trim() {
            "" => self.rule.trim(),
            message => message,
        }
    }
}

/// The rules of a schema and of everything in it; parts without rules are left out.
#[derive(Debug)]
pub struct Expressions {
    rules: Vec<Compiled>,
    declaration: Declaration,
    properties: Vec<(SmolStr, Expressions)>,
    additional: Option<Box<Expressions>>,
    items: Option<Box<Expressions>>,
}

impl Expressions {
    /// The compiled rules of the schema of a whole object; `None` if there are none.
    pub fn compile(schema: &Structural) -> Option<Expressions> {
        compile::tree(schema, true)
    }
}

#[cfg(test)]
mod tests;

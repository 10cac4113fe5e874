//! Rules are held against values.

use std::sync::Arc;

use super::{Compiled, Expressions, Rule};
use crate::Value;
use crate::cel::{Activation, BUDGET, CALL_LIMIT, Failure, FailureKind, Program, Val};
use crate::field::{Error, Errors, Kind, Path, Shown};
use crate::structural::{List, Structural};

/// A longer message is not said.
const MESSAGE_MAX: usize = 5 << 10;

/// What rules say of a document.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// What is wrong with it.
    pub errors: Errors,
    /// What is wrong with it, but was before and has not changed.
    pub warnings: Vec<String>,
}

/// How one rule ended.
enum Outcome {
    /// The next rule follows.
    Next,
    /// No rule follows.
    Stop,
}

/// A value, as it is and as it was.
#[derive(Clone, Copy)]
struct Pair<'a> {
    value: &'a Value,
    /// `None` if there was none, or none that can be told to be the same.
    old: Option<&'a Value>,
    /// Whether it did not change, so that it is not held against the document.
    is_unchanged: bool,
}

impl<'a> Pair<'a> {
    fn member(self, name: &str, value: &'a Value) -> Pair<'a> {
        let old = self.old.map(|old| old.get(name)).filter(|old| !old.is_null());
        self.part(value, old)
    }

    fn part(self, value: &'a Value, old: Option<&'a Value>) -> Pair<'a> {
        Pair { value, old, is_unchanged: self.is_unchanged || old == Some(value) }
    }
}

impl Expressions {
    /// Holds the rules against a whole document, and against as it was before (`old`).
    pub fn check(&self, schema: &Structural, document: &Value, old: Option<&Value>) -> Verdicts {
        let mut walk = Walk { budget: BUDGET, verdicts: Verdicts::default() };
        let pair = Pair { value: document, old, is_unchanged: false };
        walk.node(self, schema, &Path::root(), pair);
        walk.verdicts
    }
}

struct Walk {
    /// What may still be spent.
    budget: u64,
    verdicts: Verdicts,
}

impl Walk {
    fn node(
        &mut self,
        expressions: &Expressions,
        schema: &Structural,
        path: &Path,
        pair: Pair<'_>,
    ) -> Outcome {
        if pair.value.is_null() {
            return Outcome::Next;
        }
        if let Outcome::Stop = self.rules(expressions, schema, path, pair) {
            return Outcome::Stop;
        }
        match pair.value {
            Value::Object(members) => {
                for (name, member) in members.iter() {
                    // Whether it is told apart by its name depends on what the map is.
                    let pair = if schema.atomic_map { Pair { old: None, ..pair } } else { pair };
                    let known = expressions.properties.iter().find(|(known, _)| *name == known.as_str());
                    let (below, path) = match (known, &expressions.additional) {
                        (Some((_, below)), _) => (below, path.child(name)),
                        (None, Some(below)) if schema.property(name).is_none() => (&**below, path.key(name)),
                        _ => continue,
                    };
                    let Some(schema) = schema.member(name) else { continue };
                    if let Outcome::Stop = self.node(below, schema, &path, pair.member(name, member)) {
                        return Outcome::Stop;
                    }
                }
                Outcome::Next
            }
            Value::Array(items) => self.items(expressions, schema, path, (items, pair)),
            _ => Outcome::Next,
        }
    }

    fn items(
        &mut self,
        expressions: &Expressions,
        schema: &Structural,
        path: &Path,
        (items, pair): (&[Value], Pair<'_>),
    ) -> Outcome {
        let (Some(below), Some(schema_of_item)) = (expressions.items.as_deref(), schema.items.as_deref())
        else {
            return Outcome::Next;
        };
        for (position, item) in items.iter().enumerate() {
            let old = pair.old.and_then(|old| counterpart(schema, item, old.items()));
            let part = pair.part(item, old);
            if let Outcome::Stop = self.node(below, schema_of_item, &path.index(position), part) {
                return Outcome::Stop;
            }
        }
        Outcome::Next
    }

    fn rules(
        &mut self,
        expressions: &Expressions,
        schema: &Structural,
        path: &Path,
        pair: Pair<'_>,
    ) -> Outcome {
        if expressions.rules.is_empty() {
            return Outcome::Next;
        }
        // Whole documents have no name.
        let nameless = Path::new("<nil>");
        let path = if path.as_str().is_empty() { &nameless } else { path };
        let value = Val::of(pair.value, &expressions.declaration);
        let old = pair.old.map(|old| Val::of(old, &expressions.declaration)).transpose();
        let (value, old) = match (value, old) {
            (Ok(value), Ok(old)) => (value, old),
            (Err(failure), _) | (_, Err(failure)) => {
                self.verdicts.errors.push(wrong(path, schema, pair.value, failure.to_string()));
                return Outcome::Next;
            }
        };
        for rule in &expressions.rules {
            let Some(activation) = activation(rule, &value, old.as_ref()) else { continue };
            let mut trial = Trial { walk: self, rule, schema, path, pair };
            if let Outcome::Stop = trial.hold(&activation) {
                return Outcome::Stop;
            }
        }
        Outcome::Next
    }
}

/// What a rule is about; `None` if it is about a change and there is none.
fn activation<'a>(rule: &Compiled, value: &Val<'a>, old: Option<&Val<'a>>) -> Option<Activation<'a>> {
    let activation = Activation::new().with("self", value.clone());
    if rule.rule.optional_old == Some(true) {
        return Some(activation.with("oldSelf", Val::Optional(old.cloned().map(Arc::new))));
    }
    match old {
        Some(old) => Some(activation.with("oldSelf", old.clone())),
        None if rule.uses_old => None,
        None => Some(activation),
    }
}

/// The item of a list that was the same one before. Only items of maps can be told apart.
fn counterpart<'a>(schema: &Structural, item: &Value, old: &'a [Value]) -> Option<&'a Value> {
    let Some(List::Map(keys)) = &schema.list else { return None };
    let is_same = |old: &&Value| keys.iter().all(|key| old.get(key) == item.get(key));
    old.iter().find(is_same)
}

/// One rule and one value.
struct Trial<'a, 'w> {
    walk: &'w mut Walk,
    rule: &'a Compiled,
    schema: &'a Structural,
    path: &'a Path,
    pair: Pair<'a>,
}

impl Trial<'_, '_> {
    fn wrong(&mut self, text: impl Into<String>) {
        let error = wrong(self.path, self.schema, self.pair.value, text);
        self.walk.verdicts.errors.push(error);
    }

    fn hold(&mut self, activation: &Activation<'_>) -> Outcome {
        let (rule, name) = (self.rule, self.rule.rule.name());
        let program = match &rule.program {
            None => return Outcome::Next,
            Some(Ok(program)) => program,
            Some(Err(fault)) => {
                self.wrong(format!("rule compile error: {fault}"));
                return Outcome::Next;
            }
        };
        let failure = match self.run(program, activation) {
            None => {
                self.wrong(
                    "validation failed due to running out of cost budget, no further validation rules will be run",
                );
                return Outcome::Stop;
            }
            Some(Ok(value)) if value.is_true() => return Outcome::Next,
            Some(Ok(_)) => return self.failed(activation),
            Some(Err(failure)) => failure,
        };
        if failure.kind == FailureKind::Cost {
            self.wrong(format!("'{failure}': call cost exceeds limit for rule: {name}"));
            return Outcome::Stop;
        }
        let text = failure.to_string();
        if text.starts_with("no such overload") {
            self.wrong(format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: \
                 {name}"
            ));
        } else {
            self.wrong(format!("{text} evaluating rule: {name}"));
        }
        Outcome::Next
    }

    /// Evaluates; `None` if it costs more than there is.
    fn run<'v>(
        &mut self,
        program: &Program,
        activation: &Activation<'v>,
    ) -> Option<Result<Val<'v>, Failure>> {
        let evaluation = program.evaluate(activation, CALL_LIMIT);
        self.walk.budget = self.walk.budget.checked_sub(evaluation.cost)?;
        Some(evaluation.outcome)
    }

    /// The rule is not kept.
    fn failed(&mut self, activation: &Activation<'_>) -> Outcome {
        let rule = self.rule;
        let text = match &rule.message {
            Some(Ok(program)) => match self.run(program, activation) {
                None => {
                    self.wrong(
                        "messageExpression evaluation failed due to running out of cost budget, no further \
                         validation rules will be run",
                    );
                    return Outcome::Stop;
                }
                Some(Ok(value)) => said(&value).unwrap_or_else(|| rule.rule.words()),
                Some(Err(failure)) if failure.kind == FailureKind::Cost => {
                    self.wrong(
                        "no further validation rules will be run due to call cost exceeds limit for \
                         messageExpression",
                    );
                    return Outcome::Stop;
                }
                Some(Err(_)) => rule.rule.words(),
            },
            _ => rule.rule.words(),
        };
        let path = match rule.field_path.as_str() {
            "" => self.path.clone(),
            below if self.path.as_str() == "<nil>" => Path::new(below),
            below => self.path.child(below),
        };
        let error = for_reason(&rule.rule, wrong(&path, self.schema, self.pair.value, text));
        if self.pair.is_unchanged && !rule.uses_old {
            self.walk.verdicts.warnings.push(error.to_string());
        } else {
            self.walk.verdicts.errors.push(error);
        }
        Outcome::Next
    }
}

/// What an expression made for a message; `None` if it is of no use.
fn said(value: &Val<'_>) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains(['\n', '\r'])).then(|| text.to_owned())
}

/// An error that shows the value unless it is large.
fn wrong(path: &Path, schema: &Structural, value: &Value, text: impl Into<String>) -> Error {
    use crate::structural::Kind::{Array, Object};
    let shown = (!matches!(schema.kind, Some(Array | Object))).then(|| value.shown());
    Error { kind: Kind::Invalid, path: path.clone(), shown, detail: text.into() }
}

/// The error as the reason of the rule has it.
fn for_reason(rule: &Rule, error: Error) -> Error {
    match rule.reason.as_str() {
        "FieldValueForbidden" => Error { kind: Kind::Forbidden, shown: None, ..error },
        "FieldValueRequired" => Error { kind: Kind::Required, shown: None, ..error },
        "FieldValueDuplicate" => Error { kind: Kind::Duplicate, detail: String::new(), ..error },
        _ => error,
    }
}

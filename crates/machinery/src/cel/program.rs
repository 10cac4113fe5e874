//! A compiled expression, and what it is evaluated with.

use std::cell::{Cell, RefCell};

use smol_str::SmolStr;

use super::estimate::Cost;
use super::evaluate;
use super::failure::{Failure, FailureKind, Outcome};
use super::plan::Node;
use super::types::Type;
use super::value::Val;

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    root: Node,
    output: Type,
    cost: Cost,
}

/// What an evaluation led to, and what it cost.
#[derive(Debug)]
pub struct Evaluation<'a> {
    /// The value, or why there is none.
    pub outcome: Outcome<'a>,
    /// What it cost, in the units of [`Program::cost`].
    pub cost: u64,
}

/// What the variables of an expression stand for.
#[derive(Debug, Default)]
pub struct Activation<'a> {
    values: Vec<(SmolStr, Val<'a>)>,
    composed: Option<Composed<'a>>,
}

/// A variable whose fields are expressions themselves. Each is evaluated when it is first looked at.
#[derive(Debug)]
struct Composed<'a> {
    name: SmolStr,
    programs: &'a [(SmolStr, Program)],
    values: RefCell<Vec<Option<Outcome<'a>>>>,
    limit: u64,
    cost: Cell<u64>,
}

impl Program {
    pub(super) fn new(root: Node, output: Type, cost: Cost) -> Program {
        Program { root, output, cost }
    }

    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// What it is estimated to cost.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Evaluates it. It may cost as much as `limit`.
    pub fn evaluate<'a>(&self, activation: &Activation<'a>, limit: u64) -> Evaluation<'a> {
        let (outcome, own) = evaluate::evaluate(&self.root, activation, limit);
        let composed = activation.composed.as_ref().map_or(0, |composed| composed.cost.take());
        Evaluation { outcome, cost: own.saturating_add(composed) }
    }
}

impl<'a> Activation<'a> {
    /// Without variables.
    pub fn new() -> Activation<'a> {
        Activation::default()
    }

    /// With a variable.
    pub fn with(mut self, name: impl Into<SmolStr>, value: Val<'a>) -> Activation<'a> {
        self.values.push((name.into(), value));
        self
    }

    /// With a variable whose fields are these expressions, each of which may cost as much as `limit` and can refer to
    /// those before it.
    pub fn with_composed(
        mut self,
        name: impl Into<SmolStr>,
        programs: &'a [(SmolStr, Program)],
        limit: u64,
    ) -> Activation<'a> {
        let values = RefCell::new(vec![None; programs.len()]);
        self.composed = Some(Composed { name: name.into(), programs, values, limit, cost: Cell::new(0) });
        self
    }

    /// What a variable stands for.
    pub(super) fn get(&self, name: &str) -> Outcome<'a> {
        let found = self.values.iter().find(|(own, _)| own == name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => Err(Failure::new(format!("no such attribute(s): {name}"))),
        }
    }

    /// A field of the composed variable, if `name` is its name.
    pub(super) fn composed(&self, name: &str, field: &str) -> Option<Outcome<'a>> {
        let composed = self.composed.as_ref().filter(|composed| composed.name == name)?;
        let position = composed.programs.iter().position(|(own, _)| own == field)?;
        if let Some(known) = &composed.values.borrow()[position] {
            return Some(known.clone());
        }
        let (outcome, cost) = evaluate::evaluate(&composed.programs[position].1.root, self, composed.limit);
        composed.cost.set(composed.cost.get().saturating_add(cost));
        let outcome = outcome.map_err(|failure| match failure.kind {
            FailureKind::NoValue => {
                let field = crate::field::go_quote(field);
                Failure::new(format!("composited variable {field} fails to evaluate: {failure}"))
            }
            FailureKind::Cost => failure,
        });
        composed.values.borrow_mut()[position] = Some(outcome.clone());
        Some(outcome)
    }
}

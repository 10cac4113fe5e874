//! The evaluation of a policy's expressions within its budget.

use kinds::admission::expressions::VARIABLES;
use machinery::Value;
use machinery::cel::{Activation, BUDGET, CALL_LIMIT, Failure, Program, Val};

use super::catalog::{Compiled, Expression};
use super::subject::Subject;

/// What the conditions of a policy may cost together: upstream's limit.
const CONDITIONS_BUDGET: u64 = 2_500_000;

const EXHAUSTED: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The evaluation of a policy for one write with one parameter.
#[derive(Debug)]
pub(super) struct Evaluator<'a> {
    compiled: &'a Compiled,
    activation: Activation<'a>,
    budget: u64,
}

/// All of a policy's budget is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl std::fmt::Display for Exhausted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(EXHAUSTED)
    }
}

fn failed(expression: &Expression, failure: &Failure) -> String {
    format!("expression '{}' resulted in error: {failure}", expression.text)
}

/// Whether all conditions hold. One that does not decides, even if others have no value.
pub(in super::super) fn conditions_hold(
    conditions: &[Expression],
    activation: &Activation<'_>,
) -> Result<bool, String> {
    let mut budget = CONDITIONS_BUDGET;
    let mut failures = Vec::new();
    for condition in conditions {
        let evaluation = condition.program.evaluate(activation, CALL_LIMIT);
        budget = budget.checked_sub(evaluation.cost).ok_or_else(|| Exhausted.to_string())?;
        match evaluation.outcome {
            Ok(value) if !value.is_true() => return Ok(false),
            Ok(_) => {}
            Err(failure) => failures.push(failed(condition, &failure)),
        }
    }
    match failures.as_slice() {
        [] => Ok(true),
        [only] => Err(only.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

impl<'a> Evaluator<'a> {
    /// With a full budget.
    pub fn new(compiled: &'a Compiled, subject: &'a Subject, params: &'a Value) -> Evaluator<'a> {
        let activation = subject.activation(params).with_composed(VARIABLES, &compiled.variables, CALL_LIMIT);
        Evaluator { compiled, activation, budget: BUDGET }
    }

    /// Whether all conditions hold.
    pub fn has_conditions(&self) -> Result<bool, String> {
        conditions_hold(&self.compiled.conditions, &self.activation)
    }

    /// The value of an expression, or why it has none in upstream's words.
    pub fn evaluate(&mut self, expression: &Expression) -> Result<Result<Val<'a>, String>, Exhausted> {
        let value = self.run(&expression.program)?;
        Ok(value.map_err(|failure| failed(expression, &failure)))
    }

    /// The value of a program.
    pub fn run(&mut self, program: &Program) -> Result<Result<Val<'a>, Failure>, Exhausted> {
        let evaluation = program.evaluate(&self.activation, CALL_LIMIT);
        self.budget = self.budget.checked_sub(evaluation.cost).ok_or(Exhausted)?;
        Ok(evaluation.outcome)
    }
}

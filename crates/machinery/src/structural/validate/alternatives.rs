//! `allOf`, `anyOf`, `oneOf`, `not`.

use super::{Finding, Walk};
use crate::Value;
use crate::field::go_quote;
use crate::structural::Structural;

/// What came of an alternative.
struct Outcome {
    met: usize,
    findings: Vec<Finding>,
}

impl Walk {
    /// Looks at the alternatives of a schema; answers how much the value met of them.
    pub(super) fn alternatives(&mut self, schema: &Structural, value: &Value, old: Option<&Value>) -> usize {
        let rules = &schema.rules;
        let mut met = 1;
        if !rules.any_of.is_empty() {
            met += self.any(&rules.any_of, value, old);
        }
        if !rules.one_of.is_empty() {
            met += self.one(&rules.one_of, value, old);
        }
        if !rules.all_of.is_empty() {
            met += self.all(&rules.all_of, value, old);
        }
        if let Some(not) = rules.not.as_deref()
            && self.attempt(not, value, old).findings.is_empty()
        {
            self.find_nowhere(format!("{} must not validate the schema (not)", go_quote(&self.path)));
        }
        met
    }

    fn attempt(&mut self, schema: &Structural, value: &Value, old: Option<&Value>) -> Outcome {
        let before = self.findings.len();
        let met = self.value(schema, value, old);
        Outcome { met, findings: self.findings.split_off(before) }
    }

    fn any(&mut self, alternatives: &[Structural], value: &Value, old: Option<&Value>) -> usize {
        let mut best: Option<Outcome> = None;
        for alternative in alternatives {
            let outcome = self.attempt(alternative, value, old);
            if outcome.findings.is_empty() {
                return outcome.met;
            }
            if best.as_ref().is_none_or(|best| outcome.met > best.met) {
                best = Some(outcome);
            }
        }
        self.find_nowhere(format!("{} must validate at least one schema (anyOf)", go_quote(&self.path)));
        self.take(best)
    }

    fn one(&mut self, alternatives: &[Structural], value: &Value, old: Option<&Value>) -> usize {
        let mut best: Option<Outcome> = None;
        let (mut right, mut first_met) = (0, 0);
        for alternative in alternatives {
            let outcome = self.attempt(alternative, value, old);
            if outcome.findings.is_empty() {
                right += 1;
                best = None;
                first_met = if right == 1 { outcome.met } else { first_met };
            } else if right == 0 && best.as_ref().is_none_or(|best| outcome.met > best.met) {
                best = Some(outcome);
            }
        }
        if right == 1 {
            return first_met;
        }
        let found = if right == 0 {
            "Found none valid".to_owned()
        } else {
            format!("Found {right} valid alternatives")
        };
        let path = go_quote(&self.path);
        self.find_nowhere(format!("{path} must validate one and only one schema (oneOf). {found}"));
        self.take(best)
    }

    fn all(&mut self, alternatives: &[Structural], value: &Value, old: Option<&Value>) -> usize {
        let (mut met, mut right) = (0, 0);
        for alternative in alternatives {
            let outcome = self.attempt(alternative, value, old);
            right += usize::from(outcome.findings.is_empty());
            met += self.take(Some(outcome));
        }
        if right != alternatives.len() {
            let none = if right == 0 { ". None validated" } else { "" };
            self.find_nowhere(format!(
                "{} must validate all the schemas (allOf){none}",
                go_quote(&self.path)
            ));
        }
        met
    }

    /// Makes the findings of an alternative our own.
    fn take(&mut self, outcome: Option<Outcome>) -> usize {
        let Some(outcome) = outcome else { return 0 };
        self.findings.extend(outcome.findings);
        outcome.met
    }
}

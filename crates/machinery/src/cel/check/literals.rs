//! Literals that are given to functions which refuse some: spans, points in time, regular expressions.

use super::super::library::patterns;
use super::super::syntax::{Call, Expr, Kind, Literal};
use super::Checker;
use crate::time::{Timestamp, parse_duration};

impl Checker<'_> {
    /// Tells what is wrong with the literals of an expression.
    pub(super) fn literals(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select(select) => self.literals(&select.operand),
            Kind::Call(call) => {
                self.literal_arguments(call);
                call.target.iter().for_each(|target| self.literals(target));
                call.arguments.iter().for_each(|argument| self.literals(argument));
            }
            Kind::List(items) => items.iter().for_each(|item| self.literals(&item.value)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.literals(&entry.key);
                    self.literals(&entry.value);
                }
            }
            Kind::Struct(_, fields) => fields.iter().for_each(|field| self.literals(&field.value)),
            Kind::Comprehension(inner) => {
                for part in [&inner.range, &inner.start, &inner.condition, &inner.step, &inner.result] {
                    self.literals(part);
                }
            }
        }
    }

    fn literal_arguments(&mut self, call: &Call) {
        let Some(argument) = call.arguments.last() else { return };
        let Kind::Literal(Literal::String(text)) = &argument.kind else { return };
        let (function, is_valid) = match call.function.as_str() {
            "duration" => ("duration", parse_duration(text).is_some()),
            "timestamp" => ("timestamp", Timestamp::parse(text).is_some()),
            "matches" => ("matches", patterns::compile(text).is_ok()),
            _ => return,
        };
        if !is_valid {
            self.tell(argument.id, format!("invalid {function} argument"));
        }
    }
}

//! Rules are compiled once, with what is wrong with them in upstream's words.

use super::declare::{self, Declared};
use super::{Expressions, REQUEST_MAX, Rule};
use crate::cel::{Declaration, Environment, Issues, Program, Type};
use crate::structural::{Additional, FieldPath, Structural};

/// What is wrong with an expression.
pub type Fault = String;

/// What the rules of one schema are about.
#[derive(Clone, Debug)]
pub struct Scope {
    declaration: Declaration,
    /// How often such a value fits into a request.
    pub cardinality: u64,
}

/// A rule ready to be held against values.
#[derive(Debug)]
pub struct Compiled {
    /// As it is written.
    pub rule: Rule,
    /// The expression; `None` if it is empty.
    pub program: Option<Result<Program, Fault>>,
    /// The expression that makes the message, if there is one.
    pub message: Option<Result<Program, Fault>>,
    /// It speaks of the value as it was.
    pub uses_old: bool,
    /// Which part is at fault, as errors write it.
    pub(super) field_path: String,
}

impl Scope {
    /// What the rules of a schema are about; `None` if the schema does not say what the value is. `whole` values have a
    /// kind and metadata.
    pub fn of(schema: &Structural, whole: bool) -> Option<Scope> {
        let Declared { declaration, min_size } = declare::declare(schema, whole, "selfType")?;
        Some(Scope { declaration, cardinality: REQUEST_MAX / (min_size + 1) })
    }

    /// Compiles the rules of the schema.
    pub fn compile(&self, schema: &Structural) -> Vec<Compiled> {
        schema.validations.iter().map(|rule| self.rule(schema, rule)).collect()
    }

    fn rule(&self, schema: &Structural, rule: &Rule) -> Compiled {
        let old = match rule.optional_old {
            Some(true) => Declaration::of(Type::optional(self.declaration.ty())),
            _ => self.declaration.clone(),
        };
        let without = Environment::kubernetes().with("self", self.declaration.clone());
        let with = without.clone().with("oldSelf", old);
        let followed = FieldPath::follow(&rule.field_path, schema, true);
        let program = (!rule.rule.trim().is_empty()).then(|| {
            let program = with.compile(&rule.rule).map_err(|issues| failed("compilation failed", &issues))?;
            expect(program, &Type::Bool, "cel expression must evaluate to a bool")
        });
        let message = (!rule.message_expression.trim().is_empty()).then(|| {
            let compiled = with.compile(&rule.message_expression);
            let program =
                compiled.map_err(|issues| failed("messageExpression compilation failed", &issues))?;
            expect(program, &Type::String, "messageExpression must evaluate to a string")
        });
        Compiled {
            uses_old: needs_old(&without, &rule.rule) || needs_old(&without, &rule.message_expression),
            rule: rule.clone(),
            program,
            message,
            field_path: followed.map(|(found, _)| found.path.as_str().to_owned()).unwrap_or_default(),
        }
    }
}

fn failed(what: &str, issues: &Issues) -> Fault {
    format!("{what}: {issues}")
}

fn expect(program: Program, ty: &Type, fault: &str) -> Result<Program, Fault> {
    let is_so = matches!((program.output(), ty), (Type::Bool, Type::Bool) | (Type::String, Type::String));
    if is_so { Ok(program) } else { Err(fault.to_owned()) }
}

/// Whether an expression makes sense only where there is an `oldSelf`: the word may stand in a text, too.
fn needs_old(without: &Environment, expression: &str) -> bool {
    expression.contains("oldSelf") && without.compile(expression).is_err()
}

/// The rules of a schema and of everything in it.
pub(super) fn tree(schema: &Structural, whole: bool) -> Option<Expressions> {
    let below = |schema: &Structural| tree(schema, schema.embedded);
    let properties: Vec<_> = schema
        .properties
        .iter()
        .filter_map(|(name, property)| Some((name.clone(), below(property)?)))
        .collect();
    let additional = match &schema.additional {
        Additional::Each(each) => below(each).map(Box::new),
        _ => None,
    };
    let items = schema.items.as_deref().and_then(below).map(Box::new);
    let scope = if schema.validations.is_empty() { None } else { Scope::of(schema, whole) };
    let rules = scope.as_ref().map(|scope| scope.compile(schema)).unwrap_or_default();
    if rules.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
        return None;
    }
    let declaration = scope.map_or_else(Declaration::dynamic, |scope| scope.declaration);
    Some(Expressions { rules, declaration, properties, additional, items })
}

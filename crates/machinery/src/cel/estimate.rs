//! What an expression may cost, before anybody evaluates it: a range for every part, from the sizes that declarations
//! allow. Whatever nobody limits may cost everything.

mod calls;
mod ranges;

use std::collections::HashMap;

use smol_str::SmolStr;

pub use self::ranges::Cost;
use self::ranges::Sizes;
use super::charge;
use super::check::{Checked, Reference};
use super::declaration::{Declaration, Form};
use super::environment::Environment;
use super::syntax::{ACCUMULATOR, Comprehension, Expr, Id, Kind, Literal};
use super::types::Type;

/// Where a value comes from: a variable, and what was selected.
type Path = Vec<SmolStr>;

const ITEMS: &str = "@items";
const KEYS: &str = "@keys";
const VALUES: &str = "@values";

/// The sizes of the keys and values of a list or map.
#[derive(Clone, Copy, Debug)]
struct Elements {
    key: Sizes,
    value: Sizes,
}

/// A variable of a macro.
#[derive(Clone, Debug)]
struct Local {
    path: Path,
    size: Option<Sizes>,
    elements: Option<Elements>,
}

/// Estimates what an expression costs.
pub(super) fn estimate(environment: &Environment, checked: &Checked) -> Cost {
    let mut estimator = Estimator {
        environment,
        checked,
        paths: HashMap::new(),
        sizes: HashMap::new(),
        elements: HashMap::new(),
        locals: HashMap::new(),
    };
    estimator.cost(&checked.root)
}

struct Estimator<'e> {
    environment: &'e Environment,
    checked: &'e Checked,
    paths: HashMap<Id, Path>,
    sizes: HashMap<Id, Sizes>,
    elements: HashMap<Id, Elements>,
    locals: HashMap<SmolStr, Vec<Local>>,
}

impl Estimator<'_> {
    fn cost(&mut self, expr: &Expr) -> Cost {
        match &expr.kind {
            Kind::Literal(_) => Cost::default(),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.clone()],
                };
                self.paths.insert(expr.id, path);
                Cost::fixed(charge::NAME)
            }
            Kind::Select(select)
                if matches!(self.checked.reference(expr.id), Some(Reference::Variable(_))) =>
            {
                let name = expr.qualified_name().unwrap_or_else(|| select.field.to_string());
                self.paths.insert(expr.id, vec![SmolStr::from(name)]);
                Cost::fixed(charge::NAME)
            }
            Kind::Select(select) if select.is_test => self.cost(&select.operand),
            Kind::Select(select) => {
                let operand = self.cost(&select.operand);
                let is_counted = matches!(
                    self.checked.ty(select.operand.id),
                    Type::Map(_) | Type::Object(_) | Type::Variable(_)
                );
                let mut path = self.path(&select.operand);
                path.push(select.field.clone());
                self.paths.insert(expr.id, path);
                if is_counted { operand.plus(Cost::fixed(charge::SELECT)) } else { operand }
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(items) => {
                let mut sum = Cost::fixed(charge::LIST);
                let mut sizes = Vec::new();
                for item in items {
                    sum = sum.plus(self.cost(&item.value));
                    sizes.push(self.size_or_any(&item.value));
                }
                let value = Sizes::around(&sizes);
                self.elements.insert(expr.id, Elements { key: Sizes::fixed(1), value });
                sum
            }
            Kind::Map(entries) => {
                let mut sum = Cost::fixed(charge::MAP);
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    keys.push(self.size_or_any(&entry.key));
                    values.push(self.size_or_any(&entry.value));
                }
                let elements = Elements { key: Sizes::around(&keys), value: Sizes::around(&values) };
                self.elements.insert(expr.id, elements);
                sum
            }
            Kind::Struct(_, fields) => {
                fields.iter().fold(Cost::fixed(charge::STRUCT), |sum, init| sum.plus(self.cost(&init.value)))
            }
            Kind::Comprehension(inner) if is_bind(inner) => self.bind(expr, inner),
            Kind::Comprehension(inner) => self.comprehension(expr, inner),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name)?.last()
    }

    fn push(&mut self, name: &SmolStr, local: Local) {
        self.locals.entry(name.clone()).or_default().push(local);
    }

    fn pop(&mut self, name: &SmolStr) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn bind(&mut self, expr: &Expr, inner: &Comprehension) -> Cost {
        let sum = self.cost(&inner.range).plus(self.cost(&inner.start));
        let local = self.bound(&inner.start);
        self.push(&inner.accumulator, local);
        let sum = sum.plus(self.cost(&inner.result));
        self.pop(&inner.accumulator);
        self.same_size(expr, &inner.result);
        sum
    }

    fn bound(&mut self, value: &Expr) -> Local {
        Local { path: self.path(value), size: self.size(value), elements: self.elements(value) }
    }

    fn comprehension(&mut self, expr: &Expr, inner: &Comprehension) -> Cost {
        let mut sum = self.cost(&inner.range).plus(self.cost(&inner.start));
        let local = self.bound(&inner.start);
        self.push(&inner.accumulator, local);
        self.push_variables(inner);
        let turn = self.cost(&inner.condition).plus(self.cost(&inner.step));
        self.pop(&inner.variable);
        if let Some(second) = &inner.second {
            self.pop(second);
        }
        sum = sum.plus(self.cost(&inner.result));
        self.pop(&inner.accumulator);
        let count = self.size_or_any(&inner.range);
        sum = sum.plus(count.times_cost(turn));
        match &inner.start.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&inner.start) {
                    self.sizes.insert(expr.id, size);
                }
            }
            _ => {
                self.sizes.insert(expr.id, count);
                if let Some(elements) = self.elements(&inner.step) {
                    self.elements.insert(expr.id, elements);
                }
            }
        }
        sum
    }

    fn push_variables(&mut self, inner: &Comprehension) {
        let elements = self.elements(&inner.range);
        let path = self.path(&inner.range);
        let is_list = matches!(self.checked.ty(inner.range.id), Type::List(_));
        let inside = |step: &'static str, size: Option<Sizes>| {
            let mut path = path.clone();
            path.push(SmolStr::new_static(step));
            Local { path, size, elements: None }
        };
        let key = elements.map(|elements| elements.key);
        let value = elements.map(|elements| elements.value);
        let first = if is_list && inner.second.is_none() {
            inside(ITEMS, value)
        } else if is_list {
            inside("@indices", key)
        } else {
            inside(KEYS, key)
        };
        self.push(&inner.variable, first);
        if let Some(second) = &inner.second {
            self.push(second, inside(if is_list { ITEMS } else { VALUES }, value));
        }
    }

    // Sizes.

    fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn same_size(&mut self, of: &Expr, other: &Expr) {
        if let Some(size) = self.size(other) {
            self.sizes.insert(of.id, size);
        }
        if let Some(elements) = self.elements(other) {
            self.elements.insert(of.id, elements);
        }
    }

    fn elements(&self, expr: &Expr) -> Option<Elements> {
        if let Some(known) = self.elements.get(&expr.id) {
            return Some(*known);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.elements,
            _ => None,
        }
    }

    fn size_or_any(&self, expr: &Expr) -> Sizes {
        self.size(expr).unwrap_or(Sizes::ANY)
    }

    fn size(&self, expr: &Expr) -> Option<Sizes> {
        if let Some(known) = self.sizes.get(&expr.id) {
            return Some(*known);
        }
        let of_literal = |literal: &Literal| match literal {
            Literal::String(text) => text.chars().count() as u64,
            Literal::Bytes(bytes) => bytes.len() as u64,
            _ => 1,
        };
        match &expr.kind {
            Kind::Literal(literal) => return Some(Sizes::fixed(of_literal(literal))),
            Kind::List(items) => return Some(Sizes::fixed(items.len() as u64)),
            Kind::Map(entries) => return Some(Sizes::fixed(entries.len() as u64)),
            _ => {}
        }
        if let Some(declared) = self.declared(&self.path(expr)) {
            return Some(Sizes { min: 0, max: declared });
        }
        if is_scalar(self.checked.ty(expr.id)) {
            return Some(Sizes::fixed(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    /// How large what is at the end of a path can be, as far as its declaration tells.
    fn declared(&self, path: &Path) -> Option<u64> {
        let (name, steps) = path.split_first()?;
        if name == ACCUMULATOR {
            return None;
        }
        let mut declaration: Declaration = self.environment.variable(name)?.clone();
        for step in steps {
            declaration = match (step.as_str(), &declaration.form) {
                (ITEMS, Form::List(item, _)) => (**item).clone(),
                (VALUES, Form::Map(value)) => (**value).clone(),
                // The names of the members of a map are not limited, and not counted.
                (KEYS, Form::Map(_)) => return Some(0),
                (field, Form::Object(object)) => object.field(field)?.declaration.clone(),
                _ => return None,
            };
        }
        declaration.max
    }
}

fn is_bind(inner: &Comprehension) -> bool {
    matches!(&inner.range.kind, Kind::List(items) if items.is_empty())
        && matches!(&inner.condition.kind, Kind::Literal(Literal::Bool(false)))
        && inner.accumulator != ACCUMULATOR
}

/// Whether values of a type are all of one size.
fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

//! The type checker: every part gets a type, every call the overloads that may be meant.

mod calls;
mod literals;
mod unify;

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use self::unify::Unifier;
use super::environment::Environment;
use super::library::Overload;
use super::parse::Parsed;
use super::source::{Issue, Issues};
use super::syntax::{Comprehension, Entry, Expr, Id, Init, Item, Kind, Literal, Select};
use super::types::Type;

/// What a part refers to.
#[derive(Clone, Debug)]
pub(super) enum Reference {
    /// A variable of the environment.
    Variable(SmolStr),
    /// A type.
    Type(Type),
    /// A function: what may be meant. If there is a name, the target of the call is only the beginning of it.
    Function(Option<SmolStr>, Vec<Arc<Overload>>),
}

/// An expression whose types are right.
#[derive(Debug)]
pub(super) struct Checked {
    pub root: Expr,
    types: Vec<Type>,
    references: HashMap<Id, Reference>,
}

impl Checked {
    /// The type of a part.
    pub fn ty(&self, id: Id) -> &Type {
        &self.types[id as usize]
    }

    /// What a part refers to.
    pub fn reference(&self, id: Id) -> Option<&Reference> {
        self.references.get(&id)
    }

    /// The type of the whole.
    pub fn output(&self) -> Type {
        self.ty(self.root.id).clone()
    }
}

/// Checks an expression.
pub(super) fn check(environment: &Environment, source: &str, parsed: Parsed) -> Result<Checked, Issues> {
    let mut checker = Checker {
        environment,
        types: vec![Type::Error; parsed.positions.len()],
        positions: parsed.positions,
        references: HashMap::new(),
        issues: Vec::new(),
        scopes: Vec::new(),
        formats: 0,
        unifier: Unifier::default(),
    };
    checker.check(&parsed.root);
    if checker.issues.is_empty() {
        checker.literals(&parsed.root);
    }
    if !checker.issues.is_empty() {
        return Err(Issues::new(source, checker.issues));
    }
    let types = checker.types.iter().map(|ty| checker.unifier.resolve(ty, true)).collect();
    Ok(Checked { root: parsed.root, types, references: checker.references })
}

struct Checker<'e> {
    environment: &'e Environment,
    positions: Vec<usize>,
    types: Vec<Type>,
    references: HashMap<Id, Reference>,
    issues: Vec<Issue>,
    /// Variables of macros, the innermost last.
    scopes: Vec<(SmolStr, Type)>,
    /// In how many calls of `format` what is checked stands.
    formats: usize,
    unifier: Unifier,
}

impl Checker<'_> {
    fn check(&mut self, expr: &Expr) -> Type {
        let ty = match &expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => self.name(expr.id, name),
            Kind::Select(select) => self.select(expr, select),
            Kind::Call(call) => self.call(expr.id, call),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct(name, fields) => self.structure(expr.id, name, fields),
            Kind::Comprehension(inner) => self.comprehension(inner),
        };
        self.types[expr.id as usize] = ty.clone();
        ty
    }

    fn tell(&mut self, id: Id, message: String) {
        let offset = self.positions[id as usize];
        self.issues.push(Issue { offset, message });
    }

    fn undeclared(&mut self, id: Id, name: &str) -> Type {
        let name = name.trim_start_matches('.');
        self.tell(id, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    /// What a name stands for, if it stands for anything.
    fn find(&mut self, id: Id, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(own, _)| own == name);
        if let Some((_, ty)) = local {
            return Some(ty.clone());
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(declaration) = self.environment.variable(name) {
            self.references.insert(id, Reference::Variable(SmolStr::new(name)));
            return Some(declaration.ty());
        }
        let named = self.environment.named_type(name)?;
        self.references.insert(id, Reference::Type(named.clone()));
        Some(Type::Type(Arc::new(named)))
    }

    fn name(&mut self, id: Id, name: &str) -> Type {
        match self.find(id, name) {
            Some(ty) => ty,
            None => self.undeclared(id, name),
        }
    }

    fn select(&mut self, expr: &Expr, select: &Select) -> Type {
        // It may be the name of a variable that has dots.
        if !select.is_test
            && let Some(name) = expr.qualified_name()
            && !self.is_local(expr)
            && let Some(ty) = self.find(expr.id, &name)
        {
            return ty;
        }
        let operand = self.check(&select.operand);
        let field = self.field(expr.id, &operand, &select.field);
        if select.is_test { Type::Bool } else { field }
    }

    /// Whether a dotted name begins with a variable of a macro.
    fn is_local(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Ident(name) => self.scopes.iter().any(|(own, _)| own == name),
            Kind::Select(select) => self.is_local(&select.operand),
            _ => false,
        }
    }

    /// The type of a field of a type.
    fn field(&mut self, id: Id, operand: &Type, field: &str) -> Type {
        match self.unifier.resolve(operand, false) {
            Type::Error | Type::Dyn => Type::Dyn,
            Type::Map(inner) => inner.1.clone(),
            Type::Object(object) => match object.field_type(field) {
                Some(ty) => ty,
                None => {
                    self.tell(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Optional(inner) => Type::optional(self.field(id, &inner, field)),
            variable @ Type::Variable(_) => {
                // Nothing is known yet, so it may be anything.
                self.unifier.assignable(&Type::Dyn, &variable);
                Type::Dyn
            }
            other => {
                self.tell(id, format!("type '{}' does not support field selection", other.in_messages()));
                Type::Error
            }
        }
    }

    fn list(&mut self, items: &[Item]) -> Type {
        let mut common = None;
        for item in items {
            let ty = self.check(&item.value);
            let ty = if item.is_optional { self.unwrapped(item.value.id, ty) } else { ty };
            common = Some(self.join(item.value.id, common, ty));
        }
        Type::list(common.unwrap_or_else(|| self.unifier.fresh()))
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.check(&entry.key);
            keys = Some(self.join(entry.key.id, keys, key));
            let value = self.check(&entry.value);
            let value = if entry.is_optional { self.unwrapped(entry.value.id, value) } else { value };
            values = Some(self.join(entry.value.id, values, value));
        }
        let keys = keys.unwrap_or_else(|| self.unifier.fresh());
        Type::map(keys, values.unwrap_or_else(|| self.unifier.fresh()))
    }

    /// What an optional value holds.
    fn unwrapped(&mut self, id: Id, ty: Type) -> Type {
        match self.unifier.resolve(&ty, false) {
            Type::Optional(inner) => (*inner).clone(),
            other if other.is_dyn() => Type::Dyn,
            other => {
                let expected = Type::optional(other.clone());
                self.mismatch(id, &expected, &other);
                other
            }
        }
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        let (expected, found) = (self.unifier.resolve(expected, false), self.unifier.resolve(found, false));
        let message =
            format!("expected type '{}' but found '{}'", expected.in_messages(), found.in_messages());
        self.tell(id, message);
    }

    /// The type that has both. All items of a list are of one type, but for those that are put into a text.
    fn join(&mut self, id: Id, before: Option<Type>, next: Type) -> Type {
        let Some(before) = before else { return next };
        if self.unifier.assignable(&before, &next) {
            return self.unifier.most_general(before, next);
        }
        if self.formats > 0 {
            return Type::Dyn;
        }
        self.mismatch(id, &before, &next);
        before
    }

    fn structure(&mut self, id: Id, name: &str, fields: &[Init]) -> Type {
        let ty = match self.environment.structure(name) {
            Some(ty) => ty,
            None => self.undeclared(id, name),
        };
        for init in fields {
            let found = self.check(&init.value);
            let found = if init.is_optional { self.unwrapped(init.value.id, found) } else { found };
            let Type::Object(object) = &ty else { continue };
            let Some(expected) = object.field_type(&init.field) else {
                self.tell(init.id, format!("undefined field '{}'", init.field));
                continue;
            };
            if !self.unifier.assignable(&expected, &found) {
                let message = format!(
                    "expected type of field '{}' is '{}' but provided type is '{}'",
                    init.field,
                    expected.in_messages(),
                    self.unifier.resolve(&found, false).in_messages()
                );
                self.tell(init.id, message);
            }
        }
        if let Type::Object(object) = &ty {
            self.references.insert(id, Reference::Type(Type::Object(object.clone())));
        }
        ty
    }

    fn comprehension(&mut self, inner: &Comprehension) -> Type {
        let range = self.check(&inner.range);
        let start = self.check(&inner.start);
        let (first, second) = self.elements(inner, &range);
        self.scopes.push((inner.accumulator.clone(), start.clone()));
        self.scopes.push((inner.variable.clone(), first));
        if let Some(name) = &inner.second {
            self.scopes.push((name.clone(), second));
        }
        let condition = self.check(&inner.condition);
        self.require(inner.condition.id, &Type::Bool, &condition);
        let step = self.check(&inner.step);
        self.require(inner.step.id, &start, &step);
        // The result depends on nothing but what was collected.
        self.scopes.pop();
        if inner.second.is_some() {
            self.scopes.pop();
        }
        let result = self.check(&inner.result);
        self.scopes.pop();
        self.unifier.resolve(&result, false)
    }

    /// The types of the variables of a loop.
    fn elements(&mut self, inner: &Comprehension, range: &Type) -> (Type, Type) {
        let has_two = inner.second.is_some();
        match self.unifier.resolve(range, false) {
            Type::List(item) if has_two => (Type::Int, (*item).clone()),
            Type::List(item) => ((*item).clone(), Type::Error),
            Type::Map(entry) => (entry.0.clone(), entry.1.clone()),
            Type::Error | Type::Dyn => (Type::Dyn, Type::Dyn),
            variable @ Type::Variable(_) => {
                self.unifier.assignable(&Type::Dyn, &variable);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    other.in_messages()
                );
                self.tell(inner.range.id, message);
                (Type::Error, Type::Error)
            }
        }
    }

    fn require(&mut self, id: Id, expected: &Type, found: &Type) {
        if !self.unifier.assignable(expected, found) {
            self.mismatch(id, expected, found);
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

//! The evaluation of an expression. Every step costs something, so that every evaluation ends.

use std::sync::Arc;

use smol_str::SmolStr;

use super::charge;
use super::declaration::ObjectType;
use super::failure::{Failure, FailureKind, Outcome};
use super::library::patterns;
use super::plan::{Invocation, Loop, Node};
use super::program::Activation;
use super::value::{Entries, Key, List, Map, Struct, Val};

/// Evaluates a part; also tells what it cost.
pub(super) fn evaluate<'a>(root: &Node, activation: &Activation<'a>, limit: u64) -> (Outcome<'a>, u64) {
    let mut evaluator = Evaluator { activation, locals: Vec::new(), cost: 0, limit };
    let outcome = evaluator.node(root);
    (outcome, evaluator.cost)
}

struct Evaluator<'e, 'a> {
    activation: &'e Activation<'a>,
    /// The variables of macros, by their places. What a loop collects may be a failure until the loop is done.
    locals: Vec<Outcome<'a>>,
    cost: u64,
    limit: u64,
}

impl<'a> Evaluator<'_, 'a> {
    fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Failure::cost()) } else { Ok(()) }
    }

    fn node(&mut self, node: &Node) -> Outcome<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(name) => {
                self.charge(charge::NAME)?;
                self.activation.get(name)
            }
            Node::Local(place) => {
                self.charge(charge::NAME)?;
                self.locals[*place].clone()
            }
            Node::Collected(place) => {
                self.charge(charge::NAME)?;
                std::mem::replace(&mut self.locals[*place], Ok(Val::Null))
            }
            Node::Select(operand, field) => self.select(operand, field),
            Node::Has(operand, field) => {
                let operand = self.node(operand)?;
                Ok(Val::Bool(look(&operand, field)?.is_some()))
            }
            Node::SelectOptional(operand, field) => {
                let operand = self.node(operand)?;
                self.charge(charge::SELECT)?;
                self.optionally(operand, |value| look(value, field))
            }
            Node::Index(operand, index) => self.index(operand, index, false),
            Node::IndexOptional(operand, index) => self.index(operand, index, true),
            Node::And(left, right) => self.logical(left, right, false),
            Node::Or(left, right) => self.logical(left, right, true),
            Node::Conditional(nodes) => match self.node(&nodes[0])? {
                Val::Bool(true) => self.node(&nodes[1]),
                Val::Bool(false) => self.node(&nodes[2]),
                _ => Err(Failure::no_such_overload()),
            },
            Node::NotStrictlyFalse(inner) => self.not_strictly_false(inner),
            Node::OrElse(target, other, is_optional) => match self.node(target)? {
                Val::Optional(None) => self.node(other),
                Val::Optional(Some(value)) if !is_optional => Ok((*value).clone()),
                value @ Val::Optional(_) => Ok(value),
                _ => Err(Failure::no_such_overload()),
            },
            Node::Call(call) => self.call(call),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Struct(ty, fields) => self.object(ty, fields),
            Node::Loop(inner) => self.loops(inner),
            Node::Bind(place, parts) => {
                let value = self.node(&parts[0]);
                if matches!(&value, Err(failure) if failure.kind == FailureKind::Cost) {
                    return value;
                }
                self.set(*place, value);
                self.node(&parts[1])
            }
        }
    }

    /// An item of a list or a value of a map; a missing one is a failure unless it is optional.
    fn index(&mut self, operand: &Node, index: &Node, is_optional: bool) -> Outcome<'a> {
        let (operand, index) = (self.node(operand)?, self.node(index)?);
        self.charge(charge::SELECT)?;
        if is_optional || matches!(operand, Val::Optional(_)) {
            return self.optionally(operand, |value| item(value, &index));
        }
        item(&operand, &index)?.ok_or_else(|| missing(&operand, &index))
    }

    /// Whether a loop that looks for `false` has to go on: a failure is not `false`.
    fn not_strictly_false(&mut self, inner: &Node) -> Outcome<'a> {
        let inner = self.node(inner);
        self.charge(charge::CALL)?;
        match inner {
            Err(failure) if failure.kind == FailureKind::Cost => Err(failure),
            Ok(Val::Bool(value)) => Ok(Val::Bool(value)),
            _ => Ok(Val::Bool(true)),
        }
    }

    fn object(&mut self, ty: &Arc<ObjectType>, fields: &[(SmolStr, Node, bool)]) -> Outcome<'a> {
        let mut made = Vec::with_capacity(fields.len());
        for (name, node, is_optional) in fields {
            if let Some(value) = self.part(node, *is_optional)? {
                made.push((name.clone(), value));
            }
        }
        self.charge(charge::STRUCT)?;
        Ok(Val::Struct(Arc::new(Struct { ty: ty.clone(), fields: made })))
    }

    fn set(&mut self, place: usize, value: Outcome<'a>) {
        if self.locals.len() <= place {
            self.locals.resize(place + 1, Ok(Val::Null));
        }
        self.locals[place] = value;
    }

    fn select(&mut self, operand: &Node, field: &str) -> Outcome<'a> {
        if let Node::Variable(name) = operand
            && let Some(outcome) = self.activation.composed(name, field)
        {
            self.charge(charge::NAME + charge::SELECT)?;
            return outcome;
        }
        let is_name =
            matches!(operand, Node::Variable(_) | Node::Local(_) | Node::Select(..) | Node::Index(..));
        let operand = self.node(operand)?;
        self.charge(if is_name { charge::SELECT } else { charge::NAME + charge::SELECT })?;
        match operand {
            Val::Optional(_) => self.optionally(operand, |value| look(value, field)),
            operand => look(&operand, field)?.ok_or_else(|| Failure::new(format!("no such key: {field}"))),
        }
    }

    /// What is found in a value, or in what an optional one holds.
    fn optionally(
        &self,
        operand: Val<'a>,
        find: impl Fn(&Val<'a>) -> Result<Option<Val<'a>>, Failure>,
    ) -> Outcome<'a> {
        let found = match &operand {
            Val::Optional(None) => None,
            Val::Optional(Some(value)) => find(value)?,
            value => find(value)?,
        };
        Ok(match found {
            Some(optional @ Val::Optional(_)) => optional,
            Some(value) => Val::some(value),
            None => Val::Optional(None),
        })
    }

    /// `&&` and `||`: what decides alone decides, even if the other side has no value.
    fn logical(&mut self, left: &Node, right: &Node, decisive: bool) -> Outcome<'a> {
        let left = self.node(left);
        match &left {
            Ok(Val::Bool(value)) if *value == decisive => return left,
            Err(failure) if failure.kind == FailureKind::Cost => return left,
            _ => {}
        }
        let right = self.node(right);
        match (left, right) {
            (_, Err(failure)) if failure.kind == FailureKind::Cost => Err(failure),
            (_, Ok(Val::Bool(value))) if value == decisive => Ok(Val::Bool(value)),
            (Err(failure), _) => Err(failure),
            (Ok(Val::Bool(_)), right) => match right? {
                Val::Bool(value) => Ok(Val::Bool(value)),
                _ => Err(Failure::no_such_overload()),
            },
            _ => Err(Failure::no_such_overload()),
        }
    }

    fn call(&mut self, call: &Invocation) -> Outcome<'a> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.node(argument)?);
        }
        let known = match call.overloads.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        // What costs by the size of its arguments is paid for before it is done.
        let ahead = charge::ahead(&call.function, known.map_or("", |overload| overload.id), &arguments);
        if let Some(cost) = ahead {
            self.charge(cost)?;
        }
        let grows = call.function == "_+_" && matches!(arguments.first(), Some(Val::List(_)));
        let result = if grows {
            added(arguments)
        } else {
            match (&call.pattern, known) {
                (Some(pattern), _) => patterns::run(&call.function, &arguments, pattern),
                (None, Some(only)) if only.fits(&arguments) => (only.run)(&arguments),
                (None, _) => {
                    let overload = call.overloads.iter().find(|overload| overload.fits(&arguments));
                    match overload {
                        Some(overload) => (overload.run)(&arguments),
                        None => Err(Failure::no_such_overload()),
                    }
                }
            }
        };
        if ahead.is_none() {
            self.charge(charge::afterwards(&call.function, result.as_ref().ok()))?;
        }
        result
    }

    /// A part of a list, map or object; nothing if it is optional and missing.
    fn part(&mut self, node: &Node, is_optional: bool) -> Result<Option<Val<'a>>, Failure> {
        let value = self.node(node)?;
        if !is_optional {
            return Ok(Some(value));
        }
        match value {
            Val::Optional(value) => Ok(value.map(|value| (*value).clone())),
            _ => Err(Failure::no_such_overload()),
        }
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(items.len());
        for (node, is_optional) in items {
            values.extend(self.part(node, *is_optional)?);
        }
        self.charge(charge::LIST)?;
        Ok(Val::list(values))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome<'a> {
        let mut made = Entries::new();
        for (key, node, is_optional) in entries {
            let key = self.node(key)?;
            let Some(key) = Key::of(&key) else {
                return Err(Failure::new("unsupported key type"));
            };
            if let Some(value) = self.part(node, *is_optional)? {
                made.insert(key, value);
            }
        }
        self.charge(charge::MAP)?;
        Ok(Val::Map(Map::Entries(Arc::new(made))))
    }

    fn loops(&mut self, inner: &Loop) -> Outcome<'a> {
        let range = self.node(&inner.range)?;
        let start = self.node(&inner.start);
        self.set(inner.place + 2, Ok(Val::Null));
        self.set(inner.place, start);
        match range {
            Val::List(list) => {
                for position in 0..list.len() {
                    let first =
                        if inner.has_two { Ok(Val::Int(position as i64)) } else { list.item(position) };
                    let second = if inner.has_two { Some(list.item(position)) } else { None };
                    if !self.turn(inner, first, second)? {
                        break;
                    }
                }
            }
            Val::Map(map) => {
                for key in map.keys() {
                    let second = match inner.has_two {
                        true => map.get(&key).transpose(),
                        false => None,
                    };
                    if !self.turn(inner, Ok(key.to_val()), second)? {
                        break;
                    }
                }
            }
            _ => return Err(Failure::no_such_overload()),
        }
        self.node(&inner.result)
    }

    /// One turn of a loop; whether it goes on.
    fn turn(
        &mut self,
        inner: &Loop,
        first: Outcome<'a>,
        second: Option<Outcome<'a>>,
    ) -> Result<bool, Failure> {
        self.locals[inner.place + 1] = first;
        if let Some(second) = second {
            self.locals[inner.place + 2] = second;
        }
        if let Some(condition) = &inner.condition
            && !self.node(condition)?.is_true()
        {
            return Ok(false);
        }
        let step = self.node(&inner.step);
        match step {
            // A loop that always goes on cannot get over a failure.
            Err(failure) if failure.kind == FailureKind::Cost || inner.condition.is_none() => Err(failure),
            step => {
                self.locals[inner.place] = step;
                Ok(true)
            }
        }
    }
}

/// The sum of two lists, of which the first is not copied if nobody else holds it.
fn added<'a>(arguments: Vec<Val<'a>>) -> Outcome<'a> {
    let mut arguments = arguments.into_iter();
    match (arguments.next(), arguments.next()) {
        (Some(Val::List(first)), Some(Val::List(second))) => first.join(&second),
        _ => Err(Failure::no_such_overload()),
    }
}

/// A field of a value.
fn look<'a>(value: &Val<'a>, field: &str) -> Result<Option<Val<'a>>, Failure> {
    match value {
        Val::Map(map) => map.field(field),
        Val::Struct(inner) => {
            let found = inner.fields.iter().find(|(own, _)| own == field);
            Ok(found.map(|(_, value)| value.clone()))
        }
        Val::Optional(Some(value)) => look(value, field),
        Val::Optional(None) => Ok(None),
        _ => Err(Failure::new(format!("no such key: {field}"))),
    }
}

/// An item of a list or a value of a map.
fn item<'a>(value: &Val<'a>, index: &Val<'a>) -> Result<Option<Val<'a>>, Failure> {
    match value {
        Val::List(list) => {
            let Some(Key::Int(index)) = Key::of(index).map(as_int) else {
                let shown = index.ty();
                return Err(Failure::new(format!("unsupported index type '{shown}' in list")));
            };
            let position = usize::try_from(index).ok().filter(|position| *position < list.len());
            position.map(|position| List::item(list, position)).transpose()
        }
        Val::Map(map) => match Key::of(index) {
            Some(key) => map.get(&key),
            None => Ok(None),
        },
        _ => Err(Failure::no_such_overload()),
    }
}

fn as_int(key: Key) -> Key {
    match key {
        Key::Uint(number) => Key::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        key => key,
    }
}

fn missing(value: &Val<'_>, index: &Val<'_>) -> Failure {
    let shown = super::library::show(index);
    match value {
        Val::List(_) => Failure::new(format!("index out of bounds: {shown}")),
        _ => Failure::new(format!("no such key: {shown}")),
    }
}

//! From a checked expression to what is evaluated: names become places, constants are folded, patterns are compiled.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use smol_str::SmolStr;

use super::check::{Checked, Reference};
use super::declaration::ObjectType;
use super::library::{Overload, patterns};
use super::syntax::{ACCUMULATOR, Call, Comprehension, Expr, Kind, Literal};
use super::types::Type;
use super::value::Val;

/// A part that can be evaluated.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Val<'static>),
    /// A variable of the environment.
    Variable(SmolStr),
    /// A variable of a macro, by its place.
    Local(usize),
    /// What a loop has collected. It is taken, since the step that asks puts back something else.
    Collected(usize),
    Select(Box<Node>, SmolStr),
    /// Whether there is such a field.
    Has(Box<Node>, SmolStr),
    /// `.?field`
    SelectOptional(Box<Node>, SmolStr),
    Index(Box<Node>, Box<Node>),
    /// `[?index]`
    IndexOptional(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    /// Whether a loop that looks for `false` has to go on.
    NotStrictlyFalse(Box<Node>),
    /// An optional value, or the other one if it is missing; whether the other one is optional too.
    OrElse(Box<Node>, Box<Node>, bool),
    Call(Invocation),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<ObjectType>, Vec<(SmolStr, Node, bool)>),
    Loop(Box<Loop>),
    /// A value under a name.
    Bind(usize, Box<[Node; 2]>),
}

/// A call of a function.
#[derive(Debug)]
pub(super) struct Invocation {
    pub function: SmolStr,
    pub overloads: Vec<Arc<Overload>>,
    pub arguments: Vec<Node>,
    /// The regular expression among the arguments, if it is a constant.
    pub pattern: Option<Regex>,
}

/// A loop over a list or a map. Its variables are at `place` (what is collected), `place + 1` and `place + 2`.
#[derive(Debug)]
pub(super) struct Loop {
    pub place: usize,
    pub has_two: bool,
    pub range: Node,
    pub start: Node,
    /// `None` if it always goes on.
    pub condition: Option<Node>,
    pub step: Node,
    pub result: Node,
}

/// Plans the evaluation of an expression.
pub(super) fn plan(checked: &Checked) -> Node {
    Planner { checked, locals: HashMap::new(), depth: 0, in_step: false }.node(&checked.root)
}

struct Planner<'c> {
    checked: &'c Checked,
    /// The places of the variables of macros.
    locals: HashMap<SmolStr, Vec<usize>>,
    depth: usize,
    /// Whether this is the step of the innermost loop.
    in_step: bool,
}

impl Planner<'_> {
    fn boxed(&mut self, expr: &Expr) -> Box<Node> {
        Box::new(self.node(expr))
    }

    fn node(&mut self, expr: &Expr) -> Node {
        match self.checked.reference(expr.id) {
            Some(Reference::Variable(name)) => return Node::Variable(name.clone()),
            Some(Reference::Type(ty)) if !matches!(expr.kind, Kind::Struct(..)) => {
                return Node::Constant(Val::Type(ty.clone()));
            }
            _ => {}
        }
        match &expr.kind {
            Kind::Literal(literal) => Node::Constant(constant(literal)),
            Kind::Ident(name) => self.local(name),
            Kind::Select(select) if select.is_test => {
                Node::Has(self.boxed(&select.operand), select.field.clone())
            }
            Kind::Select(select) => Node::Select(self.boxed(&select.operand), select.field.clone()),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(items) => {
                let nodes = items.iter().map(|item| (self.node(&item.value), item.is_optional)).collect();
                folded(nodes)
            }
            Kind::Map(entries) => Node::Map(
                entries
                    .iter()
                    .map(|entry| (self.node(&entry.key), self.node(&entry.value), entry.is_optional))
                    .collect(),
            ),
            Kind::Struct(_, fields) => {
                let Some(Reference::Type(Type::Object(ty))) = self.checked.reference(expr.id) else {
                    unreachable!("the checker found the type of every object that is made")
                };
                let ty = ty.clone();
                let fields = fields.iter();
                let fields =
                    fields.map(|init| (init.field.clone(), self.node(&init.value), init.is_optional));
                Node::Struct(ty, fields.collect())
            }
            Kind::Comprehension(inner) => self.comprehension(inner),
        }
    }

    fn local(&mut self, name: &SmolStr) -> Node {
        let place = self.locals.get(name).and_then(|places| places.last());
        let place = *place.expect("the checker found a variable for every name");
        if self.in_step && name == ACCUMULATOR { Node::Collected(place) } else { Node::Local(place) }
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Node {
        let two = |planner: &mut Self| {
            let mut arguments = call.arguments.iter().map(|argument| Box::new(planner.node(argument)));
            let pair = arguments.next().zip(arguments.next());
            pair.expect("operators have two arguments")
        };
        match (call.function.as_str(), &call.target) {
            ("_&&_", None) => {
                let (left, right) = two(self);
                return Node::And(left, right);
            }
            ("_||_", None) => {
                let (left, right) = two(self);
                return Node::Or(left, right);
            }
            ("_[_]", None) => {
                let (operand, index) = two(self);
                return Node::Index(operand, index);
            }
            ("_[?_]", None) => {
                let (operand, index) = two(self);
                return Node::IndexOptional(operand, index);
            }
            ("_?._", None) => return self.optional_select(call),
            ("_?_:_", None) => {
                let nodes: Vec<Node> = call.arguments.iter().map(|argument| self.node(argument)).collect();
                let nodes: [Node; 3] = nodes.try_into().expect("a condition has two outcomes");
                return Node::Conditional(Box::new(nodes));
            }
            ("@not_strictly_false", None) => {
                let argument = call.arguments.first().map(|argument| self.boxed(argument));
                return Node::NotStrictlyFalse(argument.expect("it has one argument"));
            }
            ("or" | "orValue", Some(target)) if call.arguments.len() == 1 => {
                let target = self.boxed(target);
                let other = self.boxed(&call.arguments[0]);
                return Node::OrElse(target, other, call.function == "or");
            }
            _ => {}
        }
        self.invocation(expr, call)
    }

    fn optional_select(&mut self, call: &Call) -> Node {
        let [operand, field] = call.arguments.as_slice() else {
            unreachable!("the parser made this call with two arguments")
        };
        let Kind::Literal(Literal::String(field)) = &field.kind else {
            unreachable!("the parser made the second argument a text")
        };
        Node::SelectOptional(self.boxed(operand), field.clone())
    }

    fn invocation(&mut self, expr: &Expr, call: &Call) -> Node {
        let Some(Reference::Function(whole, overloads)) = self.checked.reference(expr.id) else {
            unreachable!("the checker found the function of every call")
        };
        let (whole, overloads) = (whole.clone(), overloads.clone());
        let target = if whole.is_some() { None } else { call.target.as_deref() };
        let arguments = target.into_iter().chain(&call.arguments);
        let arguments: Vec<Node> = arguments.map(|argument| self.node(argument)).collect();
        let function = whole.unwrap_or_else(|| call.function.clone());
        let pattern = match (function.as_str(), arguments.get(1)) {
            ("matches" | "find" | "findAll", Some(Node::Constant(Val::String(text)))) => {
                patterns::compile(text).ok()
            }
            _ => None,
        };
        Node::Call(Invocation { function, overloads, arguments, pattern })
    }

    fn comprehension(&mut self, inner: &Comprehension) -> Node {
        let outer_step = std::mem::replace(&mut self.in_step, false);
        let range = self.node(&inner.range);
        let start = self.node(&inner.start);
        let place = self.depth;
        let names = [Some(&inner.accumulator), Some(&inner.variable), inner.second.as_ref()];
        let names: Vec<SmolStr> = names.into_iter().flatten().cloned().collect();
        for (offset, name) in names.iter().enumerate() {
            self.locals.entry(name.clone()).or_default().push(place + offset);
        }
        self.depth += names.len();
        let is_bind = matches!(&inner.range.kind, Kind::List(items) if items.is_empty())
            && matches!(&inner.condition.kind, Kind::Literal(Literal::Bool(false)));
        let condition = self.node(&inner.condition);
        self.in_step = true;
        let step = self.node(&inner.step);
        self.in_step = false;
        let result = self.node(&inner.result);
        self.depth -= names.len();
        for name in &names {
            self.locals.entry(name.clone()).or_default().pop();
        }
        self.in_step = outer_step;
        if is_bind {
            return Node::Bind(place, Box::new([start, result]));
        }
        let always = matches!(condition, Node::Constant(Val::Bool(true)));
        Node::Loop(Box::new(Loop {
            place,
            has_two: inner.second.is_some(),
            range,
            start,
            condition: if always { None } else { Some(condition) },
            step,
            result,
        }))
    }
}

fn constant(literal: &Literal) -> Val<'static> {
    match literal {
        Literal::Null => Val::Null,
        Literal::Bool(value) => Val::Bool(*value),
        Literal::Int(value) => Val::Int(*value),
        Literal::Uint(value) => Val::Uint(*value),
        Literal::Double(value) => Val::Double(*value),
        Literal::String(text) => Val::String(text.clone()),
        Literal::Bytes(bytes) => Val::Bytes(bytes.clone()),
    }
}

/// A list of constants is one.
fn folded(items: Vec<(Node, bool)>) -> Node {
    let constants: Option<Vec<Val<'static>>> = items
        .iter()
        .map(|(node, is_optional)| match node {
            Node::Constant(value) if !is_optional => Some(value.clone()),
            _ => None,
        })
        .collect();
    match constants {
        // An empty list is what loops begin with: those grow, so each needs its own.
        Some(values) if !values.is_empty() => Node::Constant(Val::list(values)),
        _ => Node::List(items),
    }
}

//! What an expression is made of, after its macros were expanded.

use std::sync::Arc;

use smol_str::SmolStr;

/// Which part of an expression; points into the tables of positions and types.
pub(super) type Id = u32;

/// How deep an expression may be nested: upstream's limit.
pub(super) const DEPTH_MAX: u16 = 250;

/// The variable in which macros collect their result. Nobody can write it.
pub(super) const ACCUMULATOR: &str = "@result";

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub id: Id,
    pub kind: Kind,
    /// How deep it is nested.
    pub depth: u16,
}

/// The kinds of parts.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Literal),
    Ident(SmolStr),
    Select(Select),
    Call(Call),
    List(Vec<Item>),
    Map(Vec<Entry>),
    Struct(SmolStr, Vec<Init>),
    Comprehension(Box<Comprehension>),
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(SmolStr),
    Bytes(Arc<[u8]>),
}

/// `operand.field`, or whether there is one.
#[derive(Clone, Debug)]
pub(super) struct Select {
    pub operand: Box<Expr>,
    pub field: SmolStr,
    pub is_test: bool,
}

/// A function or an operator with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub function: SmolStr,
    pub target: Option<Box<Expr>>,
    pub arguments: Vec<Expr>,
}

/// An item of a list; an optional one is left out if it has no value.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub value: Expr,
    pub is_optional: bool,
}

/// An entry of a map; an optional one is left out if it has no value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub is_optional: bool,
}

/// A field of an object that is made.
#[derive(Clone, Debug)]
pub(super) struct Init {
    pub id: Id,
    pub field: SmolStr,
    pub value: Expr,
    pub is_optional: bool,
}

/// A loop: what every macro over lists and maps becomes.
#[derive(Clone, Debug)]
pub(super) struct Comprehension {
    pub range: Expr,
    pub variable: SmolStr,
    /// The second variable; then the first is the index or the key.
    pub second: Option<SmolStr>,
    pub accumulator: SmolStr,
    pub start: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Expr {
    /// The dotted name that this is, if it is nothing else.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select(select) if !select.is_test => {
                Some(format!("{}.{}", select.operand.qualified_name()?, select.field))
            }
            _ => None,
        }
    }
}

impl Kind {
    /// How deep the deepest of its parts is nested.
    pub fn inner_depth(&self) -> u16 {
        let deepest =
            |parts: &mut dyn Iterator<Item = &Expr>| parts.map(|part| part.depth).max().unwrap_or(0);
        match self {
            Kind::Literal(_) | Kind::Ident(_) => 0,
            Kind::Select(select) => select.operand.depth,
            Kind::Call(call) => {
                deepest(&mut call.target.iter().map(|target| &**target).chain(&call.arguments))
            }
            Kind::List(items) => deepest(&mut items.iter().map(|item| &item.value)),
            Kind::Map(entries) => deepest(&mut entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
            Kind::Struct(_, fields) => deepest(&mut fields.iter().map(|field| &field.value)),
            Kind::Comprehension(inner) => {
                let parts = [&inner.range, &inner.start, &inner.condition, &inner.step, &inner.result];
                deepest(&mut parts.into_iter())
            }
        }
    }
}

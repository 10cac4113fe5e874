//! Macros: calls that stand for something larger. Loops over lists and maps all become one kind of part.

mod loops;

use super::parse::{Parser, Read};
use super::syntax::{Call, Comprehension, Expr, Id, Kind, Literal, Select};

/// Which macros there are beside those of every environment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Macros {
    /// `cel.bind`
    pub bindings: bool,
}

/// What becomes of a call.
pub(super) enum Expansion {
    /// It was a macro.
    Expanded(Expr),
    /// It is a call.
    None(Option<Expr>, Vec<Expr>),
}

type Parts = (Option<Expr>, Vec<Expr>);

/// Expands a call, if it is that of a macro.
pub(super) fn expand(parser: &mut Parser<'_>, id: Id, name: &str, parts: Parts) -> Read<Expansion> {
    match (name, parts) {
        ("has", (None, arguments)) if arguments.len() == 1 => has(parser, id, arguments),
        ("bind", (Some(target), arguments)) if is_bind(parser, &target, &arguments) => {
            bind(parser, id, arguments).map(Expansion::Expanded)
        }
        ("optMap", (Some(target), arguments)) if arguments.len() == 2 => {
            optional(parser, id, (target, arguments), true).map(Expansion::Expanded)
        }
        ("optFlatMap", (Some(target), arguments)) if arguments.len() == 2 => {
            optional(parser, id, (target, arguments), false).map(Expansion::Expanded)
        }
        (name, (Some(target), arguments)) => loops::expand(parser, id, name, (target, arguments)),
        (_, (target, arguments)) => Ok(Expansion::None(target, arguments)),
    }
}

fn has(parser: &mut Parser<'_>, id: Id, arguments: Vec<Expr>) -> Read<Expansion> {
    let Some(argument) = arguments.into_iter().next() else { unreachable!("there is one argument") };
    let offset = parser.offset_of(argument.id);
    match argument.kind {
        Kind::Select(select) => {
            let tested = Select { is_test: true, ..select };
            parser.expr(id, Kind::Select(tested)).map(Expansion::Expanded)
        }
        _ => Err(parser.tell(offset, "invalid argument to has() macro")),
    }
}

fn is_bind(parser: &Parser<'_>, target: &Expr, arguments: &[Expr]) -> bool {
    parser.macros.bindings
        && arguments.len() == 3
        && matches!(&target.kind, Kind::Ident(name) if name == "cel")
}

/// `cel.bind(name, value, result)`
fn bind(parser: &mut Parser<'_>, id: Id, arguments: Vec<Expr>) -> Read<Expr> {
    let [name, value, result] = three(arguments);
    let name = simple_name(parser, &name, "cel.bind() variable names must be simple identifiers")?;
    bound(parser, id, name, (value, result))
}

/// A value under a name: a loop over nothing whose start is the value.
fn bound(
    parser: &mut Parser<'_>,
    id: Id,
    name: smol_str::SmolStr,
    (start, result): (Expr, Expr),
) -> Read<Expr> {
    let offset = parser.offset_of(id);
    let fresh = |parser: &mut Parser<'_>, kind: Kind| {
        let id = parser.id(offset);
        parser.expr(id, kind)
    };
    let range = fresh(parser, Kind::List(Vec::new()))?;
    let condition = fresh(parser, Kind::Literal(Literal::Bool(false)))?;
    let step = fresh(parser, Kind::Ident(name.clone()))?;
    let inner = Comprehension {
        range,
        variable: "#unused".into(),
        second: None,
        accumulator: name,
        start,
        condition,
        step,
        result,
    };
    parser.expr(id, Kind::Comprehension(Box::new(inner)))
}

/// `value.optMap(name, result)`: the result as an optional value; `optFlatMap` takes it as it is.
fn optional(
    parser: &mut Parser<'_>,
    id: Id,
    (target, arguments): (Expr, Vec<Expr>),
    wraps: bool,
) -> Read<Expr> {
    let [name, result] = two(arguments);
    let macro_name = if wraps { "optMap" } else { "optFlatMap" };
    let name =
        simple_name(parser, &name, &format!("{macro_name}() variable name must be a simple identifier"))?;
    let offset = parser.offset_of(id);
    let method = |parser: &mut Parser<'_>, function: &str, target: Expr| {
        let id = parser.id(offset);
        let call = Call { function: function.into(), target: Some(Box::new(target)), arguments: Vec::new() };
        parser.expr(id, Kind::Call(call))
    };
    let has_value = method(parser, "hasValue", target.clone())?;
    let value = method(parser, "value", target)?;
    let bound_id = parser.id(offset);
    let mut result = bound(parser, bound_id, name, (value, result))?;
    if wraps {
        let of = parser.id(offset);
        result = parser.call(of, "optional.of", vec![result])?;
    }
    let none_id = parser.id(offset);
    let none = parser.call(none_id, "optional.none", Vec::new())?;
    parser.call(id, "_?_:_", vec![has_value, result, none])
}

/// The name that an argument must be.
fn simple_name(parser: &mut Parser<'_>, argument: &Expr, problem: &str) -> Read<smol_str::SmolStr> {
    match &argument.kind {
        Kind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
        _ => {
            let offset = parser.offset_of(argument.id);
            Err(parser.tell(offset, problem))
        }
    }
}

fn two(arguments: Vec<Expr>) -> [Expr; 2] {
    arguments.try_into().unwrap_or_else(|_| unreachable!("the number of arguments was checked"))
}

fn three(arguments: Vec<Expr>) -> [Expr; 3] {
    arguments.try_into().unwrap_or_else(|_| unreachable!("the number of arguments was checked"))
}

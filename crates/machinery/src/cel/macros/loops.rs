//! Macros that go over lists and maps: `all`, `exists`, `exists_one`, `map`, `filter`, and those of two variables.

use smol_str::SmolStr;

use super::super::parse::{Parser, Read};
use super::super::syntax::{ACCUMULATOR, Comprehension, Expr, Id, Item, Kind, Literal};
use super::{Expansion, simple_name};

/// What a loop does with each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    All,
    Exists,
    ExistsOne,
    /// The results, in a list.
    List,
    /// The elements themselves, in a list.
    Filter,
    /// The results, by the keys.
    Map,
    /// The entries that the results are.
    Entries,
}

/// How a macro is read: its loop, how many variables it has, and whether its last argument is a result.
fn shape(name: &str, arguments: usize) -> Option<(Loop, usize, bool)> {
    Some(match (name, arguments) {
        ("all", 2) => (Loop::All, 1, false),
        ("all", 3) => (Loop::All, 2, false),
        ("exists", 2) => (Loop::Exists, 1, false),
        ("exists", 3) => (Loop::Exists, 2, false),
        ("exists_one" | "existsOne", 2) => (Loop::ExistsOne, 1, false),
        ("exists_one" | "existsOne", 3) => (Loop::ExistsOne, 2, false),
        ("filter", 2) => (Loop::Filter, 1, false),
        ("map", 2 | 3) => (Loop::List, 1, true),
        ("transformList", 3 | 4) => (Loop::List, 2, true),
        ("transformMap", 3 | 4) => (Loop::Map, 2, true),
        ("transformMapEntry", 3 | 4) => (Loop::Entries, 2, true),
        _ => return None,
    })
}

/// Expands a call on a list or map, if it is that of a macro.
pub(super) fn expand(
    parser: &mut Parser<'_>,
    id: Id,
    name: &str,
    (range, arguments): (Expr, Vec<Expr>),
) -> Read<Expansion> {
    let Some((kind, count, has_result)) = shape(name, arguments.len()) else {
        return Ok(Expansion::None(Some(range), arguments));
    };
    let mut arguments = arguments.into_iter();
    let mut names = Vec::new();
    for argument in arguments.by_ref().take(count) {
        names.push(variable(parser, &argument, count)?);
    }
    if let [first, second] = names.as_slice()
        && first == second
    {
        let offset = parser.offset_of(id);
        return Err(parser.tell(offset, format!("duplicate variable name: {first}")));
    }
    let rest: Vec<Expr> = arguments.collect();
    let mut rest = rest.into_iter();
    let filter = if has_result && rest.len() == 1 { None } else { rest.next() };
    let mut build = Builder { offset: parser.offset_of(id), parser };
    let parts = build.parts(kind, &names, (filter, rest.next()))?;
    let mut names = names.into_iter();
    let inner = Comprehension {
        range,
        variable: names.next().unwrap_or_default(),
        second: names.next(),
        accumulator: ACCUMULATOR.into(),
        start: parts.start,
        condition: parts.condition,
        step: parts.step,
        result: parts.result,
    };
    parser.expr(id, Kind::Comprehension(Box::new(inner))).map(Expansion::Expanded)
}

fn variable(parser: &mut Parser<'_>, argument: &Expr, count: usize) -> Read<SmolStr> {
    let problem =
        if count == 1 { "argument must be a simple name" } else { "argument must be an identifier" };
    simple_name(parser, argument, problem)
}

struct Parts {
    start: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

/// Builds parts that all stand where the macro stands.
struct Builder<'p, 't> {
    parser: &'p mut Parser<'t>,
    offset: usize,
}

impl Builder<'_, '_> {
    fn parts(
        &mut self,
        kind: Loop,
        names: &[SmolStr],
        (filter, result): (Option<Expr>, Option<Expr>),
    ) -> Read<Parts> {
        let start = match kind {
            Loop::All => self.make(Kind::Literal(Literal::Bool(true)))?,
            Loop::Exists => self.make(Kind::Literal(Literal::Bool(false)))?,
            Loop::ExistsOne => self.make(Kind::Literal(Literal::Int(0)))?,
            Loop::List | Loop::Filter => self.make(Kind::List(Vec::new()))?,
            Loop::Map | Loop::Entries => self.make(Kind::Map(Vec::new()))?,
        };
        let condition = self.condition(kind)?;
        let step = match (kind, filter) {
            (Loop::All, Some(predicate)) => {
                let so_far = self.accumulator()?;
                self.call("_&&_", vec![so_far, predicate])?
            }
            (Loop::Exists, Some(predicate)) => {
                let so_far = self.accumulator()?;
                self.call("_||_", vec![so_far, predicate])?
            }
            (kind, filter) => {
                let grown = self.grown(kind, names, result)?;
                match filter {
                    None => grown,
                    Some(filter) => {
                        let same = self.accumulator()?;
                        self.call("_?_:_", vec![filter, grown, same])?
                    }
                }
            }
        };
        let mut result = self.accumulator()?;
        if kind == Loop::ExistsOne {
            let one = self.make(Kind::Literal(Literal::Int(1)))?;
            result = self.call("_==_", vec![result, one])?;
        }
        Ok(Parts { start, condition, step, result })
    }

    /// Whether to go on.
    fn condition(&mut self, kind: Loop) -> Read<Expr> {
        if !matches!(kind, Loop::All | Loop::Exists) {
            return self.make(Kind::Literal(Literal::Bool(true)));
        }
        let mut so_far = self.accumulator()?;
        if kind == Loop::Exists {
            so_far = self.call("!_", vec![so_far])?;
        }
        self.call("@not_strictly_false", vec![so_far])
    }

    /// What was collected, with this element.
    fn grown(&mut self, kind: Loop, names: &[SmolStr], result: Option<Expr>) -> Read<Expr> {
        let so_far = self.accumulator()?;
        let first = names.first().cloned().unwrap_or_default();
        match (kind, result) {
            (Loop::Map, Some(result)) => {
                let key = self.make(Kind::Ident(first))?;
                self.call("cel.@mapInsert", vec![so_far, key, result])
            }
            (Loop::Entries, Some(result)) => self.call("cel.@mapInsert", vec![so_far, result]),
            (Loop::ExistsOne, _) => {
                let one = self.make(Kind::Literal(Literal::Int(1)))?;
                self.call("_+_", vec![so_far, one])
            }
            (_, result) => {
                let value = match result {
                    Some(result) => result,
                    None => self.make(Kind::Ident(first))?,
                };
                let single = self.make(Kind::List(vec![Item { value, is_optional: false }]))?;
                self.call("_+_", vec![so_far, single])
            }
        }
    }

    fn accumulator(&mut self) -> Read<Expr> {
        self.make(Kind::Ident(ACCUMULATOR.into()))
    }

    fn make(&mut self, kind: Kind) -> Read<Expr> {
        let id = self.parser.id(self.offset);
        self.parser.expr(id, kind)
    }

    fn call(&mut self, function: &str, arguments: Vec<Expr>) -> Read<Expr> {
        let id = self.parser.id(self.offset);
        self.parser.call(id, function, arguments)
    }
}

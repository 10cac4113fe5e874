//! From text to its parts. Binary operators are read by precedence; what is wrong is told as upstream's grammar does.

mod expected;
mod literals;
mod operands;

use smol_str::SmolStr;

use self::expected::OPERAND;
use super::macros::Macros;
use super::source::{Issue, Issues};
use super::syntax::{Call, DEPTH_MAX, Expr, Id, Kind, Literal};
use super::token::{self, Token};

/// How many characters an expression may have: upstream's limit.
const LENGTH_MAX: usize = 100_000;

/// What was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub root: Expr,
    /// Where each part stands, by its id.
    pub positions: Vec<usize>,
}

/// The reading of an expression was given up; why is among the issues.
#[derive(Debug)]
pub(super) struct GivenUp;

/// What reading a part leads to.
pub(super) type Read<T> = Result<T, GivenUp>;

/// Reads an expression.
pub(super) fn parse(source: &str, macros: Macros) -> Result<Parsed, Issues> {
    let length = source.chars().count();
    if length > LENGTH_MAX {
        let message = format!("expression code point size exceeds limit: size: {length}, limit {LENGTH_MAX}");
        return Err(Issues::nowhere(message));
    }
    let mut issues = Vec::new();
    let tokens = token::split(source, &mut issues);
    let mut parser =
        Parser { tokens, at: 0, issues, positions: Vec::new(), macros, is_recovering: false, open: 0 };
    match parser.whole() {
        Ok(root) if parser.issues.is_empty() => Ok(Parsed { root, positions: parser.positions }),
        _ => Err(Issues::new(source, parser.issues)),
    }
}

pub(super) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    issues: Vec<Issue>,
    positions: Vec<usize>,
    pub macros: Macros,
    /// After a problem no other is told until a word fits again.
    is_recovering: bool,
    /// How many brackets are open around what is read.
    open: u16,
}

/// How tight an operator binds, and the function it stands for.
fn binary(token: &Token<'_>) -> Option<(u8, &'static str)> {
    Some(match (token.kind, token.text) {
        (token::Kind::Name, "in") => (3, "@in"),
        (token::Kind::Sign(sign), _) => match sign {
            "||" => (1, "_||_"),
            "&&" => (2, "_&&_"),
            "==" => (3, "_==_"),
            "!=" => (3, "_!=_"),
            "<" => (3, "_<_"),
            "<=" => (3, "_<=_"),
            ">" => (3, "_>_"),
            ">=" => (3, "_>=_"),
            "+" => (4, "_+_"),
            "-" => (4, "_-_"),
            "*" => (5, "_*_"),
            "/" => (5, "_/_"),
            "%" => (5, "_%_"),
            _ => return None,
        },
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Read<Expr> {
        let root = self.expression()?;
        let token = self.token();
        if token.kind != token::Kind::End {
            let is_last = self.tokens.get(self.at + 1).is_some_and(|next| next.kind == token::Kind::End);
            let what = if is_last { "extraneous" } else { "mismatched" };
            self.syntax(token, format!("{what} input '{}' expecting <EOF>", token.text));
        }
        Ok(root)
    }

    /// An expression: a condition with two outcomes, or what stands in its place.
    fn expression(&mut self) -> Read<Expr> {
        self.open += 1;
        if self.open > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let condition = self.operators(1)?;
        let read = if self.is_sign("?") { self.outcomes(condition) } else { Ok(condition) };
        self.open -= 1;
        read
    }

    fn outcomes(&mut self, condition: Expr) -> Read<Expr> {
        let operator = self.next();
        let yes = self.operators(1)?;
        self.take(":")?;
        let no = self.expression()?;
        let id = self.id(operator.offset);
        self.call(id, "_?_:_", vec![condition, yes, no])
    }

    /// Operators that bind at least this tight, with their operands.
    fn operators(&mut self, tightness: u8) -> Read<Expr> {
        let mut left = self.unary()?;
        loop {
            let operator = self.token();
            let Some((own, function)) = binary(&operator).filter(|(own, _)| *own >= tightness) else {
                return Ok(left);
            };
            if own <= 2 {
                left = self.logical(left, own, function)?;
                continue;
            }
            self.next();
            let id = self.id(operator.offset);
            let right = self.operators(own + 1)?;
            left = self.call(id, function, vec![left, right])?;
        }
    }

    /// A chain of the same logical operator, made a balanced tree so that a long one is not a deep one.
    fn logical(&mut self, first: Expr, tightness: u8, function: &'static str) -> Read<Expr> {
        let (mut terms, mut ids) = (vec![first], Vec::new());
        while binary(&self.token()) == Some((tightness, function)) {
            let operator = self.next();
            terms.push(self.operators(tightness + 1)?);
            ids.push(self.id(operator.offset));
        }
        let mut terms = terms.into_iter().map(Some).collect::<Vec<_>>();
        self.balance(function, &mut terms, &ids)
    }

    fn balance(&mut self, function: &'static str, terms: &mut [Option<Expr>], ids: &[Id]) -> Read<Expr> {
        if let [term] = terms {
            return Ok(term.take().expect("each term is taken once"));
        }
        let middle = terms.len() / 2;
        let (before, after) = terms.split_at_mut(middle);
        let left = self.balance(function, before, &ids[..middle - 1])?;
        let right = self.balance(function, after, &ids[middle..])?;
        self.call(ids[middle - 1], function, vec![left, right])
    }

    fn unary(&mut self) -> Read<Expr> {
        let first = self.token();
        let function = match first.kind {
            token::Kind::Sign("!") => "!_",
            token::Kind::Sign("-") => "-_",
            _ => return self.member(),
        };
        let mut count = 0;
        while self.token().kind == first.kind {
            self.next();
            count += 1;
        }
        let number = self.token();
        if function == "-_" && count == 1 && matches!(number.kind, token::Kind::Int | token::Kind::Float) {
            let negative = self.negative(first.offset, number)?;
            return self.tail(negative);
        }
        let operand = self.member()?;
        if count % 2 == 0 {
            return Ok(operand);
        }
        let id = self.id(first.offset);
        self.call(id, function, vec![operand])
    }

    /// A number right behind its sign is one literal.
    fn negative(&mut self, offset: usize, number: Token<'a>) -> Read<Expr> {
        self.next();
        let (literal, what) = match number.kind {
            token::Kind::Int => (literals::int(number.text, true), "int"),
            _ => (literals::double(number.text, true), "double"),
        };
        match literal {
            Some(literal) => self.literal_at(offset, literal),
            None => Err(self.tell(offset, format!("invalid {what} literal"))),
        }
    }

    // What the rest of the parser and the macros build with.

    /// A new part that stands here.
    pub fn id(&mut self, offset: usize) -> Id {
        self.positions.push(offset);
        Id::try_from(self.positions.len() - 1).expect("an expression has less than 2^32 parts")
    }

    /// Where a part stands.
    pub fn offset_of(&self, id: Id) -> usize {
        self.positions[id as usize]
    }

    /// A part, unless it is nested too deep.
    pub fn expr(&mut self, id: Id, kind: Kind) -> Read<Expr> {
        let depth = kind.inner_depth() + 1;
        if depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        Ok(Expr { id, kind, depth })
    }

    /// A call of a function by its name alone.
    pub fn call(&mut self, id: Id, function: &str, arguments: Vec<Expr>) -> Read<Expr> {
        self.expr(id, Kind::Call(Call { function: SmolStr::new(function), target: None, arguments }))
    }

    /// A literal that stands here.
    pub fn literal_at(&mut self, offset: usize, literal: Literal) -> Read<Expr> {
        let id = self.id(offset);
        self.expr(id, Kind::Literal(literal))
    }

    /// Tells a problem.
    pub fn tell(&mut self, offset: usize, message: impl Into<String>) -> GivenUp {
        self.issues.push(Issue { offset, message: message.into() });
        GivenUp
    }

    fn too_deep(&mut self) -> GivenUp {
        self.issues.clear();
        self.tell(0, format!("expression recursion limit exceeded: {DEPTH_MAX}"))
    }

    // Words.

    fn token(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.token();
        self.is_recovering = false;
        if token.kind != token::Kind::End {
            self.at += 1;
        }
        token
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.token().kind, token::Kind::Sign(own) if own == sign)
    }

    fn take_if(&mut self, sign: &str) -> Option<Token<'a>> {
        self.is_sign(sign).then(|| self.next())
    }

    /// A sign that must be here. One wrong word in front of it is passed over, as is a closing one that is missing at
    /// the end.
    fn take(&mut self, sign: &'static str) -> Read<Token<'a>> {
        if self.is_sign(sign) {
            return Ok(self.next());
        }
        let found = self.token();
        let follows = self.tokens.get(self.at + 1).is_some_and(|next| next.kind == token::Kind::Sign(sign));
        if follows && found.kind != token::Kind::End {
            self.syntax(found, format!("extraneous input '{}' expecting '{sign}'", found.text));
            self.at += 1;
            return Ok(self.next());
        }
        let is_closing = matches!(sign, ")" | "]");
        let may_follow = found.kind == token::Kind::End || binary(&found).is_some();
        let told = if is_closing && may_follow {
            format!("missing '{sign}' at '{}'", found.text)
        } else {
            format!("mismatched input '{}' expecting '{sign}'", found.text)
        };
        self.syntax(found, told);
        Err(GivenUp)
    }

    /// Nothing that may stand here stands here.
    fn mismatched(&mut self, expected: &str) -> GivenUp {
        let found = self.token();
        self.syntax(found, format!("mismatched input '{}' expecting {expected}", found.text))
    }

    fn syntax(&mut self, at: Token<'_>, message: String) -> GivenUp {
        if !self.is_recovering {
            self.tell(at.offset, format!("Syntax error: {message}"));
        }
        self.is_recovering = true;
        GivenUp
    }

    /// Whether an expression can begin with a word.
    fn is_operand(token: &Token<'_>) -> bool {
        match token.kind {
            token::Kind::Sign(sign) => matches!(sign, "[" | "{" | "(" | "." | "-" | "!"),
            token::Kind::Name => token.text != "in",
            token::Kind::End => false,
            _ => true,
        }
    }

    /// Makes sure that an operand begins here; one wrong word in front of it is passed over. Answers false where an
    /// operator stands instead.
    fn expect_operand(&mut self) -> Read<bool> {
        let found = self.token();
        if Self::is_operand(&found) {
            return Ok(true);
        }
        let next_fits = self.tokens.get(self.at + 1).is_some_and(Self::is_operand);
        if found.kind != token::Kind::End && next_fits {
            self.syntax(found, format!("extraneous input '{}' expecting {OPERAND}", found.text));
            self.at += 1;
            return Ok(true);
        }
        let told = self.mismatched(OPERAND);
        // An operator is read on as if something stood before it.
        if binary(&found).is_some() || self.is_sign("?") { Ok(false) } else { Err(told) }
    }
}

//! What operators stand between: names, literals, lists, maps, objects, calls, and what is selected from them.

use smol_str::SmolStr;

use super::super::macros::{self, Expansion};
use super::super::syntax::{Call, Entry, Expr, Init, Item, Kind, Literal, Select};
use super::super::token::{self, Token};
use super::expected::{AFTER_ENTRY, AFTER_ITEM, ARGUMENTS, FIELDS, LIST, MAP, RESERVED};
use super::{GivenUp, Parser, Read, literals};

impl Parser<'_> {
    /// An operand with everything that is selected from it.
    pub(super) fn member(&mut self) -> Read<Expr> {
        let operand = self.primary()?;
        self.tail(operand)
    }

    /// What is selected from an operand.
    pub(super) fn tail(&mut self, mut operand: Expr) -> Read<Expr> {
        loop {
            operand = if self.is_sign(".") {
                self.selection(operand)?
            } else if self.is_sign("[") {
                self.index(operand)?
            } else if self.is_sign("{") && operand.qualified_name().is_some() {
                self.object(&operand)?
            } else {
                return Ok(operand);
            };
        }
    }

    fn selection(&mut self, operand: Expr) -> Read<Expr> {
        let dot = self.next();
        let is_optional = self.take_if("?").is_some();
        let name = self.token();
        if name.kind != token::Kind::Name {
            return Err(self.no_name(if is_optional { ".?" } else { "." }, name));
        }
        self.next();
        if is_optional {
            let id = self.id(dot.offset);
            let field = self.literal_at(name.offset, Literal::String(SmolStr::new(name.text)))?;
            return self.call(id, "_?._", vec![operand, field]);
        }
        if self.is_sign("(") {
            let open = self.next();
            let id = self.id(open.offset);
            let arguments = self.arguments()?;
            return self.expand(id, name.text, Some(operand), arguments);
        }
        let id = self.id(dot.offset);
        let field = SmolStr::new(name.text);
        self.expr(id, Kind::Select(Select { operand: Box::new(operand), field, is_test: false }))
    }

    /// No name stands behind a point.
    fn no_name(&mut self, before: &str, found: Token<'_>) -> GivenUp {
        let read = if found.kind == token::Kind::End { "" } else { found.text };
        self.syntax(found, format!("no viable alternative at input '{before}{read}'"))
    }

    fn index(&mut self, operand: Expr) -> Read<Expr> {
        let open = self.next();
        let id = self.id(open.offset);
        let function = if self.take_if("?").is_some() { "_[?_]" } else { "_[_]" };
        let index = self.expression()?;
        self.take("]")?;
        self.call(id, function, vec![operand, index])
    }

    /// The arguments of a call, behind its parenthesis.
    fn arguments(&mut self) -> Read<Vec<Expr>> {
        let mut arguments = Vec::new();
        if self.take_if(")").is_some() {
            return Ok(arguments);
        }
        if !Self::is_operand(&self.token()) {
            return Err(self.mismatched(ARGUMENTS));
        }
        loop {
            arguments.push(self.expression()?);
            if self.take_if(",").is_none() {
                self.take(")")?;
                return Ok(arguments);
            }
        }
    }

    /// A call, or what the macro of that name makes of it.
    fn expand(&mut self, id: u32, name: &str, target: Option<Expr>, arguments: Vec<Expr>) -> Read<Expr> {
        match macros::expand(self, id, name, (target, arguments))? {
            Expansion::Expanded(expanded) => Ok(expanded),
            Expansion::None(target, arguments) => {
                let call = Call { function: SmolStr::new(name), target: target.map(Box::new), arguments };
                self.expr(id, Kind::Call(call))
            }
        }
    }

    fn primary(&mut self) -> Read<Expr> {
        if !self.expect_operand()? {
            return self.literal_at(self.token().offset, Literal::Null);
        }
        let token = self.next();
        match token.kind {
            token::Kind::Sign("(") => {
                let inner = self.expression()?;
                self.take(")")?;
                Ok(inner)
            }
            token::Kind::Sign("[") => self.list(token),
            token::Kind::Sign("{") => self.map(token),
            token::Kind::Sign(".") => {
                let name = self.token();
                if name.kind != token::Kind::Name {
                    return Err(self.no_name(".", name));
                }
                self.next();
                self.name(name, ".")
            }
            token::Kind::Name => self.name(token, ""),
            _ => self.literal(token),
        }
    }

    fn literal(&mut self, token: Token<'_>) -> Read<Expr> {
        let (literal, problem) = match token.kind {
            token::Kind::Int => (literals::int(token.text, false), "invalid int literal"),
            token::Kind::Uint => (literals::uint(token.text), "invalid uint literal"),
            token::Kind::Float => (literals::double(token.text, false), "invalid double literal"),
            token::Kind::Bytes => (literals::bytes(token.text), "invalid bytes literal"),
            _ => (literals::string(token.text), "invalid string literal"),
        };
        match literal {
            Some(literal) => self.literal_at(token.offset, literal),
            None => Err(self.tell(token.offset, problem)),
        }
    }

    fn name(&mut self, token: Token<'_>, dot: &str) -> Read<Expr> {
        let word = match token.text {
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            "null" => Some(Literal::Null),
            _ => None,
        };
        if let Some(word) = word {
            return self.literal_at(token.offset, word);
        }
        if RESERVED.contains(&token.text) {
            return Err(self.tell(token.offset, format!("reserved identifier: {}", token.text)));
        }
        let name = format!("{dot}{}", token.text);
        if self.is_sign("(") {
            let open = self.next();
            let id = self.id(open.offset);
            let arguments = self.arguments()?;
            return self.expand(id, &name, None, arguments);
        }
        let id = self.id(token.offset);
        self.expr(id, Kind::Ident(SmolStr::from(name)))
    }

    fn list(&mut self, open: Token<'_>) -> Read<Expr> {
        let id = self.id(open.offset);
        let mut items = Vec::new();
        if !self.is_sign("]") && !self.is_sign(",") && !self.is_sign("?") && !Self::is_operand(&self.token())
        {
            return Err(self.mismatched(LIST));
        }
        while !self.is_sign("]") && !self.is_sign(",") {
            let is_optional = self.take_if("?").is_some();
            let value = self.expression()?;
            items.push(Item { value, is_optional });
            if self.take_if(",").is_none() {
                break;
            }
        }
        self.take_if(",");
        if !self.is_sign("]") {
            return Err(self.mismatched(AFTER_ITEM));
        }
        self.next();
        self.expr(id, Kind::List(items))
    }

    fn map(&mut self, open: Token<'_>) -> Read<Expr> {
        let id = self.id(open.offset);
        let mut entries = Vec::new();
        if !self.is_sign("}") && !self.is_sign(",") && !self.is_sign("?") && !Self::is_operand(&self.token())
        {
            return Err(self.mismatched(MAP));
        }
        while !self.is_sign("}") && !self.is_sign(",") {
            let is_optional = self.take_if("?").is_some();
            let key = self.expression()?;
            self.take(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, is_optional });
            if self.take_if(",").is_none() {
                break;
            }
        }
        self.take_if(",");
        if !self.is_sign("}") {
            return Err(self.mismatched(AFTER_ENTRY));
        }
        self.next();
        self.expr(id, Kind::Map(entries))
    }

    /// `name{field: value}`
    fn object(&mut self, name: &Expr) -> Read<Expr> {
        let open = self.next();
        let id = self.id(open.offset);
        let name = SmolStr::from(name.qualified_name().unwrap_or_default());
        let mut fields = Vec::new();
        let starts = |parser: &Self| parser.token().kind == token::Kind::Name || parser.is_sign("?");
        if !self.is_sign("}") && !self.is_sign(",") && !starts(self) {
            let found = self.token();
            let next = self.tokens.get(self.at + 1).copied();
            if found.kind == token::Kind::End || !next.is_some_and(|next| next.kind == token::Kind::Name) {
                return Err(self.mismatched(FIELDS));
            }
            self.syntax(found, format!("extraneous input '{}' expecting {FIELDS}", found.text));
            self.at += 1;
        }
        while starts(self) {
            let is_optional = self.take_if("?").is_some();
            let field = self.token();
            if field.kind != token::Kind::Name {
                return Err(self.mismatched("{IDENTIFIER, ESC_IDENTIFIER}"));
            }
            self.next();
            let colon = self.take(":")?;
            let init = self.id(colon.offset);
            let value = self.expression()?;
            fields.push(Init { id: init, field: SmolStr::new(field.text), value, is_optional });
            if self.take_if(",").is_none() {
                break;
            }
        }
        self.take_if(",");
        if !self.is_sign("}") {
            return Err(self.mismatched(AFTER_ENTRY));
        }
        self.next();
        self.expr(id, Kind::Struct(name, fields))
    }
}

//! The syntax of selectors in query strings.

use smol_str::SmolStr;

use super::{FieldRequirement, Operator, Requirement, joined, key_errors};
use crate::field::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    Error,
    Open,
    Close,
    Comma,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Word,
}

/// Whether `in` and `notin` are operators or plain words here.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Operators,
    Values,
}

fn symbol(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "(" => Token::Open,
        "," => Token::Comma,
        "!" => Token::Not,
        "=" => Token::Equals,
        "==" => Token::DoubleEquals,
        "!=" => Token::NotEquals,
        ">" => Token::Greater,
        "<" => Token::Less,
        _ => return None,
    })
}

fn is_special(byte: u8) -> bool {
    b"=!(),><".contains(&byte)
}

fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

fn scan(text: &str) -> Vec<(Token, String)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += bytes[at..].iter().take_while(|byte| is_space(**byte)).count();
        let Some(first) = bytes.get(at) else {
            tokens.push((Token::End, String::new()));
            return tokens;
        };
        if !is_special(*first) {
            let len = bytes[at..].iter().take_while(|byte| !is_special(**byte) && !is_space(**byte)).count();
            let word = &text[at..at + len];
            at += len;
            let token = match word {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Word,
            };
            tokens.push((token, word.to_owned()));
            continue;
        }
        // The longest run of signs that means something; every sign but the second of a pair means something alone.
        let len = if symbol(text.get(at..at + 2).unwrap_or_default()).is_some() { 2 } else { 1 };
        let signs = &text[at..at + len];
        at += len;
        tokens.push((symbol(signs).unwrap_or(Token::Error), signs.to_owned()));
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    fn look(&self, context: Context) -> (Token, &str) {
        let (token, literal) = &self.tokens[self.at.min(self.tokens.len() - 1)];
        let token = match token {
            Token::In | Token::NotIn if context == Context::Values => Token::Word,
            token => *token,
        };
        (token, literal)
    }

    fn take(&mut self, context: Context) -> (Token, String) {
        let (token, literal) = self.look(context);
        let taken = (token, literal.to_owned());
        self.at += 1;
        taken
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (key, unary) = self.key()?;
        if let Some(operator) = unary {
            return Requirement::new(&key, operator, Vec::new()).map_err(|errors| joined(&errors));
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(&key, operator, values).map_err(|errors| joined(&errors))
    }

    fn key(&mut self) -> Result<(String, Option<Operator>), String> {
        let (mut token, mut literal) = self.take(Context::Values);
        let negated = token == Token::Not;
        if negated {
            (token, literal) = self.take(Context::Values);
        }
        if token != Token::Word {
            return Err(format!("found '{literal}', expected: identifier"));
        }
        let errors = key_errors(&literal, &Path::root());
        if !errors.is_empty() {
            return Err(joined(&errors));
        }
        let ends = matches!(self.look(Context::Values).0, Token::End | Token::Comma);
        let unary = match (negated, ends) {
            (true, _) => Some(Operator::DoesNotExist),
            (false, true) => Some(Operator::Exists),
            (false, false) => None,
        };
        Ok((literal, unary))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (token, literal) = self.take(Context::Operators);
        Ok(match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals | Token::DoubleEquals => Operator::Equals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(format!("found '{literal}', expected: in, notin, =, ==, !=, gt, lt")),
        })
    }

    fn values(&mut self) -> Result<Vec<SmolStr>, String> {
        let (token, literal) = self.take(Context::Values);
        if token != Token::Open {
            return Err(format!("found '{literal}' expected: '('"));
        }
        let (token, literal) = self.look(Context::Values);
        match token {
            Token::Word | Token::Comma => {
                let values = self.word_list()?;
                let (token, literal) = self.take(Context::Values);
                if token != Token::Close {
                    return Err(format!("found '{literal}', expected: ')'"));
                }
                Ok(values)
            }
            Token::Close => {
                self.at += 1;
                Ok(vec![SmolStr::default()])
            }
            _ => Err(format!("found '{literal}', expected: ',', ')' or identifier")),
        }
    }

    fn word_list(&mut self) -> Result<Vec<SmolStr>, String> {
        let mut values: Vec<SmolStr> = Vec::new();
        let insert = |values: &mut Vec<SmolStr>, value: &str| {
            if !values.iter().any(|known| known == value) {
                values.push(SmolStr::new(value));
            }
        };
        loop {
            let (token, literal) = self.take(Context::Values);
            match token {
                Token::Word => {
                    insert(&mut values, &literal);
                    let (token, literal) = self.look(Context::Values);
                    match token {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        _ => return Err(format!("found '{literal}', expected: ',' or ')'")),
                    }
                }
                Token::Comma => {
                    if values.is_empty() {
                        insert(&mut values, "");
                    }
                    match self.look(Context::Values).0 {
                        Token::Close => {
                            insert(&mut values, "");
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.at += 1;
                            insert(&mut values, "");
                        }
                        _ => {}
                    }
                }
                _ => return Err(format!("found '{literal}', expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<SmolStr, String> {
        if matches!(self.look(Context::Values).0, Token::End | Token::Comma) {
            return Ok(SmolStr::default());
        }
        let (token, literal) = self.take(Context::Values);
        match token {
            Token::Word => Ok(SmolStr::new(literal)),
            _ => Err(format!("found '{literal}', expected: identifier")),
        }
    }
}

/// The requirements of a label selector.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: scan(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        let (token, literal) = parser.look(Context::Values);
        match token {
            Token::Word | Token::Not => {}
            Token::End => return Ok(requirements),
            _ => return Err(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
        }
        let requirement =
            parser.requirement().map_err(|error| format!("unable to parse requirement: {error}"))?;
        requirements.push(requirement);
        let (token, literal) = parser.take(Context::Values);
        match token {
            Token::End => return Ok(requirements),
            Token::Comma => {
                let (token, literal) = parser.look(Context::Values);
                if !matches!(token, Token::Word | Token::Not) {
                    return Err(format!("found '{literal}', expected: identifier after ','"));
                }
            }
            _ => return Err(format!("found '{literal}', expected: ',' or 'end of string'")),
        }
    }
}

fn unescape(text: &str) -> Result<SmolStr, String> {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    let invalid =
        |sequence: &str| Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => value.push(escaped),
                Some(other) => return invalid(&format!("\\{other}")),
                None => return invalid("\\"),
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    letter as u32
                ));
            }
            plain => value.push(plain),
        }
    }
    Ok(SmolStr::new(value))
}

fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut from, mut escaped) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms.sort_unstable();
    terms
}

/// The requirements of a field selector.
pub(super) fn fields(text: &str) -> Result<Vec<FieldRequirement>, String> {
    let mut requirements = Vec::new();
    for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
        let misunderstood = || format!("invalid selector: '{text}'; can't understand '{term}'");
        let first = term.find(['=', '!']).map(|at| {
            // A `!` without `=` is part of the name.
            if term[at..].starts_with('!') && !term[at..].starts_with("!=") {
                term.find('=')
            } else {
                Some(at)
            }
        });
        let at = first.flatten().ok_or_else(misunderstood)?;
        let (field, rest) = term.split_at(at);
        let (equal, value) = match rest.strip_prefix("!=") {
            Some(value) => (false, value),
            None => {
                (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')).ok_or_else(misunderstood)?)
            }
        };
        requirements.push(FieldRequirement { field: SmolStr::new(field), value: unescape(value)?, equal });
    }
    Ok(requirements)
}

//! Expressions of configuration files: what they may refer to, and what they come to.
//!
//! They are compiled when the file is read, so that what is wrong with one is told at the start, in upstream's words.

use std::fmt;
use std::sync::{Arc, LazyLock};

use machinery::Value;
use machinery::cel::{Activation, Declaration, Environment, Program, Sameness, Type, Val};
use smol_str::SmolStr;

/// What one evaluation may cost, as upstream limits it.
const COST_MAX: u64 = 1_000_000;

/// What an expression is about: the one variable it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `claims` of a token.
    Claims,
    /// `user`, as a token's claims made it.
    User,
    /// `request`: who wants to do what.
    Request,
}

/// An expression that was compiled.
#[derive(Clone)]
pub struct Expression {
    text: String,
    about: About,
    program: Arc<Program>,
}

/// An expression that must be true, and what is said if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The expression.
    pub expression: Expression,
    /// What is said.
    pub message: String,
}

impl fmt::Debug for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Expression({})", self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text && self.about == other.about
    }
}

impl Eq for Expression {}

static CLAIMS: LazyLock<Declaration> = LazyLock::new(|| Declaration::map(Declaration::dynamic()));
static USER: LazyLock<Declaration> = LazyLock::new(|| {
    structure(
        "kubernetes.UserInfo",
        vec![
            ("username", text()),
            ("uid", text()),
            ("groups", texts()),
            ("extra", Declaration::map(texts())),
        ],
    )
});
static REQUEST: LazyLock<Declaration> = LazyLock::new(|| {
    structure(
        "kubernetes.SubjectAccessReviewSpec",
        vec![
            ("resourceAttributes", resource_attributes()),
            (
                "nonResourceAttributes",
                structure("kubernetes.NonResourceAttributes", vec![("path", text()), ("verb", text())]),
            ),
            ("user", text()),
            ("groups", texts()),
            ("extra", Declaration::map(texts())),
            ("uid", text()),
        ],
    )
});

fn text() -> Declaration {
    Declaration::of(Type::String)
}

fn texts() -> Declaration {
    Declaration::list(text(), Sameness::Ordered)
}

fn structure(name: &'static str, fields: Vec<(&'static str, Declaration)>) -> Declaration {
    let fields = fields.into_iter().map(|(name, field)| (SmolStr::new_static(name), field));
    Declaration::plain_object(name, fields.collect())
}

fn resource_attributes() -> Declaration {
    let selector = |name| {
        let fields = vec![("key", text()), ("operator", text()), ("values", texts())];
        let requirement = structure("kubernetes.SelectorRequirement", fields);
        let requirements = Declaration::list(requirement, Sameness::Ordered);
        structure(name, vec![("rawSelector", text()), ("requirements", requirements)])
    };
    let mut fields: Vec<_> = ["namespace", "verb", "group", "version", "resource", "subresource", "name"]
        .map(|name| (name, text()))
        .into();
    fields.push(("fieldSelector", selector("kubernetes.FieldSelectorAttributes")));
    fields.push(("labelSelector", selector("kubernetes.LabelSelectorAttributes")));
    structure("kubernetes.ResourceAttributes", fields)
}

impl About {
    fn name(self) -> &'static str {
        match self {
            About::Claims => "claims",
            About::User => "user",
            About::Request => "request",
        }
    }

    fn declaration(self) -> &'static Declaration {
        match self {
            About::Claims => &CLAIMS,
            About::User => &USER,
            About::Request => &REQUEST,
        }
    }
}

impl Expression {
    /// Compiles an expression.
    pub fn compile(about: About, text: &str) -> Result<Expression, String> {
        let environment = Environment::kubernetes().with(about.name(), about.declaration().clone());
        let program = environment.compile(text).map_err(|issues| format!("compilation failed: {issues}"))?;
        Ok(Expression { text: text.to_owned(), about, program: Arc::new(program) })
    }

    /// Compiles one that must be true or false.
    pub fn condition(about: About, text: &str) -> Result<Expression, String> {
        let expression = Expression::compile(about, text)?;
        match expression.program.output() {
            Type::Bool => Ok(expression),
            // Upstream says more where it checks requests.
            other if about == About::Request => Err(format!("must evaluate to bool but got {other}")),
            _ => Err("must evaluate to bool".to_owned()),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it looks at a member of its variable.
    pub fn looks_at(&self, member: &str) -> bool {
        let name = self.about.name();
        [format!("{name}.{member}"), format!("{name}.?{member}")].iter().any(|path| {
            self.text.match_indices(path.as_str()).any(|(at, _)| {
                let after = self.text[at + path.len()..].chars().next();
                !after.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
            })
        })
    }

    fn evaluate<'a>(&self, document: &'a Value) -> Result<Val<'a>, String> {
        let value = Val::of(document, self.about.declaration()).map_err(|failure| failure.to_string())?;
        let activation = Activation::new().with(self.about.name(), value);
        self.program.evaluate(&activation, COST_MAX).outcome.map_err(|failure| failure.to_string())
    }

    /// Whether it is true of a document.
    pub fn is_true(&self, document: &Value) -> Result<bool, String> {
        Ok(self.evaluate(document)?.is_true())
    }

    /// The text it comes to.
    pub fn text_of(&self, document: &Value) -> Result<Option<String>, String> {
        Ok(self.evaluate(document)?.as_str().map(str::to_owned))
    }

    /// The texts it comes to: one, several or none. Empty ones count for nothing.
    pub fn texts_of(&self, document: &Value) -> Result<Vec<String>, String> {
        let wrong = || "expression must return a string or a list of strings".to_owned();
        let found = self.evaluate(document)?.to_document()?;
        let all = match &found {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text.to_string()],
            Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong));
                texts.collect::<Result<_, _>>()?
            }
            _ => return Err(wrong()),
        };
        Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
    }
}

impl Rule {
    /// Refuses a document of which the expression is not true.
    pub fn check(&self, document: &Value) -> Result<(), String> {
        if self.expression.is_true(document)? {
            return Ok(());
        }
        Err(format!("validation expression '{}' failed: {}", self.expression.text, self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn claims_become_texts() {
        let claims =
            parse(r#"{"sub":"ann","roles":["a","","b"],"nested":{"deep":{"x":"y"}},"n":3,"none":null}"#);
        for (text, expected) in [
            ("claims.sub", Ok(vec!["ann"])),
            ("'oidc:' + claims.sub", Ok(vec!["oidc:ann"])),
            ("claims.roles", Ok(vec!["a", "b"])),
            ("claims.roles.map(role, 'r:' + role)", Ok(vec!["r:a", "r:", "r:b"])),
            ("claims.nested.deep.x", Ok(vec!["y"])),
            ("claims.?missing.orValue([])", Ok(vec![])),
            ("claims.none", Ok(vec![])),
            ("claims.n", Err("expression must return a string or a list of strings")),
            ("[1, 2]", Err("expression must return a string or a list of strings")),
            ("claims.missing", Err("no such key: missing")),
        ] {
            let found = Expression::compile(About::Claims, text).unwrap().texts_of(&claims);
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_true_or_false_is_no_condition() {
        for (about, text, expected) in [
            (About::Claims, "claims.sub", "must evaluate to bool"),
            (About::User, "user.username", "must evaluate to bool"),
            (About::Request, "request.user", "must evaluate to bool but got string"),
            (
                About::User,
                "user.nothing == 'x'",
                "compilation failed: ERROR: <input>:1:5: undefined field 'nothing'",
            ),
            (
                About::Request,
                "claims.x",
                "compilation failed: ERROR: <input>:1:1: undeclared reference to 'claims'",
            ),
            (About::Claims, "claims.", "compilation failed: ERROR: <input>:1:8: Syntax error"),
        ] {
            let why = Expression::condition(about, text).unwrap_err();
            assert!(why.starts_with(expected), "{text}: {why}");
        }
    }

    #[test]
    fn broken_rules_say_what_they_were_told_to() {
        let expression = Expression::condition(About::User, "!user.username.startsWith('system:')").unwrap();
        let rule = Rule { expression, message: "reserved".to_owned() };
        assert_eq!(rule.check(&parse(r#"{"username":"ann"}"#)), Ok(()));
        assert_eq!(
            rule.check(&parse(r#"{"username":"system:x"}"#)).unwrap_err(),
            "validation expression '!user.username.startsWith('system:')' failed: reserved"
        );
    }

    #[test]
    fn what_an_expression_looks_at_can_be_told() {
        for (text, email, verified) in [
            ("claims.email", true, false),
            ("claims.email_verified ? claims.email : ''", true, true),
            ("claims.?email_verified.orValue(true)", false, true),
            ("claims.emails", false, false),
        ] {
            let expression = Expression::compile(About::Claims, text).unwrap();
            assert_eq!(
                (expression.looks_at("email"), expression.looks_at("email_verified")),
                (email, verified)
            );
        }
    }
}

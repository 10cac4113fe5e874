//! The functions that expressions can call. Each library is a table of signatures with what they do.

mod authorizer;
pub mod cidr;
mod conversions;
pub mod format;
mod ip;
mod jsonpatch;
mod lists;
mod numbers;
mod operators;
mod optionals;
pub(super) mod patterns;
mod quantity;
pub mod semver;
mod sets;
mod strings;
mod substitute;
mod times;
pub mod url;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use smol_str::SmolStr;

use super::failure::{Failure, Outcome};
use super::types::Type;
use super::value::Val;

/// What a function does with arguments that fit its signature.
pub(super) type Run = for<'a> fn(&[Val<'a>]) -> Outcome<'a>;

/// A row of a library: the name of the overload, its signature, and what it does.
///
/// A signature is `name(parameters) result`; a method has the type of what it is called on in front: `(string).size()`.
/// Capital letters stand for any type.
type Row = (&'static str, &'static str, Run);

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub id: &'static str,
    pub is_method: bool,
    pub parameters: Vec<Type>,
    pub result: Type,
    pub run: Run,
}

/// Functions by name.
#[derive(Debug, Default)]
pub(super) struct Library {
    functions: HashMap<SmolStr, Vec<Arc<Overload>>>,
}

/// What every expression of Kubernetes can call.
static KUBERNETES: LazyLock<Library> = LazyLock::new(|| {
    Library::of(&[
        operators::ROWS,
        numbers::ROWS,
        conversions::ROWS,
        times::ROWS,
        strings::ROWS,
        substitute::ROWS,
        patterns::ROWS,
        lists::ROWS,
        sets::ROWS,
        optionals::ROWS,
        quantity::ROWS,
        url::ROWS,
        ip::ROWS,
        cidr::ROWS,
        format::ROWS,
        semver::ROWS,
        authorizer::ROWS,
        jsonpatch::ROWS,
    ])
});

/// What every expression of Kubernetes can call.
pub(super) fn kubernetes() -> &'static Library {
    &KUBERNETES
}

impl Library {
    fn of(tables: &[&[Row]]) -> Library {
        let mut library = Library::default();
        for (id, signature, run) in tables.iter().copied().flatten() {
            let (name, overload) = read(id, signature, *run);
            library.functions.entry(name).or_default().push(Arc::new(overload));
        }
        library
    }

    /// The ways to call a function; `None` if there is no such function.
    pub fn function(&self, name: &str) -> Option<&[Arc<Overload>]> {
        self.functions.get(name).map(Vec::as_slice)
    }
}

impl Overload {
    /// Whether arguments fit, as far as values show their types.
    pub fn fits(&self, arguments: &[Val<'_>]) -> bool {
        let fits = |(parameter, value): (&Type, &Val<'_>)| match parameter {
            Type::Dyn | Type::Parameter(_) => true,
            Type::List(_) => matches!(value, Val::List(_)),
            Type::Map(_) => matches!(value, Val::Map(_)),
            Type::Optional(_) => matches!(value, Val::Optional(_)),
            Type::Type(_) => matches!(value, Val::Type(_)),
            other => *other == value.ty(),
        };
        self.parameters.len() == arguments.len() && self.parameters.iter().zip(arguments).all(fits)
    }
}

/// Reads a row. The tables are part of the program, so what is wrong in them is a mistake of its authors.
fn read(id: &'static str, signature: &'static str, run: Run) -> (SmolStr, Overload) {
    let wrong = || -> ! { panic!("the signature {signature:?} cannot be read") };
    let mut reader = Reader { rest: signature };
    let mut parameters = Vec::new();
    let is_method = reader.take("(");
    if is_method {
        parameters.push(reader.ty());
        if !reader.take(").") {
            wrong();
        }
    }
    let Some(open) = reader.rest.find('(') else { wrong() };
    let name = SmolStr::new(&reader.rest[..open]);
    reader.rest = &reader.rest[open + 1..];
    while !reader.take(")") {
        parameters.push(reader.ty());
        reader.take(", ");
    }
    reader.take(" ");
    let result = reader.ty();
    (name, Overload { id, is_method, parameters, result, run })
}

struct Reader {
    rest: &'static str,
}

impl Reader {
    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn ty(&mut self) -> Type {
        let end = self.rest.find(['(', ')', ',', ' ']).unwrap_or(self.rest.len());
        let name = &self.rest[..end];
        self.rest = &self.rest[end..];
        match name {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "dyn" => Type::Dyn,
            "timestamp" => Type::Timestamp,
            "duration" => Type::Duration,
            "list" => Type::list(self.inner()),
            "optional" => Type::optional(self.inner()),
            "type" => Type::Type(Arc::new(self.inner())),
            "map" => {
                self.take("(");
                let key = self.ty();
                self.take(", ");
                let value = self.ty();
                self.take(")");
                Type::map(key, value)
            }
            name if name.len() == 1 => Type::Parameter(SmolStr::new(name)),
            name => Type::Opaque(name),
        }
    }

    fn inner(&mut self) -> Type {
        self.take("(");
        let inner = self.ty();
        self.take(")");
        inner
    }
}

/// A value as messages show it.
pub(super) fn show(value: &Val<'_>) -> String {
    substitute::show(value)
}

/// The function was called with what its signature does not allow.
fn misfit<'a>() -> Outcome<'a> {
    Err(Failure::no_such_overload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read_and_every_overload_has_a_name_of_its_own() {
        let library = kubernetes();
        let mut ids = std::collections::BTreeSet::new();
        let mut overloads = 0;
        let mut names: Vec<&SmolStr> = library.functions.keys().collect();
        names.sort();
        for name in names {
            for overload in library.function(name).unwrap() {
                assert!(ids.insert((overload.id, name.clone())), "{} is there twice", overload.id);
                overloads += 1;
            }
        }
        assert!(overloads > 250, "{overloads}");
    }

    #[test]
    fn a_signature_says_how_a_function_is_called() {
        let (name, overload) = read("x", "(list(A)).f(map(string, B), optional(A)) type(int)", |_| misfit());
        assert_eq!((name.as_str(), overload.is_method), ("f", true));
        let shown: Vec<String> = overload.parameters.iter().map(Type::to_string).collect();
        assert_eq!(shown, ["list(A)", "map(string, B)", "optional_type(A)"]);
        assert_eq!(overload.result.to_string(), "type(int)");
    }
}

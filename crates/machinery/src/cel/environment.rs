//! What an expression can refer to: variables, types and functions; and how it is compiled.

use std::sync::{Arc, LazyLock};

use smol_str::SmolStr;

use super::check;
use super::declaration::{Declaration, ObjectType, Sameness};
use super::estimate;
use super::library::{self, Library};
use super::macros::Macros;
use super::parse;
use super::plan;
use super::program::Program;
use super::source::Issues;
use super::types::Type;

/// What an expression can refer to.
#[derive(Clone, Debug)]
pub struct Environment {
    library: &'static Library,
    variables: Vec<(SmolStr, Declaration)>,
    macros: Macros,
    has_patch_types: bool,
}

/// `JSONPatch{…}`: an operation of a JSON patch.
static JSON_PATCH: LazyLock<Type> = LazyLock::new(|| {
    let text = |name: &'static str| (SmolStr::new_static(name), Declaration::of(Type::String));
    let value = (SmolStr::new_static("value"), Declaration::dynamic());
    Declaration::object("JSONPatch", vec![text("op"), text("path"), text("from"), value]).ty()
});

impl Environment {
    /// Without variables, with the functions that Kubernetes has everywhere.
    pub fn kubernetes() -> Environment {
        Environment {
            library: library::kubernetes(),
            variables: Vec::new(),
            macros: Macros::default(),
            has_patch_types: false,
        }
    }

    /// With a variable. Its name may have dots.
    pub fn with(mut self, name: impl Into<SmolStr>, declaration: Declaration) -> Environment {
        let name = name.into();
        self.variables.retain(|(own, _)| *own != name);
        self.variables.push((name, declaration));
        self
    }

    /// With `cel.bind`.
    pub fn with_bindings(mut self) -> Environment {
        self.macros.bindings = true;
        self
    }

    /// With the types `Object`, `Object.…` and `JSONPatch`, from which mutations are made.
    pub fn with_patch_types(mut self) -> Environment {
        self.has_patch_types = true;
        self
    }

    /// Compiles an expression: reads it, checks its types, and estimates what it costs.
    pub fn compile(&self, source: &str) -> Result<Program, Issues> {
        let parsed = parse::parse(source, self.macros)?;
        let checked = check::check(self, source, parsed)?;
        let cost = estimate::estimate(self, &checked);
        let output = checked.output();
        Ok(Program::new(plan::plan(&checked), output, cost))
    }

    /// The variable with this name.
    pub(super) fn variable(&self, name: &str) -> Option<&Declaration> {
        self.variables.iter().find(|(own, _)| own == name).map(|(_, declaration)| declaration)
    }

    /// The functions.
    pub(super) fn library(&self) -> &'static Library {
        self.library
    }

    /// The type with this name.
    pub(super) fn named_type(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "null_type" => Type::Null,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "type" => Type::Type(Arc::new(Type::Dyn)),
            "dyn" => Type::Dyn,
            "optional_type" => Type::optional(Type::Dyn),
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            "kubernetes.Quantity" => Type::Opaque("kubernetes.Quantity"),
            "kubernetes.URL" => Type::Opaque("kubernetes.URL"),
            "kubernetes.Semver" => Type::Opaque("kubernetes.Semver"),
            "net.IP" => Type::Opaque("net.IP"),
            "net.CIDR" => Type::Opaque("net.CIDR"),
            name => return self.structure(name),
        })
    }

    /// The type of objects that an expression can make.
    pub(super) fn structure(&self, name: &str) -> Option<Type> {
        match name {
            _ if !self.has_patch_types => None,
            "JSONPatch" => Some(JSON_PATCH.clone()),
            _ if name == "Object" || name.starts_with("Object.") => {
                Some(Type::Object(Arc::new(ObjectType::open(name))))
            }
            _ => None,
        }
    }

    /// The type of `Object{…}`.
    pub fn object_type() -> Type {
        Type::Object(Arc::new(ObjectType::open("Object")))
    }

    /// The type of a list of operations of a JSON patch.
    pub fn json_patch_type() -> Type {
        Declaration::list(Declaration::of(JSON_PATCH.clone()), Sameness::Ordered).ty()
    }
}

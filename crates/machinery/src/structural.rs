//! Structural schemas: what a custom resource looks like, compiled from the `openAPIV3Schema` of its definition.
//!
//! A [`Structural`] says three things of a document: which members stay ([`Structural::prune`]), which are filled in
//! ([`Structural::fill`]), and what is wrong with the rest ([`Structural::check`]); its [`Expressions`] say what rules in
//! CEL find wrong. Codecs, patches and apply work on the [`crate::schema::Schema`] that [`Structural::schema`] makes of
//! it, as they do for built-in kinds.

mod default;
mod embedded;
mod expressions;
mod format;
mod lists;
mod parse;
mod path;
mod prune;
mod types;
mod validate;

use regex::Regex;
use smol_str::SmolStr;

pub use default::drop_nulls;
pub use expressions::{Compiled, Expressions, Rule, Scope, Verdicts};
pub use format::Format;
pub use path::{FieldPath, PathFault};

use crate::Value;

/// The schema of a value.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// What the value is; `None` where that is not said.
    pub kind: Option<Kind>,
    /// `null` is a value.
    pub nullable: bool,
    /// What stands where nothing does.
    pub default: Option<Value>,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-list-type`
    pub list: Option<List>,
    /// `x-kubernetes-map-type: atomic`
    pub atomic_map: bool,
    /// Named members, by name.
    pub properties: Box<[(SmolStr, Structural)]>,
    /// Members that are not named.
    pub additional: Additional,
    /// The items of a list.
    pub items: Option<Box<Structural>>,
    /// What the value must be like.
    pub rules: Rules,
    /// `x-kubernetes-validations`
    pub validations: Box<[Rule]>,
    /// Whether anything at or below this schema fills something in.
    pub(crate) fills: bool,
}

/// The JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list.
    Array,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// Named members.
    Object,
    /// Text.
    String,
}

impl Kind {
    /// As schemas write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Array => "array",
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Object => "object",
            Kind::String => "string",
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Array, Kind::Boolean, Kind::Integer, Kind::Number, Kind::Object, Kind::String]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What a list means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// One thing.
    Atomic,
    /// Items that come once each.
    Set,
    /// Objects told apart by these members.
    Map(Box<[SmolStr]>),
}

/// What is said of members without a name of their own.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// Nothing: they are pruned.
    #[default]
    Unsaid,
    /// They may be anything.
    Anything,
    /// There must be none.
    Nothing,
    /// They look like this.
    Each(Box<Structural>),
}

/// What a value must be like, beyond its type.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `format`, if it is one that is checked.
    pub format: Option<Format>,
    /// `maximum`, and whether it is exclusive.
    pub maximum: Option<(f64, bool)>,
    /// `minimum`, and whether it is exclusive.
    pub minimum: Option<(f64, bool)>,
    /// `multipleOf`
    pub multiple_of: Option<f64>,
    /// `maxLength`
    pub max_length: Option<i64>,
    /// `minLength`
    pub min_length: Option<i64>,
    /// `pattern`: as it is written, and compiled if it can be.
    pub pattern: Option<(SmolStr, Option<Regex>)>,
    /// `maxItems`
    pub max_items: Option<i64>,
    /// `minItems`
    pub min_items: Option<i64>,
    /// `uniqueItems`
    pub unique_items: bool,
    /// `maxProperties`
    pub max_properties: Option<i64>,
    /// `minProperties`
    pub min_properties: Option<i64>,
    /// `required`
    pub required: Box<[SmolStr]>,
    /// `enum`
    pub choices: Box<[Value]>,
    /// `allOf`
    pub all_of: Box<[Structural]>,
    /// `anyOf`
    pub any_of: Box<[Structural]>,
    /// `oneOf`
    pub one_of: Box<[Structural]>,
    /// `not`
    pub not: Option<Box<Structural>>,
}

/// What is wrong with a pattern, if anything is.
pub fn pattern(text: &str) -> Result<(), String> {
    parse::regex(text).map(|_| ())
}

/// Members that every object has, whatever its schema says.
pub(crate) fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

impl Structural {
    /// Compiles `openAPIV3Schema`. What the checks of definitions refuse is taken as if it were not there.
    pub fn compile(schema: &Value) -> Structural {
        parse::compile(schema)
    }

    /// A named member's schema.
    pub fn property(&self, name: &str) -> Option<&Structural> {
        let position = self.properties.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self.properties[position].1)
    }

    /// What is said of a member: its own schema, or that of members without a name.
    pub fn member(&self, name: &str) -> Option<&Structural> {
        self.property(name).or(match &self.additional {
            Additional::Each(each) => Some(each),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;

//! What is wrong with a document by its schema: upstream's findings, in upstream's words and order.
//!
//! One walk finds everything. A part that did not change since `old` is never held against an update, so that a schema
//! may become stricter.

mod alternatives;
mod number;

use std::fmt::Write;

use super::{Additional, Kind, List, Structural};
use crate::Value;
use crate::field::{self, Errors, Path, go_quote};
use crate::patch::go_format;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    /// The way there, as findings show it; `None` where they do not say.
    name: Option<String>,
    what: What,
    /// The whole sentence. Two findings that say the same are one.
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Required,
    Enum(Value, Vec<String>),
    TooLong(i64),
    TooMany(usize, i64),
    Type(Value),
    Other(Value),
}

impl Structural {
    /// What is wrong with a value at `path`. With the value as it was before (`old`), what did not change is right.
    pub fn check(&self, path: &Path, value: &Value, old: Option<&Value>) -> Errors {
        let mut walk = Walk { path: String::new(), findings: Vec::new() };
        walk.value(self, value, old);
        let mut told: Vec<&Finding> = Vec::new();
        for finding in &walk.findings {
            if !told.iter().any(|before| before.text == finding.text) {
                told.push(finding);
            }
        }
        told.into_iter().map(|finding| finding.to_error(path)).collect()
    }
}

impl Finding {
    fn to_error(&self, path: &Path) -> field::Error {
        let name = self.name.as_deref().unwrap_or_default();
        let name = name.strip_prefix('.').unwrap_or(name);
        let path = if name.is_empty() { path.clone() } else { path.child(name) };
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        match &self.what {
            What::Required => field::Error::required(&path, ""),
            What::Enum(value, choices) => {
                let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
                field::Error::not_supported(&path, value, &choices)
            }
            What::TooLong(most) => field::Error::too_long(&path, count(*most)),
            What::TooMany(actual, most) => field::Error::too_many(&path, *actual, count(*most)),
            What::Type(shown) => field::Error::type_invalid(&path, shown, self.text.as_str()),
            What::Other(shown) => field::Error::invalid(&path, shown, self.text.as_str()),
        }
    }
}

/// The type of a value as findings name it, and the format that upstream takes it to have.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Int(_) => ("integer", "int64"),
        Value::Float(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

struct Walk {
    path: String,
    findings: Vec<Finding>,
}

impl Walk {
    /// Looks at a value. The number answered tells how much of the schema it met, by which the best of several failed
    /// alternatives is found.
    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>) -> usize {
        let before = self.findings.len();
        let met = self.checks(schema, value, old);
        if self.findings.len() > before && old.is_some_and(|old| !old.is_null() && old == value) {
            self.findings.truncate(before);
        }
        met
    }

    fn checks(&mut self, schema: &Structural, value: &Value, old: Option<&Value>) -> usize {
        let mut met = 1 + self.kind(schema, value);
        if value.is_null() {
            self.choice(schema, value);
            return met;
        }
        met += self.alternatives(schema, value, old);
        match value {
            Value::String(text) => {
                self.text(schema, text);
                met += 1;
            }
            Value::Int(_) | Value::Float(_) => {
                self.number(schema, value);
                met += 1;
            }
            Value::Array(items) => met += 1 + self.list(schema, items, old),
            _ => {}
        }
        self.choice(schema, value);
        met += 1;
        if let Value::Object(map) = value {
            met += 1 + self.members(schema, map, old);
        }
        met
    }

    fn find(&mut self, what: What, text: String) {
        self.findings.push(Finding { name: Some(self.path.clone()), what, text });
    }

    /// A finding whose place upstream does not tell.
    fn find_nowhere(&mut self, text: String) {
        self.findings.push(Finding { name: None, what: What::Other(Value::from("")), text });
    }

    /// `PATH in body WHAT`
    fn say(&mut self, what: impl FnOnce(&mut Walk) -> What, text: &str) {
        let text = format!("{} in body {text}", self.path);
        let what = what(self);
        self.find(what, text);
    }

    fn below<R>(&mut self, step: &str, walk: impl FnOnce(&mut Walk) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(step);
        let result = walk(self);
        self.path.truncate(length);
        result
    }

    fn kind(&mut self, schema: &Structural, value: &Value) -> usize {
        let format = schema.rules.format.as_ref().map(|format| format.name.as_str());
        let allowed: &[Kind] =
            if schema.int_or_string { &[Kind::Integer, Kind::String] } else { schema.kind.as_slice() };
        if allowed.is_empty() && format.is_none() {
            return 0;
        }
        let (found, found_format) = type_of(value);
        let misfit = |walk: &mut Walk, wanted: &str, found: &str| {
            walk.say(
                |_| What::Type(Value::from(found)),
                &format!("must be of type {wanted}: {}", go_quote(found)),
            );
            0
        };
        let names = allowed.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",");
        if value.is_null() {
            return if allowed.is_empty() || schema.nullable { 1 } else { misfit(self, &names, found) };
        }
        let allows = |kind: Kind| allowed.contains(&kind);
        let whole = matches!(value, Value::Float(number) if number.fract() == 0.0 && number.is_finite());
        let fits = allowed.iter().any(|kind| kind.name() == found)
            || (whole && allows(Kind::Integer))
            || (found == "integer" && allows(Kind::Number));
        let text_like = matches!(value, Value::String(_) | Value::Array(_));
        if let Some(format) = format {
            if !text_like && !fits && found_format != format {
                return misfit(self, format, found_format);
            }
            if text_like && !allows(Kind::Number) && !allows(Kind::Integer) {
                return 1;
            }
        }
        if fits || allowed.is_empty() { 1 } else { misfit(self, &names, found) }
    }

    fn choice(&mut self, schema: &Structural, value: &Value) {
        let choices = &schema.rules.choices;
        if choices.is_empty() || choices.iter().any(|choice| number::same(choice, value)) {
            return;
        }
        let shown = choices.iter().map(|choice| match choice {
            Value::String(text) => text.to_string(),
            other => crate::json::to_string(other),
        });
        let shown: Vec<String> = shown.collect();
        let all = go_format(&Value::from(choices.to_vec()));
        self.say(|_| What::Enum(value.clone(), shown), &format!("should be one of {all}"));
    }

    fn text(&mut self, schema: &Structural, text: &str) {
        let rules = &schema.rules;
        let shown = || What::Other(Value::from(text));
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(most) = rules.max_length.filter(|most| length() > *most) {
            self.say(|_| What::TooLong(most), &format!("should be at most {most} chars long"));
        } else if let Some(least) = rules.min_length.filter(|least| length() < *least) {
            self.say(|_| shown(), &format!("should be at least {least} chars long"));
        } else if let Some((pattern, regex)) = &rules.pattern
            && !regex.as_ref().is_some_and(|regex| regex.is_match(text))
        {
            self.say(|_| shown(), &format!("should match '{pattern}'"));
        }
        if let Some(format) = &rules.format
            && !format.fits(text)
        {
            let wanted = format!("must be of type {}: {}", format.name, go_quote(text));
            self.say(|_| What::Type(Value::from(text)), &wanted);
        }
    }

    fn list(&mut self, schema: &Structural, items: &[Value], old: Option<&Value>) -> usize {
        let mut met = 0;
        if let Some(of_item) = schema.items.as_deref() {
            for (position, item) in items.iter().enumerate() {
                let before = old.and_then(|old| counterpart(schema, item, old));
                met += self.below(&format!("[{position}]"), |walk| walk.value(of_item, item, before));
            }
        }
        let rules = &schema.rules;
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(least) = rules.min_items.filter(|least| size < *least) {
            self.say(|_| What::Other(Value::Int(size)), &format!("should have at least {least} items"));
        }
        if let Some(most) = rules.max_items.filter(|most| size > *most) {
            self.say(|_| What::TooMany(items.len(), most), &format!("should have at most {most} items"));
        }
        if rules.unique_items && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
            self.say(|_| What::Other(Value::from("")), "shouldn't contain duplicates");
        }
        met
    }

    fn members(&mut self, schema: &Structural, map: &crate::Map, old: Option<&Value>) -> usize {
        let rules = &schema.rules;
        let count = i64::try_from(map.len()).unwrap_or(i64::MAX);
        if let Some(least) = rules.min_properties.filter(|least| count < *least) {
            self.say(|_| What::Other(Value::Int(count)), &format!("should have at least {least} properties"));
            return 0;
        }
        if let Some(most) = rules.max_properties.filter(|most| count > *most) {
            self.say(|_| What::TooMany(map.len(), most), &format!("should have at most {most} properties"));
            return 0;
        }
        let mut met = 0;
        let before = |name: &str| old.map(|old| old.get(name)).filter(|old| !old.is_null());
        for (name, member) in map.iter() {
            if schema.property(name).is_some() {
                continue;
            }
            match &schema.additional {
                Additional::Nothing => {
                    let text = format!("{}.{name} in body is a forbidden property", self.path);
                    self.find(What::Other(Value::from(name.as_str())), text);
                }
                Additional::Each(each) => {
                    met += self.below(&format!(".{name}"), |walk| walk.value(each, member, before(name)));
                }
                Additional::Unsaid | Additional::Anything => {}
            }
        }
        for (name, property) in &schema.properties {
            if let Some(member) = map.get(name) {
                let separator = if self.path.is_empty() { "" } else { "." };
                let step = format!("{separator}{name}");
                met += self.below(&step, |walk| walk.value(property, member, before(name)));
            }
        }
        for name in &rules.required {
            if !map.contains_key(name) {
                self.below(&format!(".{name}"), |walk| walk.say(|_| What::Required, "is required"));
            }
        }
        met
    }
}

/// The item of the old list that an item takes the place of; only items of maps can be told apart.
fn counterpart<'a>(schema: &Structural, item: &Value, old: &'a Value) -> Option<&'a Value> {
    let Some(List::Map(keys)) = &schema.list else { return None };
    let default = |key: &str| schema.items.as_deref()?.property(key)?.default.as_ref();
    let key_of = |item: &'a Value, key: &str| match item.get(key) {
        Value::Null => None,
        found => Some(found),
    };
    old.items().iter().find(|before| {
        keys.iter().all(|key| {
            let own = Some(item.get(key)).filter(|own| !own.is_null());
            own.or_else(|| default(key)) == key_of(before, key).or_else(|| default(key))
        })
    })
}

/// Go's `%v` of a number of a schema: `1`, `0.5`, `1e+21`.
fn show_number(number: f64) -> String {
    let mut text = String::new();
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    // Writing to a string cannot fail.
    let _ = if (-4..21).contains(&exponent) {
        write!(text, "{number}")
    } else {
        let scientific = format!("{number:e}");
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, digits) = power.strip_prefix('-').map_or(("+", power), |digits| ("-", digits));
        write!(text, "{mantissa}e{sign}{digits:0>2}")
    };
    text
}

//! A place in a document while it is checked: the value that stands there, the way to it, and where to report what is
//! wrong. The way becomes text only when there is something to report, so that checking what is right costs nothing.

use std::cell::RefCell;

use machinery::field::{Error, Errors, Kind, Path, Shown};
use machinery::{Name, Value};
use smol_str::SmolStr;

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A place in a document.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    value: &'a Value,
    up: Option<&'a Place<'a>>,
    step: Step<'a>,
    sink: &'a RefCell<Errors>,
}

/// Text that an error shows as it is, without quotes.
pub struct Raw(pub String);

impl Shown for Raw {
    fn shown(&self) -> String {
        self.0.clone()
    }
}

/// Checks a whole document; what is wrong is added to `errors`.
pub fn inspect(document: &Value, errors: &mut Errors, check: impl FnOnce(Place<'_>)) {
    let sink = RefCell::new(std::mem::take(errors));
    check(Place { value: document, up: None, step: Step::Root, sink: &sink });
    *errors = sink.into_inner();
}

impl<'a> Place<'a> {
    /// The value that stands here.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// The member `name`.
    pub fn get<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place { value: self.value.get(name), up: Some(self), step: Step::Name(name), sink: self.sink }
    }

    /// The same value under a longer path.
    pub fn at<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place { value: self.value, up: Some(self), step: Step::Name(name), sink: self.sink }
    }

    /// The same value under a path with a key.
    pub fn at_key<'b>(&'b self, key: &'b str) -> Place<'b> {
        Place { value: self.value, up: Some(self), step: Step::Key(key), sink: self.sink }
    }

    /// The same value under a path with an index.
    pub fn at_index<'b>(&'b self, index: usize) -> Place<'b> {
        Place { value: self.value, up: Some(self), step: Step::Index(index), sink: self.sink }
    }

    /// The same path with another value.
    pub fn with<'b>(&self, value: &'b Value) -> Place<'b>
    where
        'a: 'b,
    {
        Place { value, ..*self }
    }

    /// The items of the list, each at its place.
    pub fn items<'b>(&'b self) -> impl Iterator<Item = Place<'b>> {
        self.value.items().iter().enumerate().map(move |(index, value)| Place {
            value,
            up: Some(self),
            step: Step::Index(index),
            sink: self.sink,
        })
    }

    /// The entries of the map, each at its place.
    pub fn entries<'b>(&'b self) -> impl Iterator<Item = (&'b str, Place<'b>)> {
        self.value.members().map(move |(key, value)| {
            (key.as_str(), Place { value, up: Some(self), step: Step::Key(key), sink: self.sink })
        })
    }

    /// The keys of the map.
    pub fn keys(&self) -> impl Iterator<Item = &'a Name> {
        self.value.members().map(|(key, _)| key)
    }

    /// Whether something stands here, be it empty.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether there is nothing here that counts.
    pub fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// The text, or the empty text.
    pub fn text(&self) -> &'a str {
        self.value.str_or_empty()
    }

    /// The text as something to keep: short texts are copied without allocating.
    pub fn key(&self) -> SmolStr {
        match self.value {
            Value::String(text) => text.clone(),
            _ => SmolStr::default(),
        }
    }

    /// The number, or zero.
    pub fn int(&self) -> i64 {
        self.value.as_int().unwrap_or(0)
    }

    /// The number, if there is one.
    pub fn number(&self) -> Option<i64> {
        self.value.as_int()
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.value.is_true()
    }

    /// How many items or members there are.
    pub fn len(&self) -> usize {
        match self.value {
            Value::Object(map) => map.len(),
            other => other.items().len(),
        }
    }

    /// The way here, as text.
    pub fn path(&self) -> Path {
        let above = self.up.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => above,
            Step::Name(name) => above.child(name),
            Step::Index(index) => above.index(index),
            Step::Key(key) => above.key(key),
        }
    }

    /// Reports an error made elsewhere.
    pub fn report(&self, error: Error) {
        self.sink.borrow_mut().push(error);
    }

    /// How many errors there are so far.
    pub fn error_count(&self) -> usize {
        self.sink.borrow().len()
    }

    /// Orders the errors from the one at `from` on by their text.
    pub fn sort_from(&self, from: usize) {
        self.sink.borrow_mut()[from..].sort_by_cached_key(ToString::to_string);
    }

    /// It must be set.
    pub fn required(&self, detail: &str) {
        self.report(Error::required(&self.path(), detail));
    }

    /// What stands here is malformed.
    pub fn invalid(&self, detail: impl Into<String>) {
        self.report(Error::invalid(&self.path(), self.value, detail));
    }

    /// What stands here is malformed; it is shown as `value`.
    pub fn invalid_as(&self, value: impl Shown, detail: impl Into<String>) {
        self.report(Error::invalid(&self.path(), value, detail));
    }

    /// A malformed value of which nothing is shown.
    pub fn invalid_unseen(&self, detail: impl Into<String>) {
        let error = Error { kind: Kind::Invalid, path: self.path(), shown: None, detail: detail.into() };
        self.report(error);
    }

    /// What stands here, a number that is zero where nothing is written, is malformed.
    pub fn invalid_number(&self, detail: impl Into<String>) {
        self.report(Error::invalid(&self.path(), self.int(), detail));
    }

    /// The text here has faults; one error for each.
    pub fn faults(&self, faults: Vec<String>) {
        for fault in faults {
            self.invalid_as(self.text(), fault);
        }
    }

    /// What stands here is none of those allowed.
    pub fn unsupported(&self, supported: &[&str]) {
        self.report(Error::not_supported(&self.path(), self.text(), supported));
    }

    /// What stands here, shown as `value`, is none of those allowed.
    pub fn unsupported_as(&self, value: impl Shown, supported: &[&str]) {
        self.report(Error::not_supported(&self.path(), value, supported));
    }

    /// The text must be one of these. Answers whether it is.
    pub fn one_of(&self, allowed: &[&str]) -> bool {
        let fits = allowed.contains(&self.text());
        if !fits {
            self.unsupported(allowed);
        }
        fits
    }

    /// The same as [`Place::one_of`] where the text must be set at all.
    pub fn required_one_of(&self, allowed: &[&str]) -> bool {
        if self.text().is_empty() {
            self.required("");
            return false;
        }
        self.one_of(allowed)
    }

    /// It stands here already.
    pub fn duplicate(&self) {
        self.report(Error::duplicate(&self.path(), self.value));
    }

    /// `value` stands here already.
    pub fn duplicate_as(&self, value: impl Shown) {
        self.report(Error::duplicate(&self.path(), value));
    }

    /// What it names does not exist.
    pub fn not_found(&self) {
        self.report(Error::not_found(&self.path(), self.value));
    }

    /// It must not be set here.
    pub fn forbidden(&self, detail: impl Into<String>) {
        self.report(Error::forbidden(&self.path(), detail));
    }

    /// More than `max` bytes.
    pub fn too_long(&self, max: usize) {
        self.report(Error::too_long(&self.path(), max));
    }

    /// More than `max` items.
    pub fn too_many(&self, actual: usize, max: usize) {
        self.report(Error::too_many(&self.path(), actual, max));
    }

    /// The number must not be below zero.
    pub fn not_negative(&self) {
        if self.int() < 0 {
            self.invalid("must be greater than or equal to 0");
        }
    }

    /// The number must be above zero.
    pub fn positive(&self) {
        if self.int() <= 0 {
            self.invalid_number("must be greater than 0");
        }
    }

    /// Nothing here may differ from `old`.
    pub fn immutable(&self, old: &Value) {
        if !same(self.value, old) {
            self.invalid("field is immutable");
        }
    }

    /// Nothing here may differ from `old`; an error shows what `shown` makes.
    pub fn immutable_as(&self, old: &Value, shown: impl FnOnce(&Value) -> String) {
        if !same(self.value, old) {
            self.invalid_as(Raw(shown(self.value)), "field is immutable");
        }
    }
}

/// Whether two values mean the same: an empty list or text is as good as none. A structure without members is something
/// else than none; maps without entries are not there any more when documents are compared.
pub fn same(a: &Value, b: &Value) -> bool {
    let hollow = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a_map), Value::Object(b_map)) => {
            let covered = |one: &machinery::Map, other: &Value| {
                one.iter().all(|(name, value)| same(value, other.get(name)))
            };
            covered(a_map, b) && b_map.iter().all(|(name, value)| a_map.contains_key(name) || hollow(value))
        }
        (a, b) => a == b || (hollow(a) && hollow(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_know_their_way_and_report_it() {
        let document = Value::from([("a", Value::from(vec![Value::from([("b", Value::from("x"))])]))]);
        let mut errors = Errors::new();
        inspect(&document, &mut errors, |root| {
            for item in root.get("a").items() {
                item.get("b").invalid("odd");
                item.get("c").at_key("k").required("");
                item.get("b").at("d").forbidden("no");
            }
        });
        let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
        assert_eq!(
            texts,
            ["a[0].b: Invalid value: \"x\": odd", "a[0].c[k]: Required value", "a[0].b.d: Forbidden: no",]
        );
    }

    #[test]
    fn nothing_and_empty_are_the_same() {
        let with = Value::from([("a", Value::from(1i64)), ("b", Value::from(vec![]))]);
        let without = Value::from([("a", Value::from(1i64))]);
        assert!(same(&with, &without) && same(&without, &with));
        assert!(!same(&with, &Value::from([("a", Value::from(2i64))])));
        assert!(!same(&without, &Value::object()));
        let selector = |value: Value| Value::from([("selector", value)]);
        assert!(!same(&selector(Value::object()), &selector(Value::Null)));
    }
}

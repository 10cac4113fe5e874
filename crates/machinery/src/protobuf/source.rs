//! What messages are made of: documents, or texts of documents that were never taken apart.

use std::borrow::Cow;

use crate::json::tape::Node;
use crate::{Value, json};

/// A value of a document, whatever that is.
pub(super) trait Source<'v>: Copy {
    /// No value.
    const NULL: Self;

    /// Whether it is null.
    fn is_null(self) -> bool;
    /// Whether it is `true`.
    fn is_true(self) -> bool;
    /// Whether it is an object.
    fn is_object(self) -> bool;
    /// The whole number, if it is one.
    fn int(self) -> Option<i64>;
    /// The number; zero if it is none.
    fn float(self) -> f64;
    /// The text, if it is one.
    fn text(self) -> Option<Cow<'v, str>>;
    /// The items; none if it is no list.
    fn items(self) -> impl Iterator<Item = Self>;
    /// The members; none if it is no object.
    fn members(self) -> impl Iterator<Item = (Cow<'v, str>, Self)>;
    /// It as JSON.
    fn json(self) -> Vec<u8>;
}

impl<'v> Source<'v> for &'v Value {
    const NULL: &'v Value = &Value::Null;

    fn is_null(self) -> bool {
        Value::is_null(self)
    }

    fn is_true(self) -> bool {
        Value::is_true(self)
    }

    fn is_object(self) -> bool {
        matches!(self, Value::Object(_))
    }

    fn int(self) -> Option<i64> {
        self.as_int()
    }

    fn float(self) -> f64 {
        match self {
            Value::Float(float) => *float,
            other => other.as_int().unwrap_or(0) as f64,
        }
    }

    fn text(self) -> Option<Cow<'v, str>> {
        self.as_str().map(Cow::Borrowed)
    }

    fn items(self) -> impl Iterator<Item = &'v Value> {
        Value::items(self).iter()
    }

    fn members(self) -> impl Iterator<Item = (Cow<'v, str>, &'v Value)> {
        Value::members(self).map(|(name, value)| (Cow::Borrowed(name.as_str()), value))
    }

    fn json(self) -> Vec<u8> {
        json::to_vec(self)
    }
}

impl<'v> Source<'v> for Node<'v> {
    const NULL: Node<'v> = Node::Null;

    fn is_null(self) -> bool {
        self.first() == b'n'
    }

    fn is_true(self) -> bool {
        self.first() == b't'
    }

    fn is_object(self) -> bool {
        self.first() == b'{'
    }

    fn int(self) -> Option<i64> {
        Node::int(self)
    }

    fn float(self) -> f64 {
        self.raw().parse::<f64>().ok().filter(|number| number.is_finite()).unwrap_or_default()
    }

    fn text(self) -> Option<Cow<'v, str>> {
        Node::text(self)
    }

    fn items(self) -> impl Iterator<Item = Node<'v>> {
        Node::items(self)
    }

    fn members(self) -> impl Iterator<Item = (Cow<'v, str>, Node<'v>)> {
        Node::members(self)
    }

    fn json(self) -> Vec<u8> {
        // Read and written once more, so that it is written as all documents are.
        let read = json::parse(self.raw().as_bytes());
        read.map_or_else(|_| self.raw().as_bytes().to_vec(), |value| json::to_vec(&value))
    }
}

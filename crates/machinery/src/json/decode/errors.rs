//! What is wrong with a body, in Go's words and with the path to it.

use super::{Decoder, Step};
use crate::Value;
use crate::json::Error;
use crate::schema::{Shape, TypeRef};

impl Decoder<'_, '_, '_> {
    /// Passes over a value of the wrong type and notes what it was.
    pub(super) fn wrong_type(&mut self, go_type: &str, depth: usize) -> Result<Value, Error> {
        let found = self.skip_named(depth)?;
        self.fail_type(&found, go_type);
        Ok(Value::Null)
    }

    /// Passes over a value; answers what kind of value it was.
    pub(super) fn skip_named(&mut self, depth: usize) -> Result<String, Error> {
        let name = match self.scanner.begin_value()? {
            b'{' => "object",
            b'[' => "array",
            b'"' => "string",
            b't' | b'f' => "bool",
            b'n' => "null",
            _ => "number",
        };
        self.scanner.skip_value(depth)?;
        Ok(name.to_owned())
    }

    pub(super) fn fail_type(&mut self, found: &str, go_type: &str) {
        if self.first_error.is_some() {
            return;
        }
        let mut names: Vec<&str> = Vec::new();
        for step in &self.path {
            if let Step::Field(name, ty) = step {
                names.extend(inlines_around(name, *ty));
                names.push(name);
            }
        }
        let structure = self.path.iter().rev().find_map(|step| match step {
            Step::Field(_, ty) => Some(ty.go_name.rsplit('.').next().unwrap_or_default().to_owned()),
            _ => None,
        });
        let place = match structure {
            Some(structure) => format!("struct field {structure}.{}", names.join(".")),
            None => "value".to_owned(),
        };
        self.fail(mismatch(found, &place, go_type));
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.first_error.get_or_insert(error);
    }

    /// Reports an unknown or duplicate field: the one on top of the path, or a member of it.
    pub(super) fn strict(&mut self, what: &str, member: Option<&str>) {
        if !self.report.is_collecting() {
            return;
        }
        let mut text = format!("{what} field \"");
        let start = text.len();
        let separator = |text: &mut String| {
            if text.len() > start {
                text.push('.');
            }
        };
        for step in &self.path {
            match step {
                Step::Field(name, _) => {
                    separator(&mut text);
                    text.push_str(name);
                }
                Step::Key(name) => {
                    separator(&mut text);
                    text.push_str(name);
                }
                Step::Index(position) => text.push_str(&format!("[{position}]")),
            }
        }
        if let Some(member) = member {
            separator(&mut text);
            text.push_str(member);
        }
        text.push('"');
        self.report.push(text);
    }
}

/// The inlined structures that a field of this one stands in, outermost first: Go counts them as steps of the way.
fn inlines_around<'t>(name: &str, ty: TypeRef<'t>) -> Vec<&'t str> {
    let Shape::Struct(structure) = ty.shape() else { return Vec::new() };
    let mut names = Vec::new();
    let mut inline = structure.position(name).map_or(0, |at| structure.fields()[at].inline);
    while let Some(inner) = inline.checked_sub(1).and_then(|at| structure.inlines().get(usize::from(at))) {
        names.push(inner.name.as_str());
        inline = inner.parent;
    }
    names.reverse();
    names
}

/// A value does not fit where it stands.
pub(super) fn mismatch(found: &str, place: &str, go_type: &str) -> Error {
    Error { text: format!("json: cannot unmarshal {found} into Go {place} of type {go_type}"), syntax: false }
}

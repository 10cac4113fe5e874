//! Pruning: what no schema describes does not stay.

use super::{Additional, Structural, is_meta};
use crate::Value;

impl Structural {
    /// Takes away what the schema does not describe; answers the paths of it, sorted. `root` says that the value is a
    /// whole object, whose kind, version and metadata are left alone.
    pub fn prune(&self, value: &mut Value, root: bool) -> Vec<String> {
        let mut pruning = Pruning { path: String::new(), gone: Vec::new() };
        pruning.described(value, self, root, false);
        pruning.gone.sort();
        pruning.gone
    }
}

struct Pruning {
    path: String,
    gone: Vec<String>,
}

impl Pruning {
    /// Looks at a value that has a schema; `keep` says that members without one stay.
    fn described(&mut self, value: &mut Value, schema: &Structural, root: bool, keep: bool) {
        let keep = keep || schema.preserve;
        match value {
            Value::Object(map) => {
                let embedded = root || schema.embedded;
                map.retain(|name, member| {
                    if embedded && is_meta(name) {
                        return true;
                    }
                    match (schema.property(name), &schema.additional) {
                        (Some(property), _) => self.member(name, member, Some(property)),
                        (None, Additional::Each(each)) => self.member(name, member, Some(each)),
                        // What may be anything is described by nothing.
                        (None, Additional::Anything | Additional::Nothing) => self.member(name, member, None),
                        (None, Additional::Unsaid) if keep => {}
                        (None, Additional::Unsaid) => {
                            self.note(name);
                            return false;
                        }
                    }
                    true
                });
            }
            Value::Array(items) => {
                for (position, item) in items.iter_mut().enumerate() {
                    self.below(&format!("[{position}]"), |pruning| match schema.items.as_deref() {
                        Some(of_item) => pruning.described(item, of_item, false, keep),
                        None if keep => {}
                        None => pruning.undescribed(item),
                    });
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, name: &str, member: &mut Value, schema: Option<&Structural>) {
        if !matches!(member, Value::Object(_) | Value::Array(_)) {
            return;
        }
        let step = if self.path.is_empty() { name.to_owned() } else { format!(".{name}") };
        self.below(&step, |pruning| match schema {
            Some(schema) => pruning.described(member, schema, false, false),
            None => pruning.undescribed(member),
        });
    }

    /// Nothing is known of this value: no member of it stays.
    fn undescribed(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|name, _| {
                    self.note(name);
                    false
                });
            }
            Value::Array(items) => {
                for (position, item) in items.iter_mut().enumerate() {
                    self.below(&format!("[{position}]"), |pruning| pruning.undescribed(item));
                }
            }
            _ => {}
        }
    }

    fn below(&mut self, step: &str, prune: impl FnOnce(&mut Pruning)) {
        let length = self.path.len();
        self.path.push_str(step);
        prune(self);
        self.path.truncate(length);
    }

    fn note(&mut self, name: &str) {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.gone.push(format!("{}{separator}{name}", self.path));
    }
}

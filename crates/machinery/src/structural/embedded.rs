//! Whole objects within a document (`x-kubernetes-embedded-resource`).

use super::{Additional, Structural};
use crate::Value;

impl Structural {
    /// Visits every whole object within a value, each with the way to it (`spec.template`, `spec.l[0]`).
    pub fn for_each_embedded(&self, value: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
        walk(self, value, &mut String::new(), visit);
    }
}

fn walk(schema: &Structural, value: &mut Value, path: &mut String, visit: &mut dyn FnMut(&str, &mut Value)) {
    let length = path.len();
    if schema.embedded && value.as_object().is_some() {
        visit(path, value);
    }
    match value {
        Value::Object(map) => {
            for (name, member) in map.iter_mut().filter(|(_, member)| is_nested(member)) {
                let of_member = match (schema.property(name), &schema.additional) {
                    (Some(property), _) => property,
                    (None, Additional::Each(each)) => each,
                    _ => continue,
                };
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                walk(of_member, member, path, visit);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let Some(of_item) = schema.items.as_deref() else { return };
            for (position, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{position}]"));
                walk(of_item, item, path, visit);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

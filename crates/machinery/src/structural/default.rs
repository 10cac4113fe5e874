//! Defaults: what a schema fills in, and the nulls it does not let stand.

use smol_str::SmolStr;

use super::{Additional, Structural};
use crate::Value;

/// Takes nulls away that may not be there and that no default replaces.
pub fn drop_nulls(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(map) => map.retain(|name, member| {
            let Some(of_member) = schema.member(name) else { return true };
            if member.is_null() && !of_member.nullable && of_member.default.is_none() {
                return false;
            }
            drop_nulls(member, of_member);
            true
        }),
        Value::Array(items) => {
            let Some(of_item) = schema.items.as_deref() else { return };
            for item in items {
                drop_nulls(item, of_item);
            }
        }
        _ => {}
    }
}

impl Structural {
    /// Fills in what the schema says stands where nothing does, after [`drop_nulls`].
    pub fn fill(&self, value: &mut Value) {
        if !self.fills {
            return;
        }
        match value {
            Value::Object(map) => {
                for (name, property) in &self.properties {
                    let Some(default) = &property.default else { continue };
                    match map.get_mut(name) {
                        None => map.push(SmolStr::clone(name), default.clone()),
                        Some(member) => property.replace_null(member, default),
                    }
                }
                for (name, member) in map.iter_mut() {
                    if let Some(property) = self.property(name) {
                        property.fill(member);
                    } else if let Additional::Each(each) = &self.additional {
                        if let Some(default) = &each.default {
                            each.replace_null(member, default);
                        }
                        each.fill(member);
                    }
                }
            }
            Value::Array(items) => {
                let Some(of_item) = self.items.as_deref() else { return };
                for item in items {
                    if let Some(default) = &of_item.default {
                        of_item.replace_null(item, default);
                    }
                    of_item.fill(item);
                }
            }
            _ => {}
        }
    }

    fn replace_null(&self, value: &mut Value, default: &Value) {
        if value.is_null() && !self.nullable {
            *value = default.clone();
        }
    }
}

//! Defaults of a schema: they fit the schema they stand in, and nothing of them would be pruned.

use machinery::Value;
use machinery::structural::Structural;

use super::DEPTH_MAX;
use crate::place::Place;

/// What is wrong with the defaults in a schema.
pub(super) fn check(schema: Place<'_>) {
    check_node(schema, true, false, 0);
}

fn check_node(schema: Place<'_>, root: bool, in_meta: bool, depth: usize) {
    if depth > DEPTH_MAX || schema.value().as_object().is_none() {
        return;
    }
    let embedded = schema.get("x-kubernetes-embedded-resource").is_true();
    let in_meta = in_meta && !embedded;
    let default = schema.get("default");
    if default.is_set() {
        check_default(schema, default, in_meta);
    }
    // Defaults within maps are checked where they are filled in: nobody knows the members of a map beforehand.
    check_node(schema.get("items"), false, in_meta, depth + 1);
    for (name, property) in schema.get("properties").entries() {
        let meta = (root || embedded) && matches!(name, "metadata" | "kind" | "apiVersion");
        check_node(property, false, in_meta || meta, depth + 1);
    }
}

fn check_default(schema: Place<'_>, default: Place<'_>, in_meta: bool) {
    let compiled = Structural::compile(schema.value());
    // The compiled default is in canonical order, as documents are.
    let value = compiled.default.clone().unwrap_or_default();
    if !in_meta {
        let mut pruned: Value = value.clone();
        compiled.prune(&mut pruned, compiled.embedded);
        if pruned != value {
            default.invalid("must not have unknown fields");
        }
    }
    for error in compiled.check(&default.path(), &value, None) {
        default.report(error);
    }
}

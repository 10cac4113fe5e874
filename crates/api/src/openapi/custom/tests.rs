use machinery::json;

use super::*;
use crate::openapi::{v2, v3_custom};
use crate::table::Table;

const SCHEMA: &str = r#"{"type":"object","description":"A thing.","properties":{"spec":{"type":"object","required":["a","n"],
    "properties":{"a":{"type":"integer","default":1},"n":{"type":"string","nullable":true},
    "e":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true},
    "o":{"type":"object","oneOf":[{"required":["x"]}],"properties":{"x":{"type":"string"}}}}}}}"#;

fn thing(schema: &Value) -> Custom<'_> {
    Custom {
        group: "g.example.com",
        version: "v1",
        plural: "things",
        kind: "Thing",
        list_kind: "ThingList",
        namespaced: true,
        status: true,
        scale: true,
        schema,
    }
}

#[test]
fn version_3_shows_all_of_the_schema() {
    let schema = json::parse(SCHEMA.as_bytes()).unwrap();
    let document = v3_custom(&Table::load(), "g.example.com", "v1", &[thing(&schema)]);
    let paths = document.get("paths");
    let path = "/apis/g.example.com/v1/namespaces/{namespace}/things/{name}";
    assert_eq!(paths.at(&[path, "get", "operationId"]).as_str(), Some("readGExampleComV1NamespacedThing"));
    for below in ["/status", "/scale"] {
        assert!(!paths.at(&[&format!("{path}{below}"), "patch"]).is_null(), "{below}");
    }
    let thing = document.at(&["components", "schemas", "com.example.g.v1.Thing"]);
    assert_eq!(thing.get("description").as_str(), Some("A thing."));
    assert_eq!(thing.at(&["properties", "spec", "properties", "a", "default"]).as_int(), Some(1));
    assert_eq!(thing.at(&["properties", "spec", "properties", "o", "oneOf"]).items().len(), 1);
    assert!(
        !thing.at(&["properties", "spec", "properties", "e", "properties", "metadata", "allOf"]).is_null()
    );
    assert_eq!(thing.get("x-kubernetes-group-version-kind").items().len(), 1);
    let list =
        document.at(&["components", "schemas", "com.example.g.v1.ThingList", "properties", "items", "items"]);
    assert_eq!(list.get("$ref").as_str(), Some("#/components/schemas/com.example.g.v1.Thing"));
}

#[test]
fn version_2_shows_what_that_version_knows() {
    let schema = json::parse(SCHEMA.as_bytes()).unwrap();
    let document = v2(&Table::load(), &[thing(&schema)]);
    let spec = document.at(&["definitions", "com.example.g.v1.Thing", "properties", "spec"]);
    assert_eq!(json::to_string(spec.get("required")), r#"["a"]"#);
    assert_eq!(json::to_string(spec.at(&["properties", "a"])), r#"{"type":"integer"}"#);
    assert_eq!(json::to_string(spec.at(&["properties", "n"])), "{}");
    assert!(spec.at(&["properties", "o", "oneOf"]).is_null());
    assert!(spec.at(&["properties", "e", "properties"]).is_null());
    assert!(!document.at(&["paths", "/apis/g.example.com/v1/things", "get"]).is_null());
    assert!(!document.at(&["paths", "/apis/g.example.com/"]).is_null());
}

#[test]
fn version_2_tells_nothing_of_what_may_hold_anything() {
    let schema = json::parse(br#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#).unwrap();
    let document = v2(&Table::load(), &[thing(&schema)]);
    let shown = document.at(&["definitions", "com.example.g.v1.Thing"]);
    let names: Vec<&str> = shown.members().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["type", "x-kubernetes-group-version-kind"]);
    let document = v3_custom(&Table::load(), "g.example.com", "v1", &[thing(&schema)]);
    let shown = document.at(&["components", "schemas", "com.example.g.v1.Thing"]);
    assert!(shown.get("x-kubernetes-preserve-unknown-fields").is_true());
}

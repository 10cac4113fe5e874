use machinery::json;

use super::*;

fn document(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn kind(schema: &str, status: bool) -> Custom {
    let scale = document(
        r#"{"specReplicasPath":".spec.n","statusReplicasPath":".status.n","labelSelectorPath":".status.s"}"#,
    );
    Custom {
        namespaced: true,
        status,
        scale: Scale::read(&scale),
        schema: Structural::compile(&document(schema)),
    }
}

const OPEN: &str = r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#;

fn object(rest: &str) -> Value {
    document(&format!(
        r#"{{"kind":"K","apiVersion":"g/v1","metadata":{{"name":"n","namespace":"d","generation":1}}{rest}}}"#
    ))
}

fn told(kind: &Custom, object: &Value) -> String {
    let mut errors = Errors::new();
    kind.validate_create(object, &mut errors);
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

#[test]
fn what_is_wrong_is_told_in_upstreams_order() {
    let strict = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{"n":{"type":"integer"},
        "e":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true},
        "s":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}}}}}"#;
    let cases = [
        (r#","spec":{"n":1}"#, ""),
        (r#","spec":{"n":-1}"#, ".spec.n: Invalid value: -1: should be a non-negative integer"),
        (
            r#","spec":{"n":2147483648}"#,
            ".spec.n: Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        (r#","spec":{"e":{"x":1}}"#, "spec.e.apiVersion: Required value | spec.e.kind: Required value"),
        (
            r#","spec":{"e":{"apiVersion":"v1","kind":"K","metadata":{"labels":{"a b":"c"}}}}"#,
            "spec.e.metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' \
             or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
             regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (r#","spec":{"s":["a","a"]}"#, "spec.s[1]: Duplicate value: \"a\""),
        (
            r#","spec":{"n":"x","s":["a","a"]}"#,
            "spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\" | \
             .spec.n: Invalid value: 0: .spec.n accessor error: x is of the type string, expected int64 | \
             spec.s[1]: Duplicate value: \"a\"",
        ),
    ];
    for (rest, expected) in cases {
        assert_eq!(told(&kind(strict, true), &object(rest)), expected, "{rest}");
    }
}

#[test]
fn generations_count_what_is_no_metadata() {
    let cases = [
        (true, r#","spec":{"n":1},"status":{}"#, r#","spec":{"n":2},"status":{}"#, Door::Main, 2),
        (true, r#","spec":{},"status":{"a":1}"#, r#","spec":{},"status":{"a":2}"#, Door::Main, 1),
        (true, r#","spec":{},"status":{"a":1}"#, r#","spec":{},"status":{"a":2}"#, Door::Sub("status"), 1),
        (false, r#","status":{"a":1}"#, r#","status":{"a":2}"#, Door::Main, 2),
        (true, r#","other":1"#, r#","other":2"#, Door::Main, 2),
    ];
    for (status, old, new, door, generation) in cases {
        let (old, mut new) = (object(old), object(new));
        kind(OPEN, status).prepare_update(&mut new, &old, door);
        assert_eq!(new.at(&["metadata", "generation"]).as_int(), Some(generation), "{old:?} → {new:?}");
    }
}

#[test]
fn through_the_door_of_the_status_only_the_status_comes_in() {
    let old = object(r#","spec":{"a":1},"status":{"b":1}"#);
    let mut new = object(r#","spec":{"a":2},"status":{"b":2},"other":1"#);
    *new.at_mut(&["metadata", "labels", "x"]) = Value::from("y");
    kind(OPEN, true).prepare_update(&mut new, &old, Door::Sub("status"));
    assert_eq!(new, object(r#","spec":{"a":1},"status":{"b":2}"#));
}

#[test]
fn finalizers_without_a_domain_are_warned_of() {
    let mut new = object("");
    *new.at_mut(&["metadata", "finalizers"]) = document(r#"["x","example.com/y","orphan"]"#);
    let warnings = kind(OPEN, true).warnings(&new, None);
    assert_eq!(
        warnings,
        [
            "metadata.finalizers: \"x\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other \
          finalizer writers"
        ]
    );
    assert!(kind(OPEN, true).warnings(&new, Some(&new)).is_empty());
}

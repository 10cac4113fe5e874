use machinery::json;

use super::*;

fn document(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn kind(schema: &str, status: bool) -> Custom {
    let scale = document(
        r#"{"specReplicasPath":".spec.n","statusReplicasPath":".status.n","labelSelectorPath":".status.s"}"#,
    );
    let schema = Structural::compile(&document(schema));
    let rules = Expressions::compile(&schema).map(Arc::new);
    Custom { namespaced: true, status, scale: Scale::read(&scale), schema, rules }
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

const RULED: &str = r#"{"type":"object","properties":{"spec":{"type":"object","required":["n"],
    "properties":{
        "n":{"type":"integer","maximum":100},
        "b":{"type":"integer"},
        "s":{"type":"string","maxLength":20,"x-kubernetes-validations":[{"rule":"self.startsWith('a')"}]},
        "l":{"type":"array","maxItems":5,"items":{"type":"object","properties":{"x":{"type":"integer"}},
            "x-kubernetes-validations":[{"rule":"self.x < 5","message":" x too big "}]}},
        "m":{"type":"array","maxItems":5,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
            "items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"},"v":{"type":"integer"}},
            "x-kubernetes-validations":[{"rule":"self.v >= oldSelf.v","message":"v must not shrink"}]}},
        "a":{"type":"object","maxProperties":5,"additionalProperties":{"type":"integer",
            "x-kubernetes-validations":[{"rule":"self != 3"}]}}},
    "x-kubernetes-validations":[
        {"rule":"self.n < 10","reason":"FieldValueForbidden","fieldPath":".n"},
        {"rule":"self.n != 3","reason":"FieldValueDuplicate"},
        {"rule":"self.n != 4","messageExpression":"'not ' + string(self.n)"},
        {"rule":"self.n != 5","message":"five","messageExpression":"''"},
        {"rule":"oldSelf.hasValue() || self.n != 6","optionalOldSelf":true,"message":"starts with 6"},
        {"rule":"!has(self.b) || 1 / self.b >= 0"}
    ]}},
    "x-kubernetes-validations":[{"rule":"self.metadata.name != 'bad'"}]}"#;

#[test]
fn expressions_are_held_against_objects() {
    let kind = kind(RULED, true);
    for (rest, expected) in [
        (r#","spec":{"n":1}"#, ""),
        (r#","spec":{"n":50}"#, "spec.n: Forbidden: failed rule: self.n < 10"),
        (r#","spec":{"n":3}"#, "spec: Duplicate value"),
        (r#","spec":{"n":4}"#, "spec: Invalid value: not 4"),
        (r#","spec":{"n":5}"#, "spec: Invalid value: five"),
        (r#","spec":{"n":6}"#, "spec: Invalid value: starts with 6"),
        (
            r#","spec":{"n":1,"b":0}"#,
            "spec: Invalid value: division by zero evaluating rule: !has(self.b) || 1 / self.b >= 0",
        ),
        (r#","spec":{"n":1,"s":"b"}"#, "spec.s: Invalid value: \"b\": failed rule: self.startsWith('a')"),
        (r#","spec":{"n":1,"l":[{"x":1},{"x":9}]}"#, "spec.l[1]: Invalid value: x too big"),
        (
            r#","spec":{"n":1,"l":[{}]}"#,
            "spec.l[0]: Invalid value: no such key: x evaluating rule: x too big",
        ),
        (r#","spec":{"n":1,"a":{"k":3}}"#, "spec.a[k]: Invalid value: 3: failed rule: self != 3"),
        (
            r#","spec":{"b":1}"#,
            "spec.n: Required value | <nil>: Invalid value: null: some validation rules were not checked because the \
             object was invalid; correct the existing errors to complete validation",
        ),
        (
            r#","spec":{"n":101}"#,
            "spec.n: Invalid value: 101: spec.n in body should be less than or equal to 100 | \
             spec.n: Forbidden: failed rule: self.n < 10",
        ),
    ] {
        assert_eq!(told(&kind, &object(rest)), expected, "{rest}");
    }
    let mut bad = object(r#","spec":{"n":1}"#);
    *bad.at_mut(&["metadata", "name"]) = Value::from("bad");
    assert_eq!(told(&kind, &bad), "<nil>: Invalid value: failed rule: self.metadata.name != 'bad'");
}

/// The spec before, the spec after, what is wrong, and what is warned of.
#[test]
fn expressions_know_how_it_was() {
    let kind = kind(RULED, true);
    for (old, new, wrong, warned) in [
        (r#"{"n":1}"#, r#"{"n":6}"#, "", ""),
        (r#"{"n":50,"b":1}"#, r#"{"n":50,"b":2}"#, "spec.n: Forbidden: failed rule: self.n < 10", ""),
        (r#"{"n":50}"#, r#"{"n":50}"#, "", "spec.n: Forbidden: failed rule: self.n < 10"),
        (
            r#"{"n":1,"m":[{"k":"a","v":2},{"k":"b","v":2}]}"#,
            r#"{"n":1,"m":[{"k":"b","v":1},{"k":"c","v":0}]}"#,
            "spec.m[0]: Invalid value: v must not shrink",
            "",
        ),
    ] {
        let with = |spec: &str| object(&format!(r#","spec":{spec}"#));
        let (old, new) = (with(old), with(new));
        let mut errors = Errors::new();
        kind.check_rules(&new, Some(&old), &mut errors);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.join(" | "), wrong, "{old:?} → {new:?}");
        assert_eq!(kind.warnings(&new, Some(&old)).join(" | "), warned, "{old:?} → {new:?}");
    }
}

use machinery::field::Errors;
use machinery::json;

use super::*;
use crate::place;

fn told(schema: &str) -> Vec<String> {
    let schema = json::parse(schema.as_bytes()).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let mut errors = Errors::new();
    place::inspect(&schema, &mut errors, |root| check(root, false));
    errors.iter().map(ToString::to_string).collect()
}

/// A schema whose `spec` is this.
fn with_spec(spec: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"spec":{spec}}}}}"#)
}

#[test]
fn expressions_are_compiled_when_a_definition_is_written() {
    let spec = |rule: &str| {
        with_spec(&format!(
            r#"{{"type":"object","properties":{{"n":{{"type":"integer"}},"s":{{"type":"string"}}}},
                "x-kubernetes-validations":[{rule}]}}"#
        ))
    };
    for (rule, path, expected) in [
        (r#"{"rule":"self.n > 1"}"#, "", ""),
        (r#"{"rule":"self.n > oldSelf.n"}"#, "", ""),
        (r#"{"rule":"!oldSelf.hasValue()","optionalOldSelf":true}"#, "", ""),
        (
            r#"{"rule":"self.n > 1","optionalOldSelf":true}"#,
            "optionalOldSelf",
            "Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (r#"{"rule":"self.x > 1"}"#, "rule", "undefined field 'x'"),
        (r#"{"rule":"self.n >"}"#, "rule", "compilation failed: ERROR: <input>:1:9: Syntax error"),
        (r#"{"rule":"self.n"}"#, "rule", "cel expression must evaluate to a bool"),
        (r#"{"rule":"true","messageExpression":"self.n"}"#, "messageExpression", "must evaluate to a string"),
        (r#"{"rule":"self.s.matches(self.s)"}"#, "rule", "estimated rule cost exceeds budget by factor of"),
    ] {
        let found = told(&spec(rule));
        if expected.is_empty() {
            assert_eq!(found, [""; 0], "{rule}");
            continue;
        }
        assert_eq!(
            found.len(),
            if expected.contains("factor") { found.len() } else { 1 },
            "{rule}: {found:?}"
        );
        let place = format!("properties[spec].x-kubernetes-validations[0].{path}: ");
        assert!(found[0].starts_with(&place) && found[0].contains(expected), "{rule}: {found:?}");
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_shown_whole() {
    let found = told(&with_spec(r#"{"type":"object","x-kubernetes-validations":[{"rule":"1"}]}"#));
    assert_eq!(
        found,
        [
            r#"properties[spec].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: cel expression must evaluate to a bool"#
        ]
    );
}

/// The list or map around a rule, and whether the rule may speak of the old value there.
#[test]
fn only_what_can_be_told_apart_has_an_old_value() {
    let item = r#"{"type":"object","required":["k"],"properties":{"k":{"type":"string"}},
        "x-kubernetes-validations":[{"rule":"self.k == oldSelf.k"}]}"#;
    for (around, expected) in [
        (r#""type":"array","maxItems":3,"items":"#, false),
        (r#""type":"array","maxItems":3,"x-kubernetes-list-type":"atomic","items":"#, false),
        (
            r#""type":"array","maxItems":3,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":"#,
            true,
        ),
        (r#""type":"object","maxProperties":3,"additionalProperties":"#, true),
        (
            r#""type":"object","maxProperties":3,"x-kubernetes-map-type":"atomic","additionalProperties":"#,
            false,
        ),
    ] {
        let found = told(&with_spec(&format!("{{{around}{item}}}")));
        let why =
            "oldSelf cannot be used on the uncorrelatable portion of the schema within properties[spec]";
        let is_forbidden = found.iter().any(|error| error.contains(why));
        assert_eq!(!is_forbidden, expected, "{around}: {found:?}");
    }
}

#[test]
fn costs_grow_with_what_is_around() {
    let nested = |most: &str| {
        with_spec(&format!(
            r#"{{"type":"array"{most},"items":{{"type":"array"{most},"items":{{"type":"string","maxLength":100,
                "x-kubernetes-validations":[{{"rule":"self.contains('x')"}}]}}}}}}"#
        ))
    };
    assert_eq!(told(&nested(r#","maxItems":10"#)), [""; 0]);
    let found = told(&nested(r#","maxItems":100000"#));
    assert!(
        found[0].contains("rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"),
        "{found:?}"
    );
    let last = found.last().unwrap();
    assert!(
        last.contains(
            "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        ),
        "{last}"
    );
    assert!(
        found.iter().any(|error| error.contains("contributed to estimated rule cost total")),
        "{found:?}"
    );
}

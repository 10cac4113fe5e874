use super::*;
use crate::json;

fn document(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What the rules of a schema say of a document.
fn told(schema: &str, value: &Value) -> Vec<String> {
    let schema = Structural::compile(&document(schema));
    let rules = Expressions::compile(&schema).expect("there are rules");
    rules.check(&schema, value, None).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_has_no_rules_costs_nothing() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}}}"#;
    assert!(Expressions::compile(&Structural::compile(&document(schema))).is_none());
}

#[test]
fn values_are_what_their_schema_says() {
    for (schema, rule, value) in [
        (
            r#""type":"string","format":"date-time""#,
            "self.getFullYear() == 2026",
            r#""2026-11-28T15:00:00Z""#,
        ),
        (r#""type":"string","format":"date""#, "self.getMonth() == 10", r#""2026-11-28""#),
        (r#""type":"string","format":"duration""#, "self > duration('1m')", r#""1h""#),
        (r#""type":"string","format":"byte""#, "size(self) == 3", r#""YWJj""#),
        (r#""type":"number""#, "self < 1.5", "1"),
        (r#""type":"integer""#, "self % 2 == 1", "1"),
        (
            r#""x-kubernetes-int-or-string":true"#,
            "type(self) == string ? self == '1%' : self == 1",
            r#""1%""#,
        ),
        (r#""x-kubernetes-int-or-string":true"#, "type(self) == string ? self == '1%' : self == 1", "1"),
        (r#""type":"array","maxItems":5,"items":{"type":"integer"}"#, "self.sum() == 3", "[1,2]"),
        (r#""type":"object","additionalProperties":{"type":"integer"}"#, "self['k'] == 1", r#"{"k":1}"#),
        (
            r#""type":"object","properties":{"a-b":{"type":"integer"},"namespace":{"type":"string"}}"#,
            "self.a__dash__b == 1 && self.__namespace__ == 'x'",
            r#"{"a-b":1,"namespace":"x"}"#,
        ),
        (
            r#""type":"object","x-kubernetes-embedded-resource":true,"properties":{"n":{"type":"integer"}}"#,
            "self.kind == 'K' && self.metadata.name == 'm' && self.n == 1",
            r#"{"apiVersion":"v1","kind":"K","metadata":{"name":"m"},"n":1}"#,
        ),
    ] {
        let rule = json::to_string(&Value::from(rule));
        let schema = format!(
            r#"{{"type":"object","properties":{{"v":{{{schema},"x-kubernetes-validations":[{{"rule":{rule}}}]}}}}}}"#
        );
        let value = document(&format!(r#"{{"v":{value}}}"#));
        assert_eq!(told(&schema, &value), [""; 0], "{rule}");
    }
}

#[test]
fn no_rule_runs_for_ever() {
    let mut value = document("{}");
    value.set("l", (0..200_i64).map(Value::from).collect::<Value>());
    let with = |rules: &[&str]| {
        let rules: Vec<String> = rules.iter().map(|rule| format!(r#"{{"rule":"{rule}"}}"#)).collect();
        format!(
            r#"{{"type":"object","properties":{{"l":{{"type":"array","items":{{"type":"integer"}},
                "x-kubernetes-validations":[{}]}}}}}}"#,
            rules.join(",")
        )
    };
    let thrice = "self.all(x, self.all(y, self.all(z, x + y + z >= 0)))";
    assert_eq!(
        told(&with(&[thrice, "false"]), &value),
        [format!(
            "l: Invalid value: 'operation cancelled: actual cost limit exceeded': call cost exceeds limit for rule: \
             {thrice}"
        )]
    );
    let twice = "self.all(x, self.all(y, x + y >= 0))";
    let many = [&[twice; 100][..], &["false"]].concat();
    assert_eq!(
        told(&with(&many), &value),
        [
            "l: Invalid value: validation failed due to running out of cost budget, no further validation rules will be run"
        ]
    );
}

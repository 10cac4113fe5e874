use super::*;
use crate::field::Path;
use crate::json;

fn document(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn schema(text: &str) -> Structural {
    Structural::compile(&document(text))
}

fn told(schema: &Structural, value: &str, old: Option<&str>) -> String {
    let old = old.map(document);
    let errors = schema.check(&Path::root(), &document(value), old.as_ref());
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// A schema, a value, and what is told of it.
fn check(cases: &[(&str, &str, &str)]) {
    for (of, value, expected) in cases {
        let found = told(&schema(of), value, None);
        assert_eq!(found, *expected, "{value} by {of}");
    }
}

#[test]
fn types_are_told_as_upstream_tells_them() {
    check(&[
        (r#"{"properties":{"a":{"type":"integer"}}}"#, r#"{"a":1}"#, ""),
        (r#"{"properties":{"a":{"type":"integer"}}}"#, r#"{"a":1.0}"#, ""),
        (
            r#"{"properties":{"a":{"type":"integer"}}}"#,
            r#"{"a":"x"}"#,
            "a: Invalid value: \"string\": a in body must be of type integer: \"string\"",
        ),
        (
            r#"{"properties":{"a":{"type":"integer"}}}"#,
            r#"{"a":1.5}"#,
            "a: Invalid value: \"number\": a in body must be of type integer: \"number\" | \
             <nil>: Invalid value: \"\": Checked value must be of type integer (default format) in a",
        ),
        (
            r#"{"properties":{"a":{"type":"string"}}}"#,
            r#"{"a":null}"#,
            "a: Invalid value: \"null\": a in body must be of type string: \"null\"",
        ),
        (r#"{"properties":{"a":{"type":"string","nullable":true}}}"#, r#"{"a":null}"#, ""),
        (r#"{"properties":{"a":{"type":"number"}}}"#, r#"{"a":3}"#, ""),
        (
            r#"{"properties":{"a":{"type":"boolean"}}}"#,
            r#"{"a":[]}"#,
            "a: Invalid value: \"array\": a in body must be of type boolean: \"array\"",
        ),
        (
            r#"{"properties":{"a":{"x-kubernetes-int-or-string":true}}}"#,
            r#"{"a":true}"#,
            "a: Invalid value: \"boolean\": a in body must be of type integer,string: \"boolean\"",
        ),
        (r#"{"properties":{"a":{"x-kubernetes-int-or-string":true}}}"#, r#"{"a":"50%"}"#, ""),
        (
            r#"{"properties":{"a":{"type":"array","items":{"type":"string"}}}}"#,
            r#"{"a":["x",2]}"#,
            "a[1]: Invalid value: \"integer\": a[1] in body must be of type string: \"integer\"",
        ),
        (
            r#"{"properties":{"a":{"type":"object","additionalProperties":{"type":"integer"}}}}"#,
            r#"{"a":{"k":"v"}}"#,
            "a.k: Invalid value: \"string\": a.k in body must be of type integer: \"string\"",
        ),
        (
            r#"{"type":"integer"}"#,
            r#""x""#,
            "<nil>: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
    ]);
}

#[test]
fn numbers_are_kept_in_their_range() {
    check(&[
        (
            r#"{"properties":{"i":{"type":"integer","minimum":1}}}"#,
            r#"{"i":0}"#,
            "i: Invalid value: 0: i in body should be greater than or equal to 1",
        ),
        (
            r#"{"properties":{"i":{"type":"integer","maximum":10}}}"#,
            r#"{"i":12}"#,
            "i: Invalid value: 12: i in body should be less than or equal to 10",
        ),
        (
            r#"{"properties":{"n":{"type":"number","minimum":0,"exclusiveMinimum":true}}}"#,
            r#"{"n":0}"#,
            "n: Invalid value: 0: n in body should be greater than 0",
        ),
        (
            r#"{"properties":{"n":{"type":"number","maximum":1.5,"exclusiveMaximum":true}}}"#,
            r#"{"n":1.5}"#,
            "n: Invalid value: 1.5: n in body should be less than 1.5",
        ),
        (
            r#"{"properties":{"i":{"type":"integer","multipleOf":2}}}"#,
            r#"{"i":3}"#,
            "i: Invalid value: 3: i in body should be a multiple of 2",
        ),
        (r#"{"properties":{"n":{"type":"number","multipleOf":0.01}}}"#, r#"{"n":0.07}"#, ""),
        (
            r#"{"properties":{"i":{"type":"integer","format":"int32"}}}"#,
            r#"{"i":2147483648}"#,
            "<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in i",
        ),
        (
            r#"{"properties":{"i":{"type":"integer","format":"int32","maximum":4294967295}}}"#,
            r#"{"i":1}"#,
            "<nil>: Invalid value: \"\": Maximum boundary value must be of type integer with format int32 in i",
        ),
        (r#"{"properties":{"i":{"type":"integer"}}}"#, r#"{"i":9007199254740993}"#, ""),
    ]);
}

#[test]
fn texts_are_measured_and_matched() {
    check(&[
        (
            r#"{"properties":{"s":{"type":"string","minLength":2}}}"#,
            r#"{"s":"a"}"#,
            "s: Invalid value: \"a\": s in body should be at least 2 chars long",
        ),
        (
            r#"{"properties":{"s":{"type":"string","maxLength":2}}}"#,
            r#"{"s":"abc"}"#,
            "s: Too long: may not be more than 2 bytes",
        ),
        (r#"{"properties":{"s":{"type":"string","maxLength":2}}}"#, r#"{"s":"éé"}"#, ""),
        (
            r#"{"properties":{"s":{"type":"string","pattern":"^[a-z]+$"}}}"#,
            r#"{"s":"A"}"#,
            "s: Invalid value: \"A\": s in body should match '^[a-z]+$'",
        ),
        (
            r#"{"properties":{"s":{"type":"string","enum":["A","B"]}}}"#,
            r#"{"s":"C"}"#,
            "s: Unsupported value: \"C\": supported values: \"A\", \"B\"",
        ),
        (
            r#"{"properties":{"s":{"type":"integer","enum":[1,2]}}}"#,
            r#"{"s":3}"#,
            "s: Unsupported value: 3: supported values: \"1\", \"2\"",
        ),
        (r#"{"properties":{"s":{"type":"integer","enum":[1,2]}}}"#, r#"{"s":2}"#, ""),
        (
            r#"{"properties":{"s":{"type":"string","format":"date-time"}}}"#,
            r#"{"s":"today"}"#,
            "s: Invalid value: \"today\": s in body must be of type date-time: \"today\"",
        ),
        (
            r#"{"properties":{"s":{"type":"string","format":"date-time"}}}"#,
            r#"{"s":5}"#,
            "s: Invalid value: \"int64\": s in body must be of type date-time: \"int64\"",
        ),
        (r#"{"properties":{"s":{"type":"string","format":"odd"}}}"#, r#"{"s":"anything"}"#, ""),
    ]);
}

#[test]
fn collections_are_counted() {
    check(&[
        (
            r#"{"properties":{"l":{"type":"array","minItems":1}}}"#,
            r#"{"l":[]}"#,
            "l: Invalid value: 0: l in body should have at least 1 items",
        ),
        (
            r#"{"properties":{"l":{"type":"array","maxItems":2}}}"#,
            r#"{"l":[1,2,3]}"#,
            "l: Too many: 3: must have at most 2 items",
        ),
        (
            r#"{"properties":{"m":{"type":"object","maxProperties":1}}}"#,
            r#"{"m":{"a":1,"b":2}}"#,
            "m: Too many: 2: must have at most 1 item",
        ),
        (
            r#"{"properties":{"m":{"type":"object","minProperties":1}}}"#,
            r#"{"m":{}}"#,
            "m: Invalid value: 0: m in body should have at least 1 properties",
        ),
        (
            r#"{"properties":{"m":{"type":"object","additionalProperties":false}}}"#,
            r#"{"m":{"a":1}}"#,
            "m: Invalid value: \"a\": m.a in body is a forbidden property",
        ),
        (
            r#"{"properties":{"m":{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}}}"#,
            r#"{"m":{}}"#,
            "m.a: Required value",
        ),
        (r#"{"required":["spec"]}"#, r#"{}"#, "spec: Required value"),
    ]);
}

#[test]
fn alternatives_are_weighed() {
    let one = r#"{"properties":{"s":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}}}"#;
    let any = r#"{"properties":{"s":{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}}}"#;
    let all = r#"{"properties":{"s":{"type":"integer","allOf":[{"minimum":2},{"maximum":4}]}}}"#;
    let not = r#"{"properties":{"s":{"type":"integer","not":{"minimum":2}}}}"#;
    check(&[
        (one, r#"{"s":{"a":"x"}}"#, ""),
        (
            one,
            r#"{"s":{"a":"x","b":"y"}}"#,
            "<nil>: Invalid value: \"\": \"s\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (
            one,
            r#"{"s":{}}"#,
            "<nil>: Invalid value: \"\": \"s\" must validate one and only one schema (oneOf). Found none valid | s.a: Required value",
        ),
        (any, r#"{"s":{"b":1}}"#, ""),
        (
            any,
            r#"{"s":{}}"#,
            "<nil>: Invalid value: \"\": \"s\" must validate at least one schema (anyOf) | s.a: Required value",
        ),
        (all, r#"{"s":3}"#, ""),
        (
            all,
            r#"{"s":5}"#,
            "s: Invalid value: 5: s in body should be less than or equal to 4 | <nil>: Invalid value: \"\": \"s\" must validate all the schemas (allOf)",
        ),
        (not, r#"{"s":1}"#, ""),
        (not, r#"{"s":3}"#, "<nil>: Invalid value: \"\": \"s\" must not validate the schema (not)"),
    ]);
}

#[test]
fn what_did_not_change_is_not_held_against_an_update() {
    let strict = schema(
        r#"{"properties":{"a":{"type":"string","maxLength":1},"b":{"type":"integer"},
            "l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
                 "items":{"type":"object","properties":{"k":{"type":"string"},"v":{"type":"integer","maximum":1}}}},
            "p":{"type":"array","items":{"type":"integer","maximum":1}}}}"#,
    );
    let cases = [
        (r#"{"a":"long","b":1}"#, r#"{"a":"long","b":2}"#, ""),
        (r#"{"a":"long"}"#, r#"{"a":"longer"}"#, "a: Too long: may not be more than 1 bytes"),
        (r#"{"l":[{"k":"x","v":5}]}"#, r#"{"l":[{"k":"y","v":1},{"k":"x","v":5}]}"#, ""),
        (
            r#"{"l":[{"k":"x","v":5}]}"#,
            r#"{"l":[{"k":"x","v":6}]}"#,
            "l[0].v: Invalid value: 6: l[0].v in body should be less than or equal to 1",
        ),
        (r#"{"p":[5]}"#, r#"{"p":[5],"b":1}"#, ""),
        (
            r#"{"p":[5]}"#,
            r#"{"p":[5,1]}"#,
            "p[0]: Invalid value: 5: p[0] in body should be less than or equal to 1",
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(told(&strict, new, Some(old)), expected, "{old} → {new}");
    }
}

#[test]
fn what_no_schema_describes_is_pruned_and_told() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (
            r#"{"properties":{"a":{"type":"integer"}}}"#,
            r#"{"a":1,"b":2,"metadata":{"x":1}}"#,
            r#"{"a":1,"metadata":{"x":1}}"#,
            &["b"],
        ),
        (
            r#"{"properties":{"s":{"type":"object","properties":{"a":{}}}}}"#,
            r#"{"s":{"b":1,"a":1},"e":1}"#,
            r#"{"s":{"a":1}}"#,
            &["e", "s.b"],
        ),
        (
            r#"{"properties":{"s":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"a":{"type":"object"}}}}}"#,
            r#"{"s":{"b":{"c":1},"a":{"d":1}}}"#,
            r#"{"s":{"b":{"c":1},"a":{}}}"#,
            &["s.a.d"],
        ),
        (
            r#"{"properties":{"m":{"type":"object","additionalProperties":{"type":"object","properties":{"a":{}}}}}}"#,
            r#"{"m":{"k":{"a":1,"b":2}}}"#,
            r#"{"m":{"k":{"a":1}}}"#,
            &["m.k.b"],
        ),
        (
            r#"{"properties":{"m":{"type":"object","additionalProperties":true}}}"#,
            r#"{"m":{"k":{"a":1},"s":1}}"#,
            r#"{"m":{"k":{},"s":1}}"#,
            &["m.k.a"],
        ),
        (
            r#"{"properties":{"l":{"type":"array","items":{"type":"object","properties":{"a":{}}}}}}"#,
            r#"{"l":[{"a":1},{"b":1}]}"#,
            r#"{"l":[{"a":1},{}]}"#,
            &["l[1].b"],
        ),
        (
            r#"{"properties":{"l":{"type":"array","items":{"type":"string"}}}}"#,
            r#"{"l":{"a":1}}"#,
            r#"{"l":{}}"#,
            &["l.a"],
        ),
        (
            r#"{"properties":{"e":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{}}}}"#,
            r#"{"e":{"kind":"K","apiVersion":"v1","metadata":{"name":"n"},"x":1}}"#,
            r#"{"e":{"kind":"K","apiVersion":"v1","metadata":{"name":"n"}}}"#,
            &["e.x"],
        ),
        (
            r#"{"x-kubernetes-preserve-unknown-fields":true}"#,
            r#"{"a":{"b":[{"c":1}]}}"#,
            r#"{"a":{"b":[{"c":1}]}}"#,
            &[],
        ),
    ];
    for (of, value, expected, gone) in cases {
        let mut value = document(value);
        let found = schema(of).prune(&mut value, true);
        assert_eq!(value, document(expected), "{of}");
        assert_eq!(found, *gone, "{of}");
    }
}

#[test]
fn defaults_stand_where_nothing_does() {
    let of = schema(
        r#"{"properties":{"spec":{"type":"object","properties":{
            "a":{"type":"integer","default":7},
            "o":{"type":"object","default":{},"properties":{"b":{"type":"string","default":"x"}}},
            "l":{"type":"array","items":{"type":"object","properties":{"c":{"type":"boolean","default":true}}}},
            "n":{"type":"string","nullable":true,"default":"d"},
            "m":{"type":"string","default":"d"},
            "p":{"type":"string"},
            "q":{"type":"object","additionalProperties":{"type":"string","default":"z"}}}}}}"#,
    );
    let cases = [
        (r#"{"spec":{}}"#, r#"{"spec":{"a":7,"o":{"b":"x"},"n":"d","m":"d"}}"#),
        (
            r#"{"spec":{"a":1,"o":{"b":"y"},"l":[{},{"c":false}],"n":null,"m":null,"p":null,"q":{"k":null}}}"#,
            r#"{"spec":{"a":1,"o":{"b":"y"},"l":[{"c":true},{"c":false}],"n":null,"m":"d","q":{"k":"z"}}}"#,
        ),
        (r#"{}"#, r#"{}"#),
    ];
    for (value, expected) in cases {
        let mut value = document(value);
        drop_nulls(&mut value, &of);
        of.fill(&mut value);
        assert_eq!(value, document(expected));
    }
}

#[test]
fn items_of_sets_and_maps_come_once() {
    let of = schema(
        r#"{"properties":{"set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
            "map":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object"}},
            "two":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k","p"],"items":{"type":"object"}}}}"#,
    );
    let cases = [
        (r#"{"set":["a","a","a"]}"#, "set[1]: Duplicate value: \"a\""),
        (r#"{"map":[{"k":"a"},{"k":"a"}]}"#, "map[1]: Duplicate value: {\"k\":\"a\"}"),
        (r#"{"map":[{},{}]}"#, "map[1]: Duplicate value: {}"),
        (
            r#"{"two":[{"k":"a","p":1},{"k":"a","p":2},{"p":1,"k":"a"}]}"#,
            "two[2]: Duplicate value: {\"k\":\"a\",\"p\":1}",
        ),
        (r#"{"map":["x"]}"#, "map[0]: Invalid value: \"x\": must be an object for an array of list-type map"),
        (r#"{"set":["a","b"],"map":[{"k":"a"},{"k":"b"}]}"#, ""),
    ];
    for (value, expected) in cases {
        let errors = of.check_lists(&document(value));
        let found = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn formats_know_what_fits() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("uri", &["https://x", "/a/b", "mailto:a@b"], &["::", "", "a b", "x", "http://%zz"]),
        ("email", &["a@b.c", "A <a@b>"], &["a", "@b", "a@"]),
        ("hostname", &["a", "a.example.com", "1.example.com"], &["-a", "a-", "a..b", ""]),
        ("ipv4", &["1.2.3.4"], &["1.2.3", "::1", "01.2.3.4"]),
        ("ipv6", &["::1", "2001:db8::1"], &["1.2.3.4", "g::"]),
        ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/08"]),
        ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00", "00:00:5e:00:53:zz"]),
        (
            "uuid",
            &["00000000-0000-0000-0000-000000000001", "00000000000000000000000000000001"],
            &["x", "0-0"],
        ),
        ("uuid4", &["f47ac10b-58cc-4372-a567-0e02b2c3d479"], &["f47ac10b-58cc-3372-a567-0e02b2c3d479"]),
        ("isbn", &["0321751043", "978-0321751041"], &["0321751044", "x"]),
        ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112", "1"]),
        ("ssn", &["123-45-6789", "123456789"], &["12-345-6789", "1"]),
        ("hexcolor", &["#fff", "00FF00"], &["#ffff", "red"]),
        ("rgbcolor", &["rgb(1, 2, 255)"], &["rgb(1,2)", "rgb(1,2,256)"]),
        ("byte", &["eA=="], &["***", ""]),
        ("date", &["2024-02-29"], &["2023-02-29", "2024-2-9"]),
        ("duration", &["5m", "1h30m", "22 ns", "3 days"], &["1 fortnight", "x", ""]),
        ("date-time", &["2014-12-15T19:30:20.000Z", "2014-12-15T19:30:20+02:00"], &["2014-12-15", "today"]),
        ("k8s-short-name", &["ok"], &["Bad_Name", "a.b"]),
        ("k8s-long-name", &["a.b"], &["A.b"]),
        ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f"]),
    ];
    for (name, right, wrong) in cases {
        let format = Format::of("string", name).unwrap_or_else(|| panic!("{name} is a format"));
        for text in *right {
            assert!(format.fits(text), "{text} is a {name}");
        }
        for text in *wrong {
            assert!(!format.fits(text), "{text} is no {name}");
        }
    }
    assert_eq!(Format::of("string", "quantity"), None);
    assert_eq!(Format::of("integer", "date"), None);
}

#[test]
fn paths_are_followed_through_the_schema() {
    let of = schema(
        r#"{"properties":{"spec":{"type":"object","properties":{"a":{"type":"string"},
            "m":{"type":"object","additionalProperties":{"type":"integer"}}}}}}"#,
    );
    let cases = [
        (".spec.a", true, Ok("spec.a")),
        (".spec['a']", true, Ok("spec.a")),
        (".spec.m['x y']", true, Ok("spec.m[x y]")),
        (".spec.none", true, Err("does not refer to a valid field")),
        (".spec['a']", false, Err("array notation is not allowed")),
        ("spec.a", true, Err("expected [ or . but got: spec")),
        (".spec.", true, Err("unexpected end of JSON path")),
        (".spec[a]", true, Err("expected single quoted string but got a")),
    ];
    for (text, brackets, expected) in cases {
        let found = FieldPath::follow(text, &of, brackets);
        let found = found.as_ref().map(|(path, _)| path.path.as_str()).map_err(String::as_str);
        assert_eq!(found, expected, "{text}");
    }
    let document = document(r#"{"spec":{"a":"x"}}"#);
    assert_eq!(FieldPath::plain(".spec.a").find(&document).as_str(), Some("x"));
}

#[test]
fn nulls_and_order_survive_the_canonical_form() {
    let metadata_types = {
        let mut types = crate::schema::Types::new();
        let text = types.add_shape(crate::schema::Shape::String);
        let fields = vec![crate::schema::Field::new("name", text)];
        let id = types.add_shape(crate::schema::Shape::Struct(crate::schema::Struct::new(fields)));
        (types, id)
    };
    let metadata = metadata_types.0.get(metadata_types.1);
    let of = schema(
        r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true,
            "properties":{"spec":{"type":"object","properties":{"b":{"type":"string","nullable":true},"a":{"type":"integer"}}}}}"#,
    );
    let types = of.schema(metadata);
    let mut value = document(
        r#"{"data":1,"spec":{"b":null,"a":1},"metadata":{"name":"n"},"apiVersion":"g/v1","kind":"K","also":[null]}"#,
    );
    json::canonicalize(&mut value, types.root());
    let expected = r#"{"kind":"K","apiVersion":"g/v1","metadata":{"name":"n"},"spec":{"a":1,"b":null},"also":[null],"data":1}"#;
    assert_eq!(json::to_string(&value), expected);
}

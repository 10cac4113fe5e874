//! Bodies and what becomes of them.

use super::*;
use crate::Value;
use crate::schema::{Field, ListKind, ListType, MapType, Omission, Shape, Struct, Type, TypeId, Types};

/// A small kind: `{kind, name!, spec: {replicas*: int32, paused: bool, at*: time, cpu: quantity, port*: intstr,
/// items: [{name}], labels: {}string, data: bytes, raw: any}}`.
fn kind() -> (Types, TypeId) {
    let mut types = Types::new();
    let [string, int32, boolean, time, quantity, port, bytes] = [
        Shape::String,
        Shape::Int32,
        Shape::Bool,
        Shape::Time,
        Shape::Quantity,
        Shape::IntOrString,
        Shape::Bytes,
    ]
    .map(|shape| types.add_shape(shape));
    let raw = types.add_shape(Shape::Any(crate::schema::Free::Raw));
    let plain = |name: &str, type_id| Field { pointer: false, ..Field::new(name, type_id) };
    let always = |name: &str, type_id| Field { omission: Omission::Never, ..plain(name, type_id) };
    let named = |types: &mut Types, name: &str, fields: Vec<Field>| {
        types.add(Type {
            name: name.into(),
            go_name: format!("v1.{name}").into(),
            shape: Shape::Struct(Struct::new(fields)),
            enumeration: Box::default(),
        })
    };
    let item = named(&mut types, "Item", vec![always("name", string)]);
    let items = types.add_shape(Shape::List(ListType {
        item,
        nullable: false,
        kind: ListKind::Map(Box::new(["name".into()])),
        wrapped: false,
    }));
    let labels = types.add_shape(Shape::Map(MapType { value: string, nullable: false, atomic: false }));
    let spec = named(
        &mut types,
        "ThingSpec",
        vec![
            Field::new("replicas", int32),
            plain("paused", boolean),
            Field::new("at", time),
            plain("cpu", quantity),
            Field::new("port", port),
            plain("items", items),
            plain("labels", labels),
            plain("data", bytes),
            plain("raw", raw),
        ],
    );
    let thing = named(
        &mut types,
        "Thing",
        vec![plain("kind", string), always("name", string), Field::new("spec", spec)],
    );
    (types, thing)
}

fn read(body: &str) -> (Result<String, String>, Vec<String>) {
    let (types, thing) = kind();
    let mut report = Report::new();
    let result = decode(body.as_bytes(), types.get(thing), &mut report);
    let strict = report.strict_errors().to_vec();
    (result.map(|value| to_string(&value)).map_err(|error| error.text), strict)
}

fn same(body: &str, expected: &str) {
    assert_eq!(read(body), (Ok(expected.to_owned()), Vec::new()), "{body}");
}

fn fails(body: &str, expected: &str) {
    assert_eq!(read(body).0, Err(expected.to_owned()), "{body}");
}

fn strict(body: &str, expected: &[&str]) {
    assert_eq!(read(body).1, expected, "{body}");
}

#[test]
fn documents_come_out_canonical() {
    same("{}", r#"{"name":""}"#);
    same("null", r#"{"name":""}"#);
    same(r#" { "name" : "x" , "kind" : "Thing" } "#, r#"{"kind":"Thing","name":"x"}"#);
    same(r#"{"name":null,"kind":null,"spec":null}"#, r#"{"name":""}"#);
    same(r#"{"spec":{"paused":false,"replicas":0}}"#, r#"{"name":"","spec":{"replicas":0}}"#);
    same(r#"{"spec":{"labels":{"b":"2","a":null}}}"#, r#"{"name":"","spec":{"labels":{"a":"","b":"2"}}}"#);
    same(
        r#"{"spec":{"items":[null,{"name":"i"}]}}"#,
        r#"{"name":"","spec":{"items":[{"name":""},{"name":"i"}]}}"#,
    );
    same(r#"{"spec":{"items":[],"labels":{}}}"#, r#"{"name":"","spec":{}}"#);
    same(
        r#"{"spec":{"raw":{"b":[1.5,{}],"a":null}}}"#,
        r#"{"name":"","spec":{"raw":{"b":[1.5,{}],"a":null}}}"#,
    );
}

#[test]
fn scalars_come_out_canonical() {
    let value = |body: &str, expected: &str| {
        same(&format!(r#"{{"spec":{{{body}}}}}"#), &format!(r#"{{"name":"","spec":{{{expected}}}}}"#));
    };
    value(r#""cpu":"1000m""#, r#""cpu":"1""#);
    value(r#""cpu":0.5"#, r#""cpu":"500m""#);
    value(r#""at":"2020-01-02T03:04:05+01:00""#, r#""at":"2020-01-02T02:04:05Z""#);
    value(r#""at":"2020-01-02T03:04:05.999Z""#, r#""at":"2020-01-02T03:04:05Z""#);
    value(r#""port":80"#, r#""port":80"#);
    value(r#""port":"http""#, r#""port":"http""#);
    value(r#""data":"aGk=\r\n""#, r#""data":"aGk=""#);
    value(r#""data":"aGl=""#, r#""data":"aGk=""#);
}

#[test]
fn wrong_types_are_told_in_gos_words() {
    let field = |body: &str, found: &str, place: &str, go_type: &str| {
        fails(
            body,
            &format!("json: cannot unmarshal {found} into Go struct field {place} of type {go_type}"),
        );
    };
    field(r#"{"name":1}"#, "number", "Thing.name", "string");
    field(r#"{"spec":"x"}"#, "string", "Thing.spec", "v1.ThingSpec");
    field(r#"{"spec":{"replicas":"3"}}"#, "string", "ThingSpec.spec.replicas", "int32");
    field(r#"{"spec":{"replicas":1.0}}"#, "number 1.0", "ThingSpec.spec.replicas", "int32");
    field(r#"{"spec":{"replicas":2147483648}}"#, "number 2147483648", "ThingSpec.spec.replicas", "int32");
    field(r#"{"spec":{"paused":"yes"}}"#, "string", "ThingSpec.spec.paused", "bool");
    field(r#"{"spec":{"items":{}}}"#, "object", "ThingSpec.spec.items", "[]v1.Item");
    field(r#"{"spec":{"items":[{"name":[]}]}}"#, "array", "Item.spec.items.name", "string");
    field(r#"{"spec":{"labels":{"a":1}}}"#, "number", "ThingSpec.spec.labels", "string");
    field(r#"{"spec":{"labels":[]}}"#, "array", "ThingSpec.spec.labels", "map[string]string");
    field(r#"{"spec":{"port":true}}"#, "bool", "ThingSpec.spec.port", "int32");
    field(r#"{"spec":{"at":5}}"#, "number", "ThingSpec.spec.at", "string");
    fails("[]", "json: cannot unmarshal array into Go value of type v1.Thing");
    fails(
        r#"{"spec":{"at":"now"}}"#,
        r#"parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#,
    );
    fails(
        r#"{"spec":{"at":"2020-13-01T00:00:00Z"}}"#,
        r#"parsing time "2020-13-01T00:00:00Z": month out of range"#,
    );
    fails(r#"{"spec":{"data":"a"}}"#, "illegal base64 data at input byte 0");
    fails(r#"{"spec":{"data":"YWJjZ"}}"#, "illegal base64 data at input byte 4");
    fails(r#"{"spec":{"data":"YW="}}"#, "illegal base64 data at input byte 3");
}

#[test]
fn broken_json_is_told_in_gos_words() {
    fails("", "unexpected end of JSON input");
    fails("{", "unexpected end of JSON input");
    fails("x", "invalid character 'x' looking for beginning of value");
    fails(r#"{"name":"a"} x"#, "invalid character 'x' after top-level value");
    fails(r#"{"name" "a"}"#, "invalid character '\"' after object key");
    fails(r#"{"name":"a",}"#, "invalid character '}' looking for beginning of object key string");
    fails(r#"{"name":"a" "b"}"#, "invalid character '\"' after object key:value pair");
    fails(r#"{"spec":{"items":[{} {}]}}"#, "invalid character '{' after array element");
    fails(r#"{name:1}"#, "invalid character 'n' looking for beginning of object key string");
    fails("{\"name\":\"a\nb\"}", "invalid character '\\n' in string literal");
    fails(r#"{"name":"\x"}"#, "invalid character 'x' in string escape code");
    fails(r#"{"name":"\u12g4"}"#, "invalid character 'g' in \\u hexadecimal character escape");
    fails(r#"{"name":trux}"#, "invalid character 'x' in literal true (expecting 'e')");
    fails(r#"{"name":-x}"#, "invalid character 'x' in numeric literal");
    fails(r#"{"name":1.x}"#, "invalid character 'x' after decimal point in numeric literal");
    fails(r#"{"name":1ex}"#, "invalid character 'x' in exponent of numeric literal");
    // What is no JSON at all comes before what is of the wrong type.
    fails(r#"{"name":1,"#, "unexpected end of JSON input");
    fails(&format!("{}{}", r#"{"spec":{"raw":"#, "[".repeat(100_000)), "exceeded max depth");
}

#[test]
fn unknown_and_duplicate_fields_are_told_with_their_paths() {
    strict(r#"{"a":1,"spec":{"b":{"c":1}}}"#, &[r#"unknown field "a""#, r#"unknown field "spec.b""#]);
    strict(r#"{"Name":"x"}"#, &[r#"unknown field "Name""#]);
    strict(r#"{"spec":{"items":[{},{"x":1}]}}"#, &[r#"unknown field "spec.items[1].x""#]);
    strict(r#"{"kind":"a","kind":"b","kind":"c"}"#, &[r#"duplicate field "kind""#]);
    strict(r#"{"spec":{"labels":{"a":"1","b":"","a":"2"}}}"#, &[r#"duplicate field "spec.labels.a""#]);
    strict(r#"{"spec":{"raw":{"a":1,"a":2}}}"#, &[]);
    let (value, _) = read(r#"{"kind":"a","name":"n","kind":"b"}"#);
    assert_eq!(value.as_deref(), Ok(r#"{"kind":"b","name":"n"}"#));
    let mut report = Report::new();
    let value = parse_reporting(br#"{"b":{"x":1,"x":2},"a":[{"y":1,"y":1}]}"#, &mut report).expect("JSON");
    assert_eq!(to_string(&value), r#"{"a":[{"y":1}],"b":{"x":2}}"#);
    assert_eq!(report.strict_errors(), [r#"duplicate field "b.x""#, r#"duplicate field "a[0].y""#]);
}

#[test]
fn texts_are_escaped_as_go_escapes_them() {
    let text = "<a>&\"\\\n\r\t\u{8}\u{c}\u{1}\u{2028}\u{2029}é\u{7f}";
    assert_eq!(
        to_string(&text.into()),
        "\"\\u003ca\\u003e\\u0026\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u2028\\u2029é\u{7f}\""
    );
    assert_eq!(parse(to_string(&text.into()).as_bytes()), Ok(text.into()));
    assert_eq!(parse(br#""\ud83d\ude00\ud800x""#), Ok("😀\u{fffd}x".into()));
    assert_eq!(parse(b"\"a\xff\xfeb\""), Ok("a\u{fffd}\u{fffd}b".into()));
}

#[test]
fn numbers_are_written_as_go_writes_them() {
    for (body, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775808", "9223372036854776000"),
        ("1.0", "1"),
        ("1.5e3", "1500"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("-2.5E-10", "-2.5e-10"),
    ] {
        let value = parse(body.as_bytes()).expect("a number");
        assert_eq!(to_string(&value), expected, "{body}");
    }
    assert!(matches!(parse(b"1e999"), Ok(Value::Null)));
}

#[test]
fn a_body_says_what_it_is() {
    let meta = type_meta(br#"{"spec":{"kind":"x"},"kind":"Pod","apiVersion":"v1"}"#).expect("it does");
    assert_eq!((meta.api_version.as_str(), meta.kind.as_str()), ("v1", "Pod"));
    let text = |body: &[u8]| type_meta(body).map_err(|error| error.text);
    assert_eq!(text(b"null"), Ok(TypeMeta::default()));
    assert_eq!(
        text(br#"{"kind":1}"#).expect_err("no text"),
        "json: cannot unmarshal number into Go struct field .kind of type string"
    );
    assert!(
        text(b"[]")
            .expect_err("no object")
            .starts_with("json: cannot unmarshal array into Go value of type struct { APIVersion")
    );
}

#[test]
fn large_maps_are_read_in_one_go() {
    let body: Vec<String> = (0..300_000).rev().map(|number| format!("\"k{number:06}\":\"v\"")).collect();
    let (types, thing) = kind();
    let body = format!(r#"{{"spec":{{"labels":{{{}}}}}}}"#, body.join(","));
    let value = decode(body.as_bytes(), types.get(thing), &mut Report::new()).expect("a map");
    let labels = value.at(&["spec", "labels"]).as_object().expect("a map");
    assert_eq!(labels.len(), 300_000);
    assert!(labels.keys().is_sorted());
}

#[test]
fn a_document_that_was_worked_on_becomes_canonical_again() {
    let (types, thing) = kind();
    let mut value = parse(br#"{"spec":{"port":1,"labels":{"b":null,"a":"x"},"paused":false,"replicas":0,"items":[{}],"cpu":null,"odd":1},"kind":"Thing"}"#)
        .expect("JSON");
    canonicalize(&mut value, types.get(thing));
    let expected = r#"{"kind":"Thing","name":"","spec":{"replicas":0,"port":1,"items":[{"name":""}],"labels":{"a":"x","b":""}}}"#;
    assert_eq!(to_string(&value), expected);
    canonicalize(&mut value, types.get(thing));
    assert_eq!(to_string(&value), expected);
}

//! JSON and merge patches. Strategic ones are tested beside the table of kinds.

use super::*;
use crate::json::{parse, to_string};

const DOCUMENT: &str = r#"{"a":{"b":1,"c":[1,2,3]},"d":"x","e~f/g":null}"#;

fn patched(patch: &str) -> Result<String, (u16, String)> {
    let document = parse(DOCUMENT.as_bytes()).expect("JSON");
    json(document, patch.as_bytes(), &mut Report::new())
        .map(|value| to_string(&value))
        .map_err(|status| (status.code, status.message))
}

fn applies(operations: &str, expected: &str) {
    assert_eq!(patched(&format!("[{operations}]")).as_deref(), Ok(expected), "{operations}");
}

fn does_not_apply(operations: &str) {
    let expected = (422, "the server rejected our request due to an error in our request".to_owned());
    assert_eq!(patched(&format!("[{operations}]")), Err(expected), "{operations}");
}

#[test]
fn json_patches_apply() {
    applies("", DOCUMENT);
    assert_eq!(patched("null").as_deref(), Ok(DOCUMENT));
    applies(r#"{"op":"add","path":"/d","value":2}"#, r#"{"a":{"b":1,"c":[1,2,3]},"d":2,"e~f/g":null}"#);
    applies(r#"{"op":"add","path":"/d"}"#, r#"{"a":{"b":1,"c":[1,2,3]},"d":null,"e~f/g":null}"#);
    applies(
        r#"{"op":"add","path":"d/0","value":1}"#,
        r#"{"0":1,"a":{"b":1,"c":[1,2,3]},"d":"x","e~f/g":null}"#,
    );
    applies(
        r#"{"op":"add","path":"/a/c/-","value":4}"#,
        r#"{"a":{"b":1,"c":[1,2,3,4]},"d":"x","e~f/g":null}"#,
    );
    applies(
        r#"{"op":"add","path":"/a/c/1","value":4}"#,
        r#"{"a":{"b":1,"c":[1,4,2,3]},"d":"x","e~f/g":null}"#,
    );
    applies(
        r#"{"op":"replace","path":"/a/c/-1","value":4}"#,
        r#"{"a":{"b":1,"c":[1,2,4]},"d":"x","e~f/g":null}"#,
    );
    applies(r#"{"op":"remove","path":"/a/c/0"}"#, r#"{"a":{"b":1,"c":[2,3]},"d":"x","e~f/g":null}"#);
    applies(
        r#"{"op":"replace","path":"/e~0f~1g","value":{}}"#,
        r#"{"a":{"b":1,"c":[1,2,3]},"d":"x","e~f/g":{}}"#,
    );
    applies(r#"{"op":"move","from":"/a/b","path":"/d"}"#, r#"{"a":{"c":[1,2,3]},"d":1,"e~f/g":null}"#);
    applies(
        r#"{"op":"copy","from":"/a/c","path":"/d"}"#,
        r#"{"a":{"b":1,"c":[1,2,3]},"d":[1,2,3],"e~f/g":null}"#,
    );
    applies(
        r#"{"op":"copy","from":"/a/none","path":"/d"}"#,
        r#"{"a":{"b":1,"c":[1,2,3]},"d":null,"e~f/g":null}"#,
    );
    applies(
        r#"{"op":"test","path":"/a/c","value":[1,2,3]},{"op":"test","path":"/none","value":null}"#,
        DOCUMENT,
    );
}

#[test]
fn json_patches_that_do_not_apply_are_refused() {
    does_not_apply(r#"{"op":"jump","path":"/a"}"#);
    does_not_apply(r#"{"path":"/a"}"#);
    does_not_apply(r#"{"op":"add","value":1}"#);
    does_not_apply(r#"{"op":"add","path":"","value":1}"#);
    does_not_apply(r#"{"op":"add","path":"/none/a","value":1}"#);
    does_not_apply(r#"{"op":"add","path":"/d/a","value":1}"#);
    does_not_apply(r#"{"op":"add","path":"/a/c/4","value":1}"#);
    does_not_apply(r#"{"op":"add","path":"/a/c/x","value":1}"#);
    does_not_apply(r#"{"op":"remove","path":"/none"}"#);
    does_not_apply(r#"{"op":"remove","path":"/a/c/3"}"#);
    does_not_apply(r#"{"op":"replace","path":"/a/c/3","value":1}"#);
    does_not_apply(r#"{"op":"move","from":"/none","path":"/d"}"#);
    does_not_apply(r#"{"op":"test","path":"/d","value":"y"}"#);
    does_not_apply(r#"{"op":"test","path":"/none","value":1}"#);
}

#[test]
fn json_patches_that_cannot_be_read_say_why() {
    let error = |patch: &str, why: &str| {
        assert_eq!(patched(patch), Err((400, format!("error decoding patch: {why}"))), "{patch}");
    };
    error("{", "unexpected end of JSON input");
    error("", "unexpected end of JSON input");
    error(r#"{"op":"add"}"#, "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp");
    error(r#""x""#, "json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp");
    error("[1]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp");
    let many = vec![r#"{"op":"test","path":"/d","value":"x"}"#; 10_001].join(",");
    let message =
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(patched(&format!("[{many}]")), Err((413, message.to_owned())));
    let mut report = Report::new();
    let patch = br#"[{"op":"test","path":"/d","value":"x","odd":1}]"#;
    json(parse(DOCUMENT.as_bytes()).expect("JSON"), patch, &mut report).expect("it applies");
    assert_eq!(report.strict_errors(), [r#"json patch unknown field "[0].odd""#]);
}

fn merged(patch: &str) -> Result<String, (u16, String)> {
    let document = parse(br#"{"b":{"x":1,"y":[1]},"a":"t"}"#).expect("JSON");
    merge(document, patch.as_bytes(), &mut Report::new())
        .map(|value| to_string(&value))
        .map_err(|status| (status.code, status.message))
}

#[test]
fn merge_patches_apply() {
    for (patch, expected) in [
        ("{}", r#"{"a":"t","b":{"x":1,"y":[1]}}"#),
        (r#"{"a":null,"none":null}"#, r#"{"b":{"x":1,"y":[1]}}"#),
        (
            r#"{"b":{"y":[2,null],"z":{"n":null,"m":{}}}}"#,
            r#"{"a":"t","b":{"x":1,"y":[2,null],"z":{"m":{}}}}"#,
        ),
        (r#"{"a":{"c":null,"d":1}}"#, r#"{"a":{"d":1},"b":{"x":1,"y":[1]}}"#),
        (r#"{"b":"s"}"#, r#"{"a":"t","b":"s"}"#),
    ] {
        assert_eq!(merged(patch).as_deref(), Ok(expected), "{patch}");
    }
    for (patch, why) in [
        ("{", "error decoding patch: unexpected end of JSON input"),
        (
            "[]",
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "1",
            "error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}",
        ),
        ("null", "Invalid JSON Patch"),
    ] {
        assert_eq!(merged(patch), Err((400, why.to_owned())), "{patch}");
    }
}

#[test]
fn large_merge_patches_take_their_time_in_proportion() {
    let members: Vec<String> = (0..200_000).map(|number| format!("\"k{number}\":{number}")).collect();
    let text = format!("{{{}}}", members.join(","));
    let document = parse(text.as_bytes()).expect("JSON");
    let patched = merge(document.clone(), text.as_bytes(), &mut Report::ignoring()).expect("it applies");
    assert_eq!(patched.as_object().map(crate::Map::len), Some(200_000));
    assert_eq!(patched.get("k777"), document.get("k777"));
}

#[test]
fn values_print_as_in_go() {
    let value = parse(br#"{"spec":{"b":[1,"x",null],"a":{"t":true}},"f":1.5}"#).expect("JSON");
    assert_eq!(go_format(&value), "map[f:1.5 spec:map[a:map[t:true] b:[1 x <nil>]]]");
}

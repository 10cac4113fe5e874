//! YAML in and out, case by case.

use super::*;

fn json(text: &str) -> String {
    match decode(text.as_bytes()) {
        Ok(value) => crate::json::to_string(&value),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn scalars_are_what_go_makes_of_them() {
    let cases = [
        ("yes", "true"),
        ("Off", "false"),
        ("n", "false"),
        ("yEs", "\"yEs\""),
        ("~", "null"),
        ("", "null"),
        ("0777", "511"),
        ("0o17", "15"),
        ("0x1F", "31"),
        ("0b101", "5"),
        ("-0b11", "-3"),
        ("1_000", "1000"),
        ("+12", "12"),
        ("08", "8"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("1.", "1"),
        ("'12'", "\"12\""),
        ("!!str 12", "\"12\""),
        ("!!int '7'", "7"),
        ("!!binary aGk=", "\"hi\""),
        ("1:30", "\"1:30\""),
        ("2001-12-14", "\"2001-12-14\""),
        ("12e", "\"12e\""),
        ("-", "[null]"),
        ("\"a\\tb\"", "\"a\\tb\""),
        ("a: 1\n1: b\non: c\n1.5: d", "{\"a\":1,\"1\":\"b\",\"true\":\"c\",\"1.5\":\"d\"}"),
    ];
    for (text, expected) in cases {
        assert_eq!(json(text), expected, "{text:?}");
    }
}

#[test]
fn anchors_and_merges_are_followed() {
    assert_eq!(
        json("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: *x"),
        r#"{"a":{"p":1,"q":2},"b":{"q":3,"p":1},"c":{"p":1,"q":2}}"#
    );
    for (text, told) in [
        ("a: [", "error: yaml: line 1: did not find expected node content"),
        ("a: b: c", "error: yaml: mapping values are not allowed in this context"),
        ("k: v\na: b: c", "error: yaml: line 2: mapping values are not allowed in this context"),
    ] {
        assert_eq!(json(text), told, "{text:?}");
    }
    assert_eq!(json("a: *none"), "error: yaml: line 1: unknown anchor 'none' referenced");
}

#[test]
fn a_key_given_twice_counts_as_the_last_and_is_told() {
    let composed = compose(b"a: 1\nb: 2\na: 3\n").expect("YAML");
    assert_eq!(crate::json::to_string(&composed.documents[0]), r#"{"a":3,"b":2}"#);
    assert_eq!(composed.duplicates, ["line 3: key \"a\" already set in map"]);
}

#[test]
fn a_text_may_hold_several_documents() {
    assert_eq!(decode_all(b"a: 1\n---\n# nothing\n---\nb: 2\n").expect("YAML").len(), 3);
    assert_eq!(decode_all(b"").expect("YAML").len(), 0);
}

#[test]
fn hostile_text_is_refused_with_bounded_effort() {
    let deep = "[".repeat(10_000);
    assert!(decode(deep.as_bytes()).is_err());
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for letter in b'b'..=b'k' {
        let before = char::from(letter - 1);
        let this = char::from(letter);
        bomb.push_str(&format!("{this}: &{this} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"));
    }
    let error = decode(bomb.as_bytes()).expect_err("too many nodes");
    assert!(error.problem.contains("excessive aliasing"), "{error}");
    assert!(decode(b"a: [1, 2").is_err());
    assert!(decode(b"a:\n\t- b").is_err());
    assert!(decode(&[0xff, 0xfe, 0x00]).is_err());
}

#[test]
fn documents_are_printed_as_the_tools_print_them() {
    let document = decode(
        b"{z: 1, a: 'true', list: [a, {b: c, d: []}, ''], text: \"one\\ntwo\\n\", star: '*', colon: 'a: b', n: null,
           date: '2001-01-01T00:00:00Z', empty: {}, x10: 1, x9: 1, f: 1.5, base: '1:20', \"y\": 1, dash: '- a'}",
    )
    .expect("YAML");
    let expected = r#"a: "true"
base: "1:20"
colon: 'a: b'
dash: '- a'
date: "2001-01-01T00:00:00Z"
empty: {}
f: 1.5
list:
- a
- b: c
  d: []
- ""
"n": null
star: '*'
text: |
  one
  two
x9: 1
x10: 1
"y": 1
z: 1
"#;
    // `n` and `y` are keys that would be read as truth values.
    let document = rename_false_key(document);
    assert_eq!(encode(&document), expected);
}

/// The plain key `n` was read as `false`; give it its letter back.
fn rename_false_key(mut document: Value) -> Value {
    let value = document.remove("false").unwrap_or_default();
    document.set("n", value);
    document
}

#[test]
fn what_is_printed_is_read_back_the_same() {
    let document = decode(
        b"{a: ['~', 'no', '0x1', '1e3', ' x', 'x ', '#a', 'a #b', '', \"\\u00e9\", \"tab\\there\", '%', '@x', '!t', '&a',
           '?', '-', '---', 'null', 'a\\b', '{', '[', \"multi\\n  line\\n\\nend\", \"\\x01\"], n1: {k: -1, l: 1.0e+30}}",
    )
    .expect("YAML");
    assert_eq!(decode(encode(&document).as_bytes()).expect("YAML"), document);
}

#[test]
fn numbers_with_fractions_are_gos() {
    for (number, text) in
        [(1.5, "1.5"), (1e21, "1e+21"), (1e20, "100000000000000000000"), (0.00001, "1e-05"), (-0.5, "-0.5")]
    {
        assert_eq!(emit::float(number), text);
    }
}

#[test]
fn texts_may_end_in_the_middle_of_a_line() {
    for (text, json) in [
        ("a: |\n  text", r#"{"a":"text"}"#),
        ("a: |+\n  text", r#"{"a":"text"}"#),
        ("a: |-\n  text", r#"{"a":"text"}"#),
        ("a: >\n  two\n  lines", r#"{"a":"two lines"}"#),
        ("a: |\n  text\n", r#"{"a":"text\n"}"#),
        ("a: |\n  text\n\nb: c", r#"{"a":"text\n","b":"c"}"#),
        ("a: |+\n  text\n\n", r#"{"a":"text\n\n"}"#),
        ("- |\n a\n- |\n b", r#"["a\n","b"]"#),
        ("a: 'b'", r#"{"a":"b"}"#),
        ("a", r#""a""#),
        ("\u{ff08}a\u{ff09}: |\n  b", "{\"\u{ff08}a\u{ff09}\":\"b\"}"),
        ("\u{feff}a: |\n  b", r#"{"a":"b"}"#),
    ] {
        let value = super::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(crate::json::to_string(&value), json, "{text:?}");
    }
}

#[test]
fn what_the_scanner_cannot_bear_is_refused() {
    for text in ["[!a,b]", "[!a, b]", "\"abc\\", "a: \"\\", "{!,}", "'", "!<", "%TAG", "%YAML", "&", "*"] {
        let read = super::decode(text.as_bytes());
        assert!(read.is_err(), "{text:?}: {read:?}");
    }
}

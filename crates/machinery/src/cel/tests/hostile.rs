//! Whatever comes in: nothing panics, and everything ends.

use proptest::prelude::*;

use super::super::{Activation, Declaration, Environment, FailureKind, Sameness, Type, Val};
use crate::Value;

fn environment() -> Environment {
    let own = Declaration::object(
        "Self",
        vec![
            ("n".into(), Declaration::of(Type::Int)),
            ("l".into(), Declaration::list(Declaration::of(Type::String), Sameness::Set)),
        ],
    );
    Environment::kubernetes()
        .with_bindings()
        .with_patch_types()
        .with("self", own)
        .with("object", Declaration::dynamic())
}

fn document() -> Value {
    crate::json::parse(br#"{"n":5,"l":["a","b","a"],"s":"text","o":{"x":[1,2.5,null,true]}}"#).unwrap()
}

fn run(source: &str) {
    let document = document();
    if let Ok(program) = environment().compile(source) {
        let activation =
            Activation::new().with("self", Val::dynamic(&document)).with("object", Val::dynamic(&document));
        let evaluation = program.evaluate(&activation, 20_000);
        if let Ok(value) = evaluation.outcome {
            let _ = value.to_document();
            let _ = super::show(&value);
        }
    }
}

/// Words that are likely to fit together.
const WORDS: &[&str] = &[
    "self",
    "object",
    ".n",
    ".l",
    ".o.x",
    "x",
    "y",
    "1",
    "-1",
    "2u",
    "1.5",
    "'a'",
    "\"b\"",
    "b'c'",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
    ".",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " == ",
    " < ",
    " in ",
    " && ",
    " || ",
    "!",
    ".all(x, ",
    ".map(x, ",
    ".filter(x, ",
    ".exists(x, y, ",
    "has(",
    "size(",
    ".size()",
    "string(",
    "int(",
    "quantity(",
    ".split(",
    ".join(",
    ".format(",
    ".substring(",
    ".matches(",
    "optional.of(",
    ".?n",
    "[?0]",
    ".orValue(",
    "url(",
    "cidr(",
    "semver(",
    "timestamp(",
    "duration('1h')",
    "Object{a: ",
    "cel.bind(x, ",
    "'%s %d %x'",
    "9223372036854775807",
    "dyn(",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        run(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_texts_never_panic(text in ".{0,40}") {
        run(&text);
    }

    #[test]
    fn random_words_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..16)) {
        run(&words.concat());
    }
}

#[test]
fn every_evaluation_ends() {
    let tens = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = |body: &str| {
        let mut source = body.to_owned();
        for depth in 0..8 {
            source = format!("{tens}.all(v{depth}, {source})");
        }
        source
    };
    let growing = format!(
        "{tens}.map(a, {tens}.map(b, {tens}.map(c, {tens}.map(d, {tens}.map(e, {tens}.map(f, 'xxxxxxxxxx' + 'y'))))))"
    );
    for source in [nested("true"), growing] {
        let program = environment().compile(&source).unwrap();
        let evaluation = program.evaluate(&Activation::new(), 100_000);
        assert_eq!(evaluation.outcome.unwrap_err().kind, FailureKind::Cost, "{source}");
        assert!(evaluation.cost < 200_000);
    }
}

#[test]
fn what_costs_too_much_is_not_hidden_by_what_decides() {
    let source = "[1, 2, 3, 4, 5, 6, 7, 8].all(x, x > 0) || true";
    let program = environment().compile(source).unwrap();
    let failure = program.evaluate(&Activation::new(), 10).outcome.unwrap_err();
    assert_eq!(failure.to_string(), "operation cancelled: actual cost limit exceeded");
}

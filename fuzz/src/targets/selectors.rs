//! Selectors and paths: labels, fields, JSONPath, fields of definitions.

use machinery::jsonpath::Template;
use machinery::selector::{FieldSelector, LabelSelector};
use machinery::structural::{FieldPath, Structural};
use machinery::{Value, json};

use super::seeds;
use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    " in (",
    "notin",
    "!",
    "==",
    "!=",
    ",",
    ")",
    "a",
    "app.kubernetes.io/name",
    " ",
    "{range .items[*]}",
    "{end}",
    "[?(@.",
    "..",
    "[*]",
    "[-1:]",
    "['",
    "']",
    "{.",
    "}",
    "\\,",
    "\\=",
    "metadata.name=",
    ".spec",
    ">",
    "<",
];
const TEXTS: &[&str] = &[
    "app=web,tier in (a,b),!legacy,x notin (y),z!=1",
    "a > 1,b<7",
    "metadata.name=a,status.phase!=Run\\,ning",
    "a in ()",
    "{.spec.containers[*].name}",
    "{range .spec.containers[*]}{.name}{\"\\t\"}{.image}{end}",
    ".metadata.labels",
    "{.spec.containers[?(@.name==\"c\")].image}",
    "{..name}",
    "{.spec.containers[0:2:1].ports[-1].containerPort}",
    ".spec.replicas",
    ".spec['a key'].b",
];
const SCHEMA: &str = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{"replicas":{"type":"integer"}},"additionalProperties":{"type":"object","additionalProperties":{"type":"string"}}}}}"#;

pub fn target() -> Target {
    let pod = json::parse(seeds::POD.as_bytes()).expect("it is JSON");
    let schema = Structural::compile(&json::parse(SCHEMA.as_bytes()).expect("it is JSON"));
    let seeds = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    Target { name: "selectors", seeds, words: WORDS, run: Box::new(move |input| run(input, &pod, &schema)) }
}

fn run(input: &[u8], pod: &Value, schema: &Structural) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let text = text.as_ref();
    let labels = match LabelSelector::parse(text) {
        Ok(selector) => {
            let again = LabelSelector::parse(&selector.to_string());
            same("a selector is read as it was written", &again.as_ref(), &Ok(&selector))?;
            selector.matches_map(pod.at(&["metadata", "labels"]));
            "labels".to_owned()
        }
        Err(error) => outcome("", &error),
    };
    let fields = match FieldSelector::parse(text) {
        Ok(selector) => format!("fields {}", selector.matches(|_| "p")),
        Err(error) => outcome("", &error),
    };
    let template = match Template::parse(text) {
        Ok(template) => match template.fill(pod) {
            Ok(filled) => format!("template {}", filled.len().min(3)),
            Err(error) => outcome("", &error),
        },
        Err(error) => outcome("", &error),
    };
    let mut found = Vec::new();
    for brackets in [false, true] {
        match FieldPath::follow(text, schema, brackets) {
            Ok((path, _)) => {
                path.find(pod);
                found.push("path".to_owned());
            }
            Err(why) => found.push(outcome("", &why)),
        }
    }
    Ok(format!("{labels} {fields} {template} {}", found.join(" ")))
}

//! YAML, which holds whatever JSON does.

use api::Table;
use machinery::{json, yaml};

use super::seeds;
use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    "---\n",
    "...\n",
    "- ",
    ": ",
    "|\n  ",
    ">-\n  ",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "!!binary ",
    "? ",
    "# ",
    "yes",
    "~",
    "0o17",
    "0b1",
    "1:30",
    "2001-01-01",
    "\n  ",
    "\n",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "%YAML 1.1\n",
];
const TEXTS: &[&str] = &[
    "a: 1\nb: [x, 'y', \"z\\n\"]\nc:\n  - d: |\n      text\n      more\n    e: >-\n      folded\n      text\n",
    "base: &base {a: 1, b: yes}\nuse:\n  <<: *base\n  b: no\nlist:\n- *base\n- !!str 1\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"0x1F\"\n  l: 1e3\n  m: 010\n  n: .5\n---\nkind: B\n",
    "? complex\n: value\n? [a, b]\n: c\n",
];

pub fn target() -> Target {
    let table = Table::load();
    let drawn = seeds::of_every_kind(&table);
    let drawn = drawn.iter().step_by(4).map(|document| yaml::encode(document).into_bytes());
    let by_hand = TEXTS.iter().copied().chain(seeds::by_hand()).map(|text| text.as_bytes().to_vec());
    Target { name: "yaml", seeds: by_hand.chain(drawn).collect(), words: WORDS, run: Box::new(run) }
}

fn run(text: &[u8]) -> Verdict {
    // What is JSON reads the same as YAML, once it was written as such.
    if let Ok(value) = json::parse(text) {
        written(&value)?;
    }
    let documents = match yaml::decode_all(text) {
        Ok(documents) => documents,
        Err(error) => return Ok(outcome("refused", &error.to_string())),
    };
    documents.iter().try_for_each(written)?;
    let kinds: Vec<&str> =
        documents.iter().map(|document| document.get("kind").str_or_empty()).take(3).collect();
    Ok(format!("read {} {}", documents.len().min(9), kinds.join(" ").chars().take(40).collect::<String>()))
}

fn written(value: &machinery::Value) -> Result<(), String> {
    let text = yaml::encode(value);
    let read = yaml::decode(text.as_bytes())
        .map_err(|error| format!("what was written is none: {error}\n{text}"))?;
    let plain = |value: &machinery::Value| {
        json::parse(&json::to_vec(value)).map(|value| json::parse(json::to_string(&value).as_bytes()))
    };
    same("a document is read as it was written", &plain(&read), &plain(value))
        .map_err(|what| format!("{what}\n{text}"))
}

//! Expressions, and what becomes of them: thousands of small cases, one a line.

mod costs;
mod documents;
mod estimates;
mod evaluation;
mod hostile;
mod libraries;
mod problems;

use super::{Activation, CALL_LIMIT, Environment, Val};

/// A value as these tables write it.
fn show(value: &Val<'_>) -> String {
    match value {
        Val::String(text) => format!("'{text}'"),
        Val::Uint(number) => format!("{number}u"),
        Val::Double(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.1}"),
        Val::Bytes(bytes) => format!("b{:?}", &bytes[..]),
        Val::List(list) => {
            let items: Vec<String> = list.items().map(|item| show(&item.unwrap())).collect();
            format!("[{}]", items.join(", "))
        }
        Val::Map(map) => {
            let entry = |key: &super::Key| {
                format!("{}: {}", show(&key.to_val()), show(&map.get(key).unwrap().unwrap()))
            };
            format!("{{{}}}", map.keys().iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Val::Optional(None) => "none".to_owned(),
        Val::Optional(Some(value)) => format!("some({})", show(value)),
        other => super::library::show(other),
    }
}

/// What an expression leads to: its value, or `! ` and the reason why it has none, or `? ` and what is wrong with it.
fn outcome(environment: &Environment, activation: &Activation<'_>, source: &str) -> String {
    match environment.compile(source) {
        Err(issues) => {
            let messages: Vec<String> = issues.iter().map(|issue| issue.message.clone()).collect();
            format!("? {}", messages.join(" ¦ "))
        }
        Ok(program) => match program.evaluate(activation, CALL_LIMIT).outcome {
            Ok(value) => show(&value),
            Err(failure) => format!("! {failure}"),
        },
    }
}

/// Lines of an expression, `⇒` and its outcome; all that differ are shown at once.
fn check(environment: &Environment, activation: &Activation<'_>, table: &str) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (source, expected) = line.split_once('⇒').unwrap_or_else(|| panic!("no outcome in {line}"));
        let found = outcome(environment, activation, source.trim());
        count += 1;
        if found != expected.trim() {
            wrong.push(format!("{}\n    expected {}\n    found    {found}", source.trim(), expected.trim()));
        }
    }
    assert!(count > 0);
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_plain(table: &str) {
    check(&Environment::kubernetes().with_bindings(), &Activation::new(), table);
}

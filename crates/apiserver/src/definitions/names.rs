//! Names: within a group each belongs to the definition that had it first.

use std::collections::BTreeSet;

use machinery::Value;
use machinery::field::go_quote;

/// The names of a group that are taken.
#[derive(Debug, Default)]
pub struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

/// What became of the names that a definition asks for.
#[derive(Debug)]
pub struct Accepted {
    /// Those it has now.
    pub names: Value,
    /// Why it does not have all it asks for: a reason and a message.
    pub conflict: Option<(&'static str, String)>,
}

impl Taken {
    /// Takes the names of a definition.
    pub fn add(&mut self, names: &Value) {
        let text = |name: &str| names.get(name).as_str().map(str::to_owned);
        self.resources.extend([text("plural"), text("singular")].into_iter().flatten());
        let short = names.get("shortNames").items().iter().filter_map(Value::as_str);
        self.resources.extend(short.map(str::to_owned));
        self.kinds.extend([text("kind"), text("listKind")].into_iter().flatten());
    }
}

/// Whether a name that is asked for is free, or the definition's already.
fn is_free(asked: &str, own: &str, taken: &BTreeSet<String>) -> Result<(), String> {
    if asked == own || !taken.contains(asked) {
        return Ok(());
    }
    Err(format!("{} is already in use", go_quote(asked)))
}

/// Gives a definition the names it asks for, as far as they are free. `own` are those it has.
pub fn accept(asked: &Value, own: &Value, taken: &Taken) -> Accepted {
    let mut names = own.clone();
    let mut conflict = None;
    let single = [
        ("plural", &taken.resources, "PluralConflict"),
        ("singular", &taken.resources, "SingularConflict"),
        ("shortNames", &taken.resources, "ShortNamesConflict"),
        ("kind", &taken.kinds, "KindConflict"),
        ("listKind", &taken.kinds, "ListKindConflict"),
    ];
    for (name, taken, reason) in single {
        let wrong = if name == "shortNames" {
            short_names(asked.get(name), own.get(name), taken)
        } else {
            is_free(asked.get(name).str_or_empty(), own.get(name).str_or_empty(), taken)
        };
        match wrong {
            // Of several conflicts the last is told, as upstream does.
            Err(why) => conflict = Some((reason, why)),
            Ok(()) => take(&mut names, asked, name),
        }
    }
    take(&mut names, asked, "categories");
    Accepted { names, conflict }
}

fn take(names: &mut Value, asked: &Value, name: &str) {
    match asked.get(name) {
        Value::Null => {
            names.remove(name);
        }
        value => names.set(name, value.clone()),
    }
}

fn short_names(asked: &Value, own: &Value, taken: &BTreeSet<String>) -> Result<(), String> {
    let wrong: Vec<String> = asked
        .items()
        .iter()
        .filter(|name| !own.items().contains(name))
        .filter_map(|name| is_free(name.str_or_empty(), "", taken).err())
        .collect();
    match wrong.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(plural: &str, short: &[&str], kind: &str) -> Value {
        Value::from([
            ("plural", Value::from(plural)),
            ("singular", Value::from(kind.to_lowercase())),
            ("shortNames", Value::from(short.iter().map(|name| Value::from(*name)).collect::<Vec<_>>())),
            ("kind", Value::from(kind)),
            ("listKind", Value::from(format!("{kind}List"))),
        ])
    }

    #[test]
    fn names_belong_to_whoever_had_them_first() {
        let first = names("things", &["tg"], "Thing");
        let mut taken = Taken::default();
        taken.add(&first);
        let cases = [
            (names("others", &["o"], "Other"), Value::Null, None),
            (
                names("things", &[], "Other"),
                Value::Null,
                Some(("PluralConflict", "\"things\" is already in use")),
            ),
            (
                names("others", &["tg", "thing"], "Other"),
                Value::Null,
                Some(("ShortNamesConflict", "[\"tg\" is already in use, \"thing\" is already in use]")),
            ),
            (
                names("others", &[], "Thing"),
                Value::Null,
                Some(("ListKindConflict", "\"ThingList\" is already in use")),
            ),
            (first.clone(), first.clone(), None),
        ];
        for (asked, own, expected) in cases {
            let accepted = accept(&asked, &own, &taken);
            let conflict = accepted.conflict.as_ref().map(|(reason, why)| (*reason, why.as_str()));
            assert_eq!(conflict, expected, "{asked:?}");
            assert_eq!(accepted.names == asked, expected.is_none());
        }
    }
}

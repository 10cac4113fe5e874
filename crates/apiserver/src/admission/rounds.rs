//! Rounds of changes: whoever wants to is asked again when something was changed after it was asked.

use std::collections::BTreeSet;

use machinery::Value;

/// Who is asked: a policy or webhook, what it was found by, and which of several.
pub(super) type Key = (String, String, usize);

/// A round of changes.
#[derive(Debug, Default)]
pub(super) struct Round {
    is_second: bool,
    changed: bool,
    /// Those that want to be asked again if something is changed after them.
    asked: BTreeSet<Key>,
    /// Those after which something was changed.
    due: BTreeSet<Key>,
    /// The object at the end of the round.
    output: Option<Value>,
}

impl Round {
    /// Whether somebody is asked in this round: in the first one everybody.
    pub fn is_due(&self, key: &Key) -> bool {
        !self.is_second || self.due.contains(key)
    }

    /// Something was changed.
    pub fn has_changed(&mut self) {
        self.changed = true;
        let before = std::mem::take(&mut self.asked);
        if !self.is_second {
            self.due.extend(before);
        }
    }

    /// Somebody was asked who wants to be asked again.
    pub fn was_asked(&mut self, key: Key) {
        self.asked.insert(key);
    }

    /// The round is over, and this is what became of the object.
    pub fn ends_with(&mut self, object: &Value) {
        if !self.is_second {
            self.output = Some(object.clone());
        }
    }

    /// Whether there is to be a second round.
    pub fn wants_second(&self) -> bool {
        self.changed
    }

    /// The second round, for an object that others may have changed since the first.
    pub fn second(self, object: &Value) -> Round {
        let mut due = self.due;
        if self.output.as_ref().is_some_and(|output| output != object) {
            due.extend(self.asked);
        }
        Round { is_second: true, due, ..Round::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (name.to_owned(), String::new(), 0)
    }

    #[test]
    fn those_after_whom_something_changed_are_asked_again() {
        let object = Value::from("a");
        let mut round = Round::default();
        for (name, changes) in [("a", true), ("b", false), ("c", true), ("d", false)] {
            assert!(round.is_due(&key(name)));
            if changes {
                round.has_changed();
            }
            round.was_asked(key(name));
        }
        round.ends_with(&object);
        assert!(round.wants_second());
        let again = round.second(&object);
        let due: Vec<&str> =
            ["a", "b", "c", "d"].into_iter().filter(|name| again.is_due(&key(name))).collect();
        assert_eq!(due, ["a", "b"]);
    }

    #[test]
    fn all_are_asked_again_if_others_changed_the_object() {
        let mut round = Round::default();
        round.was_asked(key("a"));
        round.ends_with(&Value::from("a"));
        assert!(!round.wants_second());
        assert!(round.second(&Value::from("b")).is_due(&key("a")));
    }
}

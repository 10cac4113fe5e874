//! The names of members. A list of pods says `name` and `metadata` thousands of times; it is kept once.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use arcstr::ArcStr;
use smol_str::SmolStr;

/// The name of a member; clones share its text. Those of fields are the schema's own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(ArcStr);

impl Name {
    /// A name that stays for as long as the program runs. Its clones are not counted, which costs several processors that
    /// read documents at the same time more than all else about a name.
    pub fn lasting(text: &'static str) -> Name {
        static ALL: Mutex<BTreeSet<Name>> = Mutex::new(BTreeSet::new());
        // It is whole even if somebody panicked beside it.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(text) {
            return known.clone();
        }
        let name = ArcStr::from(text);
        name.leak();
        all.insert(Name(name.clone()));
        Name(name)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl From<SmolStr> for Name {
    fn from(text: SmolStr) -> Name {
        Name::from(text.as_str())
    }
}

impl From<&SmolStr> for Name {
    fn from(text: &SmolStr) -> Name {
        Name::from(text.as_str())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(ArcStr::from(text))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name::from(text.as_str())
    }
}

impl From<Cow<'_, str>> for Name {
    fn from(text: Cow<'_, str>) -> Name {
        Name::from(&*text)
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Name {
        name.clone()
    }
}

impl From<&Name> for SmolStr {
    fn from(name: &Name) -> SmolStr {
        SmolStr::new(name.as_str())
    }
}

/// How many names are remembered while a document is read: more than any kind of object has of its own.
const REMEMBERED: usize = 256;

/// Longer names are unlikely to come again.
const LONGEST: usize = 64;

/// The names that were read lately, so that each is kept once however often it comes. Where two names fall on one place,
/// the later takes it: forgetting costs memory, not correctness.
#[derive(Debug, Default)]
pub(crate) struct Names {
    places: Vec<Option<Name>>,
}

impl Names {
    /// The name with this text.
    pub(crate) fn get(&mut self, text: Cow<'_, str>) -> Name {
        if text.len() > LONGEST {
            return Name::from(text);
        }
        if self.places.is_empty() {
            self.places.resize(REMEMBERED, None);
        }
        let place = &mut self.places[place(text.as_bytes())];
        match place {
            Some(name) if **name == *text => name.clone(),
            _ => place.insert(Name::from(text)).clone(),
        }
    }
}

/// Where a name is remembered.
fn place(text: &[u8]) -> usize {
    let mixed =
        text.iter().fold(text.len() as u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (mixed ^ (mixed >> 16)) as usize % REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_again_is_the_same() {
        let mut names = Names::default();
        let first = names.get("app".into());
        assert!(ArcStr::ptr_eq(&first.0, &names.get("app".into()).0));
        assert_eq!(first, "app");
    }

    #[test]
    fn only_names_that_last_are_not_counted() {
        assert!(ArcStr::is_static(&Name::lasting("spec").clone().0));
        assert!(!ArcStr::is_static(&Name::from("spec").0));
        assert!(ArcStr::ptr_eq(&Name::lasting("spec").0, &Name::lasting("spec").0), "each lasts once");
        assert_eq!(Name::lasting("spec"), Name::from("spec"));
    }

    #[test]
    fn names_are_told_apart_however_many_there_are() {
        let mut names = Names::default();
        for round in 0..2 {
            for number in 0..10 * REMEMBERED {
                let text = format!("n{number}");
                assert_eq!(names.get(text.clone().into()), *text, "round {round}");
            }
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(names.get(long.clone().into()), *long);
    }
}

//! What adopting a table changes, and what it leaves alone.

use super::*;
use crate::nftables::batch::{DELETE_CHAIN, DELETE_ELEMENTS, NEW_ELEMENTS, NEW_SET};
use crate::nftables::expression::{Expression, Verdict};
use crate::nftables::set::{Field, Key, Set};

fn element(number: u32, to: &str) -> Element {
    Element::verdict(Key::new().number(number), Verdict::Goto(to.to_owned()))
}

/// A table whose map leads to chains: `wanted` is (number, chain).
fn blueprint(version: &str, wanted: &[(u32, &str)]) -> Blueprint {
    let mut fixed = Batch::new("t");
    fixed.add_set(Set::verdicts("ways", &[Field::Number]));
    fixed.add_chain("first");
    fixed.add_rule("first", version, &[Expression::Verdict(Verdict::Accept)]);
    let mut chains = Batch::new("t");
    for chain in wanted.iter().map(|(_, chain)| *chain).collect::<BTreeSet<_>>() {
        chains.add_chain(chain);
        chains.add_rule(chain, "", &[Expression::Verdict(Verdict::Drop)]);
    }
    let elements = wanted.iter().map(|(number, chain)| element(*number, chain)).collect();
    Blueprint { fixed, chains, elements: BTreeMap::from([("ways".to_owned(), elements)]) }
}

fn present(blueprint: &Blueprint) -> Present {
    let mut chains = BTreeSet::from([blueprint.stamp()]);
    for batch in [&blueprint.fixed, &blueprint.chains] {
        chains.extend(batch.only(NEW_CHAIN).map(|chain| chain.name().to_owned()));
    }
    Present { chains, elements: blueprint.elements.clone() }
}

fn names(batch: &Batch, kind: u16) -> Vec<String> {
    batch.only(kind).map(|change| change.name().to_owned()).collect()
}

#[test]
fn a_table_that_is_as_it_shall_be_keeps_its_elements() {
    let wanted = blueprint("1", &[(1, "a"), (2, "b")]);
    let batch = wanted.adopt(&present(&wanted)).unwrap();
    assert_eq!(names(&batch, NEW_CHAIN), ["first", "a", "b"]);
    assert_eq!(names(&batch, NEW_RULE), ["first", "a", "b"], "rules are set anew, whoever changed them");
    for kind in [NEW_SET, NEW_ELEMENTS, DELETE_ELEMENTS, DELETE_CHAIN] {
        assert_eq!(names(&batch, kind), Vec::<String>::new());
    }
}

#[test]
fn only_what_differs_is_changed_and_what_nobody_wants_goes() {
    // (there, wanted, elements removed, elements added, chains removed)
    type Ways<'a> = &'a [(u32, &'a str)];
    let cases: [(Ways<'_>, Ways<'_>, bool, bool, &[&str]); 5] = [
        (&[], &[(1, "a")], false, true, &[]),
        (&[(1, "a")], &[], true, false, &["a"]),
        (&[(1, "a")], &[(1, "b")], true, true, &["a"]),
        (&[(1, "a"), (2, "b")], &[(2, "b")], true, false, &["a"]),
        (&[(1, "a"), (2, "a")], &[(1, "a"), (3, "a")], true, true, &[]),
    ];
    for (there, wanted, removes, adds, gone) in cases {
        let wanted = blueprint("1", wanted);
        let batch = wanted.adopt(&present(&blueprint("1", there))).unwrap();
        assert_eq!(!names(&batch, DELETE_ELEMENTS).is_empty(), removes, "{there:?}");
        assert_eq!(!names(&batch, NEW_ELEMENTS).is_empty(), adds, "{there:?}");
        assert_eq!(names(&batch, DELETE_CHAIN), gone, "{there:?}");
    }
}

#[test]
fn a_table_another_version_made_is_not_adopted() {
    let wanted = blueprint("1", &[(1, "a")]);
    assert!(wanted.adopt(&present(&blueprint("2", &[(1, "a")]))).is_none());
    assert!(wanted.adopt(&Present::default()).is_none());
    let more = blueprint("1", &[(1, "a"), (7, "c")]);
    assert_eq!(wanted.stamp(), more.stamp(), "what comes and goes is not part of the stamp");
}

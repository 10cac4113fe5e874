//! What expressions are estimated to cost, and what they do cost.

use super::super::{Activation, CALL_LIMIT, Cost, Declaration, Environment, Sameness, Type, Val};

fn declared() -> Declaration {
    let text = Declaration::of(Type::String).at_most(10);
    let matrix = Declaration::list(text.clone(), Sameness::Ordered).at_most(5);
    Declaration::object(
        "Self",
        vec![
            ("n".into(), Declaration::of(Type::Int)),
            ("s".into(), Declaration::of(Type::String).at_most(100)),
            ("l".into(), Declaration::list(text, Sameness::Ordered).at_most(10)),
            ("deep".into(), Declaration::list(matrix, Sameness::Ordered).at_most(4)),
            ("m".into(), Declaration::map(Declaration::of(Type::String).at_most(20)).at_most(8)),
            ("any".into(), Declaration::of(Type::String)),
        ],
    )
}

#[test]
fn costs_are_estimated_from_the_sizes_that_are_allowed() {
    let environment = Environment::kubernetes().with("self", declared());
    for (source, min, max) in [
        ("true", 0, 0),
        ("self.n", 2, 2),
        ("self.n > 5", 3, 3),
        ("self.n > 5 && self.n < 10", 3, 6),
        ("true ? self.n > 1 : true", 0, 3),
        ("self.s == 'abc'", 3, 3),
        ("self.s.startsWith('abcdefghijk')", 4, 4),
        ("self.s.contains('abc')", 2, 12),
        ("self.s.matches('^[a-z]+$')", 4, 24),
        ("size(self.l) > 1", 4, 4),
        ("self.l.all(x, x == 'a')", 3, 3 + 10 * 6),
        ("self.l.all(x, self.l.exists(y, y == x))", 3, 3 + 10 * (2 + 1 + 3 + 10 * 7)),
        ("self.deep.all(x, x.all(y, y == 'a'))", 3, 3 + 4 * (2 + 1 + 2 + 5 * 6)),
        ("'x' in self.l", 2, 12),
        ("[1, 2, 3].all(x, x > 0)", 11 + 15, 11 + 18),
        ("self.l[0] == 'a'", 4, 4),
        ("self.m.all(k, self.m[k] == 'a')", 3, 3 + 8 * 9),
        ("has(self.n)", 1, 1),
        ("self.any.contains('x')", 2, u64::MAX),
    ] {
        let found = environment.compile(source).unwrap().cost();
        let expected = Cost { min, max };
        if max == u64::MAX {
            assert!(found.max > 1 << 60, "{source}: {found:?}");
        } else {
            assert!(
                found.min <= expected.min + 2 && found.max.abs_diff(expected.max) <= expected.max / 5 + 3,
                "{source}: {found:?}, expected about {expected:?}"
            );
        }
    }
}

#[test]
fn what_is_done_is_paid_for() {
    let document = crate::json::parse(br#"{"a":{"b":[1,2,3]},"s":"0123456789"}"#).unwrap();
    let environment = Environment::kubernetes().with("o", Declaration::dynamic());
    let activation = Activation::new().with("o", Val::dynamic(&document));
    for (source, cost) in [
        ("true", 0),
        ("o", 1),
        ("o.a.b", 3),
        ("o.a.b[0]", 4),
        ("o.a.b[0] + 1", 5),
        ("has(o.a.b)", 2),
        ("[o]", 11),
        ("{'a': o}", 31),
        ("true || o", 0),
        ("o.a.b.all(x, x > 0)", 3 + 3 * (2 + 1 + 2) + 1),
        ("o.s.contains('0')", 3),
        ("o.s.startsWith('0')", 3),
        ("o.s == o.s", 5),
        ("[1, 2]", 0),
    ] {
        let program = environment.compile(source).unwrap();
        assert_eq!(program.evaluate(&activation, CALL_LIMIT).cost, cost, "{source}");
    }
}

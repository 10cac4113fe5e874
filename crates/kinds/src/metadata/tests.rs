use machinery::Value;
use machinery::field::{Error, Errors};

use super::*;
use crate::NameRule;
use crate::place::inspect;

fn metadata(members: &[(&str, Value)]) -> Value {
    let mut document = Value::from([("name", Value::from("x")), ("namespace", Value::from("n"))]);
    for (name, value) in members {
        document.set(name, value.clone());
    }
    Value::from([("metadata", document)])
}

fn map(pairs: &[(&str, &str)]) -> Value {
    let mut map = Value::object();
    for (key, value) in pairs {
        map.set(key, *value);
    }
    map
}

fn texts(items: &[&str]) -> Value {
    Value::Array(items.iter().map(|item| Value::from(*item)).collect())
}

fn told(document: &Value, check: impl FnOnce(Place<'_>)) -> String {
    let mut errors = Errors::new();
    inspect(document, &mut errors, |root| check(root.get("metadata")));
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join(" | ")
}

const NAMESPACED: Policy = Policy::namespaced(NameRule::Subdomain);

/// Members of the metadata and the beginning of what is told about them; empty if nothing is.
#[test]
fn new_objects_are_checked() {
    let owner = |controller: bool, uid: &str| {
        Value::from([
            ("apiVersion", Value::from("v1")),
            ("kind", Value::from("Pod")),
            ("name", Value::from("p")),
            ("uid", Value::from(uid)),
            ("controller", Value::from(controller)),
        ])
    };
    let event = Value::from([
        ("apiVersion", Value::from("v1")),
        ("kind", Value::from("Event")),
        ("name", Value::from("p")),
        ("uid", Value::from("u1")),
    ]);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("name", Value::from("a.b-c"), ""),
        ("name", Value::Null, "metadata.name: Required value: name or generateName is required"),
        ("name", Value::from("A"), "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain"),
        ("generateName", Value::from("web-"), ""),
        (
            "generateName",
            Value::from("Bad_"),
            "metadata.generateName: Invalid value: \"Bad_\": a lowercase RFC 1123 sub",
        ),
        ("namespace", Value::Null, "metadata.namespace: Required value"),
        (
            "namespace",
            Value::from("N"),
            "metadata.namespace: Invalid value: \"N\": a lowercase RFC 1123 label",
        ),
        (
            "generation",
            Value::from(-1i64),
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("labels", map(&[("a", "b"), ("x.io/y", "")]), ""),
        ("labels", map(&[("a b", "c")]), "metadata.labels: Invalid value: \"a b\": name part must consist"),
        ("labels", map(&[("a", "b c!")]), "metadata.labels: Invalid value: \"b c!\": a valid label must be"),
        ("annotations", map(&[("Example.com/Any", "any text !")]), ""),
        ("annotations", map(&[("a b", "")]), "metadata.annotations: Invalid value: \"a b\": name part must"),
        (
            "annotations",
            map(&[("a", &"x".repeat(262_144))]),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        ("finalizers", texts(&["example.com/a", "kubernetes", "orphan"]), ""),
        (
            "finalizers",
            texts(&["nodomain"]),
            "metadata.finalizers[0]: Invalid value: \"nodomain\": name is neither a standard",
        ),
        (
            "finalizers",
            texts(&["a b/c"]),
            "metadata.finalizers: Invalid value: \"a b/c\": prefix part a lowercase",
        ),
        (
            "finalizers",
            texts(&["orphan", "foregroundDeletion"]),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ),
        ("ownerReferences", Value::from(vec![owner(true, "u1"), owner(false, "u2")]), ""),
        (
            "ownerReferences",
            Value::from(vec![owner(false, "")]),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ),
        (
            "ownerReferences",
            Value::from(vec![owner(true, "u1"), owner(true, "u2")]),
            "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u1\",\"controller\":true},{",
        ),
        (
            "ownerReferences",
            Value::from(vec![event]),
            "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"p\",\"uid\":\"u1\"}: /v1, Kind=Event is disallowed from being an owner",
        ),
        (
            "managedFields",
            Value::from(vec![Value::from([("operation", Value::from("Odd"))])]),
            "metadata.managedFields[0].operation: Invalid value: \"Odd\": must be `Apply` or `Update`",
        ),
    ];
    for (member, value, expected) in cases {
        let told = told(&metadata(&[(member, value)]), |place| check(place, &NAMESPACED));
        assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{member}: {told}");
    }
    let cluster = Policy::cluster(NameRule::Subdomain);
    assert_eq!(
        told(&metadata(&[]), |place| check(place, &cluster)),
        "metadata.namespace: Forbidden: not allowed on this type"
    );
}

#[test]
fn updates_are_checked() {
    let time = |text: &str| Value::from(text);
    let cases: Vec<(&str, Value, Value, &str)> = vec![
        ("uid", Value::from("a"), Value::from("a"), ""),
        ("uid", Value::from("a"), Value::from("b"), "metadata.uid: Invalid value: \"b\": field is immutable"),
        (
            "name",
            Value::from("a"),
            Value::from("b"),
            "metadata.name: Invalid value: \"b\": field is immutable",
        ),
        (
            "generation",
            Value::from(3i64),
            Value::from(2i64),
            "metadata.generation: Invalid value: 2: must not be decremented",
        ),
        ("creationTimestamp", time("2024-01-01T00:00:00Z"), time("2024-01-01T01:00:00+01:00"), ""),
        (
            "deletionTimestamp",
            Value::Null,
            time("2001-01-01T00:00:00Z"),
            "metadata.deletionTimestamp: Invalid value: \"2001-01-01T00:00:00Z\": field is immutable",
        ),
        (
            "deletionGracePeriodSeconds",
            Value::Null,
            Value::from(3i64),
            "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable",
        ),
        ("finalizers", Value::Null, texts(&["a.io/b"]), ""),
        (
            "finalizers",
            Value::Null,
            texts(&["x"]),
            "metadata.finalizers[0]: Invalid value: \"x\": name is neither",
        ),
        ("labels", Value::Null, map(&[("-", "")]), "metadata.labels: Invalid value: \"-\""),
    ];
    for (member, old, new, expected) in cases {
        let old = metadata(&[(member, old)]);
        let told =
            told(&metadata(&[(member, new)]), |place| check_update(place, old.get("metadata"), &NAMESPACED));
        assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{member}: {told}");
    }
}

#[test]
fn what_is_being_deleted_gets_no_new_finalizers() {
    let deleted = ("deletionTimestamp", Value::from("2024-01-01T00:00:00Z"));
    let old = metadata(&[deleted.clone(), ("finalizers", texts(&["a.io/b"]))]);
    let new = metadata(&[deleted.clone(), ("finalizers", texts(&["a.io/b", "c.io/d"]))]);
    assert_eq!(
        told(&new, |place| check_update(place, old.get("metadata"), &NAMESPACED)),
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
         finalizers []string{\"c.io/d\"}"
    );
    let fewer = metadata(&[deleted]);
    assert_eq!(told(&fewer, |place| check_update(place, old.get("metadata"), &NAMESPACED)), "");
}

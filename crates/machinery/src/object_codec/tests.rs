//! Objects from bytes and back.

use crate::object::stored_form;
use crate::{Object, Value, json};

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"d","uid":"u-1","resourceVersion":"42","generation":2,"creationTimestamp":"2024-01-01T00:00:00Z","deletionTimestamp":"2024-01-01T00:00:01Z","labels":{"app":"web","a":"b"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"u-2","controller":true,"blockOwnerDeletion":true}],"finalizers":["f"],"managedFields":[{"manager":"m","fieldsV1":{"f:x":{}}}]},"spec":{"a":"}"},"status":{}}"#;

const CUSTOM: &str = r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"creationTimestamp":"2024-01-01T00:00:00Z","managedFields":[{"manager":"m"}],"name":"t","resourceVersion":"7","uid":"u"},"spec":{}}"#;

fn whole(object: &Object) -> String {
    let mut out = Vec::new();
    object.write_json(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn without(text: &str, part: &str) -> String {
    assert!(text.contains(part), "{part}");
    text.replacen(part, "", 1)
}

#[test]
fn the_header_says_what_everybody_asks() {
    let object = Object::from_json(POD.as_bytes()).expect("a pod");
    let header = object.header();
    assert_eq!((header.api_version.as_str(), header.kind.as_str()), ("v1", "Pod"));
    assert_eq!((header.key().as_str(), header.uid.as_str()), ("d/web", "u-1"));
    assert_eq!((header.revision, header.generation, header.deleting), (42, 2, true));
    assert_eq!((header.label("app"), header.label("a"), header.label("x")), (Some("web"), Some("b"), None));
    assert_eq!(header.controller().map(|owner| owner.uid.as_str()), Some("u-2"));
    assert_eq!(header.finalizers.as_ref(), ["f"]);
}

#[test]
fn managed_fields_are_kept_apart_and_put_back() {
    for (text, member) in [
        (POD, r#","managedFields":[{"manager":"m","fieldsV1":{"f:x":{}}}]"#),
        (CUSTOM, r#","managedFields":[{"manager":"m"}]"#),
    ] {
        let object = Object::from_json(text.as_bytes()).expect("an object");
        assert_eq!(String::from_utf8_lossy(object.body()), without(text, member));
        assert_eq!(whole(&object), text);
        assert_eq!(object.json_len(), text.len());
        assert!(object.to_value().expect("a document").at(&["metadata", "managedFields"]).is_null());
        assert_eq!(json::to_string(&object.to_whole_value().expect("a document")), text);
        let again = Object::from_value(&json::parse(text.as_bytes()).expect("JSON")).expect("an object");
        assert_eq!(again, object);
    }
}

#[test]
fn what_the_store_holds_becomes_the_same_object() {
    for (text, revision) in [(POD, 42), (CUSTOM, 7)] {
        let document = json::parse(text.as_bytes()).expect("JSON");
        let stored = stored_form(&document);
        assert!(!String::from_utf8_lossy(&stored).contains("resourceVersion"));
        let object = Object::from_stored(&stored, revision).expect("an object");
        assert_eq!(whole(&object), text);
        assert_eq!(object.header(), Object::from_json(text.as_bytes()).expect("an object").header());
        assert!(object.is_stored_as(&stored), "{text}");
        assert!(!object.is_stored_as(&stored[1..]));
        let other = String::from_utf8(stored).expect("UTF-8").replace("u", "v");
        assert!(!object.is_stored_as(other.as_bytes()));
    }
}

#[test]
fn an_object_can_be_shown_at_another_revision() {
    for (text, number) in [(POD, "\"42\""), (CUSTOM, "\"7\"")] {
        for revision in [1u64, 42, 123_456_789] {
            let object = Object::from_json(text.as_bytes()).expect("an object").at_revision(revision);
            let expected = text.replacen(number, &format!("\"{revision}\""), 1);
            assert_eq!(whole(&object), expected);
            assert_eq!(object.header().revision, revision);
            assert_eq!(
                whole(&object.at_revision(3)),
                whole(&Object::from_json(expected.as_bytes()).unwrap().at_revision(3))
            );
        }
    }
    let without = Object::from_json(br#"{"kind":"Status","metadata":{}}"#).expect("an object");
    assert_eq!(without.at_revision(5), without);
}

#[test]
fn odd_metadata_is_no_trouble() {
    for (stored, expected) in [
        (r#"{"kind":"K","metadata":{}}"#, r#"{"kind":"K","metadata":{"resourceVersion":"5"}}"#),
        (
            r#"{"kind":"K","metadata":{"managedFields":[1]}}"#,
            r#"{"kind":"K","metadata":{"resourceVersion":"5","managedFields":[1]}}"#,
        ),
        (
            r#"{"kind":"K","metadata":{"managedFields":[1],"labels":{}}}"#,
            r#"{"kind":"K","metadata":{"resourceVersion":"5","labels":{},"managedFields":[1]}}"#,
        ),
        (
            r#"{"kind":"K","metadata":{"labels":{}}}"#,
            r#"{"kind":"K","metadata":{"resourceVersion":"5","labels":{}}}"#,
        ),
        (
            r#"{"apiVersion":"g/v","kind":"K","metadata":{"managedFields":[1],"name":"n"}}"#,
            r#"{"apiVersion":"g/v","kind":"K","metadata":{"managedFields":[1],"name":"n","resourceVersion":"5"}}"#,
        ),
        (
            r#"{"apiVersion":"g/v","kind":"K","metadata":{"uid":"n"}}"#,
            r#"{"apiVersion":"g/v","kind":"K","metadata":{"resourceVersion":"5","uid":"n"}}"#,
        ),
    ] {
        let object = Object::from_stored(stored.as_bytes(), 5).expect("an object");
        assert_eq!(whole(&object), expected, "{stored}");
        // What stood elsewhere than it belongs is not stored as it was.
        let members = [r#","resourceVersion":"5""#, r#""resourceVersion":"5","#, r#""resourceVersion":"5""#];
        let in_order = members.iter().any(|member| expected.replacen(member, "", 1) == stored);
        assert_eq!(object.is_stored_as(stored.as_bytes()), in_order, "{stored}");
        assert_eq!(whole(&object.at_revision(66)), expected.replace("\"5\"", "\"66\""), "{stored}");
    }
    assert!(Object::from_stored(br#"{"kind":"K"}"#, 5).is_err());
    assert!(Object::from_json(b"[]").is_err());
    assert!(Object::from_json(br#"{"kind":"K""#).is_err());
    assert_eq!(
        whole(&Object::from_json(br#"{"kind":"Status","metadata":{}}"#).expect("an object")),
        r#"{"kind":"Status","metadata":{}}"#
    );
}

#[test]
fn a_view_is_shared_while_somebody_holds_it() {
    let object = Object::from_json(POD.as_bytes()).expect("a pod");
    let first = object.view::<serde_json::Value>().expect("a view");
    let second = object.clone().view::<serde_json::Value>().expect("a view");
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    drop((first, second));
    let third = object.view::<serde_json::Value>().expect("a view");
    let fourth = object.view::<serde_json::Value>().expect("a view");
    assert!(std::sync::Arc::ptr_eq(&third, &fourth));
    assert_eq!(third["spec"]["a"], "}");
    let _: Value = object.to_value().expect("a document");
}

//! Protobuf where the reference objects do not go: unset fields, strange messages, random documents of every kind.

use api::Table;
use machinery::json::{self, Report, TypeMeta};
use machinery::schema::{Alternative, Free, Shape, TypeRef};
use machinery::{Map, Value, protobuf};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn meta(api_version: &str, kind: &str) -> TypeMeta {
    TypeMeta { api_version: api_version.into(), kind: kind.into() }
}

fn message(document: &str, ty: TypeRef<'_>) -> Vec<u8> {
    let document = json::decode(document.as_bytes(), ty, &mut Report::new()).expect("a document");
    let mut message = Vec::new();
    protobuf::encode(&document, ty, &mut message);
    message
}

#[test]
fn what_cannot_be_unset_is_always_written() {
    let table = Table::load();
    let lease = table.type_of(table.kind("coordination.k8s.io", "v1", "Lease").expect("leases exist"));
    // An empty spec is a message without fields: all of its fields may be unset.
    assert_eq!(message(r#"{"metadata":{"name":"l"}}"#, lease).last_chunk(), Some(&[0x12, 0]));
    let port = table.types().named("io.k8s.api.core.v1.ContainerPort").expect("it exists");
    assert_eq!(message(r#"{"containerPort":80}"#, port), b"\x0a\x00\x10\x00\x18\x50\x22\x00\x2a\x00");
    let probe = table.types().named("io.k8s.api.core.v1.HTTPGetAction").expect("it exists");
    assert_eq!(
        message(r#"{"port":"http"}"#, probe),
        b"\x0a\x00\x12\x0a\x08\x01\x10\x00\x1a\x04http\x1a\x00\x22\x00"
    );
}

#[test]
fn entries_without_values_hold_what_upstream_reads_into_them() {
    let table = Table::load();
    let read = |group: &str, version: &str, kind: &str, message: &[u8]| {
        let ty = table.type_of(table.kind(group, version, kind).expect("a known kind"));
        json::to_string(&protobuf::decode(message, &TypeMeta::default(), ty).expect("a message"))
    };
    // Field 2 of a Secret: an entry with nothing but its key.
    let secret = read("", "v1", "Secret", b"\x12\x03\x0a\x01a");
    assert!(secret.contains(r#""data":{"a":""}"#), "{secret}");
    // The extra facts of a subject: a list that is there but has no items.
    let review = b"\x12\x07\x2a\x05\x0a\x01z\x12\x00";
    let review = read("authorization.k8s.io", "v1", "SubjectAccessReview", review);
    assert!(review.contains(r#""extra":{"z":null}"#), "{review}");
}

#[test]
fn an_envelope_says_what_is_in_it() {
    let mut body = Vec::new();
    protobuf::seal(&meta("v1", "Pod"), b"\x12\x00", &mut body);
    let envelope = protobuf::open(&body).expect("an envelope");
    assert_eq!((envelope.meta, envelope.raw), (meta("v1", "Pod"), &b"\x12\x00"[..]));
    assert!(protobuf::open(b"{}").is_err());
    assert!(protobuf::open(&body[..body.len() - 5]).is_err());
}

#[test]
fn frames_and_lists_are_put_together_from_messages() {
    let table = Table::load();
    let list = table.type_of(table.kind("", "v1", "NamespaceList").expect("they exist"));
    let item = table.type_of(table.kind("", "v1", "Namespace").expect("they exist"));
    let document = r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}"#;
    let metadata = message(r#"{"resourceVersion":"7"}"#, list.field("metadata").expect("it has").ty());
    let items =
        [r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"b"}}"#].map(|text| message(text, item));
    let mut joined = Vec::new();
    protobuf::encode_list(&metadata, items.iter().map(Vec::as_slice), &mut joined);
    assert_eq!(joined, message(document, list));
    let mut frame = Vec::new();
    protobuf::encode_event("ADDED", b"k8s\0..", &mut frame);
    let event = table.type_of(table.kind("", "v1", "WatchEvent").expect("they exist"));
    assert_eq!(frame[..4], [0, 0, 0, frame.len() as u8 - 4]);
    assert_eq!(frame[4..11], *b"\x0a\x05ADDED");
    assert!(protobuf::decode(&frame[4..11], &TypeMeta::default(), event).is_ok());
}

#[test]
fn no_message_makes_the_decoder_panic() {
    let table = Table::load();
    let pod = table.type_of(table.kind("", "v1", "Pod").expect("pods exist"));
    let whole = message(
        r#"{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","ports":[{"containerPort":1}]}]}}"#,
        pod,
    );
    let mut runner = TestRunner::new(Config::with_cases(2000));
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    runner
        .run(&(edits, any::<prop::sample::Index>()), |(edits, end)| {
            let mut bytes = whole.clone();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(end.index(bytes.len() + 1));
            if let Ok(document) = protobuf::decode(&bytes, &meta("v1", "Pod"), pod) {
                let text = json::to_vec(&document);
                let again = json::decode(&text, pod, &mut Report::new());
                prop_assert_eq!(again.map(|value| json::to_string(&value)), Ok(json::to_string(&document)));
            }
            Ok(())
        })
        .expect("every message is read or refused");
}

/// A document of a type, drawn from a sequence of numbers. Its lists and maps are never empty, which a message cannot
/// tell from unset.
fn draw(ty: TypeRef<'_>, seed: &mut u64, depth: usize) -> Value {
    let mut next = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let text = |number: u64| ["", "a", "é<>", "a longer text than fits in place"][number as usize % 4];
    match ty.shape() {
        Shape::Bool => Value::Bool(next(2) == 1),
        Shape::Int32 => Value::Int([0, 1, -1, i64::from(i32::MAX)][next(4) as usize]),
        Shape::Int64 => Value::Int([0, 7, i64::MIN, i64::MAX][next(4) as usize]),
        Shape::Float => Value::Float([0.5, -1e300, 1e-7, 2.25][next(4) as usize]),
        Shape::String => Value::from(text(next(4))),
        Shape::Bytes => Value::from(["", "aGk=", "AA==", "////"][next(4) as usize]),
        Shape::Time => Value::from(["2024-01-01T00:00:00Z", "1969-12-31T23:59:59Z"][next(2) as usize]),
        Shape::MicroTime => Value::from("2024-01-01T00:00:00.000001Z"),
        Shape::Duration => Value::from(["0s", "1m30s", "1.5ms"][next(3) as usize]),
        Shape::Quantity => Value::from(["0", "100m", "1536Mi", "12e6"][next(4) as usize]),
        Shape::IntOrString => {
            [Value::Int(80), Value::from("http"), Value::from("25%")][next(3) as usize].clone()
        }
        Shape::Any(Free::Interface) => Value::Null,
        Shape::Any(_) => Value::from([("b", Value::from("x")), ("a", Value::Array(vec![Value::Int(1)]))]),
        Shape::Struct(_) if depth > 12 => Value::object(),
        Shape::Struct(_) => {
            let dense = if depth < 3 { 2 } else { 4 };
            let mut map = Map::new();
            for field in ty.fields() {
                let skipped = field.number == 0 || {
                    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    !(*seed >> 33).is_multiple_of(dense)
                };
                if !skipped {
                    map.insert(field.name.clone(), draw(field.ty(), seed, depth + 1));
                }
            }
            Value::Object(map)
        }
        Shape::Map(_) => {
            let value = ty.item().expect("maps have values");
            let mut map = Map::new();
            for name in ["z", "a"].into_iter().take(1 + next(2) as usize) {
                map.insert(name, draw(value, seed, depth + 1));
            }
            Value::Object(map)
        }
        Shape::List(_) => {
            let item = ty.item().expect("lists have items");
            let count = 1 + next(2);
            Value::Array((0..count).map(|_| draw(item, seed, depth + 1)).collect())
        }
        Shape::SchemaOr(Alternative::Bool, _) => Value::Bool(next(2) == 1),
        Shape::SchemaOr(Alternative::Schemas, _) => Value::Null,
        Shape::SchemaOr(Alternative::Strings, _) => Value::Array(vec![Value::from("s")]),
    }
}

#[test]
fn random_documents_of_every_kind_survive_a_message() {
    let table = Table::load();
    for kind in table.kinds().iter().filter(|kind| kind.kind != "Table") {
        let ty = table.type_of(kind);
        for start in 0..8u64 {
            let mut seed = start.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let drawn = draw(ty, &mut seed, 0);
            let body = json::to_vec(&drawn);
            let document = json::decode(&body, ty, &mut Report::new())
                .unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
            let mut message = Vec::new();
            protobuf::encode(&document, ty, &mut message);
            let again = protobuf::decode(&message, &TypeMeta::default(), ty)
                .unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
            let (again, document) = (json::to_string(&again), json::to_string(&document));
            let at = again.bytes().zip(document.bytes()).take_while(|(a, b)| a == b).count();
            let from =
                (0..=at.saturating_sub(80)).rev().find(|at| document.is_char_boundary(*at)).unwrap_or(0);
            assert_eq!(again.get(from..), document.get(from..), "{} {start}", kind.kind);
        }
    }
}

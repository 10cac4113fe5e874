//! Protobuf where the reference objects do not go: unset fields and strange messages.

use api::Table;
use machinery::json::{self, Report, TypeMeta};
use machinery::protobuf;
use machinery::schema::TypeRef;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn meta(api_version: &str, kind: &str) -> TypeMeta {
    TypeMeta { api_version: api_version.into(), kind: kind.into() }
}

fn message(document: &str, ty: TypeRef<'_>) -> Vec<u8> {
    let document = json::decode(document.as_bytes(), ty, &mut Report::new()).expect("a document");
    let (mut message, mut of_text) = (Vec::new(), Vec::new());
    protobuf::encode(&document, ty, &mut message);
    protobuf::transcode(&json::to_vec(&document), ty, &mut of_text).expect("what was written is JSON");
    assert_eq!(of_text, message, "a text and its document have the same message");
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

#[test]
fn a_text_that_is_no_utf_8_or_no_json_is_taken_as_documents_take_it() {
    let table = Table::load();
    let secret = table.type_of(table.kind("", "v1", "Secret").expect("secrets exist"));
    let text = b"{\"metadata\":{\"name\":\"a\\u00e9\xff\",\"labels\":{\"b\":\"1\",\"a\":\"\\n\"}},\"immutable\":null}";
    let (mut of_text, mut message) = (Vec::new(), Vec::new());
    protobuf::transcode(text, secret, &mut of_text).expect("JSON");
    protobuf::encode(&json::parse(text).expect("JSON"), secret, &mut message);
    assert_eq!(of_text, message);
    let error = protobuf::transcode(b"{\"a\":", secret, &mut of_text).expect_err("it is cut off");
    assert_eq!(error.text, "unexpected end of JSON input");
}

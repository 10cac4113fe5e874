use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use x509_parser::extensions::ParsedExtension;

use super::authority::Authority;
use super::plan::{View, plan};
use super::request::{CLIENT, LEGACY, NODE_CLIENT, NODE_SERVER, Request};
use crate::tests::fixtures::{NOW, ago, body, merge, object, writes};

/// A request by `name` in `groups`, with other names: PEM.
fn asked(name: &str, groups: &[&str], names: Vec<SanType>) -> String {
    let mut params = CertificateParams::default();
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn dns() -> Vec<SanType> {
    vec![SanType::DnsName("node-1".try_into().unwrap())]
}

fn node() -> String {
    asked("system:node:node-1", &["system:nodes"], Vec::new())
}

fn authority() -> Arc<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ironclad");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Arc::new(Authority::open(&certificate.pem(), &key.serialize_pem()).unwrap())
}

fn usages(purpose: &str) -> Value {
    json!(["digital signature", "key encipherment", purpose])
}

fn view(pem: &str, changes: Value) -> View {
    let request = json!(ByteString(pem.as_bytes().to_vec()));
    let mut document = json!({ "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "name": "r", "uid": "f0e1d2c3-b4a5-4968-8778-695a4b3c2d1e", "resourceVersion": "3",
            "creationTimestamp": ago(60) },
        "spec": { "request": request, "signerName": NODE_CLIENT, "usages": usages("client auth"), "username": "system:node:node-1" } });
    merge(&mut document, changes);
    let object = object(&document);
    let typed = object.view::<CertificateSigningRequest>().unwrap();
    View { object, typed, approval: None, authority: Some(authority()) }
}

fn decided(kind: &str, secs_ago: i64) -> Value {
    json!({ "status": { "conditions": [{ "type": kind, "status": "True", "lastUpdateTime": ago(secs_ago) }] } })
}

fn with(mut left: Value, right: Value) -> Value {
    merge(&mut left, right);
    left
}

#[test]
fn what_a_node_asks_for_itself_is_approved() {
    let mut view = view(&node(), json!({}));
    assert_eq!(plan(&view, NOW).ops().count(), 0);
    view.approval = Some("because");
    let plan = plan(&view, NOW);
    assert_eq!(writes(&plan), ["update certificatesigningrequests/approval r"]);
    let condition = body(plan.ops().next().unwrap())["status"]["conditions"][0].clone();
    assert_eq!(
        (&condition["type"], &condition["reason"], &condition["message"]),
        (&json!("Approved"), &json!("AutoApproved"), &json!("because"))
    );
}

/// The request, its signer and usages, and what is wrong.
#[test]
fn each_signer_has_its_rules() {
    let nobody = asked("jane", &["system:nodes"], Vec::new());
    let strange = asked("system:node:a", &["system:masters"], Vec::new());
    let server = asked("system:node:node-1", &["system:nodes"], dns());
    let cases = [
        (&node(), NODE_CLIENT, usages("client auth"), None),
        (&node(), NODE_CLIENT, json!(["digital signature", "client auth"]), None),
        (
            &node(),
            NODE_CLIENT,
            usages("server auth"),
            Some("usages did not match [client auth digital signature key encipherment]"),
        ),
        (
            &nobody,
            NODE_CLIENT,
            usages("client auth"),
            Some("subject common name does not begin with system:node: "),
        ),
        (&strange, NODE_CLIENT, usages("client auth"), Some("subject organization is not system:nodes")),
        (&server, NODE_CLIENT, usages("client auth"), Some("DNS subjectAltNames are not allowed")),
        (&server, NODE_SERVER, usages("server auth"), None),
        (&node(), NODE_SERVER, usages("server auth"), Some("DNS or IP subjectAltName is required")),
        (
            &server,
            NODE_SERVER,
            usages("client auth"),
            Some("usages did not match [digital signature key encipherment server auth]"),
        ),
        (&nobody, CLIENT, usages("client auth"), None),
        (&nobody, CLIENT, usages("server auth"), Some("invalid usage for client certificate: server auth")),
        (
            &nobody,
            CLIENT,
            json!(["digital signature"]),
            Some("missing required usage for client certificate: client auth"),
        ),
        (&nobody, LEGACY, json!(["cert sign", "any"]), None),
    ];
    for (pem, signer, usages, wrong) in cases {
        let changes =
            with(decided("Approved", 5), json!({ "spec": { "signerName": signer, "usages": usages } }));
        let plan = plan(&view(pem, changes), NOW);
        assert_eq!(writes(&plan), ["update certificatesigningrequests/status r"], "{signer} {usages}");
        let status = body(plan.ops().next().unwrap())["status"].clone();
        match wrong {
            None => assert!(status["certificate"].is_string(), "{signer} {usages}"),
            Some(wrong) => {
                let failed = &status["conditions"][1];
                assert_eq!(
                    (&failed["type"], &failed["reason"]),
                    (&json!("Failed"), &json!("SignerValidationFailure"))
                );
                assert_eq!(failed["message"], wrong, "{signer} {usages}");
            }
        }
    }
}

#[test]
fn a_certificate_says_what_was_asked_and_ends_when_it_should() {
    let day = 86_400;
    let cases = [
        (Value::Null, -300, 365 * day - 300),
        (json!(3_600), -300, 3_600),
        (json!(day), -300, day - 300),
        (json!(10), -300, 600),
        (json!(1_000 * day), -300, 365 * day - 300),
    ];
    for (asked_for, begins, ends) in cases {
        let changes = json!({ "spec": { "signerName": NODE_SERVER, "usages": usages("server auth"), "expirationSeconds": asked_for } });
        let pem = asked("system:node:node-1", &["system:nodes"], dns());
        let plan = plan(&view(&pem, with(decided("Approved", 5), changes)), NOW);
        let signed: ByteString =
            serde_json::from_value(body(plan.ops().next().unwrap())["status"]["certificate"].clone())
                .unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&signed.0).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=system:node:node-1, O=system:nodes");
        assert_eq!(certificate.issuer().iter_common_name().next().unwrap().as_str().unwrap(), "ironclad");
        assert_eq!(certificate.validity().not_before.timestamp() - NOW.secs(), begins);
        assert_eq!(certificate.validity().not_after.timestamp() - NOW.secs(), ends, "{asked_for}");
        assert_eq!(certificate.raw_serial()[0], 0x70);
        assert!(!certificate.is_ca());
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
        let names = certificate.extensions().iter().filter(|extension| {
            matches!(extension.parsed_extension(), ParsedExtension::SubjectAlternativeName(_))
        });
        assert_eq!(names.count(), 1);
    }
}

#[test]
fn a_certificate_is_signed_by_its_authority() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().pem();
    let authority = Authority::open(&root, &key.serialize_pem()).unwrap();
    let request = Request::read(node().as_bytes()).unwrap();
    let terms = super::authority::Terms {
        serial: &[1],
        usages: &["client auth".to_owned()],
        lasts: std::time::Duration::from_secs(900),
    };
    let signed = authority.sign(&request, &terms, NOW).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
    let (_, root) = x509_parser::pem::parse_x509_pem(root.as_bytes()).unwrap();
    let root = root.parse_x509().unwrap();
    pem.parse_x509().unwrap().verify_signature(Some(root.public_key())).unwrap();
}

#[test]
fn all_groups_of_a_subject_are_kept() {
    let request = Request::read(include_bytes!("tests/two_groups.pem")).unwrap();
    assert_eq!((request.common_name.as_str(), request.organizations.len()), ("jane", 2));
}

#[test]
fn what_is_no_request_is_refused() {
    let mut broken = node();
    broken.truncate(60);
    for text in ["", "x", &broken] {
        assert!(Request::read(text.as_bytes()).is_err());
    }
    let changes = with(decided("Approved", 5), json!({ "spec": { "signerName": CLIENT } }));
    let plan = plan(&view("nothing", changes), NOW);
    assert_eq!(body(plan.ops().next().unwrap())["status"]["conditions"][1]["type"], "Failed");
}

/// How a request stands, and after how many seconds more it goes: `None` never.
#[test]
fn requests_are_kept_for_a_while() {
    let signed = json!({ "status": { "certificate": "eA==" } });
    let old = json!({ "metadata": { "creationTimestamp": ago(86_400) } });
    let cases = [
        (json!({}), Some(86_340)),
        (old.clone(), Some(0)),
        (decided("Denied", 100), Some(3_500)),
        (decided("Denied", 3_600), Some(0)),
        (decided("Failed", 3_600), Some(0)),
        (with(with(decided("Approved", 3_600), signed.clone()), old.clone()), Some(0)),
        (with(decided("Approved", 100), signed), Some(3_500)),
    ];
    for (changes, expected) in cases {
        let plan = plan(&view(&node(), changes.clone()), NOW);
        let goes = if writes(&plan) == ["delete certificatesigningrequests r"] {
            Some(0)
        } else {
            plan.requeue_after.map(|after| after.as_secs())
        };
        assert_eq!(goes, expected, "{changes}");
    }
    let other =
        with(with(decided("Approved", 4_000), old), json!({ "spec": { "signerName": "example.com/mine" } }));
    assert_eq!(plan(&view(&node(), other), NOW).ops().count(), 0, "somebody else's to sign");
}

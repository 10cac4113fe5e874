//! Webhooks that listen on this machine.

use std::sync::{Arc, Mutex};

use api::Table;
use arc_swap::ArcSwap;
use base64::Engine as _;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use machinery::Value;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::tests::Reviewed;
use super::super::{Review, Surroundings};
use super::*;
use crate::authz::tests::{World, masters};
use crate::config;
use crate::http::tls;
use crate::identity::Identity;
use crate::registry::Registry;

const CONFIG_MAP: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n"},"data":{"x":"bad"}}"#;

/// A server that answers every question with the same response, in which `UID` stands for the question's.
struct Hook {
    port: u16,
    /// The CA that signed its certificate, as configurations write it.
    ca: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

async fn hook(world: &World, code: u16, response: &str) -> Hook {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "hook.n.svc".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let pair =
        config::KeyPair { chain: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() };
    let mut server = (*tls::server_config(&pair).unwrap()).clone();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (seen, response) = (asked.clone(), response.to_owned());
    world.env.tasks.spawn("webhook", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
                let (seen, response) = (seen.clone(), response.clone());
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let question = machinery::json::parse(&body).unwrap();
                    let uid = question.at(&["request", "uid"]).str_or_empty().to_owned();
                    seen.lock().unwrap().push(question);
                    let answer = Full::new(bytes::Bytes::from(response.replace("UID", &uid)));
                    Ok::<_, hyper::Error>(http::Response::builder().status(code).body(answer).unwrap())
                }
            });
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no failure of the server.
            let _ = served.await;
        }
    });
    Hook { port, ca: base64::engine::general_purpose::STANDARD.encode(ca_pem), asked }
}

fn response(body: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"UID",{body}}}}}"#
    )
}

fn configuration(kind: &str, client: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}","metadata":{{"name":"c"}},"webhooks":[{{
            "name":"hook.example.com","clientConfig":{client},"admissionReviewVersions":["v1"],"sideEffects":"None",
            "matchPolicy":"Equivalent","rules":[{{"apiGroups":["*"],"apiVersions":["*"],"operations":["*"],
            "resources":["configmaps","pods/attach"],"scope":"*"}}],"timeoutSeconds":5{more}}}]}}"#
    )
}

async fn world() -> World {
    let world = World::new().await;
    world
        .put("core/namespaces", "n", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#)
        .await;
    world
}

async fn put(world: &World, kind: &str, client: &str, more: &str) {
    let collection = if kind.starts_with('M') {
        "mutatingwebhookconfigurations"
    } else {
        "validatingwebhookconfigurations"
    };
    let json = configuration(kind, client, more);
    world.put(&format!("admissionregistration.k8s.io/{collection}"), "c", &json).await;
}

/// What becomes of a new config map: the object or the message, and the warnings.
async fn write(world: &World, dry: bool) -> (Result<Value, (u16, String)>, Vec<String>) {
    let registry = ArcSwap::from_pointee(Registry::built_in(Table::load(), &world.caches));
    let around = Surroundings {
        caches: &world.caches,
        registry: &registry,
        entropy: &world.env.entropy,
        env: &world.env,
        system_roots: &[],
    };
    let webhooks = Webhooks::new(&Arc::new(masters()));
    let reviewed = Reviewed::new(world, "create configmaps a", "n", (CONFIG_MAP, "null"));
    let identity = Identity::new("alice", &[]);
    let mut review: Review<'_> = reviewed.review(&identity);
    review.is_dry_run = dry;
    let mut round = Round::default();
    let outcome = match webhooks.mutate(&mut review, around, &mut round).await {
        Ok(()) => webhooks.validate(&mut review, around).await,
        Err(status) => Err(status),
    };
    (outcome.map(|()| review.object).map_err(|status| (status.code, status.message)), review.warnings)
}

fn url(hook: &Hook) -> String {
    format!(r#"{{"url":"https://127.0.0.1:{}/path","caBundle":"{}"}}"#, hook.port, hook.ca)
}

#[tokio::test]
async fn a_webhook_refuses_in_upstreams_words() {
    let denied = "admission webhook \"hook.example.com\" denied the request";
    for (body, expected) in [
        (r#""allowed":true"#, None),
        (r#""allowed":false"#, Some((400, format!("{denied} without explanation")))),
        (r#""allowed":false,"status":{"reason":"bad"}"#, Some((400, format!("{denied}: bad")))),
        (r#""allowed":false,"status":{"message":"no","code":402}"#, Some((402, format!("{denied}: no")))),
        (r#""allowed":false,"status":{"message":"no","code":200}"#, Some((400, format!("{denied}: no")))),
    ] {
        let world = world().await;
        let hook = hook(&world, 200, &response(body)).await;
        put(&world, "ValidatingWebhookConfiguration", &url(&hook), "").await;
        let (outcome, _) = write(&world, false).await;
        assert_eq!(outcome.err(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_webhook_is_asked_about_the_whole_write() {
    let world = world().await;
    let hook = hook(&world, 200, &response(r#""allowed":true,"warnings":["careful"]"#)).await;
    put(&world, "ValidatingWebhookConfiguration", &url(&hook), "").await;
    let (outcome, warnings) = write(&world, true).await;
    assert!(outcome.is_ok());
    assert_eq!(warnings, ["careful"]);
    let asked = hook.asked.lock().unwrap();
    let request = asked[0].get("request");
    assert_eq!(asked[0].get("apiVersion").str_or_empty(), "admission.k8s.io/v1");
    for (path, expected) in [
        (&["operation"][..], "CREATE"),
        (&["kind", "kind"], "ConfigMap"),
        (&["resource", "resource"], "configmaps"),
        (&["requestKind", "version"], "v1"),
        (&["name"], "a"),
        (&["namespace"], "n"),
        (&["userInfo", "username"], "alice"),
        (&["object", "data", "x"], "bad"),
    ] {
        assert_eq!(request.at(path).str_or_empty(), expected, "{path:?}");
    }
    assert!(request.get("dryRun").is_true() && request.get("oldObject").is_null());
}

#[tokio::test]
async fn a_webhook_changes_the_object() {
    let world = world().await;
    let patch = base64::engine::general_purpose::STANDARD.encode(
        r#"[{"op":"add","path":"/data/mutated","value":"yes"},{"op":"add","path":"/unknown","value":1}]"#,
    );
    let body = format!(r#""allowed":true,"patchType":"JSONPatch","patch":"{patch}""#);
    let hook = hook(&world, 200, &response(&body)).await;
    put(&world, "MutatingWebhookConfiguration", &url(&hook), "").await;
    let (outcome, _) = write(&world, false).await;
    let object = outcome.unwrap();
    assert_eq!(machinery::json::to_string(object.get("data")), r#"{"mutated":"yes","x":"bad"}"#);
    assert!(object.get("unknown").is_null(), "what the kind does not have is dropped");
}

#[tokio::test]
async fn what_cannot_be_asked_refuses_unless_that_does_not_matter() {
    let world = world().await;
    let good = hook(&world, 200, &response(r#""allowed":true"#)).await;
    let other = hook(&world, 200, "{}").await;
    let failing = hook(&world, 500, "broken").await;
    let stranger = format!(r#"{{"url":"https://127.0.0.1:{}/","caBundle":"{}"}}"#, good.port, other.ca);
    // A port that was free a moment ago: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let call = "Internal error occurred: failed calling webhook \"hook.example.com\":";
    for (client, expected) in [
        (url(&other), format!("{call} received invalid webhook response: webhook response was absent")),
        (stranger, format!("{call} failed to call webhook: Post ")),
        (
            url(&failing),
            format!("{call} failed to call webhook: an error on the server (\"broken\") has prevented"),
        ),
        (
            format!(r#"{{"url":"https://127.0.0.1:{closed}/x","caBundle":"{}"}}"#, good.ca),
            format!(
                "{call} failed to call webhook: Post \"https://127.0.0.1:{closed}/x?timeout=5s\": dial tcp \
                 127.0.0.1:{closed}: connect: connection refused"
            ),
        ),
        (
            r#"{"service":{"namespace":"n","name":"none","path":"/x","port":443}}"#.to_owned(),
            format!("{call} failed to call webhook: service \"none\" not found"),
        ),
    ] {
        put(&world, "ValidatingWebhookConfiguration", &client, "").await;
        let (outcome, _) = write(&world, false).await;
        let (code, message) = outcome.unwrap_err();
        assert!(code == 500 && message.starts_with(&expected), "{client}: {message}");
        put(&world, "ValidatingWebhookConfiguration", &client, r#","failurePolicy":"Ignore""#).await;
        assert!(write(&world, false).await.0.is_ok(), "{client}");
    }
}

#[tokio::test]
async fn a_service_is_reached_through_its_endpoints() {
    let world = world().await;
    let hook = hook(&world, 200, &response(r#""allowed":false,"status":{"message":"found"}"#)).await;
    let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"hook","namespace":"n"},
        "spec":{"ports":[{"name":"web","port":8443}]}}"#;
    world.put("core/services", "n/hook", service).await;
    let slice = format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"hook-1","namespace":"n",
            "labels":{{"kubernetes.io/service-name":"hook"}}}},"ports":[{{"name":"web","port":{}}}],
            "endpoints":[{{"addresses":["127.0.0.2"],"conditions":{{"ready":false}}}},{{"addresses":["127.0.0.1"]}}]}}"#,
        hook.port
    );
    let client =
        format!(r#"{{"service":{{"namespace":"n","name":"hook","port":8443}},"caBundle":"{}"}}"#, hook.ca);
    put(&world, "ValidatingWebhookConfiguration", &client, "").await;
    let (outcome, _) = write(&world, false).await;
    assert!(outcome.unwrap_err().1.ends_with("no endpoints available for service \"hook\""));
    world.put("discovery.k8s.io/endpointslices", "n/hook-1", &slice).await;
    let (outcome, _) = write(&world, false).await;
    assert!(outcome.unwrap_err().1.ends_with("denied the request: found"));
}

#[tokio::test]
async fn conditions_and_side_effects_are_looked_at_first() {
    let world = world().await;
    let hook = hook(&world, 200, &response(r#""allowed":false"#)).await;
    let conditions =
        |expression: &str| format!(r#","matchConditions":[{{"name":"c","expression":"{expression}"}}]"#);
    put(&world, "ValidatingWebhookConfiguration", &url(&hook), &conditions("object.data.x == 'good'")).await;
    assert!(write(&world, false).await.0.is_ok());
    put(&world, "ValidatingWebhookConfiguration", &url(&hook), &conditions("object.data.x == 'bad'")).await;
    assert!(write(&world, false).await.0.is_err());
    assert_eq!(hook.asked.lock().unwrap().len(), 1);
    let client = url(&hook);
    let json = configuration("ValidatingWebhookConfiguration", &client, "")
        .replace(r#""sideEffects":"None""#, r#""sideEffects":"Some""#);
    world.put("admissionregistration.k8s.io/validatingwebhookconfigurations", "c", &json).await;
    let (outcome, _) = write(&world, true).await;
    assert_eq!(
        outcome.unwrap_err(),
        (400, "admission webhook \"hook.example.com\" does not support dry run".to_owned())
    );
}

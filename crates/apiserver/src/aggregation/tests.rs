//! Another API server behind this one: what it serves is reached, told and watched through here.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use client::https::{Connection, Credentials};
use client::{Call, Write, resources};
use env::Env;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use machinery::{Value, json};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair as Key};
use store::Txn;

use crate::authn::front_proxy::Settings;
use crate::{Config, Identity, KeyPair, KnownToken, Server};

const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "secret-of-ann";

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

/// A server, and the CA of its certificate.
struct House {
    server: Server,
    ca: Vec<u8>,
}

async fn house(env: &Env, change: impl FnOnce(&mut Config)) -> House {
    let names = ["localhost", "ext.n.svc"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = made.signing_key.serialize_pem().into_bytes();
    let ca = made.cert.pem().into_bytes();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.token_key.clone_from(&key);
    config.serving = KeyPair { chain: ca.clone(), key };
    change(&mut config);
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = crate::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    House { server, ca }
}

/// A CA and a certificate of it that says its owner is a front proxy.
fn front_proxy() -> (Vec<u8>, KeyPair) {
    let ca_key = Key::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem().into_bytes();
    let issuer = Issuer::new(ca, ca_key);
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "front");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let chain = params.signed_by(&key, &issuer).unwrap().pem().into_bytes();
    (ca_pem, KeyPair { chain, key: key.serialize_pem().into_bytes() })
}

/// Two servers, of which the first serves what the second has, and a client of the first.
struct Street {
    env: Env,
    here: House,
    there: House,
    client: Connection,
}

async fn street() -> Street {
    let env = Env::real();
    let (ca, proxy_client) = front_proxy();
    let there =
        house(&env, |config| config.front_proxy = Settings { ca, names: vec!["front".to_owned()] }).await;
    let ann = Identity::new("ann", &["system:masters"]);
    let here = house(&env, |config| {
        config.proxy_client = proxy_client;
        config.known_tokens = vec![KnownToken::new(TOKEN.to_owned(), ann)];
    })
    .await;
    define(&there, "things").await;
    let config = client::https::Config {
        server: format!("https://localhost:{}", here.server.addr.port()),
        ca: here.ca.clone(),
        credentials: Credentials::Token(TOKEN.to_owned()),
        user_agent: "test".to_owned(),
        ..client::https::Config::default()
    };
    let client = Connection::new(&config, &env).unwrap();
    Street { env, here, there, client }
}

/// Defines a kind in the group that is served elsewhere.
async fn define(house: &House, plural: &str) {
    let text = format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
            "metadata":{{"name":"{plural}.far.example.com"}},"spec":{{"group":"far.example.com","scope":"Namespaced",
            "names":{{"plural":"{plural}","singular":"s{plural}","kind":"K{plural}","listKind":"K{plural}List"}},
            "versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object",
            "properties":{{"size":{{"type":"integer"}}}}}}}}}}]}}}}"#
    );
    let api = house.server.transport(Identity::server());
    let write = Write::Create(Bytes::from(text));
    api.write(resources::CUSTOM_RESOURCE_DEFINITIONS, Call::all(""), write).await.unwrap();
}

impl Street {
    /// Writes an object as it is, whatever its kind's rules say: where tests listen, no Service may lead.
    async fn put(&self, key: &str, document: &str) {
        let (key, value) =
            (Bytes::from(format!("/registry/{key}")), Bytes::copy_from_slice(document.as_bytes()));
        let write = store::Write::Put { key, value, ttl_secs: None };
        let core = &self.here.server.core;
        core.caches.store().commit(Txn { writes: vec![write], ..Txn::default() }).await.unwrap();
        core.caches.catch_up().await.unwrap();
    }

    async fn lead(&self, port: u16) {
        let slice = format!(
            r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"ext-1","namespace":"n",
                "labels":{{"kubernetes.io/service-name":"ext"}}}},"addressType":"IPv4",
                "ports":[{{"name":"","port":{port}}}],"endpoints":[{{"addresses":["127.0.0.1"]}}]}}"#
        );
        self.put("discovery.k8s.io/endpointslices/n/ext-1", &slice).await;
    }

    /// Says here that the other server has the group.
    async fn register(&self) {
        let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"ext","namespace":"n"},
            "spec":{"type":"ClusterIP","clusterIP":"10.96.0.7","ports":[{"port":443}]}}"#;
        self.put("core/services/n/ext", service).await;
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.there.ca);
        let text = format!(
            r#"{{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"v1.far.example.com"}},
                "spec":{{"group":"far.example.com","version":"v1","groupPriorityMinimum":2000,"versionPriority":15,
                "service":{{"namespace":"n","name":"ext","port":443}},"caBundle":"{bundle}"}}}}"#
        );
        let (code, _, answer) =
            self.ask(Method::POST, "/apis/apiregistration.k8s.io/v1/apiservices", "", &text).await;
        assert_eq!(code, 201, "{answer}");
    }

    async fn ask(&self, method: Method, path: &str, accept: &str, body: &str) -> (u16, HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        if !accept.is_empty() {
            headers.insert("accept", HeaderValue::from_str(accept).unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let response = self.client.request(method, path, headers, body).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (code, _, body) = self.ask(Method::GET, path, "", "").await;
        assert_eq!(code, 200, "{path}: {body}");
        parse(&body)
    }

    /// Waits until the condition of the registration has a reason.
    async fn until(&self, reason: &str) -> Value {
        let waiting = async {
            loop {
                let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.far.example.com";
                let condition = self.get(path).await.at(&["status", "conditions"]).items().first().cloned();
                let condition = condition.unwrap_or_default();
                if condition.get("reason").as_str() == Some(reason) {
                    return condition;
                }
                self.env.clock.sleep(Duration::from_millis(50)).await;
            }
        };
        self.env.clock.timeout(PATIENCE, waiting).await.expect("the condition comes")
    }

    /// Waits until what is at a path looks right.
    async fn until_at(&self, path: &str, accept: &str, is_right: impl Fn(&Value) -> bool) {
        let waiting = async {
            loop {
                let (_, _, body) = self.ask(Method::GET, path, accept, "").await;
                if json::parse(body.as_bytes()).is_ok_and(|document| is_right(&document)) {
                    return;
                }
                self.env.clock.sleep(Duration::from_millis(50)).await;
            }
        };
        self.env.clock.timeout(PATIENCE, waiting).await.unwrap_or_else(|| panic!("{path} becomes right"));
    }

    async fn end(self) {
        self.env.tasks.stop(Duration::from_secs(5)).await;
    }
}

const THINGS: &str = "/apis/far.example.com/v1/namespaces/default/things";

#[tokio::test]
async fn requests_reach_the_other_server_in_the_name_of_their_sender() {
    let street = street().await;
    street.register().await;
    assert_eq!(street.ask(Method::GET, THINGS, "", "").await.0, 503, "nobody knows yet where it is");
    street.lead(street.there.server.addr.port()).await;
    let condition = street.until("Passed").await;
    assert_eq!(condition.get("message").str_or_empty(), "all checks passed");
    let thing = r#"{"apiVersion":"far.example.com/v1","kind":"Kthings","metadata":{"name":"a"},"size":3}"#;
    let (code, _, body) = street.ask(Method::POST, THINGS, "", thing).await;
    assert_eq!(code, 201, "{body}");
    // The other server knows no tokens of ours: it believed who we said is asking.
    assert_eq!(street.get(THINGS).await.get("items").items().len(), 1);
    let path = format!("{THINGS}?watch=1&resourceVersion=0&timeoutSeconds=1");
    let (code, _, events) = street.ask(Method::GET, &path, "", "").await;
    assert!(code == 200 && events.starts_with(r#"{"type":"ADDED""#), "{events}");
    street.end().await;
}

#[tokio::test]
async fn what_the_other_server_has_is_told_here() {
    let street = street().await;
    street.lead(street.there.server.addr.port()).await;
    street.register().await;
    street.until("Passed").await;
    let groups = street.get("/apis").await;
    let groups: Vec<&str> =
        groups.get("groups").items().iter().map(|own| own.get("name").str_or_empty()).collect();
    assert_eq!(groups.last(), Some(&"far.example.com"));
    let group = street.get("/apis/far.example.com").await;
    assert_eq!(group.at(&["preferredVersion", "groupVersion"]).as_str(), Some("far.example.com/v1"));
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let own = |document: &Value| {
        let groups = document.get("items").items().iter();
        let mut own = groups.filter(|own| own.at(&["metadata", "name"]).as_str() == Some("far.example.com"));
        own.next().map(|own| own.get("versions").items()[0].clone()).unwrap_or_default()
    };
    street
        .until_at("/apis", aggregated, |document| {
            let own = own(document);
            let resources = own.get("resources").items();
            own.get("freshness").as_str() == Some("Current")
                && resources.iter().any(|resource| resource.get("resource").as_str() == Some("things"))
        })
        .await;
    street
        .until_at("/openapi/v2", "", |document| {
            !document.get("paths").get("/apis/far.example.com/v1/namespaces/{namespace}/things").is_null()
        })
        .await;
    let path = "apis/far.example.com/v1";
    street
        .until_at("/openapi/v3", "", |document| {
            let url = document.at(&["paths", path, "serverRelativeURL"]).str_or_empty();
            url.starts_with("/openapi/v3/apis/far.example.com/v1?hash=")
        })
        .await;
    let document = street.get(&format!("/openapi/v3/{path}")).await;
    assert_eq!(document.get("openapi").as_str(), Some("3.0.0"));

    // It goes silent: what it said is still told, as what may have changed.
    street.there.server.shutdown();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    street.lead(closed).await;
    let condition = street.until("FailedDiscoveryCheck").await;
    assert!(condition.get("message").str_or_empty().starts_with("failing or missing response from https://"));
    street
        .until_at("/apis", aggregated, |document| {
            let own = own(document);
            own.get("freshness").as_str() == Some("Stale") && !own.get("resources").items().is_empty()
        })
        .await;
    let (code, headers, body) = street.ask(Method::GET, THINGS, "", "").await;
    assert_eq!((code, body.as_str()), (503, "service unavailable\n"));
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    street.end().await;
}

#[tokio::test]
async fn groups_of_custom_resources_are_registered_for_as_long_as_they_are_defined() {
    let street = street().await;
    define(&street.here, "nears").await;
    let list = "/apis/apiregistration.k8s.io/v1/apiservices?labelSelector=kube-aggregator.kubernetes.io/automanaged%3Dtrue";
    street.until_at(list, "", |list| list.get("items").items().len() == 1).await;
    let own = street.get("/apis/apiregistration.k8s.io/v1/apiservices/v1.far.example.com").await;
    assert_eq!(own.at(&["spec", "groupPriorityMinimum"]).as_int(), Some(1_000));
    assert!(super::plan::is_available(&own));
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/nears.far.example.com";
    assert_eq!(street.ask(Method::DELETE, path, "", "").await.0, 200);
    street
        .until_at(list, "", |list| list.get("items").items().is_empty() && !list.get("items").is_null())
        .await;
    street.end().await;
}

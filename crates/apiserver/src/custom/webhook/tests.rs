//! Conversion by a webhook that listens on this machine, through a whole server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use client::{Call, Resource, Transport, WatchEvent, Write, resources};
use env::Env;
use machinery::Object;

use super::*;
use crate::remote::tests::{Answers, serve};
use crate::{Config, Identity, KeyPair, Server};

const PATIENCE: Duration = Duration::from_secs(120);

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

fn resource(version: &'static str) -> Resource {
    resources::custom(["conversion.example.com", version, "doors", "Door"], true)
}

/// Makes something else of an answer.
type Spoil = fn(Value) -> Value;

/// A webhook that knows doors: `v1` has `hostPort`, `v2` has `host` and `port`. `spoil` may make something else of its
/// answers.
struct Doors {
    asked: Arc<AtomicUsize>,
    spoil: Arc<Mutex<Spoil>>,
    client: Value,
}

fn converted(object: &Value, wanted: &str) -> Value {
    let mut object = object.clone();
    if wanted.ends_with("/v2") {
        if let Some((host, port)) = object.get("hostPort").str_or_empty().split_once(':') {
            let (host, port) = (Value::from(host), Value::from(port));
            object.set("host", host);
            object.set("port", port);
        }
        object.remove("hostPort");
    } else if !object.get("host").is_null() {
        let joined = format!("{}:{}", object.get("host").str_or_empty(), object.get("port").str_or_empty());
        object.set("hostPort", joined);
        object.remove("host");
        object.remove("port");
    }
    object.set("apiVersion", wanted);
    object
}

async fn doors(env: &Env) -> Doors {
    let asked: Arc<AtomicUsize> = Arc::default();
    let spoil: Arc<Mutex<Spoil>> = Arc::new(Mutex::new(|answer| answer));
    let (counted, spoilt) = (asked.clone(), spoil.clone());
    let answers: Answers = Arc::new(move |_, question| {
        counted.fetch_add(1, Ordering::SeqCst);
        let request = question.get("request");
        let wanted = request.get("desiredAPIVersion").str_or_empty();
        let objects = request.get("objects").items().iter().map(|object| converted(object, wanted));
        let response = Value::from([
            ("uid", request.get("uid").clone()),
            ("result", parse(r#"{"status":"Success"}"#)),
            ("convertedObjects", Value::from(objects.collect::<Vec<_>>())),
        ]);
        let mut answer = question.clone();
        answer.remove("request");
        answer.set("response", response);
        let spoil = *spoilt.lock().unwrap();
        (200, spoil(answer))
    });
    let (address, ca) = serve(env, answers).await;
    let bundle = base64::engine::general_purpose::STANDARD.encode(ca);
    let client = Value::from([
        ("url", Value::from(format!("https://{address}/convert"))),
        ("caBundle", Value::from(bundle)),
    ]);
    Doors { asked, spoil, client }
}

/// The definition, which stores one of its versions.
fn definition(doors: &Doors, storage: &str) -> Value {
    let version = |name: &str, fields: &str| {
        format!(
            r#"{{"name":"{name}","served":true,"storage":{},"schema":{{"openAPIV3Schema":{{"type":"object",
                "properties":{{{fields}}}}}}}}}"#,
            name == storage
        )
    };
    let text = format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
            "metadata":{{"name":"doors.conversion.example.com"}},
            "spec":{{"group":"conversion.example.com","scope":"Namespaced",
            "names":{{"plural":"doors","singular":"door","kind":"Door","listKind":"DoorList"}},
            "conversion":{{"strategy":"Webhook","webhook":{{"conversionReviewVersions":["v3","v1"]}}}},
            "versions":[{},{}]}}}}"#,
        version("v1", r#""hostPort":{"type":"string"}"#),
        version("v2", r#""host":{"type":"string"},"port":{"type":"string"}"#),
    );
    let mut definition = parse(&text);
    *definition.at_mut(&["spec", "conversion", "webhook", "clientConfig"]) = doors.client.clone();
    definition
}

struct House {
    server: Server,
    env: Env,
    api: Arc<dyn Transport>,
    doors: Doors,
}

async fn house() -> House {
    let env = Env::real();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem().into_bytes();
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.token_key.clone_from(&key);
    config.serving = KeyPair { chain: made.cert.pem().into_bytes(), key };
    let store = store::memory::Memory::new(store::Options::default(), env.child("store"));
    let server = crate::start(config, env.clone(), store).await.unwrap();
    server.ready().await;
    let api = server.transport(Identity::new("admin", &["system:masters"]));
    let doors = doors(&env).await;
    let house = House { server, env, api, doors };
    house.define("v1").await;
    house
}

fn body(document: &Value) -> bytes::Bytes {
    json::to_vec(document).into()
}

impl House {
    /// Makes the definition, or changes which version is stored, and waits until that is so.
    async fn define(&self, storage: &str) {
        let definitions = resources::CUSTOM_RESOURCE_DEFINITIONS;
        let mut definition = definition(&self.doors, storage);
        let name = "doors.conversion.example.com";
        match self.api.get(definitions, Call::object("", name)).await {
            Ok(current) => {
                let revision = current.header().revision.to_string();
                definition.entry("metadata").set("resourceVersion", revision);
                let update = Write::Update(body(&definition));
                self.api.write(definitions, Call::object("", name), update).await.unwrap();
            }
            Err(_) => {
                self.api.write(definitions, Call::all(""), Write::Create(body(&definition))).await.unwrap();
            }
        }
        let stored = || {
            let registry = self.server.core.registry.load();
            let served = registry.find("conversion.example.com", "v1", "doors")?;
            Some(served.custom.as_ref()?.versions.storage.to_string())
        };
        let settled = async {
            while stored().as_deref() != Some(storage) {
                self.env.clock.sleep(Duration::from_millis(20)).await;
            }
        };
        self.env.clock.timeout(PATIENCE, settled).await.expect("the definition is served");
    }

    async fn create(&self, version: &'static str, name: &str, rest: &str) -> Result<Value, Status> {
        let text = format!(
            r#"{{"apiVersion":"conversion.example.com/{version}","kind":"Door","metadata":{{"name":"{name}",
                "labels":{{"l":"1"}}}},{rest}}}"#
        );
        let write = Write::Create(body(&parse(&text)));
        let made = self.api.write(resource(version), Call::all("default"), write).await?;
        made.to_whole_value()
    }

    async fn get(&self, version: &'static str, name: &str) -> Result<Value, Status> {
        let object = self.api.get(resource(version), Call::object("default", name)).await?;
        object.to_whole_value()
    }

    async fn list(&self, version: &'static str) -> Result<Vec<Value>, Status> {
        let list = self.api.list(resource(version), Call::all("default")).await?;
        list.items.iter().map(Object::to_whole_value).collect()
    }

    /// The version that an object is stored in.
    fn stored(&self, name: &str) -> String {
        let registry = self.server.core.registry.load();
        let served = registry.find("conversion.example.com", "v1", "doors").unwrap();
        let entry = served.collection().unwrap().get(&format!("default/{name}")).unwrap();
        entry.object().header().api_version.to_string()
    }

    fn spoil(&self, how: Spoil) {
        *self.doors.spoil.lock().unwrap() = how;
    }

    async fn end(self) {
        self.env.tasks.stop(Duration::from_secs(5)).await;
    }
}

fn fields(object: &Value) -> [&str; 3] {
    ["hostPort", "host", "port"].map(|name| object.get(name).str_or_empty())
}

#[tokio::test]
async fn objects_are_shown_in_every_version_whichever_is_stored() {
    let house = house().await;
    let made = house.create("v1", "a", r#""hostPort":"here:80""#).await.unwrap();
    assert_eq!(fields(&made), ["here:80", "", ""]);
    let shown = house.get("v2", "a").await.unwrap();
    assert_eq!(fields(&shown), ["", "here", "80"]);
    assert_eq!(shown.get("metadata").get("uid"), made.get("metadata").get("uid"));
    let asked = house.doors.asked.load(Ordering::SeqCst);
    house.get("v2", "a").await.unwrap();
    assert_eq!(house.doors.asked.load(Ordering::SeqCst), asked, "what was said once is remembered");

    let made = house.create("v2", "b", r#""host":"there","port":"81""#).await.unwrap();
    assert_eq!(fields(&made), ["", "there", "81"]);
    assert_eq!(house.stored("b"), "conversion.example.com/v1");

    house.define("v2").await;
    house.create("v1", "c", r#""hostPort":"far:82""#).await.unwrap();
    assert_eq!(
        (house.stored("a").as_str(), house.stored("c").as_str()),
        ("conversion.example.com/v1", "conversion.example.com/v2")
    );
    let ones = house.list("v1").await.unwrap();
    let ones: Vec<_> = ones.iter().map(|object| fields(object)[0].to_owned()).collect();
    assert_eq!(ones, ["here:80", "there:81", "far:82"]);
    let asked = house.doors.asked.load(Ordering::SeqCst);
    let twos = house.list("v2").await.unwrap();
    let twos: Vec<_> = twos.iter().map(|object| fields(object)[1].to_owned()).collect();
    assert_eq!(twos, ["here", "there", "far"]);
    assert_eq!(house.doors.asked.load(Ordering::SeqCst), asked + 1, "a list is converted at once");
    house.end().await;
}

#[tokio::test]
async fn a_write_that_changes_nothing_writes_nothing_but_the_version() {
    let house = house().await;
    let made = house.create("v2", "a", r#""host":"here","port":"80""#).await.unwrap();
    let update = async || {
        let write = Write::Update(body(&house.get("v2", "a").await.unwrap()));
        let object = house.api.write(resource("v2"), Call::object("default", "a"), write).await.unwrap();
        object.header().revision.to_string()
    };
    let before = made.at(&["metadata", "resourceVersion"]).str_or_empty();
    assert_eq!(update().await, before);
    house.define("v2").await;
    assert_ne!(update().await, before, "it is stored in the version of today");
    assert_eq!(house.stored("a"), "conversion.example.com/v2");
    let patch = Write::MergePatch(bytes::Bytes::from_static(br#"{"hostPort":"new:90"}"#));
    let patched = house.api.write(resource("v1"), Call::object("default", "a"), patch).await.unwrap();
    assert_eq!(patched.to_value().unwrap().get("hostPort").str_or_empty(), "new:90");
    assert_eq!(fields(&house.get("v2", "a").await.unwrap()), ["", "new", "90"]);
    let delete = Write::Delete(client::Delete::default());
    house.api.write(resource("v1"), Call::object("default", "a"), delete).await.unwrap();
    assert!(house.get("v2", "a").await.unwrap_err().is(Reason::NotFound));
    house.end().await;
}

#[tokio::test]
async fn watchers_see_changes_in_their_version() {
    let house = house().await;
    let list = house.api.list(resource("v2"), Call::all("default")).await.unwrap();
    let call = Call::all("default").with_labels("l=1");
    let mut watch = house.api.watch(resource("v2"), call, list.revision).await.unwrap();
    house.create("v1", "a", r#""hostPort":"here:80""#).await.unwrap();
    let patch = |text: &'static str| Write::MergePatch(bytes::Bytes::from_static(text.as_bytes()));
    let call = || Call::object("default", "a");
    house.api.write(resource("v1"), call(), patch(r#"{"hostPort":"here:81"}"#)).await.unwrap();
    house.api.write(resource("v1"), call(), patch(r#"{"metadata":{"labels":{"l":"2"}}}"#)).await.unwrap();
    let mut next = async || {
        loop {
            let event = house.env.clock.timeout(PATIENCE, watch.next()).await.expect("there is news");
            match event.unwrap().expect("the watch goes on") {
                WatchEvent::Added(object) => return ("added", object.to_value().unwrap()),
                WatchEvent::Modified(object) => return ("modified", object.to_value().unwrap()),
                WatchEvent::Deleted(object) => return ("deleted", object.to_value().unwrap()),
                WatchEvent::Bookmark(_) => {}
            }
        }
    };
    for (expected, port) in [("added", "80"), ("modified", "81"), ("deleted", "81")] {
        let (kind, object) = next().await;
        assert_eq!((kind, fields(&object)), (expected, ["", "here", port]));
    }
    house.end().await;
}

/// What makes something else of an answer, and what follows.
type Spoilt = (Spoil, &'static str);

#[tokio::test]
async fn answers_that_are_none_are_refused_in_upstreams_words() {
    fn first(mut answer: Value, change: fn(&mut Value)) -> Value {
        let objects = answer.entry("response").entry("convertedObjects");
        objects.items_mut().iter_mut().take(1).for_each(change);
        answer
    }
    let house = house().await;
    house.create("v1", "a", r#""hostPort":"here:80""#).await.unwrap();
    let cases: [Spoilt; 9] = [
        (
            |_| Value::object(),
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
        ),
        (
            |mut answer| {
                answer.remove("response");
                answer
            },
            "failed: no response provided",
        ),
        (
            |mut answer| {
                *answer.at_mut(&["response", "result"]) =
                    parse(r#"{"status":"Failed","message":"no doors today"}"#);
                answer
            },
            "failed: no doors today",
        ),
        (
            |mut answer| {
                *answer.at_mut(&["response", "result"]) = Value::object();
                answer
            },
            "failed: response.result.status was '', not 'Success'",
        ),
        (
            |mut answer| {
                *answer.at_mut(&["response", "convertedObjects"]) = Value::from(Vec::new());
                answer
            },
            "returned 0 objects, expected 1",
        ),
        (
            |answer| first(answer, |object| object.set("apiVersion", "conversion.example.com/v1")),
            "returned invalid object at index 0: invalid groupVersion (expected conversion.example.com/v2, received \
             conversion.example.com/v1)",
        ),
        (
            |answer| first(answer, |object| object.set("kind", "Window")),
            "returned invalid object at index 0: invalid kind (expected Door, received Window)",
        ),
        (
            |answer| first(answer, |object| *object.at_mut(&["metadata", "name"]) = Value::from("b")),
            "returned invalid object: must have the same name: a != b",
        ),
        (
            |answer| first(answer, |object| *object.at_mut(&["metadata", "labels"]) = Value::from("b")),
            "returned invalid metadata: invalid metadata.labels of type string in converted object",
        ),
    ];
    for (spoil, expected) in cases {
        house.spoil(spoil);
        let status = house.get("v2", "a").await.unwrap_err();
        let expected = format!("conversion webhook for conversion.example.com/v1, Kind=Door {expected}");
        assert_eq!((status.code, status.message.as_str()), (500, expected.as_str()));
    }
    let status = house.list("v2").await.unwrap_err();
    assert_eq!(
        status.message,
        "conversion webhook for conversion.example.com/v2, Kind=DoorList returned invalid metadata in object at \
         index 0: invalid metadata.labels of type string in converted object"
    );
    let status = house.create("v2", "z", r#""host":"here","port":"80""#).await.unwrap_err();
    assert_eq!(status.code, 500, "nothing is stored that could not be converted");
    house.spoil(|answer| answer);
    assert!(house.get("v2", "z").await.unwrap_err().is(Reason::NotFound));
    assert_eq!(
        fields(&house.get("v2", "a").await.unwrap()),
        ["", "here", "80"],
        "failures are not remembered"
    );
    house.end().await;
}

#[test]
fn batches_end_with_many_objects_or_many_bytes() {
    let small = vec![Value::object(); BATCH + 1];
    assert_eq!(batch_length(&small), BATCH);
    assert_eq!(batch_length(&small[..3]), 3);
    let large = Value::from("x".repeat(BATCH_BYTES / 2));
    assert_eq!(batch_length(&vec![large; 5]), 2);
}

//! Static pods and their pictures.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::tests::World;

const WEB: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {mine: kept}
spec:
  containers:
  - {name: app, image: 'img:1', command: [run]}
";

#[test]
fn a_manifest_becomes_a_pod_of_this_node() {
    let pod = read::pod(WEB.as_bytes(), "n1").unwrap();
    let document: Value = serde_json::from_slice(pod.body()).unwrap();
    let metadata = &document["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("web-n1"), &json!("default")));
    let uid = metadata["uid"].as_str().unwrap();
    assert_eq!(uid.len(), 32);
    let annotations = json!({
        "mine": "kept", "kubernetes.io/config.hash": uid, "kubernetes.io/config.source": "file"});
    assert_eq!(metadata["annotations"], annotations);
    assert_eq!(document["spec"]["nodeName"], "n1");
    assert_eq!(document["spec"]["tolerations"], json!([{"operator": "Exists", "effect": "NoExecute"}]));
    let uid_of = |text: &str, node: &str| read::pod(text.as_bytes(), node).unwrap().header().uid.clone();
    assert_eq!(uid_of(WEB, "n1"), uid);
    assert_ne!(uid_of(WEB, "n2"), uid);
    assert_ne!(uid_of(&WEB.replace("img:1", "img:2"), "n1"), uid);
}

#[test]
fn what_is_no_pod_is_refused() {
    for (text, why) in [
        ("kind: Service\napiVersion: v1", "its kind is not Pod, of version v1"),
        ("kind: Pod\napiVersion: v2", "its kind is not Pod, of version v1"),
        ("kind: Pod\napiVersion: v1\nmetadata: {}", "it has no name"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: []", "it has no containers"),
        ("", "its kind is not Pod, of version v1"),
    ] {
        assert_eq!(read::pod(text.as_bytes(), "n1").unwrap_err(), why, "{text}");
    }
    assert!(read::pod(b"\t- {", "n1").is_err());
}

#[test]
fn pictures_follow_their_pods() {
    let pod = read::pod(WEB.as_bytes(), "n1").unwrap();
    let pods = BTreeMap::from([(Key::of(&pod), pod.clone())]);
    let plan = |pods: &BTreeMap<Key, Object>, listed: &[Object]| {
        mirror::plan(pods, listed, ("n1", "node-uid")).into_values().collect::<Vec<_>>()
    };
    let made = plan(&pods, &[]);
    let [mirror::Step::Make(document)] = made.as_slice() else { panic!("{made:?}") };
    let document: Value = serde_json::from_str(document).unwrap();
    let metadata = &document["metadata"];
    assert_eq!(metadata["annotations"]["kubernetes.io/config.mirror"], pod.header().uid.as_str());
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": true}])
    );
    assert!(metadata["uid"].is_null() && metadata["resourceVersion"].is_null());

    let listed = |change: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        document["metadata"]["uid"] = json!("api-uid");
        document["metadata"]["resourceVersion"] = json!("7");
        change(&mut document);
        [crate::tests::object(&document)]
    };
    let remove = vec![mirror::Step::Remove("api-uid".to_owned())];
    assert_eq!(plan(&pods, &listed(&|_| {})), []);
    assert_eq!(plan(&BTreeMap::new(), &listed(&|_| {})), remove, "its pod is gone");
    let older = |document: &mut Value| {
        document["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("older");
    };
    assert_eq!(plan(&pods, &listed(&older)), remove, "it shows an older pod");
    let deleted = |document: &mut Value| {
        document["metadata"]["deletionTimestamp"] = json!("2026-01-02T15:04:05Z");
    };
    assert_eq!(plan(&pods, &listed(&deleted)), remove, "somebody deletes it");
    let foreign = |document: &mut Value| document["metadata"]["annotations"] = json!({});
    assert_eq!(plan(&pods, &listed(&foreign)), [], "another pod has its name");
}

fn put(world: &World, name: &str, text: &str) {
    let directory = world.root.0.join("manifests");
    fs::create_dir_all(&directory).unwrap();
    // Whoever looks sees all of it or nothing.
    fs::write(directory.join(".new"), text).unwrap();
    fs::rename(directory.join(".new"), directory.join(name)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_runs_is_shown_and_ends_with_its_file() {
    let mut world = World::start("static").await;
    put(&world, "web.yaml", WEB);
    put(&world, "broken.yaml", "kind: [");
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    let shown = world.until("web-node-1", running).await;
    assert_eq!(shown["metadata"]["ownerReferences"][0]["kind"], "Node");
    let containers = || world.runtime.containers().len();
    assert_eq!(containers(), 1);

    // Its picture is deleted: the pod does not care, and is shown again.
    let uid = shown["metadata"]["uid"].clone();
    world.api.delete_pod("web-node-1", 30);
    let again = world.until("web-node-1", |pod| running(pod) && pod["metadata"]["uid"] != uid).await;
    assert!(again["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(containers(), 1);
    let log = || world.runtime.log().iter().filter(|line| line.starts_with("sandbox ")).count();
    assert_eq!(log(), 1);

    world.restart().await;
    world.pass(5).await;
    assert_eq!(world.runtime.log().iter().filter(|line| line.starts_with("sandbox ")).count(), 1);

    // Another text is another pod.
    put(&world, "web.yaml", &WEB.replace("img:1", "img:2"));
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"] == "img:2";
    world.until("web-node-1", |pod| running(pod) && image(pod)).await;
    assert_eq!(world.runtime.sandboxes().len(), 1, "the old one is gone");

    fs::remove_file(world.root.0.join("manifests/web.yaml")).unwrap();
    world.until("web-node-1", Value::is_null).await;
    world.pass(60).await;
    assert!(world.runtime.containers().is_empty() && world.runtime.sandboxes().is_empty());
}

//! The node as the API sees it.

use serde_json::{Value, json};

use crate::tests::World;

fn node(world: &World) -> Value {
    world.api.get("nodes", "", "node-1").unwrap_or(Value::Null)
}

#[tokio::test(start_paused = true)]
async fn a_node_registers_and_says_what_it_is() {
    let world = World::start("node").await;
    world.pass(2).await;
    let node = node(&world);
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/os"], "linux");
    let status = &node["status"];
    assert_eq!(
        status["addresses"],
        json!([{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "node-1"}])
    );
    assert_eq!(status["capacity"]["pods"], "110");
    assert!(status["allocatable"]["memory"].as_str().unwrap().ends_with("Ki"));
    assert_eq!(status["nodeInfo"]["kubeletVersion"], "v1.36.2");
    assert_eq!(status["nodeInfo"]["containerRuntimeVersion"], "fake://0.1");
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], world.kubelet.address().port());
    let kinds: Vec<&str> =
        status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_every_ten_seconds_and_a_quiet_node_is_quiet() {
    let world = World::start("lease").await;
    world.pass(30).await;
    let lease = world.api.get("leases", "kube-node-lease", "node-1").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "node-1");
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node(&world)["metadata"]["uid"]);
    let count = |what: &str| world.api.writes().iter().filter(|write| write.as_str() == what).count();
    let (leases, statuses) = (count("patch leases node-1"), count("patch nodes/status node-1"));
    world.pass(600).await;
    assert_eq!(count("patch leases node-1") - leases, 60);
    assert_eq!(count("patch nodes/status node-1") - statuses, 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_runtime_cannot_run_pods_is_not_ready() {
    let world = World::start("obstacles").await;
    world.pass(2).await;
    let ready = || {
        let condition = node(&world)["status"]["conditions"][3].clone();
        ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap().to_owned())
    };
    for (obstacles, status, reason, message) in [
        (&[][..], "True", "KubeletReady", "kubelet is posting ready status"),
        (&["container runtime is down"], "False", "KubeletNotReady", "container runtime is down"),
        (&["one", "another"], "False", "KubeletNotReady", "[one, another]"),
        (&[], "True", "KubeletReady", "kubelet is posting ready status"),
    ] {
        world.runtime.set_obstacles(obstacles);
        world.pass(15).await;
        assert_eq!(ready(), ["Ready", status, reason, message]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_say_of_the_node_is_kept() {
    let world = World::start("others").await;
    world.pass(2).await;
    let mut changed = node(&world);
    changed["status"]["capacity"]["example.com/gpu"] = json!("4");
    changed["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "Custom", "status": "True"}));
    let since = changed["status"]["conditions"][3]["lastTransitionTime"].clone();
    world.api.put("nodes", changed);
    world.pass(400).await;
    let node = node(&world);
    assert_eq!(node["status"]["capacity"]["example.com/gpu"], "4");
    let conditions = node["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|condition| condition["type"] == "Custom"));
    assert_eq!(conditions[3]["lastTransitionTime"], since);
    assert_ne!(conditions[3]["lastHeartbeatTime"], since);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_given_up_says_soon_that_it_is_there() {
    let world = World::start("given-up").await;
    world.pass(2).await;
    let mut changed = node(&world);
    for condition in changed["status"]["conditions"].as_array_mut().unwrap() {
        condition["status"] = json!("Unknown");
    }
    world.api.put("nodes", changed);
    world.pass(12).await;
    assert_eq!(node(&world)["status"]["conditions"][3]["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_registers_again() {
    let world = World::start("again").await;
    world.pass(2).await;
    world.api.remove("nodes", "", "node-1");
    world.pass(330).await;
    assert_eq!(node(&world)["metadata"]["name"], "node-1");
}

#[tokio::test(start_paused = true)]
async fn pods_are_let_in_by_what_others_wrote_on_the_node() {
    let world = World::start("labelled").await;
    world.pass(2).await;
    let spec = || json!({"nodeSelector": {"disk": "fast"}, "containers": [{"name": "a", "image": "i", "command": ["run"]}]});
    world.create("before", spec());
    world.until("before", |pod| pod["status"]["reason"] == "NodeAffinity").await;
    world.api.change("nodes", "node-1", |node| node["metadata"]["labels"]["disk"] = json!("fast"));
    world.create("after", spec());
    world.until("after", |pod| pod["status"]["phase"] == "Running").await;
    world.api.change("nodes", "node-1", |node| {
        node["spec"]["taints"] = json!([{"key": "gone", "effect": "NoExecute"}]);
    });
    world.pass(1).await;
    world.create("expelled", spec());
    world.until("expelled", |pod| pod["status"]["reason"] == "TaintToleration").await;
}

#[tokio::test(start_paused = true)]
async fn the_handlers_of_the_runtime_are_told() {
    let world = World::start("handlers").await;
    world.pass(2).await;
    let status = &node(&world)["status"];
    let handler = |name: &str, users: bool| json!({"name": name, "features": {"recursiveReadOnlyMounts": true, "userNamespaces": users}});
    let told = json!([handler("", false), handler("fast", false), handler("users", true)]);
    assert_eq!(status["runtimeHandlers"], told);
    assert_eq!(status["features"], json!({"supplementalGroupsPolicy": true}));
}

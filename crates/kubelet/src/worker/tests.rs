//! Whole pods, from their creation to their end, against a simulated API and runtime in virtual time.

mod restarts;
mod users;

use serde_json::{Value, json};

use crate::tests::World;

fn one(command: &[&str], policy: &str) -> Value {
    json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 30,
           "containers": [{"name": "app", "image": "img:1", "command": command}]})
}

fn phase(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |pod| pod["status"]["phase"] == phase
}

fn ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

fn condition(pod: &Value, kind: &str) -> String {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind).cloned();
    found.map(|condition| condition["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_tells_what_it_is() {
    let world = World::start("runs").await;
    world.create("web", one(&["run"], "Always"));
    let pod = world.until("web", ready).await;
    let status = &pod["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["hostIP"], "192.0.2.1");
    assert_eq!(status["hostIPs"], json!([{"ip": "192.0.2.1"}]));
    assert_eq!(status["podIPs"], json!([{"ip": status["podIP"]}]));
    assert_eq!(status["observedGeneration"], 1);
    let kinds: Vec<&str> =
        status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    );
    let container = &status["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("fake://c"));
    assert_eq!(container["imageID"], "img:1@sha256:00");
    assert_eq!((&container["ready"], &container["started"]), (&json!(true), &json!(true)));
    assert_eq!(container["restartCount"], 0);
    assert_eq!(container["user"]["linux"]["uid"], 0);
    assert!(container["state"]["running"]["startedAt"].is_string());
    world.pass(5).await;
    let events = world.api.events();
    for wanted in [
        "Normal Pulling: Pulling image \"img:1\"",
        "Normal Pulled: Successfully pulled image \"img:1\" in 1.2s (1.2s including waiting). Image size: 1000 bytes.",
        "Normal Created: Container created",
        "Normal Started: Container started",
    ] {
        assert!(events.iter().any(|event| event == wanted), "{wanted}: {events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_pod_writes_nothing() {
    let world = World::start("quiet").await;
    world.create("web", one(&["run"], "Always"));
    world.until("web", ready).await;
    world.pass(5).await;
    let status_writes = || world.api.writes().iter().filter(|write| write.contains("pods/status")).count();
    let before = status_writes();
    assert!(before <= 5, "{:?}", world.api.writes());
    world.pass(3_600).await;
    assert_eq!(status_writes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_ends_gracefully_and_leaves_nothing() {
    let world = World::start("deleted").await;
    world.create("web", one(&["run"], "Always"));
    world.until("web", ready).await;
    world.api.delete_pod("web", 30);
    world.until("web", Value::is_null).await;
    assert!(world.runtime.containers().is_empty() && world.runtime.sandboxes().is_empty());
    assert_eq!(std::fs::read_dir(world.root.0.join("kubelet/pods")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(world.root.0.join("logs")).unwrap().count(), 0);
    assert!(world.runtime.log().contains(&"stop app 30".to_owned()), "{:?}", world.runtime.log());
    let events = world.api.events();
    assert!(events.contains(&"Normal Killing: Stopping container app".to_owned()), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_container_is_killed_and_a_second_deletion_hurries() {
    let world = World::start("stubborn").await;
    world.create("web", one(&["stubborn"], "Always"));
    world.until("web", ready).await;
    let began = world.env.clock.now();
    world.api.delete_pod("web", 600);
    world.pass(10).await;
    assert!(!world.pod("web").is_null());
    world.api.delete_pod("web", 5);
    world.until("web", Value::is_null).await;
    let took = world.env.clock.now().since(began).as_secs();
    assert!((15..25).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_removed_from_the_api_is_ended_as_well() {
    let world = World::start("removed").await;
    world.create("web", one(&["stubborn"], "Always"));
    world.until("web", ready).await;
    world.api.delete_pod("web", 0);
    world.pass(10).await;
    assert!(world.runtime.containers().is_empty() && world.runtime.sandboxes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_namesake_to_end() {
    let world = World::start("namesake").await;
    world.create("web", one(&["stubborn"], "Always"));
    world.until("web", ready).await;
    world.api.delete_pod("web", 0);
    world.create("web", one(&["run"], "Always"));
    world.until("web", ready).await;
    let log = world.runtime.log();
    let of = |wanted: &str| log.iter().position(|line| line == wanted).unwrap();
    let second = log.iter().rposition(|line| line == "start app 0").unwrap();
    assert!(of("end app 137") < second, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_completes_succeeds_and_stays() {
    let world = World::start("completes").await;
    world.create("job", one(&["exit", "0", "3"], "Never"));
    let pod = world.until("job", phase("Succeeded")).await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")));
    world.pass(5).await;
    let pod = world.pod("job");
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let reason = |kind: &str| conditions.iter().find(|c| c["type"] == kind).unwrap()["reason"].clone();
    assert_eq!(reason("Ready"), "PodCompleted");
    assert_eq!(condition(&pod, "Initialized"), "True");
    assert!(pod["status"]["podIP"].is_string());
    assert_eq!(world.runtime.containers().len(), 1);
    world.api.delete_pod("job", 0);
    world.pass(5).await;
    assert!(world.runtime.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fails_for_good_has_failed() {
    let world = World::start("fails").await;
    world.create("job", one(&["exit", "3", "1"], "Never"));
    let pod = world.until("job", phase("Failed")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Error");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_is_started_again_after_growing_pauses() {
    let world = World::start("crashes").await;
    world.create("web", one(&["exit", "1", "1"], "Always"));
    let waiting = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let pod = world.until("web", waiting).await;
    let status = &pod["status"]["containerStatuses"][0];
    let message = status["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("back-off 10s restarting failed container=app pod=web_default("),
        "{message}"
    );
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(pod["status"]["phase"], "Running");
    let began = world.env.clock.now();
    world.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 5).await;
    let took = world.env.clock.now().since(began).as_secs();
    assert!((140..170).contains(&took), "10+20+40+80 and some running: {took}");
    let events = world.api.events();
    assert!(
        events.iter().any(|e| e
            .starts_with("Warning BackOff: Back-off restarting failed container app in pod web_default(")),
        "{events:#?}"
    );
    // Dead instances do not pile up.
    assert!(world.runtime.containers().len() <= 3);
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_in_order_and_sidecars_stay() {
    let world = World::start("inits").await;
    let spec = json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
        "initContainers": [
            {"name": "first", "image": "img:1", "command": ["exit", "0", "2"]},
            {"name": "side", "image": "img:1", "command": ["run"], "restartPolicy": "Always"},
            {"name": "second", "image": "img:1", "command": ["exit", "0", "2"]},
        ],
        "containers": [{"name": "app", "image": "img:1", "command": ["run"]}]});
    world.create("web", spec);
    let pod = world
        .until("web", |pod| pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object())
        .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&pod, "Initialized"), "False");
    world.until("web", ready).await;
    let starts: Vec<String> =
        world.runtime.log().into_iter().filter(|line| line.starts_with("start")).collect();
    assert_eq!(starts, ["start first 0", "start side 0", "start second 0", "start app 0"]);
    world.runtime.crash("side", 1);
    world
        .until("web", |pod| pod["status"]["initContainerStatuses"][1]["restartCount"] == 1 && ready(pod))
        .await;
    world.api.delete_pod("web", 30);
    world.until("web", Value::is_null).await;
    let log = world.runtime.log();
    let at = |prefix: &str| log.iter().rposition(|line| line.starts_with(prefix)).unwrap();
    assert!(at("end app") < at("stop side"), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let world = World::start("init-fails").await;
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "first", "image": "img:1", "command": ["exit", "1", "1"]}],
        "containers": [{"name": "app", "image": "img:1", "command": ["run"]}]});
    world.create("web", spec);
    let pod = world.until("web", phase("Failed")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_kubelet_adopts_and_restarts_nothing() {
    let mut world = World::start("adopts").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["ready"]}, "periodSeconds": 5});
    world.create("web", spec);
    world.create("loop", one(&["exit", "1", "100"], "Always"));
    world.until("loop", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let before = world.until("web", ready).await;
    let writes = world.api.writes().iter().filter(|w| w.ends_with("pods/status web")).count();
    world.restart().await;
    world.pass(30).await;
    let after = world.pod("web");
    assert_eq!(before["status"], after["status"]);
    assert_eq!(world.api.writes().iter().filter(|w| w.ends_with("pods/status web")).count(), writes);
    world.until("loop", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 2).await;
    let starts = world.runtime.log().iter().filter(|line| *line == "start app 0").count();
    assert_eq!(starts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_kubelet_ends_no_pause_early() {
    let mut world = World::start("pauses").await;
    world.create("loop", one(&["exit", "1", "1"], "Always"));
    let in_pause = |pod: &Value| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 4 && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let before = world.until("loop", in_pause).await;
    world.pass(20).await;
    world.restart().await;
    world.pass(30).await;
    assert_eq!(world.pod("loop")["status"], before["status"]);
    world.until("loop", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 5).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_no_kubelet_ran_is_ended() {
    let mut world = World::start("orphans").await;
    world.create("web", one(&["run"], "Always"));
    world.until("web", ready).await;
    world.env.tasks.stop(std::time::Duration::from_secs(1)).await;
    world.api.delete_pod("web", 0);
    world.restart().await;
    world.pass(5).await;
    assert!(world.runtime.containers().is_empty() && world.runtime.sandboxes().is_empty());
    assert_eq!(std::fs::read_dir(world.root.0.join("kubelet/pods")).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_made_anew_and_counts_go_on() {
    let world = World::start("sandbox").await;
    world.create("web", one(&["run"], "Always"));
    let before = world.until("web", ready).await;
    world.runtime.lose_sandboxes();
    let after =
        world.until("web", |pod| ready(pod) && pod["status"]["podIP"] != before["status"]["podIP"]).await;
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(after["status"]["podIPs"].as_array().unwrap().len(), 1);
    world.pass(5).await;
    assert!(world.api.events().iter().any(|event| event.contains("SandboxChanged")));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_tried_again() {
    let world = World::start("pull").await;
    world.runtime.set_missing("img:1", true);
    world.create("web", one(&["run"], "Always"));
    let reason = |wanted: &'static str| {
        move |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == wanted
    };
    world.until("web", reason("ErrImagePull")).await;
    let pod = world.until("web", reason("ImagePullBackOff")).await;
    assert_eq!(pod["status"]["phase"], "Pending");
    world.runtime.set_missing("img:1", false);
    world.until("web", ready).await;
    let events = world.api.events();
    for wanted in [
        "Warning Failed: Error: ErrImagePull",
        "Warning Failed: Error: ImagePullBackOff",
        "Normal BackOff: Back-off pulling image \"img:1\"",
    ] {
        assert!(events.iter().any(|event| event == wanted), "{wanted}: {events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_being_pulled_for_can_be_deleted() {
    let world = World::start("pull-delete").await;
    world.create("web", one(&["run"], "Always"));
    world.pass(1).await;
    world.api.delete_pod("web", 30);
    let began = world.env.clock.now();
    world.until("web", Value::is_null).await;
    assert!(world.env.clock.now().since(began).as_secs() < 3);
}

#[tokio::test(start_paused = true)]
async fn probes_decide_on_traffic_and_on_life() {
    let world = World::start("probes").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["startupProbe"] =
        json!({"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 30});
    spec["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["ready"]}, "periodSeconds": 1});
    spec["containers"][0]["livenessProbe"] = json!({"exec": {"command": ["alive"]}, "periodSeconds": 1});
    world.runtime.set_failing("up", true);
    world.create("web", spec);
    let pod = world.until("web", phase("Running")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], false);
    world.pass(5).await;
    assert!(!world.runtime.log().iter().any(|line| line.contains("ready") || line.contains("alive")));
    world.runtime.set_failing("up", false);
    world.until("web", ready).await;
    world.runtime.set_failing("ready", true);
    let pod = world.until("web", |pod| !ready(pod)).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    world.runtime.set_failing("ready", false);
    world.until("web", ready).await;
    world.runtime.set_failing("alive", true);
    world.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    world.runtime.set_failing("alive", false);
    world.until("web", ready).await;
    let results: Vec<_> =
        world.kubelet.kit.probed.all().into_iter().map(|(one, _)| (one.kind, one.result)).collect();
    assert!(
        results.contains(&("Liveness", "failed")) && results.contains(&("Readiness", "successful")),
        "{results:?}"
    );
    let events = world.api.events();
    for wanted in [
        "Warning Unhealthy: Liveness probe failed: said",
        "Normal Killing: Container app failed liveness probe, will be restarted",
    ] {
        assert!(events.iter().any(|event| event == wanted), "{wanted}: {events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_up_within_moments_does_not_wait_for_a_period() {
    for kind in ["readinessProbe", "startupProbe"] {
        let world = World::start(kind).await;
        let mut spec = one(&["run"], "Always");
        spec["containers"][0][kind] = json!({"exec": {"command": ["up"]}, "periodSeconds": 100});
        let questions = || world.runtime.log().iter().filter(|line| *line == "exec app up").count();
        world.runtime.set_failing("up", true);
        world.create("quick", spec.clone());
        world.until("quick", |_| questions() == 2).await;
        let began = world.env.clock.now();
        world.runtime.set_failing("up", false);
        world.until("quick", ready).await;
        assert!(world.env.clock.now().since(began).as_secs() < 1, "{kind}");
    }
    let world = World::start("later").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["up"]}, "periodSeconds": 100});
    let questions = || world.runtime.log().iter().filter(|line| *line == "exec app up").count();
    world.runtime.set_failing("up", true);
    world.create("slow", spec);
    world.until("slow", |_| questions() == 4).await;
    world.pass(90).await;
    assert_eq!(questions(), 4);
    // Only what was asked when it was due is told.
    let tally = world.kubelet.kit.probed.all();
    assert_eq!(tally.iter().map(|(one, times)| (one.result, *times)).collect::<Vec<_>>(), [("failed", 1)]);
    world.runtime.set_failing("up", false);
    world.until("slow", ready).await;
    assert_eq!(questions(), 5);
}

#[tokio::test(start_paused = true)]
async fn hooks_run_after_the_start_and_before_the_end() {
    let world = World::start("hooks").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["lifecycle"] = json!({"postStart": {"exec": {"command": ["sleep", "3"]}}, "preStop": {"exec": {"command": ["bye"]}}});
    world.create("web", spec);
    world.until("web", |_| world.runtime.log().iter().any(|line| line == "exec app sleep 3")).await;
    world.pass(1).await;
    assert_eq!(world.pod("web")["status"]["phase"], "Pending");
    world.until("web", ready).await;
    world.api.delete_pod("web", 30);
    world.until("web", Value::is_null).await;
    let log = world.runtime.log();
    let at = |line: &str| log.iter().position(|there| there == line).unwrap();
    assert!(at("exec app bye") < at("stop app 30"), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_first_hook_ends_the_container() {
    let world = World::start("hook-fails").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["lifecycle"] = json!({"postStart": {"exec": {"command": ["hello"]}}});
    world.runtime.set_failing("hello", true);
    world.create("web", spec);
    world.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1)).await;
    assert!(
        world.api.events().iter().any(|event| event == "Warning FailedPostStartHook: PostStartHook failed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_waited_for() {
    let world = World::start("config").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["env"] =
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "a"}}}]);
    world.create("web", spec);
    let waiting = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    };
    let pod = world.until("web", waiting).await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "configmap \"cfg\" not found"
    );
    world.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "cfg", "namespace": "default", "uid": "x"}, "data": {"a": "one"}}),
    );
    world.until("web", ready).await;
    let envs = world.runtime.config("app").envs;
    assert!(envs.contains(&("A".to_owned(), "one".to_owned())), "{envs:?}");
}

#[tokio::test(start_paused = true)]
async fn volumes_follow_their_sources_and_tokens_are_renewed() {
    let world = World::start("volumes").await;
    let put = |text: &str| {
        world.api.put(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "cfg", "namespace": "default", "uid": "x"}, "data": {"a": text}}),
        );
    };
    put("one");
    let mut spec = one(&["run"], "Always");
    spec["volumes"] = json!([
        {"name": "cfg", "configMap": {"name": "cfg"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}},
        {"name": "scratch", "emptyDir": {}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "cfg", "mountPath": "/etc/cfg"}, {"name": "token", "mountPath": "/token"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "a/b"},
    ]);
    world.create("web", spec);
    world.until("web", ready).await;
    let mounts = world.runtime.config("app").mounts;
    let path = |at: &str| mounts.iter().find(|mount| mount.container_path == at).unwrap().host_path.clone();
    let (config, token) = (path("/etc/cfg"), path("/token"));
    assert_eq!(std::fs::read_to_string(config.join("a")).unwrap(), "one");
    assert_eq!(std::fs::read_to_string(token.join("token")).unwrap(), "token-1-api");
    assert!(path("/scratch").is_dir() && path("/etc/hosts").is_file() && path("/etc/resolv.conf").is_file());
    put("two");
    world.pass(2).await;
    assert_eq!(std::fs::read_to_string(config.join("a")).unwrap(), "two");
    world.pass(485).await;
    assert_eq!(std::fs::read_to_string(token.join("token")).unwrap(), "token-2-api");
    world.api.delete_pod("web", 1);
    world.until("web", Value::is_null).await;
    assert_eq!(std::fs::read_dir(world.root.0.join("kubelet/pods")).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_past_its_deadline_fails() {
    let world = World::start("deadline").await;
    let mut spec = one(&["run"], "Always");
    spec["activeDeadlineSeconds"] = json!(20);
    world.create("web", spec);
    world.until("web", ready).await;
    let pod = world.until("web", phase("Failed")).await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    world.pass(5).await;
    assert!(world.runtime.containers().iter().all(|container| container.pid == 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_fit_is_refused() {
    let world = World::start("refused").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10000"}});
    world.create("web", spec);
    let pod = world.until("web", phase("Failed")).await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    let message = pod["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 10000000, used: 0,"
        ),
        "{message}"
    );
    assert!(world.runtime.sandboxes().is_empty());
    world.api.delete_pod("web", 30);
    world.until("web", Value::is_null).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_image_replaces_the_container() {
    let world = World::start("image").await;
    world.create("web", one(&["run"], "Never"));
    world.until("web", ready).await;
    world.api.change("pods", "web", |pod| {
        pod["spec"]["containers"][0]["image"] = json!("img:2");
        pod["metadata"]["generation"] = json!(2);
    });
    let pod = world
        .until("web", |pod| pod["status"]["containerStatuses"][0]["image"] == "img:2" && ready(pod))
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(pod["status"]["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_container_is_started_once() {
    let world = World::start("ephemeral").await;
    world.create("web", one(&["run"], "Always"));
    world.until("web", ready).await;
    world.api.change("pods", "web", |pod| {
        pod["spec"]["ephemeralContainers"] =
            json!([{"name": "look", "image": "img:1", "command": ["exit", "0", "2"], "targetContainerName": "app"}]);
    });
    let ended =
        |pod: &Value| pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"].is_object();
    world.until("web", ended).await;
    world.pass(60).await;
    assert_eq!(world.runtime.log().iter().filter(|line| line.starts_with("start look")).count(), 1);
    assert!(ready(&world.pod("web")));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_started_says_so() {
    let world = World::start("broken").await;
    world.create("web", one(&["broken"], "Always"));
    let waiting = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "RunContainerError"
    };
    let pod = world.until("web", waiting).await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(128), &json!("StartError")));
    assert!(world.api.events().iter().any(|event| event == "Warning Failed: Error: no such executable"));
}

fn sized(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_resized_in_place_and_across_a_restart_of_the_kubelet() {
    let mut world = World::start("resize").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["resources"] = sized("100m", "64Mi");
    world.create("web", spec);
    world.until("web", ready).await;
    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("200m", "128Mi"));
    let resized = |pod: &Value| pod["status"]["containerStatuses"][0]["resources"] == sized("200m", "128Mi");
    let pod =
        world.until("web", |pod| resized(pod) && condition(pod, "PodResizeInProgress").is_empty()).await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["allocatedResources"],
        sized("200m", "128Mi")["requests"]
    );
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let actual = world.runtime.containers()[0].resources.clone();
    assert_eq!((actual.cpu_quota, actual.memory_limit, actual.cpu_shares), (20_000, 128 << 20, 204));

    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("1000", "128Mi"));
    let reason = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .find(|c| c["type"] == "PodResizePending")
            .map(|c| c["reason"].clone())
            .unwrap_or_default()
    };
    let pod = world.until("web", |pod| reason(pod) == "Infeasible").await;
    assert!(resized(&pod));
    world.restart().await;
    world.pass(5).await;
    assert!(resized(&world.pod("web")) && reason(&world.pod("web")) == "Infeasible");
    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("200m", "128Mi"));
    world.until("web", |pod| reason(pod).is_null()).await;
    assert_eq!(world.runtime.log().iter().filter(|line| line.starts_with("start")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_needs_a_restart_gets_one() {
    let world = World::start("resize-restart").await;
    let mut spec = one(&["run"], "Never");
    spec["containers"][0]["resources"] = sized("100m", "64Mi");
    spec["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    world.create("web", spec);
    world.until("web", ready).await;
    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("100m", "128Mi"));
    let pod = world
        .until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1 && ready(pod))
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["resources"], sized("100m", "128Mi"));
    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("200m", "128Mi"));
    world
        .until("web", |pod| pod["status"]["containerStatuses"][0]["resources"] == sized("200m", "128Mi"))
        .await;
    assert_eq!(world.pod("web")["status"]["containerStatuses"][0]["restartCount"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_resize_waits_for_room() {
    let world = World::start("resize-waits").await;
    let cpus = std::thread::available_parallelism().unwrap().get();
    let most = format!("{}m", cpus * 1_000 - 200);
    for (name, cpu) in [("web", "100m"), ("other", most.as_str())] {
        let mut spec = one(&["run"], "Always");
        spec["containers"][0]["resources"] = sized(cpu, "1Mi");
        world.create(name, spec);
        world.until(name, ready).await;
    }
    world.api.change("pods", "web", |pod| pod["spec"]["containers"][0]["resources"] = sized("300m", "1Mi"));
    let pod = world.until("web", |pod| condition(pod, "PodResizePending") == "True").await;
    assert!(pod["status"]["conditions"].to_string().contains("\"Deferred\""));
    world.api.delete_pod("other", 1);
    world
        .until("web", |pod| pod["status"]["containerStatuses"][0]["resources"] == sized("300m", "1Mi"))
        .await;
    world.until("web", |pod| condition(pod, "PodResizePending").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_class_names_a_handler_that_must_be_there() {
    let world = World::start("class").await;
    let class = |name: &str, handler: &str| json!({"metadata": {"name": name}, "handler": handler});
    let with_class = |class: &str| {
        let mut spec = one(&["run"], "Always");
        spec["runtimeClassName"] = json!(class);
        spec
    };
    world.api.put("runtimeclasses", class("quick", "fast"));
    world.create("good", with_class("quick"));
    world.until("good", phase("Running")).await;
    for (pod, class_name, why) in [
        ("unknown", "none", "failed to lookup RuntimeClass none: "),
        ("unable", "slow", "no runtime for \"kata\" is configured"),
    ] {
        world.api.put("runtimeclasses", class("slow", "kata"));
        world.create(pod, with_class(class_name));
        world.pass(3).await;
        assert_eq!(world.pod(pod)["status"]["phase"], "Pending");
        let told = world.api.events();
        let event = |line: &String| line.contains("FailedCreatePodSandBox") && line.contains(why);
        assert!(told.iter().any(event), "{pod}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_but_the_kubelet_writes_what_it_keeps_writing() {
    let world = World::start("written").await;
    world
        .api
        .put("configmaps", json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "v"}}));
    let mut spec = one(&["run"], "Always");
    spec["volumes"] = json!([
        {"name": "config", "configMap": {"name": "cm"}},
        {"name": "self", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "scratch", "emptyDir": {}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "config", "mountPath": "/config"},
        {"name": "self", "mountPath": "/self"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]);
    world.create("web", spec);
    world.until("web", phase("Running")).await;
    let config = world.runtime.config("app");
    let readonly = |path: &str| config.mounts.iter().find(|m| m.container_path == path).unwrap().readonly;
    assert_eq!(["/config", "/self", "/scratch"].map(readonly), [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_could_not_be_asked_counts_for_nothing() {
    let world = World::start("unasked").await;
    let mut spec = one(&["run"], "Always");
    spec["containers"][0]["livenessProbe"] =
        json!({"exec": {"command": ["unreachable"]}, "periodSeconds": 1});
    world.create("web", spec);
    world.until("web", phase("Running")).await;
    world.pass(30).await;
    assert_eq!(world.pod("web")["status"]["containerStatuses"][0]["restartCount"], 0);
    let told = world.api.events();
    let wanted = "Warning Unhealthy: Liveness probe errored and resulted in unknown state: rpc error: ";
    assert!(told.iter().any(|event| event.starts_with(wanted)), "{told:?}");
    let tally = world.kubelet.kit.probed.all();
    assert!(tally.iter().all(|(one, count)| one.result == "unknown" && *count > 20), "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn volumes_follow_what_they_tell_of_their_pod() {
    let world = World::start("told").await;
    let mut spec = one(&["run"], "Always");
    let fields = json!({"items": [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations['note']"}}]});
    spec["volumes"] = json!([
        {"name": "plain", "downwardAPI": fields},
        {"name": "mixed", "projected": {"sources": [{"downwardAPI": fields}]}},
    ]);
    world.create("web", spec);
    world.until("web", phase("Running")).await;
    let uid = world.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let volumes = world.root.0.join("kubelet/pods").join(uid).join("volumes");
    let read = |file: &str| std::fs::read_to_string(volumes.join(file)).unwrap();
    world.api.change("pods", "web", |pod| {
        pod["metadata"]["labels"] = json!({"a": "b"});
        pod["metadata"]["annotations"] = json!({"note": "first"});
    });
    world.pass(2).await;
    for volume in ["kubernetes.io~downward-api/plain", "kubernetes.io~projected/mixed"] {
        assert_eq!(read(&format!("{volume}/labels")), "a=\"b\"");
        assert_eq!(read(&format!("{volume}/notes")), "first");
    }
    world.api.change("pods", "web", |pod| pod["metadata"]["annotations"]["note"] = json!("second"));
    world.pass(2).await;
    assert_eq!(read("kubernetes.io~projected/mixed/notes"), "second");
}

#[tokio::test(start_paused = true)]
async fn the_pod_as_a_whole_grows_before_its_containers_and_shrinks_after_them() {
    let world = World::start("resize-whole").await;
    let spec_of = |sizes: [(&str, &str); 2]| {
        let containers = ["a", "b"].into_iter().zip(sizes).map(|(name, (cpu, memory))| {
            json!({"name": name, "image": "img:1", "command": ["run"], "resources": sized(cpu, memory)})
        });
        containers.collect::<Vec<_>>()
    };
    let containers = spec_of([("100m", "64Mi"), ("100m", "64Mi")]);
    world.create("web", json!({"restartPolicy": "Always", "containers": containers}));
    world.until("web", ready).await;
    for (sizes, quota, memory) in [
        ([("400m", "256Mi"), ("300m", "64Mi")], 70_000, 320),
        ([("50m", "64Mi"), ("600m", "256Mi")], 65_000, 320),
        ([("20m", "32Mi"), ("30m", "32Mi")], 5_000, 64),
    ] {
        let containers = spec_of(sizes);
        world.api.change("pods", "web", |pod| {
            for (place, wanted) in containers.iter().enumerate() {
                pod["spec"]["containers"][place]["resources"] = wanted["resources"].clone();
            }
        });
        world
            .until("web", |pod| {
                let statuses = pod["status"]["containerStatuses"].as_array().unwrap();
                let done =
                    statuses.iter().zip(&sizes).all(|(one, size)| one["resources"] == sized(size.0, size.1));
                done && condition(pod, "PodResizeInProgress").is_empty()
            })
            .await;
        let whole = world.runtime.sandboxes()[0].resources.clone();
        assert_eq!((whole.cpu_quota, whole.memory_limit), (quota, memory << 20), "{sizes:?}");
    }
    assert!(!world.api.events().iter().any(|event| event.contains("ResizeError")));
}

//! What the API is told of every shape a pod can have.

use std::collections::BTreeMap;

use cri::{Container, ContainerState, Sandbox, SandboxState};
use serde_json::{Value, json};

use super::*;
use crate::memory::{Busy, End, Probed, Waiting};
use crate::tests::pod;

const NOW: WallTime = WallTime::from_secs(1_700_000_100);

fn container(text: &str) -> Container {
    let parts: Vec<&str> = text.split(':').collect();
    let attempt: u32 = parts[1].parse().unwrap();
    let state = match parts[2] {
        "run" => ContainerState::Running,
        "new" => ContainerState::Created,
        "lost" => ContainerState::Unknown,
        _ => ContainerState::Exited,
    };
    Container {
        id: format!("{}-{attempt}", parts[0]),
        sandbox: "s".to_owned(),
        name: parts[0].to_owned(),
        attempt,
        state,
        exit_code: parts.get(3).map_or(0, |code| code.parse().unwrap()),
        image: "img:1".to_owned(),
        image_id: "sha256:1".to_owned(),
        started_at: 1_700_000_000_000_000_000,
        finished_at: if state == ContainerState::Exited { 1_700_000_050_000_000_000 } else { 0 },
        ..Container::default()
    }
}

fn observed(containers: &str) -> Observed {
    let sandbox = Sandbox {
        id: "s".to_owned(),
        state: SandboxState::Ready,
        ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        ..Sandbox::default()
    };
    Observed::new(vec![sandbox], containers.split_whitespace().map(container).collect())
}

fn status_of(spec: Value, before: Value, there: &Observed, memory: &Memory) -> Value {
    let pod = pod(spec, before);
    let place = Place { ips: vec!["192.0.2.1".parse().unwrap()], runtime: "x".to_owned() };
    let messages = BTreeMap::from([("a-0".to_owned(), "last words".to_owned())]);
    let scene = Scene { pod: &pod, observed: there, memory, place: &place, messages: &messages, now: NOW };
    serde_json::to_value(compute(&scene)).unwrap()
}

fn spec(policy: &str, inits: &[&str], apps: &[&str]) -> Value {
    let make = |name: &&str| match name.strip_suffix('*') {
        Some(name) => json!({"name": name, "image": "img:1", "restartPolicy": "Always"}),
        None => json!({"name": name, "image": "img:1"}),
    };
    json!({"restartPolicy": policy,
           "initContainers": inits.iter().map(make).collect::<Vec<_>>(),
           "containers": apps.iter().map(make).collect::<Vec<_>>()})
}

/// Policy, init containers (`*`: sidecars), app containers, what there is, what is expected.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, &'a str);

#[test]
fn phases_are_those_everybody_expects() {
    let cases: &[Case] = &[
        ("Always", &[], &["a"], "", "Pending"),
        ("Always", &[], &["a"], "a:0:new", "Pending"),
        ("Always", &[], &["a"], "a:0:run", "Running"),
        ("Always", &[], &["a"], "a:0:end:0", "Running"),
        ("Always", &[], &["a"], "a:0:end:1", "Running"),
        ("Always", &[], &["a", "b"], "a:0:run", "Pending"),
        ("Always", &[], &["a", "b"], "a:0:run b:0:end:1", "Running"),
        ("OnFailure", &[], &["a"], "a:0:end:0", "Succeeded"),
        ("OnFailure", &[], &["a"], "a:0:end:1", "Running"),
        ("OnFailure", &[], &["a", "b"], "a:0:end:0 b:0:run", "Running"),
        ("OnFailure", &[], &["a", "b"], "a:0:end:0 b:0:end:0", "Succeeded"),
        ("Never", &[], &["a"], "a:0:end:0", "Succeeded"),
        ("Never", &[], &["a"], "a:0:end:1", "Failed"),
        ("Never", &[], &["a"], "a:0:run", "Running"),
        ("Never", &[], &["a", "b"], "a:0:end:1 b:0:run", "Running"),
        ("Never", &[], &["a", "b"], "a:0:end:1 b:0:end:0", "Failed"),
        ("Always", &["i"], &["a"], "", "Pending"),
        ("Always", &["i"], &["a"], "i:0:run", "Pending"),
        ("Always", &["i"], &["a"], "i:0:end:0", "Pending"),
        ("Always", &["i"], &["a"], "i:0:end:1", "Pending"),
        ("Never", &["i"], &["a"], "i:0:end:1", "Failed"),
        ("Always", &["i"], &["a"], "i:0:end:0 a:0:run", "Running"),
        ("Always", &["s*"], &["a"], "s:0:run a:0:run", "Running"),
        ("Always", &["s*"], &["a"], "s:0:end:1 a:0:run", "Running"),
        ("Never", &["s*"], &["a"], "s:0:end:0 a:0:end:0", "Succeeded"),
        ("Never", &["s*"], &["a"], "s:0:end:1 a:0:end:0", "Succeeded"),
    ];
    for (policy, inits, apps, there, wanted) in cases {
        let status = status_of(spec(policy, inits, apps), json!({}), &observed(there), &Memory::default());
        assert_eq!(status["phase"], *wanted, "{policy} {inits:?} {apps:?} {there:?}");
    }
}

#[test]
fn a_pod_that_has_ended_stays_ended() {
    let end = |cause| Memory { end: Some(End { cause, since: NOW, grace_secs: 30 }), ..Memory::default() };
    let failed = Cause::Failed { reason: "Evicted".to_owned(), message: "no room".to_owned() };
    for (policy, there, memory, wanted) in [
        ("Always", "a:0:end:0", end(Cause::Deleted), "Succeeded"),
        ("Always", "a:0:end:143", end(Cause::Deleted), "Failed"),
        ("Always", "", end(Cause::Deleted), "Failed"),
        ("Always", "a:0:run", end(Cause::Deleted), "Running"),
        ("OnFailure", "a:0:end:0", end(Cause::Completed), "Succeeded"),
        ("Always", "a:0:end:0", end(failed), "Failed"),
    ] {
        let status = status_of(spec(policy, &[], &["a"]), json!({}), &observed(there), &memory);
        assert_eq!(status["phase"], wanted, "{policy} {there:?}");
    }
    for phase in ["Succeeded", "Failed"] {
        let before = json!({"phase": phase, "reason": "Why"});
        let status = status_of(spec("Always", &[], &["a"]), before, &observed("a:0:run"), &Memory::default());
        assert_eq!((&status["phase"], &status["reason"]), (&json!(phase), &json!("Why")));
    }
}

#[test]
fn no_pod_has_ended_while_something_of_it_runs() {
    let failed = Cause::Failed { reason: "Evicted".to_owned(), message: "no room".to_owned() };
    let evicted =
        Memory { end: Some(End { cause: failed, since: NOW, grace_secs: 30 }), ..Memory::default() };
    let sidecar = spec("Never", &["s*"], &["a"]);
    for (spec, before, there, memory, wanted) in [
        (&sidecar, "Running", "s:0:run a:0:end:0", &Memory::default(), ("Running", "")),
        (&sidecar, "Running", "s:0:end:0 a:0:end:0", &Memory::default(), ("Succeeded", "")),
        (&spec("Always", &[], &["a"]), "Running", "a:0:run", &evicted, ("Running", "")),
        (&spec("Always", &[], &["a"]), "Pending", "a:0:run", &evicted, ("Pending", "")),
        (&spec("Always", &[], &["a"]), "Running", "a:0:end:137", &evicted, ("Failed", "Evicted")),
    ] {
        let status = status_of(spec.clone(), json!({"phase": before}), &observed(there), memory);
        let told = (status["phase"].as_str().unwrap(), status["reason"].as_str().unwrap_or_default());
        assert_eq!(told, wanted, "{there:?}, {before} before");
    }
}

#[test]
fn an_ended_pods_containers_all_have_an_end() {
    let memory =
        Memory { end: Some(End { cause: Cause::Deleted, since: NOW, grace_secs: 1 }), ..Memory::default() };
    let status = status_of(spec("Always", &[], &["a"]), json!({}), &observed(""), &memory);
    let ended = &status["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(137), &json!("ContainerStatusUnknown")));
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

#[test]
fn conditions_say_what_is_missing() {
    let two = spec("Always", &["i", "s*"], &["b", "a"]);
    let status = status_of(two.clone(), json!({}), &observed("i:0:run"), &Memory::default());
    let initialized = condition(&status, "Initialized");
    assert_eq!(initialized["reason"], "ContainersNotInitialized");
    assert_eq!(initialized["message"], "containers with incomplete status: [i s]");
    let ready = condition(&status, "Ready");
    assert_eq!(ready["reason"], "ContainersNotReady");
    assert_eq!(ready["message"], "containers with unready status: [s b a]");
    assert_eq!(condition(&status, "PodReadyToStartContainers")["status"], "True");
    assert_eq!(condition(&status, "PodScheduled")["status"], "True");

    let status =
        status_of(two, json!({}), &observed("i:0:end:0 s:0:run a:0:run b:0:run"), &Memory::default());
    for kind in ["Initialized", "Ready", "ContainersReady"] {
        assert_eq!(condition(&status, kind)["status"], "True", "{kind}");
        assert_eq!(condition(&status, kind)["observedGeneration"], 1);
    }
    let names: Vec<&str> =
        status["containerStatuses"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);

    let done = status_of(
        spec("Never", &["i"], &["a"]),
        json!({}),
        &observed("i:0:end:0 a:0:end:0"),
        &Memory::default(),
    );
    assert_eq!(condition(&done, "Initialized")["reason"], "PodCompleted");
    assert_eq!(condition(&done, "Ready")["reason"], "PodCompleted");
    let failed = status_of(spec("Never", &[], &["a"]), json!({}), &observed("a:0:end:1"), &Memory::default());
    assert_eq!(condition(&failed, "ContainersReady")["reason"], "PodFailed");
}

#[test]
fn readiness_gates_are_waited_for() {
    let mut gated = spec("Always", &[], &["a"]);
    gated["readinessGates"] = json!([{"conditionType": "example.com/g"}]);
    let there = observed("a:0:run");
    let status = status_of(gated.clone(), json!({}), &there, &Memory::default());
    let ready = condition(&status, "Ready");
    assert_eq!(ready["reason"], "ReadinessGatesNotReady");
    assert_eq!(
        ready["message"],
        "corresponding condition of pod readiness gate \"example.com/g\" does not exist."
    );
    assert_eq!(condition(&status, "ContainersReady")["status"], "True");
    for (value, holds) in [("False", "False"), ("True", "True")] {
        let before = json!({"conditions": [{"type": "example.com/g", "status": value}]});
        let status = status_of(gated.clone(), before, &there, &Memory::default());
        assert_eq!(condition(&status, "Ready")["status"], holds);
        assert_eq!(condition(&status, "example.com/g")["status"], value, "others' conditions are kept");
    }
}

#[test]
fn transition_times_change_only_with_what_they_tell() {
    let before = json!({"startTime": "2023-01-01T00:00:00Z", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2023-01-01T00:00:00Z"},
        {"type": "Initialized", "status": "False", "lastTransitionTime": "2023-01-01T00:00:00Z"}]});
    let status = status_of(spec("Always", &[], &["a"]), before, &observed("a:0:run"), &Memory::default());
    assert_eq!(condition(&status, "Ready")["lastTransitionTime"], "2023-01-01T00:00:00Z");
    assert_eq!(condition(&status, "Initialized")["lastTransitionTime"], "2023-11-14T22:15:00Z");
    assert_eq!(status["startTime"], "2023-01-01T00:00:00Z");
}

#[test]
fn container_states_tell_the_whole_story() {
    let one = spec("Always", &[], &["a"]);
    let status = status_of(one.clone(), json!({}), &observed("a:1:run a:0:end:3"), &Memory::default());
    let app = &status["containerStatuses"][0];
    assert_eq!(app["state"]["running"]["startedAt"], "2023-11-14T22:13:20Z");
    let last = &app["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"], &last["message"]),
        (&json!(3), &json!("Error"), &json!("last words"))
    );
    assert_eq!(last["containerID"], "x://a-0");
    assert_eq!((&app["restartCount"], &app["containerID"]), (&json!(1), &json!("x://a-1")));

    let waiting = Memory {
        waiting: BTreeMap::from([("a".to_owned(), Waiting::new("CrashLoopBackOff", "back-off 10s"))]),
        ..Memory::default()
    };
    let status = status_of(one.clone(), json!({}), &observed("a:0:end:0"), &waiting);
    let app = &status["containerStatuses"][0];
    assert_eq!(app["state"]["waiting"], json!({"reason": "CrashLoopBackOff", "message": "back-off 10s"}));
    assert_eq!(app["lastState"]["terminated"]["reason"], "Completed");
    assert_eq!(app["ready"], false);

    let starting = Memory { busy: BTreeMap::from([("a".to_owned(), Busy::Starting)]), ..Memory::default() };
    let status = status_of(one, json!({}), &observed("a:0:run"), &starting);
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
    assert_eq!(status["phase"], "Pending", "a container whose first hook runs does not run yet");
}

#[test]
fn a_container_is_told_of_when_it_has_begun_and_its_restarts_never_fall() {
    let told = |count: u32| {
        json!({"phase": "Running", "containerStatuses": [{"name": "a", "image": "img:1", "imageID": "",
            "ready": false, "restartCount": count, "containerID": "x://a-0",
            "state": {"terminated": {"exitCode": 3, "reason": "Error", "containerID": "x://a-0"}}}]})
    };
    // Policy, what there is, the count that was told before; the container, count and phase that are told.
    for (policy, there, before, id, count, phase) in [
        ("OnFailure", "a:0:end:3", 0, json!("x://a-0"), 0, "Running"),
        ("OnFailure", "a:0:end:3 a:1:new", 0, json!("x://a-0"), 0, "Running"),
        ("OnFailure", "a:0:end:3 a:1:run", 0, json!("x://a-1"), 1, "Running"),
        // A kubelet before us told too early of one that was made, and it was made anew.
        ("OnFailure", "a:0:end:3", 1, json!("x://a-0"), 1, "Running"),
        ("OnFailure", "a:0:end:3 a:1:run", 2, json!("x://a-1"), 2, "Running"),
        // It is being started again although the policy alone would not.
        ("OnFailure", "a:0:end:0 a:1:new", 0, json!("x://a-0"), 0, "Running"),
        ("Never", "a:0:end:3 a:1:new", 0, json!("x://a-0"), 0, "Running"),
    ] {
        let status = status_of(spec(policy, &[], &["a"]), told(before), &observed(there), &Memory::default());
        let app = &status["containerStatuses"][0];
        let found = (&app["containerID"], &app["restartCount"], &status["phase"]);
        assert_eq!(found, (&id, &json!(count), &json!(phase)), "{policy} {there:?} after {before}");
        let of_id = |state: &Value| state["terminated"]["containerID"].clone();
        if id == json!("x://a-0") {
            assert_eq!(of_id(&app["state"]), id, "{there:?}");
        } else {
            assert_eq!(of_id(&app["lastState"]), json!("x://a-0"), "{there:?}");
        }
    }
    let status = status_of(spec("Always", &[], &["a"]), json!({}), &observed("a:0:new"), &Memory::default());
    let app = &status["containerStatuses"][0];
    assert_eq!((&app["containerID"], &app["restartCount"]), (&Value::Null, &json!(0)), "nothing has begun");
}

#[test]
fn what_the_runtime_forgot_is_remembered_by_the_api() {
    let before = json!({"containerStatuses": [{"name": "a", "image": "img:1", "imageID": "", "ready": true,
        "restartCount": 2, "containerID": "x://old", "state": {"terminated": {"exitCode": 5, "reason": "Error"}}}]});
    let one = spec("Always", &[], &["a"]);
    let status = status_of(one.clone(), before.clone(), &observed("a:3:run"), &Memory::default());
    assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 5);
    let status = status_of(one.clone(), before, &observed(""), &Memory::default());
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 5);
    let ran = json!({"containerStatuses": [{"name": "a", "image": "img:1", "imageID": "", "ready": true,
        "restartCount": 2, "containerID": "x://old", "state": {"running": {}}}]});
    let status = status_of(one, ran, &observed(""), &Memory::default());
    let app = &status["containerStatuses"][0];
    assert_eq!(app["lastState"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!(
        (&app["state"]["waiting"]["reason"], &app["ready"]),
        (&json!("ContainerCreating"), &json!(false))
    );
}

#[test]
fn probes_decide_on_started_and_ready() {
    let mut one = spec("Always", &[], &["a"]);
    one["containers"][0]["startupProbe"] = json!({});
    one["containers"][0]["readinessProbe"] = json!({});
    for (startup, readiness, started, ready) in [
        (None, None, false, false),
        (Some(true), None, true, false),
        (Some(true), Some(false), true, false),
        (Some(true), Some(true), true, true),
        (Some(false), Some(true), false, false),
    ] {
        let probed = Probed { startup, liveness: None, readiness };
        let memory = Memory { probes: BTreeMap::from([("a-0".to_owned(), probed)]), ..Memory::default() };
        let status = status_of(one.clone(), json!({}), &observed("a:0:run"), &memory);
        let app = &status["containerStatuses"][0];
        assert_eq!(
            (&app["started"], &app["ready"]),
            (&json!(started), &json!(ready)),
            "{startup:?} {readiness:?}"
        );
    }
}

#[test]
fn addresses_are_told_and_kept() {
    let one = spec("Always", &[], &["a"]);
    let status = status_of(one.clone(), json!({}), &observed(""), &Memory::default());
    assert_eq!(status["podIP"], "10.0.0.1");
    assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]));
    let before = json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]});
    let status = status_of(one.clone(), before, &Observed::default(), &Memory::default());
    assert_eq!(status["podIP"], "10.0.0.9");
    let mut host = one;
    host["hostNetwork"] = json!(true);
    let status = status_of(host, json!({}), &Observed::default(), &Memory::default());
    assert_eq!(status["podIP"], "192.0.2.1");
}

#[test]
fn mounts_and_resources_are_told() {
    let mut one = spec("Always", &[], &["a"]);
    one["containers"][0]["volumeMounts"] = json!([
        {"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w", "readOnly": true},
        {"name": "x", "mountPath": "/x", "readOnly": true, "recursiveReadOnly": "IfPossible"}]);
    one["containers"][0]["resources"] =
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}});
    let mut running = container("a:0:run");
    running.resources = cri::Resources {
        cpu_shares: 102,
        cpu_quota: 50_000,
        cpu_period: 100_000,
        memory_limit: 128 << 20,
        ..cri::Resources::default()
    };
    let there = Observed::new(observed("").sandboxes().to_vec(), vec![running]);
    let status = status_of(one, json!({}), &there, &Memory::default());
    let app = &status["containerStatuses"][0];
    assert_eq!(
        app["volumeMounts"],
        json!([{"name": "v", "mountPath": "/v"},
               {"name": "w", "mountPath": "/w", "readOnly": true, "recursiveReadOnly": "Disabled"},
               {"name": "x", "mountPath": "/x", "readOnly": true, "recursiveReadOnly": "Enabled"}])
    );
    // The quota in force is half of what was asked for; all else is as it was written.
    assert_eq!(
        app["resources"],
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}})
    );
    assert_eq!(app["allocatedResources"], json!({"cpu": "100m", "memory": "64Mi"}));
    assert_eq!(status["qosClass"], "Burstable");
}

#[test]
fn limits_that_the_kernel_cannot_keep_are_told_as_they_were_asked_for() {
    for (limit, quota, told) in
        [("5m", 1_000, "5m"), ("10m", 1_000, "10m"), ("20m", 1_000, "10m"), ("5m", 2_000, "20m")]
    {
        let mut one = spec("Always", &[], &["a"]);
        one["containers"][0]["resources"] = json!({"limits": {"cpu": limit}});
        let mut running = container("a:0:run");
        running.resources =
            cri::Resources { cpu_quota: quota, cpu_period: 100_000, ..cri::Resources::default() };
        let there = Observed::new(observed("").sandboxes().to_vec(), vec![running]);
        let status = status_of(one, json!({}), &there, &Memory::default());
        assert_eq!(status["containerStatuses"][0]["resources"]["limits"]["cpu"], told, "{limit} {quota}");
    }
}

#[test]
fn a_pod_whose_containers_are_all_started_again_goes_on() {
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}});
    let spec = json!({"restartPolicy": "Never", "initContainers": [{"name": "i", "image": "i"}], "containers": [
        {"name": "a", "image": "i"},
        {"name": "w", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}]});
    for (there, phase, restarting) in [
        ("i:0:end:0 a:0:run w:0:run", "Running", "False"),
        ("i:0:end:0 a:0:run w:0:end:42", "Running", "True"),
        ("i:0:end:137 a:0:end:137 w:0:end:42", "Running", "False"),
        ("i:0:end:0 a:0:end:1 w:0:end:1", "Running", "False"),
    ] {
        let before = json!({"phase": "Running"});
        let status = status_of(spec.clone(), before, &observed(there), &Memory::default());
        let conditions = status["conditions"].as_array().unwrap();
        let condition = conditions.iter().find(|one| one["type"] == "AllContainersRestarting").unwrap();
        assert_eq!((&status["phase"], &condition["status"]), (&json!(phase), &json!(restarting)), "{there}");
    }
}

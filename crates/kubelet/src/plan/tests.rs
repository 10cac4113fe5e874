//! What is planned for every shape a pod can have.

use std::collections::BTreeMap;
use std::time::Duration;

use cri::{Container, ContainerState, Sandbox, SandboxState};
use env::WallTime;
use serde_json::{Value, json};

use super::*;
use crate::memory::{BackOff, Busy, Probed, PullFailure};
use crate::pod::Role;
use crate::tests::pod;

const NOW: WallTime = WallTime::from_secs(10_000);

fn sandbox(id: &str, attempt: u32, ready: bool) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        attempt,
        state: if ready { SandboxState::Ready } else { SandboxState::NotReady },
        ips: vec!["10.0.0.1".parse().unwrap()],
        ..Sandbox::default()
    }
}

/// `name:attempt:state[:code[:seconds ago]]`, in sandbox `s`.
fn container(text: &str) -> Container {
    let mut parts = text.split(':');
    let mut next = || parts.next();
    let name = next().unwrap().to_owned();
    let attempt = next().unwrap().parse().unwrap();
    let state = match next().unwrap() {
        "run" => ContainerState::Running,
        "new" => ContainerState::Created,
        "lost" => ContainerState::Unknown,
        _ => ContainerState::Exited,
    };
    let exit_code = next().map_or(0, |code| code.parse().unwrap());
    let ago: i64 = next().map_or(100, |secs| secs.parse().unwrap());
    Container {
        id: format!("{name}-{attempt}"),
        sandbox: "s".to_owned(),
        name,
        attempt,
        state,
        exit_code,
        created_at: i64::from(attempt) + 1,
        finished_at: if state == ContainerState::Exited { NOW.0 - ago * 1_000_000_000 } else { 0 },
        ..Container::default()
    }
}

fn observed(containers: &str) -> Observed {
    let containers = containers.split_whitespace().map(container).collect();
    Observed::new(vec![sandbox("s", 0, true)], containers)
}

fn mounted() -> Memory {
    Memory { volumes: Volumes::Mounted { renew_at: None }, ..Memory::default() }
}

fn spec(policy: &str, inits: &[&str], apps: &[&str]) -> Value {
    let make = |name: &&str| match name.strip_suffix('*') {
        Some(name) => json!({"name": name, "image": "i", "restartPolicy": "Always"}),
        None => json!({"name": name, "image": "i"}),
    };
    json!({"restartPolicy": policy,
           "initContainers": inits.iter().map(make).collect::<Vec<_>>(),
           "containers": apps.iter().map(make).collect::<Vec<_>>()})
}

/// The plan's actions in short.
fn short(plan: &PodPlan) -> String {
    let words: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Mount => "mount".to_owned(),
            Action::StartSandbox { attempt } => format!("sandbox:{attempt}"),
            Action::StopSandbox { id } => format!("stop-sandbox:{id}"),
            Action::ResizePod { resources, .. } => format!("resize-pod:{}", resources.cpu_quota),
            Action::Start { name, attempt } => format!("start:{name}:{attempt}"),
            Action::Wait { name, waiting } => format!("wait:{name}:{}", waiting.reason),
            Action::Resize { id, .. } => format!("resize:{id}"),
            Action::Kill(kill) => format!("kill:{}:{}", kill.id, kill.grace_secs),
            Action::Remove { id } => format!("remove:{id}"),
            Action::RemoveSandbox { id } => format!("remove-sandbox:{id}"),
            Action::End(end) => match &end.cause {
                Cause::Failed { reason, .. } => format!("end:{reason}"),
                cause => format!("end:{cause:?}"),
            },
            Action::Unmount => "unmount".to_owned(),
            Action::Clean => "clean".to_owned(),
            Action::Finish => "finish".to_owned(),
        })
        .collect();
    words.join(" ")
}

fn planned(spec: &Value, observed: &Observed, memory: &Memory) -> String {
    let pod = pod(spec.clone(), json!({}));
    let plan = plan_pod(&View { pod: &pod, observed, memory, now: NOW });
    assert_eq!(plan.actions.len().min(1), plan.reasons.len().min(1), "every action has a reason");
    short(&plan)
}

/// Policy, init containers (`*`: sidecars), app containers, what there is, what is expected.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, &'a str);

#[test]
fn containers_are_started_as_policy_and_order_say() {
    // Policy, init containers (`*`: sidecars), app containers, what there is, what is planned.
    let cases: &[Case] = &[
        ("Always", &[], &["a"], "", "start:a:0"),
        ("Always", &[], &["a", "b"], "", "start:a:0 start:b:0"),
        ("Always", &[], &["a", "b"], "a:0:run", "start:b:0"),
        ("Always", &[], &["a"], "a:0:run", ""),
        ("Always", &[], &["a"], "a:0:end:0", "start:a:1"),
        ("Always", &[], &["a"], "a:0:end:1", "start:a:1"),
        ("Always", &[], &["a"], "a:3:end:1 a:2:end:1", "start:a:4"),
        ("Always", &[], &["a"], "a:3:end:1 a:2:end:1 a:1:end:1", "remove:a-1 start:a:4"),
        ("Always", &[], &["a"], "a:0:new", "start:a:0"),
        ("Always", &[], &["a"], "a:0:lost", "start:a:1"),
        ("OnFailure", &[], &["a"], "a:0:end:1", "start:a:1"),
        ("OnFailure", &[], &["a"], "a:0:end:0", "end:Completed"),
        ("OnFailure", &[], &["a", "b"], "a:0:end:0 b:0:run", ""),
        ("OnFailure", &[], &["a", "b"], "a:0:end:0 b:0:end:2", "start:b:1"),
        ("OnFailure", &[], &["a", "b"], "a:0:end:0 b:1:end:0", "end:Completed"),
        ("Never", &[], &["a"], "", "start:a:0"),
        ("Never", &[], &["a"], "a:0:end:0", "end:Completed"),
        ("Never", &[], &["a"], "a:0:end:1", "end:Completed"),
        ("Never", &[], &["a", "b"], "a:0:end:1 b:0:run", ""),
        ("Never", &[], &["a", "b"], "a:0:end:1", "start:b:0"),
        ("Never", &[], &["a"], "a:0:lost", "start:a:1"),
        // Init containers run one by one.
        ("Always", &["i", "j"], &["a"], "", "start:i:0"),
        ("Always", &["i", "j"], &["a"], "i:0:run", ""),
        ("Always", &["i", "j"], &["a"], "i:0:end:0", "start:j:0"),
        ("Always", &["i", "j"], &["a"], "i:0:end:0 j:0:run", ""),
        ("Always", &["i", "j"], &["a"], "i:0:end:0 j:0:end:0", "start:a:0"),
        ("Always", &["i", "j"], &["a"], "j:0:end:0", "start:a:0"),
        ("Always", &["i", "j"], &["a"], "a:0:run", ""),
        ("Always", &["i", "j"], &["a"], "a:0:end:1", "start:a:1"),
        ("Always", &["i"], &["a"], "i:0:end:1", "start:i:1"),
        ("Always", &["i"], &["a"], "i:0:new", "start:i:0"),
        ("OnFailure", &["i"], &["a"], "i:0:end:1", "start:i:1"),
        ("Never", &["i"], &["a"], "i:0:end:1", "end:Completed"),
        ("Never", &["i"], &["a"], "i:0:end:0", "start:a:0"),
        ("Never", &["i"], &["a"], "i:0:end:0 a:0:end:0", "end:Completed"),
        // Sidecars start in order and are started again whatever the policy.
        ("Always", &["s*"], &["a"], "", "start:s:0"),
        ("Always", &["s*"], &["a"], "s:0:run", "start:a:0"),
        ("Always", &["s*", "i"], &["a"], "s:0:run", "start:i:0"),
        ("Always", &["i", "s*"], &["a"], "i:0:end:0", "start:s:0"),
        ("Always", &["s*", "t*"], &["a"], "s:0:run t:0:run", "start:a:0"),
        ("Always", &["s*", "i"], &["a"], "s:0:end:1 i:0:run", "start:s:1"),
        ("Never", &["s*"], &["a"], "s:0:end:1 a:0:run", "start:s:1"),
        ("Never", &["s*"], &["a"], "s:0:end:0 a:0:run", "start:s:1"),
        ("Never", &["s*"], &["a"], "s:0:run a:0:end:0", "end:Completed"),
        ("OnFailure", &["s*"], &["a"], "s:0:end:1 a:0:end:0", "end:Completed"),
        ("Never", &["s*", "i"], &["a"], "s:0:run i:0:end:3", "end:Completed"),
        ("Always", &["s*"], &["a"], "s:0:run a:0:end:0", "start:a:1"),
    ];
    for (policy, inits, apps, there, wanted) in cases {
        let got = planned(&spec(policy, inits, apps), &observed(there), &mounted());
        assert_eq!(got, *wanted, "{policy} {inits:?} {apps:?} {there:?}");
    }
}

#[test]
fn what_is_being_done_is_not_done_twice() {
    let starting =
        |name: &str| Memory { busy: BTreeMap::from([(name.to_owned(), Busy::Starting)]), ..mounted() };
    let stopping =
        Memory { busy: BTreeMap::from([("a".to_owned(), Busy::Stopping { deadline: NOW })]), ..mounted() };
    assert_eq!(planned(&spec("Always", &[], &["a"]), &observed(""), &starting("a")), "");
    assert_eq!(planned(&spec("Always", &[], &["a"]), &observed("a:0:run"), &starting("a")), "");
    assert_eq!(planned(&spec("Always", &["i"], &["a"]), &observed(""), &starting("i")), "");
    assert_eq!(planned(&spec("Always", &["i"], &["a"]), &observed("i:0:end:0"), &starting("i")), "");
    assert_eq!(planned(&spec("Never", &[], &["a"]), &observed("a:0:end:0"), &stopping), "");
    let busy = Memory { pod_busy: true, ..mounted() };
    assert_eq!(planned(&spec("Always", &[], &["a"]), &observed(""), &busy), "");
    // A sidecar does not count as up while its first hook runs.
    assert_eq!(planned(&spec("Always", &["s*"], &["a"]), &observed("s:0:run"), &starting("s")), "");
}

#[test]
fn container_rules_take_the_place_of_the_pods() {
    for (policy, own, rules, code, again) in [
        ("Never", "Always", json!([]), 1, true),
        ("Never", "OnFailure", json!([]), 1, true),
        ("Never", "OnFailure", json!([]), 0, false),
        ("Always", "Never", json!([]), 1, false),
        (
            "Never",
            "Never",
            json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]),
            42,
            true,
        ),
        (
            "Never",
            "Never",
            json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]),
            41,
            false,
        ),
        (
            "Never",
            "Never",
            json!([{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [42]}}]),
            41,
            true,
        ),
        (
            "Never",
            "Never",
            json!([{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [42]}}]),
            42,
            false,
        ),
    ] {
        let spec = json!({"restartPolicy": policy, "containers": [
            {"name": "a", "image": "i", "restartPolicy": own, "restartPolicyRules": rules}]});
        let got = planned(&spec, &observed(&format!("a:0:end:{code}")), &mounted());
        let wanted = if again { "start:a:1" } else { "end:Completed" };
        assert_eq!(got, wanted, "{policy} {own} {rules} {code}");
    }
}

#[test]
fn a_container_that_crashes_waits_longer_each_time() {
    let spec = spec("Always", &[], &["a"]);
    let view_pod = pod(spec.clone(), json!({}));
    let hash = view_pod.member("a").unwrap().hash();
    let back_off = |pause: u64, updated: i64| {
        let back_off = BackOff {
            subject: hash.clone(),
            pause: Duration::from_secs(pause),
            updated: WallTime::from_secs(10_000 - updated),
        };
        Memory { restarts: BTreeMap::from([("a".to_owned(), back_off)]), ..mounted() }
    };
    for (pause, updated, ago, wanted) in [
        (10, 30, 5, "wait:a:CrashLoopBackOff"),
        (10, 30, 10, "start:a:1"),
        (10, 30, 15, "start:a:1"),
        (300, 400, 299, "wait:a:CrashLoopBackOff"),
        (300, 400, 300, "start:a:1"),
        // It ran well for more than ten minutes.
        (300, 900, 5, "start:a:1"),
        // Its end is shown for a moment first.
        (10, 30, 0, ""),
    ] {
        let there = observed(&format!("a:0:end:1:{ago}"));
        assert_eq!(planned(&spec, &there, &back_off(pause, updated)), wanted, "{pause} {updated} {ago}");
    }
    let plan = plan_pod(&View {
        pod: &view_pod,
        observed: &observed("a:0:end:1:5"),
        memory: &back_off(10, 30),
        now: NOW,
    });
    assert_eq!(plan.requeue, Some(NOW.plus(Duration::from_secs(5))));
    let Action::Wait { waiting, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(waiting.message, "back-off 10s restarting failed container=a pod=web_default(u1)");
}

#[test]
fn an_image_that_cannot_be_had_is_tried_again_later() {
    let failed = |image: &str, ago: i64| {
        let back_off = BackOff {
            subject: image.to_owned(),
            pause: Duration::from_secs(10),
            updated: WallTime::from_secs(10_000 - ago),
        };
        let failure = PullFailure { back_off, error: Waiting::new("ErrImagePull", "no such image") };
        Memory { pulls: BTreeMap::from([("a".to_owned(), failure)]), ..mounted() }
    };
    let spec = spec("Never", &[], &["a"]);
    for (image, ago, wanted) in
        [("i", 0, ""), ("i", 2, "wait:a:ImagePullBackOff"), ("i", 10, "start:a:0"), ("other", 2, "start:a:0")]
    {
        assert_eq!(planned(&spec, &observed(""), &failed(image, ago)), wanted, "{image} {ago}");
    }
    let retry =
        Memory { retries: BTreeMap::from([("a".to_owned(), NOW.plus(Duration::from_secs(1)))]), ..mounted() };
    assert_eq!(planned(&spec, &observed(""), &retry), "");
}

#[test]
fn probes_and_changes_end_containers() {
    let mut spec = spec("Never", &[], &["a"]);
    spec["terminationGracePeriodSeconds"] = json!(40);
    spec["containers"][0]["livenessProbe"] = json!({"terminationGracePeriodSeconds": 7});
    spec["containers"][0]["startupProbe"] = json!({});
    let probed = |startup, liveness| {
        let probed = Probed { startup, liveness, readiness: None };
        Memory { probes: BTreeMap::from([("a-0".to_owned(), probed)]), ..mounted() }
    };
    for (startup, liveness, wanted) in [
        (None, None, ""),
        (Some(true), Some(true), ""),
        (Some(true), Some(false), "kill:a-0:7"),
        (Some(false), None, "kill:a-0:40"),
    ] {
        assert_eq!(planned(&spec, &observed("a:0:run"), &probed(startup, liveness)), wanted);
    }
    let mut changed = container("a:0:run");
    changed.annotations.insert(HASH_ANNOTATION.to_owned(), "old".to_owned());
    let there = Observed::new(vec![sandbox("s", 0, true)], vec![changed]);
    assert_eq!(planned(&spec, &there, &mounted()), "kill:a-0:40");
    let forced = Memory { must_restart: ["a".to_owned()].into(), ..mounted() };
    assert_eq!(planned(&spec, &observed("a:0:end:143"), &forced), "start:a:1");
}

#[test]
fn a_sidecar_holds_the_others_back_until_it_is_up() {
    let mut spec = spec("Always", &["s*"], &["a"]);
    spec["initContainers"][0]["startupProbe"] = json!({});
    assert_eq!(planned(&spec, &observed("s:0:run"), &mounted()), "");
    let up = Probed { startup: Some(true), ..Probed::default() };
    let memory = Memory { probes: BTreeMap::from([("s-0".to_owned(), up)]), ..mounted() };
    assert_eq!(planned(&spec, &observed("s:0:run"), &memory), "start:a:0");
}

#[test]
fn volumes_come_first_and_are_renewed() {
    let spec = spec("Always", &[], &["a"]);
    let with = |volumes| Memory { volumes, ..Memory::default() };
    let soon = NOW.plus(Duration::from_secs(5));
    for (memory, wanted) in [
        (with(Volumes::Unknown), "mount"),
        (with(Volumes::Gone), "mount"),
        (with(Volumes::Failed { retry_at: soon, pause: Duration::ZERO }), ""),
        (with(Volumes::Failed { retry_at: NOW, pause: Duration::ZERO }), "mount"),
        (with(Volumes::Mounted { renew_at: Some(soon) }), "start:a:0"),
        (with(Volumes::Mounted { renew_at: Some(NOW) }), "mount start:a:0"),
        (Memory { volumes_stale: true, ..mounted() }, "mount start:a:0"),
        (
            Memory { volumes_stale: true, ..with(Volumes::Failed { retry_at: soon, pause: Duration::ZERO }) },
            "mount",
        ),
    ] {
        assert_eq!(planned(&spec, &observed(""), &memory), wanted, "{:?}", memory.volumes);
    }
}

#[test]
fn a_sandbox_is_made_when_it_is_worth_it() {
    let none = Observed::default();
    let dead = |containers: &str| {
        let containers = containers.split_whitespace().map(container).collect();
        Observed::new(vec![sandbox("s", 2, false)], containers)
    };
    for (policy, there, wanted) in [
        ("Always", none.clone(), "sandbox:0"),
        ("Never", none, "sandbox:0"),
        ("Always", dead(""), "sandbox:3"),
        ("Never", dead(""), "sandbox:3"),
        ("Always", dead("a:0:end:0"), "sandbox:3"),
        ("OnFailure", dead("a:0:end:0"), "end:Completed"),
        ("OnFailure", dead("a:0:end:1"), "sandbox:3"),
        ("Never", dead("a:0:end:1"), "end:Completed"),
        ("Never", dead("a:0:end:0"), "end:Completed"),
        ("Never", dead("a:0:lost"), "end:Completed"),
        ("Always", dead("a:0:run"), "kill:a-0:30"),
    ] {
        assert_eq!(planned(&spec(policy, &[], &["a"]), &there, &mounted()), wanted, "{policy} {there:?}");
    }
    let mut no_address = sandbox("s", 0, true);
    no_address.ips.clear();
    let there = Observed::new(vec![no_address.clone()], Vec::new());
    assert_eq!(planned(&spec("Always", &[], &["a"]), &there, &mounted()), "stop-sandbox:s");
    no_address.host_network = true;
    let there = Observed::new(vec![no_address], Vec::new());
    assert_eq!(planned(&spec("Always", &[], &["a"]), &there, &mounted()), "start:a:0");
    let later = Memory { sandbox_retry: Some(NOW.plus(Duration::from_secs(1))), ..mounted() };
    assert_eq!(planned(&spec("Always", &[], &["a"]), &Observed::default(), &later), "");
    // Init containers run again in a new sandbox; counts go on.
    let mut new = dead("i:0:end:0 a:0:end:0").sandboxes().to_vec();
    new.push(sandbox("t", 3, true));
    let there = Observed::new(new, vec![container("i:0:end:0"), container("a:0:end:0")]);
    assert_eq!(planned(&spec("Always", &["i"], &["a"]), &there, &mounted()), "start:i:1");
}

#[test]
fn an_old_sandbox_goes_when_nothing_of_it_is_kept() {
    let sandboxes = vec![sandbox("s", 0, false), sandbox("t", 1, true)];
    let mut newer = container("a:1:run");
    newer.sandbox = "t".to_owned();
    let there = Observed::new(sandboxes.clone(), vec![container("a:0:end:1"), newer.clone()]);
    assert_eq!(planned(&spec("Always", &[], &["a"]), &there, &mounted()), "");
    let there = Observed::new(sandboxes, vec![newer]);
    assert_eq!(planned(&spec("Always", &[], &["a"]), &there, &mounted()), "remove-sandbox:s");
}

fn ending(cause: Cause, grace_secs: u32, memory: Memory) -> Memory {
    Memory { end: Some(End { cause, since: NOW, grace_secs }), ..memory }
}

#[test]
fn a_pod_ends_step_by_step() {
    let spec = spec("Always", &["s*", "t*"], &["a", "b"]);
    let gone = Memory { volumes: Volumes::Gone, ..Memory::default() };
    let cleaned = Memory { cleaned: true, ..gone.clone() };
    let stopped = Observed::new(vec![sandbox("s", 0, false)], vec![container("a:0:end:0")]);
    for (there, memory, wanted) in [
        (observed("s:0:run t:0:run a:0:run b:0:run"), mounted(), "kill:b-0:30 kill:a-0:30"),
        (observed("s:0:run t:0:run a:0:end:0"), mounted(), "kill:t-0:30"),
        (observed("s:0:run t:0:end:0 a:0:end:0"), mounted(), "kill:s-0:30"),
        (observed("s:0:end:0"), mounted(), "stop-sandbox:s"),
        (stopped.clone(), mounted(), "unmount"),
        (stopped.clone(), Memory::default(), "unmount"),
        (stopped, gone.clone(), "remove-sandbox:s"),
        (Observed::default(), gone, "clean"),
        (Observed::default(), cleaned, "finish"),
    ] {
        let memory = ending(Cause::Deleted, 30, memory);
        let got = planned(&spec, &there, &memory);
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&got), sorted(wanted), "{there:?}");
    }
}

#[test]
fn what_merely_completed_is_kept_for_those_who_ask() {
    let spec = spec("Never", &[], &["a"]);
    let stopped = Observed::new(vec![sandbox("s", 0, false)], vec![container("a:0:end:0")]);
    let gone = Memory { volumes: Volumes::Gone, ..Memory::default() };
    assert_eq!(planned(&spec, &stopped, &ending(Cause::Completed, 30, gone.clone())), "");
    assert_eq!(planned(&spec, &stopped, &ending(Cause::Removed, 30, gone)), "remove-sandbox:s");
}

#[test]
fn whoever_is_told_to_hurry_is_told_again() {
    let spec = spec("Always", &[], &["a"]);
    let stopping = |deadline: u64| Memory {
        busy: BTreeMap::from([(
            "a".to_owned(),
            Busy::Stopping { deadline: NOW.plus(Duration::from_secs(deadline)) },
        )]),
        ..mounted()
    };
    let there = observed("a:0:run");
    assert_eq!(planned(&spec, &there, &ending(Cause::Deleted, 30, stopping(30))), "");
    assert_eq!(planned(&spec, &there, &ending(Cause::Deleted, 30, stopping(10))), "");
    assert_eq!(planned(&spec, &there, &ending(Cause::Deleted, 5, stopping(30))), "kill:a-0:5");
    // Late as it is, everybody gets a moment; but no more than was given.
    let late = Memory {
        end: Some(End { cause: Cause::Deleted, since: WallTime::from_secs(1), grace_secs: 30 }),
        ..mounted()
    };
    assert_eq!(planned(&spec, &there, &late), "kill:a-0:2");
    assert_eq!(planned(&spec, &there, &ending(Cause::Deleted, 1, mounted())), "kill:a-0:1");
}

#[test]
fn deadlines_and_phases_end_pods() {
    let mut limited = spec("Always", &[], &["a"]);
    limited["activeDeadlineSeconds"] = json!(60);
    let started = |secs: i64| json!({"startTime": client::time::seconds(WallTime::from_secs(10_000 - secs))});
    for (status, wanted) in [
        (started(59), "start:a:0"),
        (started(60), "end:DeadlineExceeded"),
        (json!({"phase": "Succeeded"}), "end:Completed"),
        (json!({"phase": "Failed", "reason": "Evicted", "message": "x"}), "end:Evicted"),
        (json!({"phase": "Running"}), "start:a:0"),
    ] {
        let pod = pod(limited.clone(), status.clone());
        let (observed, memory) = (observed(""), mounted());
        let plan = plan_pod(&View { pod: &pod, observed: &observed, memory: &memory, now: NOW });
        assert_eq!(short(&plan), wanted, "{status}");
        if wanted == "start:a:0" && status["startTime"].is_string() {
            assert_eq!(plan.requeue, Some(NOW.plus(Duration::from_secs(1))));
        }
    }
}

#[test]
fn counts_go_on_where_the_runtime_has_forgotten() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let ended = |id: &str| json!({"terminated": {"exitCode": 1, "containerID": id}});
    let cases = [
        (json!({"running": {}}), json!({}), "start:a:5"),
        (ended("x://1"), json!({}), "start:a:5"),
        (waiting.clone(), ended("x://1"), "start:a:5"),
        // It was made, and nobody was left to start it.
        (waiting.clone(), ended("x://0"), "start:a:4"),
        (waiting, json!({}), "start:a:4"),
    ];
    for (state, last_state, wanted) in cases {
        let known = json!({"containerStatuses": [{"name": "a", "image": "i", "imageID": "", "ready": true,
            "restartCount": 4, "containerID": "x://1", "state": state, "lastState": last_state}]});
        let pod = pod(spec("Always", &[], &["a"]), known.clone());
        let (observed, memory) = (observed(""), mounted());
        let plan = plan_pod(&View { pod: &pod, observed: &observed, memory: &memory, now: NOW });
        assert_eq!(short(&plan), wanted, "{known}");
    }
}

#[test]
fn an_ephemeral_container_is_started_once_and_never_again() {
    let mut spec = spec("Always", &[], &["a"]);
    spec["ephemeralContainers"] = json!([{"name": "e", "image": "i"}]);
    for (there, wanted) in [("a:0:run", "start:e:0"), ("a:0:run e:0:run", ""), ("a:0:run e:0:end:1", "")] {
        assert_eq!(planned(&spec, &observed(there), &mounted()), wanted, "{there}");
    }
    let pod = pod(spec, json!({}));
    assert_eq!(pod.member("e").unwrap().role, Role::Ephemeral);
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (secs, text) in [(10, "10s"), (60, "1m0s"), (160, "2m40s"), (300, "5m0s"), (3_661, "1h1m1s")] {
        assert_eq!(restart::go_duration(secs), text);
    }
}

/// A pod whose container `w` starts all of them again by ending with 42.
fn together_spec(policy: &str) -> Value {
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}});
    json!({"restartPolicy": policy,
           "initContainers": [{"name": "i", "image": "i"}, {"name": "s", "image": "i", "restartPolicy": "Always"}],
           "containers": [{"name": "a", "image": "i"},
                          {"name": "w", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [rule]}]})
}

/// Of these containers, those whose names begin with a `+` were made after all others had ended.
fn observed_in_order(containers: &str) -> Observed {
    let made = containers.split_whitespace().map(|text| {
        let made = container(text.trim_start_matches('+'));
        Container { created_at: if text.starts_with('+') { NOW.0 } else { made.created_at }, ..made }
    });
    Observed::new(vec![sandbox("s", 0, true)], made.collect())
}

#[test]
fn the_end_of_one_container_may_start_all_of_them_again() {
    for (there, wanted) in [
        ("i:0:end:0 s:0:run a:0:run w:0:run", ""),
        ("i:0:end:0 s:0:run a:0:run w:0:end:1", ""),
        ("i:0:end:0 s:0:run a:0:run w:0:end:42", "kill:s-0:0 kill:a-0:0"),
        ("i:0:end:0 s:0:run a:0:end:3 w:0:end:42", "kill:s-0:0"),
        ("i:0:end:0 s:0:end:137 a:0:end:137 w:0:end:42", "start:i:1"),
        ("+i:1:run i:0:end:0 s:0:end:137 a:0:end:137 w:0:end:42", ""),
        ("+i:1:end:0 i:0:end:0 s:0:end:137 a:0:end:137 w:0:end:42", "start:s:1"),
        ("+i:1:end:0 +s:1:run s:0:end:137 a:0:end:137 w:0:end:42", "start:a:1 start:w:1"),
        ("+i:1:end:0 +s:1:run +a:1:run +w:1:run a:0:end:137 w:0:end:42", ""),
        ("+i:1:end:0 +s:1:run +a:1:end:1 +w:1:run a:0:end:137 w:0:end:42", ""),
    ] {
        let got = planned(&together_spec("Never"), &observed_in_order(there), &mounted());
        assert_eq!(got, wanted, "{there}");
    }
}

#[test]
fn what_is_stale_is_killed_once_and_at_once() {
    let there = observed_in_order("i:0:end:0 s:0:run a:0:run w:0:end:42");
    let busy = Busy::Stopping { deadline: NOW };
    let memory = Memory { busy: BTreeMap::from([("a".to_owned(), busy)]), ..mounted() };
    assert_eq!(planned(&together_spec("Always"), &there, &memory), "kill:s-0:0");
    let plain = spec("Never", &["i"], &["a", "w"]);
    let ended = observed_in_order("i:0:end:0 a:0:run w:0:end:42");
    assert_eq!(planned(&plain, &ended, &mounted()), "", "a pod without the rule is left alone");
}

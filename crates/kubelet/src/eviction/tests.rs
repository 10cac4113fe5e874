//! When pods go, and which.

use serde_json::json;

use super::*;
use crate::tests::{World, pod};

fn at(secs: i64) -> WallTime {
    WallTime::from_secs(secs)
}

fn readings(available: i64) -> Readings {
    Readings::from([(Signal::MemoryAvailable, Reading { available, capacity: 1_000 })])
}

fn threshold(least: Least, grace: Option<u64>) -> Threshold {
    Threshold { signal: Signal::MemoryAvailable, least, grace: grace.map(Duration::from_secs) }
}

#[test]
fn a_hard_threshold_acts_at_once_and_a_soft_one_when_its_patience_ends() {
    let thresholds = [threshold(Least::Percent(50.0), Some(60)), threshold(Least::Amount(100), None)];
    let mut watched = Watched::default();
    let mut step = |secs: i64, available: i64| {
        let readings = readings(available);
        let pressures = watched.take(&thresholds, &readings, at(secs));
        let shortages = watched.shortages(&thresholds, &readings, at(secs));
        (!pressures.is_empty(), shortages.first().map(|shortage| shortage.bound))
    };
    for (secs, available, expected) in [
        (0, 900, (false, None)),
        // Below the soft bound: said at once, acted on a minute later.
        (10, 400, (true, None)),
        (60, 400, (true, None)),
        (70, 400, (true, Some(500))),
        // It got better in between: patience begins anew, and the node goes on saying it for five minutes.
        (80, 600, (true, None)),
        (90, 400, (true, None)),
        (100, 99, (true, Some(100))),
        (110, 900, (true, None)),
        (399, 900, (true, None)),
        (400, 900, (false, None)),
    ] {
        assert_eq!(step(secs, available), expected, "after {secs} s with {available}");
    }
}

#[test]
fn what_was_not_measured_is_not_missed() {
    let mut watched = Watched::default();
    assert!(watched.take(&Threshold::defaults(), &Readings::new(), at(0)).is_empty());
    assert!(watched.shortages(&Threshold::defaults(), &Readings::new(), at(0)).is_empty());
}

#[test]
fn memory_cannot_wait() {
    let thresholds = Threshold::defaults();
    let readings = Readings::from([
        (Signal::NodefsAvailable, Reading { available: 1, capacity: 100 }),
        (Signal::MemoryAvailable, Reading { available: 1, capacity: 100 }),
    ]);
    let mut watched = Watched::default();
    let pressures = watched.take(&thresholds, &readings, at(0));
    assert_eq!(pressures, BTreeSet::from([Pressure::Memory, Pressure::Disk]));
    let signals: Vec<Signal> =
        watched.shortages(&thresholds, &readings, at(0)).iter().map(|shortage| shortage.signal).collect();
    assert_eq!(signals, [Signal::MemoryAvailable, Signal::NodefsAvailable]);
}

fn using(uid: &str, priority: i32, used: i64, asked: i64) -> Usage {
    Usage {
        uid: uid.to_owned(),
        priority,
        memory: (used, asked),
        disk: (used, asked),
        inodes: used,
        pids: used,
        members: vec![Member { name: "app".to_owned(), memory: (used, asked), disk: (used, asked) }],
        critical: false,
    }
}

#[test]
fn excess_then_priority_then_how_much_would_be_given_back() {
    let pods = || {
        vec![
            using("modest", 0, 10, 20),
            using("greedy", 5, 90, 10),
            using("greedier", 5, 95, 10),
            using("dear", 100, 500, 0),
            using("cheap-modest", -1, 1, 1),
        ]
    };
    let order = |signal| {
        let mut pods = pods();
        rank(signal, &mut pods);
        pods.into_iter().map(|pod| pod.uid).collect::<Vec<_>>()
    };
    let by_excess = ["greedier", "greedy", "dear", "cheap-modest", "modest"];
    assert_eq!(order(Signal::MemoryAvailable), by_excess);
    assert_eq!(order(Signal::NodefsAvailable), by_excess);
    let by_priority = ["cheap-modest", "modest", "greedier", "greedy", "dear"];
    assert_eq!(order(Signal::PidAvailable), by_priority);
    assert_eq!(order(Signal::NodefsInodesFree), by_priority);
}

#[test]
fn the_reason_is_told_in_full_and_critical_pods_stay() {
    let shortage = Shortage { signal: Signal::MemoryAvailable, bound: 100 << 20, available: 60 << 20 };
    let critical = Usage { critical: true, ..using("critical", -5, 900 << 20, 0) };
    let eviction = choose(&shortage, vec![critical.clone(), using("web", 0, 64 << 20, 32 << 20)]).unwrap();
    assert_eq!(eviction.uid, "web");
    assert_eq!(
        eviction.message,
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. \
         Container app was using 64Mi, request is 32Mi, has larger consumption of memory. "
    );
    assert_eq!(choose(&shortage, vec![critical]), None);
}

#[test]
fn who_may_come_while_the_node_is_short() {
    let plain = json!({"containers": [{"name": "a"}]});
    let mut burstable = plain.clone();
    burstable["containers"][0]["resources"] = json!({"requests": {"cpu": "1m"}});
    let mut tolerant = plain.clone();
    tolerant["tolerations"] = json!([{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]);
    let mut critical = plain.clone();
    critical["priority"] = json!(2_000_001_000);
    let memory = BTreeSet::from([Pressure::Memory]);
    let both = BTreeSet::from([Pressure::Memory, Pressure::Disk]);
    for (spec, under_memory, under_both) in
        [(plain, false, false), (burstable, true, false), (tolerant, true, false), (critical, true, true)]
    {
        let pod = pod(spec.clone(), json!({}));
        assert!(refuse(&BTreeSet::new(), &pod).is_none());
        assert_eq!(refuse(&memory, &pod).is_none(), under_memory, "{spec}");
        assert_eq!(refuse(&both, &pod).is_none(), under_both, "{spec}");
    }
    let pod = pod(json!({"containers": [{"name": "a"}]}), json!({}));
    let text = "The node had condition: [MemoryPressure DiskPressure]. ";
    assert_eq!(refuse(&both, &pod).as_deref(), Some(text));
}

#[test]
fn limits_on_disk_are_kept() {
    let spec = json!({
        "containers": [
            {"name": "a", "resources": {"limits": {"ephemeral-storage": "10Mi"}}},
            {"name": "b", "resources": {"limits": {"ephemeral-storage": "5Mi"}}},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
    });
    let pod = pod(spec, json!({}));
    assert!(limits::has_any(&pod));
    let used = |a: i64, b: i64, scratch: i64| {
        let member =
            |name: &str, bytes: i64| Member { name: name.to_owned(), disk: (bytes, 0), ..Member::default() };
        let usage = Usage {
            members: vec![member("a", a), member("b", b)],
            disk: (a + b + scratch, 0),
            ..Usage::default()
        };
        let volumes = BTreeMap::from([("scratch".to_owned(), scratch)]);
        limits::exceeded(&pod, &usage, &volumes).unwrap_or_default()
    };
    const MIB: i64 = 1 << 20;
    assert_eq!(used(10 * MIB, 0, MIB), "");
    assert_eq!(used(0, 0, MIB + 1), "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ");
    let total = "Pod ephemeral local storage usage exceeds the total limit of containers 15Mi. ";
    assert_eq!(used(10 * MIB, 5 * MIB, MIB), total);
    assert_eq!(used(0, 6 * MIB, 0), "Container b exceeded its local ephemeral storage limit \"5Mi\". ");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_runs_short_says_so_evicts_and_lets_nobody_in() {
    let never_enough =
        Threshold { signal: Signal::MemoryAvailable, least: Least::Amount(i64::MAX), grace: None };
    let world = World::with_config("eviction", |config| config.eviction = vec![never_enough]).await;
    let spec = |priority: i32| {
        json!({"priority": priority, "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
               "containers": [{"name": "app", "image": "img:1", "command": ["run"]}]})
    };
    world.create("cheap", spec(0));
    world.create("critical", spec(2_000_000_000));
    world.until("critical", |pod| pod["status"]["phase"] == "Running").await;
    let pod = world.until("cheap", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "Evicted");
    let message = pod["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("The node was low on resource: memory. "), "{message}");
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let disrupted = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!(disrupted["reason"], "TerminationByKubelet");
    assert!(world.api.events().iter().any(|event| event.starts_with("Warning Evicted: The node was low")));
    world.create("late", spec(0));
    let pod = world.until("late", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "Evicted");
    assert_eq!(world.pod("critical")["status"]["phase"], "Running");
    world.pass(20).await;
    let node = world.api.get("nodes", "", "node-1").unwrap();
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let pressure = conditions.iter().find(|condition| condition["type"] == "MemoryPressure").unwrap();
    assert_eq!(
        (&pressure["status"], &pressure["reason"]),
        (&json!("True"), &json!("KubeletHasInsufficientMemory"))
    );
}

mod world;

use std::time::Duration;

use serde_json::{Value, json};

use super::rules::MANAGER;
use super::{backoff, plan};
use crate::tests::fixtures::{ago, body, merge, pod, running_pod, writes};
use world::{Fate, World, index_of};

/// Where processes die: never, after every write, after every second, in a mixture.
const CUTS: [&[usize]; 6] = [&[], &[1], &[2], &[3, 1], &[0, 1, 5, 2], &[7, 0, 0, 1]];

fn fails_first(times: usize) -> impl Fn(&Value) -> Fate {
    let left = std::cell::Cell::new(times);
    move |_| {
        if left.get() == 0 {
            return Fate::Succeeds;
        }
        left.set(left.get() - 1);
        Fate::Fails(1)
    }
}

fn indexed(completions: u32, parallelism: u32) -> Value {
    json!({ "completionMode": "Indexed", "completions": completions, "parallelism": parallelism })
}

fn with(mut spec: Value, more: Value) -> Value {
    merge(&mut spec, more);
    spec
}

/// What becomes of pods, told anew for each world.
type Fates = fn() -> Box<dyn Fn(&Value) -> Fate>;

/// What it asks for, what becomes of its pods, and how it ends: condition, reason, successes, failures.
struct Story {
    spec: Value,
    fate: Fates,
    end: (&'static str, &'static str),
    succeeded: u64,
    failed: u64,
    indexes: (&'static str, &'static str),
}

fn story(spec: Value, fate: Fates, end: (&'static str, &'static str), counts: (u64, u64)) -> Story {
    Story { spec, fate, end, succeeded: counts.0, failed: counts.1, indexes: ("", "") }
}

const DONE: (&str, &str) = ("Complete", "CompletionsReached");
const TOO_OFTEN: (&str, &str) = ("Failed", "BackoffLimitExceeded");

fn simple() -> Vec<Story> {
    vec![
        story(json!({}), || Box::new(|_| Fate::Succeeds), DONE, (1, 0)),
        story(json!({ "completions": 5, "parallelism": 2 }), || Box::new(|_| Fate::Succeeds), DONE, (5, 0)),
        story(json!({ "completions": 3, "parallelism": 9 }), || Box::new(|_| Fate::Succeeds), DONE, (3, 0)),
        story(json!({ "completions": 0 }), || Box::new(|_| Fate::Succeeds), DONE, (0, 0)),
        story(
            json!({ "completions": null, "parallelism": 3 }),
            || Box::new(|_| Fate::Succeeds),
            DONE,
            (3, 0),
        ),
        story(json!({}), || Box::new(fails_first(3)), DONE, (1, 3)),
        story(json!({ "completions": 4, "parallelism": 4 }), || Box::new(fails_first(6)), DONE, (4, 6)),
        story(json!({ "backoffLimit": 2 }), || Box::new(|_| Fate::Fails(1)), TOO_OFTEN, (0, 3)),
        story(json!({ "backoffLimit": 0 }), || Box::new(|_| Fate::Fails(1)), TOO_OFTEN, (0, 1)),
        story(
            json!({ "activeDeadlineSeconds": 30 }),
            || Box::new(|_| Fate::Runs),
            ("Failed", "DeadlineExceeded"),
            (0, 1),
        ),
        story(
            json!({ "completions": 3, "parallelism": 3, "activeDeadlineSeconds": 30, "podReplacementPolicy": "Failed" }),
            || Box::new(|_| Fate::Runs),
            ("Failed", "DeadlineExceeded"),
            (0, 3),
        ),
    ]
}

fn by_index() -> Vec<Story> {
    let own_limits = json!({ "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1 });
    let mut stories = vec![
        (story(indexed(5, 2), || Box::new(|_| Fate::Succeeds), DONE, (5, 0)), ("0-4", "")),
        (story(indexed(3, 3), || Box::new(fails_first(2)), DONE, (3, 2)), ("0-2", "")),
        (
            story(
                with(indexed(5, 2), own_limits.clone()),
                || {
                    Box::new(
                        |pod| if index_of(pod).is_multiple_of(2) { Fate::Fails(1) } else { Fate::Succeeds },
                    )
                },
                ("Failed", "FailedIndexes"),
                (2, 6),
            ),
            ("1,3", "0,2,4"),
        ),
        (
            story(
                with(
                    indexed(4, 1),
                    json!({ "backoffLimit": i32::MAX, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1 }),
                ),
                || Box::new(|_| Fate::Fails(1)),
                ("Failed", "MaxFailedIndexesExceeded"),
                (0, 2),
            ),
            ("", "0,1"),
        ),
        (
            story(
                with(indexed(3, 3), json!({ "successPolicy": { "rules": [{ "succeededIndexes": "1" }] } })),
                || Box::new(|pod| if index_of(pod) == 1 { Fate::Succeeds } else { Fate::Runs }),
                ("Complete", "SuccessPolicy"),
                (1, 0),
            ),
            ("1", ""),
        ),
        (
            story(
                with(
                    indexed(4, 4),
                    json!({ "successPolicy": { "rules": [{ "succeededCount": 2, "succeededIndexes": "0-2" }] } }),
                ),
                || Box::new(|pod| if index_of(pod) >= 1 { Fate::Succeeds } else { Fate::Runs }),
                ("Complete", "SuccessPolicy"),
                (3, 0),
            ),
            ("1-3", ""),
        ),
    ];
    stories.iter_mut().for_each(|(story, indexes)| story.indexes = *indexes);
    stories.into_iter().map(|(story, _)| story).collect()
}

fn on_codes(action: &str, operator: &str, values: &[i32]) -> Value {
    json!({ "action": action, "onExitCodes": { "operator": operator, "values": values } })
}

fn by_policy() -> Vec<Story> {
    let policy =
        |rules: Value| json!({ "podReplacementPolicy": "Failed", "podFailurePolicy": { "rules": rules } });
    let disruption =
        json!({ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
    let per_index = with(indexed(2, 2), json!({ "backoffLimit": i32::MAX, "backoffLimitPerIndex": 3 }));
    let mut stories = vec![
        story(
            policy(json!([on_codes("FailJob", "In", &[42])])),
            || Box::new(|_| Fate::Fails(42)),
            ("Failed", "PodFailurePolicy"),
            (0, 1),
        ),
        story(
            with(policy(json!([on_codes("FailJob", "NotIn", &[1])])), json!({ "backoffLimit": 1 })),
            || Box::new(|_| Fate::Fails(1)),
            TOO_OFTEN,
            (0, 2),
        ),
        story(
            with(policy(json!([disruption])), json!({ "backoffLimit": 0 })),
            || {
                let left = std::cell::Cell::new(2);
                Box::new(move |_| {
                    if left.get() == 0 {
                        return Fate::Succeeds;
                    }
                    left.set(left.get() - 1);
                    Fate::Disrupted
                })
            },
            DONE,
            (1, 0),
        ),
        story(
            with(
                policy(json!([on_codes("Count", "In", &[1]), on_codes("FailJob", "NotIn", &[2])])),
                json!({ "backoffLimit": 1 }),
            ),
            || Box::new(|_| Fate::Fails(1)),
            TOO_OFTEN,
            (0, 2),
        ),
        story(
            with(per_index, policy(json!([on_codes("FailIndex", "In", &[9])]))),
            || Box::new(|pod| if index_of(pod) == 0 { Fate::Fails(9) } else { Fate::Succeeds }),
            ("Failed", "FailedIndexes"),
            (1, 1),
        ),
    ];
    stories[4].indexes = ("1", "0");
    stories
}

/// Every story ends the same wherever processes die.
#[test]
fn a_job_ends_as_its_pods_do_however_often_it_is_interrupted() {
    for cuts in CUTS {
        for story in simple().into_iter().chain(by_index()).chain(by_policy()) {
            let mut world = World::new(story.spec.clone());
            world.cuts = cuts.iter().copied().chain(cuts.iter().map(|_| usize::MAX)).collect();
            world.live((story.fate)());
            let told = format!("{} with {cuts:?}: {}", story.spec, world.status());
            assert!(world.is(story.end.0), "{told}");
            let conditions = world.status()["conditions"].as_array().unwrap().clone();
            let end = conditions.iter().find(|condition| condition["type"] == story.end.0).unwrap();
            assert_eq!(end["reason"], story.end.1, "{told}");
            let count = |name: &str| world.status()[name].as_u64().unwrap_or(0);
            assert_eq!((count("succeeded"), count("failed")), (story.succeeded, story.failed), "{told}");
            assert_eq!((count("active"), count("terminating"), count("ready")), (0, 0, 0), "{told}");
            let text = |name: &str| world.status()[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(
                (text("completedIndexes").as_str(), text("failedIndexes").as_str()),
                story.indexes,
                "{told}"
            );
            assert_eq!(text("completionTime").is_empty(), story.end.0 == "Failed", "{told}");
            assert!(world.settle().is_none(), "{told}");
        }
    }
}

#[test]
fn what_is_said_before_the_end_is_said_in_order() {
    let mut world = World::new(json!({ "backoffLimit": 0 }));
    world.live(|_| Fate::Fails(1));
    let kinds: Vec<&str> = world.status()["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| condition["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["FailureTarget", "Failed"]);
    assert_eq!(world.events, ["SuccessfulCreate", "BackoffLimitExceeded"]);
    let mut world = World::new(json!({}));
    world.live(|_| Fate::Succeeds);
    assert_eq!(world.events, ["SuccessfulCreate", "Completed"]);
}

#[test]
fn a_suspended_job_runs_nothing_and_starts_its_clock_anew() {
    let mut world = World::new(json!({ "completions": 2, "parallelism": 2, "activeDeadlineSeconds": 100 }));
    world.settle();
    assert_eq!(world.status()["active"], 2);
    let started = world.status()["startTime"].clone();
    world.job["spec"]["suspend"] = json!(true);
    world.now = world.now.plus(Duration::from_secs(60));
    world.settle();
    world.turn(|_| Fate::Runs);
    world.settle();
    assert!(world.is("Suspended") && world.pods.is_empty());
    let count = |world: &World, name: &str| world.status()[name].as_u64().unwrap_or(0);
    assert_eq!((count(&world, "active"), count(&world, "failed")), (0, 0));
    world.now = world.now.plus(Duration::from_secs(1_000));
    world.settle();
    assert!(!world.is("FailureTarget"), "the clock of a suspended job stands still");
    world.job["spec"]["suspend"] = json!(false);
    world.settle();
    assert!(!world.is("Suspended") && world.status()["startTime"] != started);
    assert_eq!(count(&world, "active"), 2);
    assert!(world.events.ends_with(&[
        "Resumed".to_owned(),
        "SuccessfulCreate".to_owned(),
        "SuccessfulCreate".to_owned()
    ]));
}

#[test]
fn pods_are_taken_in_with_their_finalizer_and_let_go_without() {
    let mut world = World::new(json!({ "parallelism": 2, "completions": 2 }));
    world.settle();
    let first = world.pods.keys().next().unwrap().clone();
    world.pods.get_mut(&first).unwrap()["metadata"]["ownerReferences"] = json!([]);
    let patch = writes(&plan::plan(&world.view(), world.now));
    assert_eq!(patch[0], format!("patch pods shop/{first}"));
    world.settle();
    assert_eq!(world.pods.len(), 2, "it was taken in, not replaced");
    assert_eq!(world.pods[&first]["metadata"]["ownerReferences"][0]["uid"], "job-1");
    world.pods.get_mut(&first).unwrap()["metadata"]["labels"] = json!({ "job": "other" });
    world.settle();
    assert_eq!(world.pods[&first]["metadata"]["ownerReferences"], json!([]));
    assert_eq!(world.pods[&first]["metadata"]["finalizers"], json!([]));
    assert_eq!(world.pods.len(), 3, "one was made in its place");
}

#[test]
fn indexed_pods_know_their_index() {
    let mut world = World::new(with(
        indexed(2, 2),
        json!({ "template": { "spec": { "initContainers": [{ "name": "i", "image": "i" }] } } }),
    ));
    world.settle();
    for (number, pod) in world.pods.values().enumerate() {
        assert_eq!(index_of(pod) as usize, number);
        assert_eq!(pod["spec"]["hostname"], format!("sum-{number}"));
        assert_eq!(pod["metadata"]["labels"][super::pods::INDEX], number.to_string());
        assert!(pod["metadata"]["name"].as_str().unwrap().starts_with(&format!("sum-{number}-")));
        for list in ["containers", "initContainers"] {
            assert_eq!(pod["spec"][list][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
        }
    }
}

#[test]
fn of_two_pods_with_one_index_one_goes() {
    let mut world = World::new(indexed(2, 2));
    world.settle();
    let mut twin = world.pods.values().next().unwrap().clone();
    merge(&mut twin, json!({ "metadata": { "name": "twin", "uid": "uid-twin" } }));
    world.pods.insert("twin".to_owned(), twin);
    let mut lost = world.pods.values().next().unwrap().clone();
    merge(&mut lost, json!({ "metadata": { "name": "lost", "uid": "uid-lost", "annotations": null } }));
    world.pods.insert("lost".to_owned(), lost);
    world.settle();
    world.turn(|_| Fate::Runs);
    world.settle();
    let indexes: Vec<u32> = world.pods.values().map(index_of).collect();
    assert_eq!(indexes.len(), 2, "{indexes:?}");
    assert_ne!(indexes[0], indexes[1]);
}

#[test]
fn fewer_are_run_when_fewer_are_wanted() {
    for (parallelism, left) in [(3, 3), (1, 1), (0, 0)] {
        let mut world = World::new(json!({ "parallelism": 3, "completions": 5 }));
        world.settle();
        world.job["spec"]["parallelism"] = json!(parallelism);
        world.settle();
        world.turn(|_| Fate::Runs);
        world.settle();
        assert_eq!(world.pods.len(), left);
        assert_eq!(world.status()["failed"].as_u64().unwrap_or(0), 0, "those removed did not fail");
    }
}

#[test]
fn a_pod_on_its_way_out_is_replaced_when_the_policy_says() {
    for (policy, made) in [("TerminatingOrFailed", true), ("Failed", false)] {
        let mut world = World::new(json!({ "podReplacementPolicy": policy }));
        world.settle();
        let name = world.pods.keys().next().unwrap().clone();
        world.pods.get_mut(&name).unwrap()["metadata"]["deletionTimestamp"] = json!(ago(100));
        world.settle();
        let others = world.pods.keys().filter(|other| **other != name).count();
        assert_eq!(others == 1, made, "{policy}");
        assert_eq!(world.status()["terminating"], 1, "{policy}");
        world.turn(|_| Fate::Runs);
        let wait = world.settle();
        world.now = world.now.plus(wait.unwrap_or_default());
        world.settle();
        assert_eq!(world.status()["failed"], 1, "{policy}");
        assert_eq!(world.status()["active"], 1, "{policy}");
    }
}

#[test]
fn containers_that_restart_too_often_fail_the_job() {
    for (limit, restarts, fails) in [(3, 2, false), (3, 3, true), (0, 0, false), (0, 1, true)] {
        let template = json!({ "spec": { "restartPolicy": "OnFailure" } });
        let mut world = World::new(json!({ "backoffLimit": limit, "template": template }));
        world.settle();
        for pod in world.pods.values_mut() {
            pod["status"]["containerStatuses"] = json!([{ "name": "c", "restartCount": restarts }]);
        }
        world.settle();
        assert_eq!(world.is("FailureTarget"), fails, "{restarts} of {limit}");
    }
}

#[test]
fn what_somebody_else_manages_or_what_is_over_is_left_alone() {
    for (manager, quiet) in [("example.com/custom", true), (MANAGER, false)] {
        let mut world = World::new(json!({ "managedBy": manager }));
        assert_eq!(world.sync().0, !quiet, "{manager}");
    }
    let mut world = World::new(json!({}));
    world.live(|_| Fate::Succeeds);
    let (wrote, _) = world.sync();
    assert!(!wrote);
}

#[test]
fn a_job_that_is_deleted_lets_its_pods_go_and_makes_none() {
    let mut world = World::new(json!({ "parallelism": 2, "completions": 4 }));
    world.settle();
    world.job["metadata"]["deletionTimestamp"] = json!(ago(0));
    world.settle();
    assert_eq!(world.pods.len(), 2);
    for pod in world.pods.values() {
        assert_eq!(pod["metadata"]["finalizers"], json!([]));
    }
}

#[test]
fn a_pod_nobody_counts_is_let_go() {
    let held = json!({ "metadata": { "finalizers": [super::tally::FINALIZER, "other"] } });
    let plan = plan::free(&[pod(&running_pod("p", held)), pod(&running_pod("q", json!({})))]);
    assert_eq!(writes(&plan), ["patch pods shop/p"]);
    let patch = body(plan.ops().next().unwrap());
    assert_eq!(patch["metadata"]["$deleteFromPrimitiveList/finalizers"], json!([super::tally::FINALIZER]));
}

#[test]
fn pods_are_made_in_growing_batches_and_not_too_many_at_once() {
    let world = World::new(json!({ "parallelism": 2_000, "completions": 5_000 }));
    let plan = plan::plan(&world.view(), world.now);
    let creations = plan.ops().filter(|op| op.to_string().starts_with("create")).count();
    assert_eq!(creations, 500);
    let sizes: Vec<usize> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            client::plan::Step::Together(ops) => Some(ops.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes[..4], [1, 2, 4, 8]);
}

#[test]
fn the_wait_doubles_with_each_failure_in_a_row() {
    let secs: Vec<u64> = (0..9).map(|failures| backoff::delay(failures).as_secs()).collect();
    assert_eq!(secs, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(backoff::delay(usize::MAX), Duration::from_secs(600));
    let mut world = World::new(json!({}));
    let mut waits = Vec::new();
    for _ in 0..4 {
        world.settle();
        world.turn(|_| Fate::Fails(1));
        let wait = world.settle().unwrap();
        waits.push(wait.as_secs());
        world.now = world.now.plus(wait);
    }
    assert_eq!(waits, [10, 20, 40, 80]);
}

#[test]
fn a_large_job_is_counted_in_pieces() {
    let mut world = World::new(json!({ "parallelism": 1_200, "completions": 1_200 }));
    world.live(|_| Fate::Succeeds);
    assert_eq!(world.status()["succeeded"], 1_200);
    assert!(world.is("Complete"));
}

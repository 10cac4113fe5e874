use std::sync::Arc;
use std::time::Duration;

use env::WallTime;
use serde_json::json;

use machinery::Status;

use super::*;
use crate::resources::PODS;
use crate::tests::fake::{FakeApi, forgotten, pod, shared};

fn env() -> Env {
    Env::simulated(WallTime::from_secs(0), 1)
}

fn start(api: &FakeApi, env: &Env) -> Cache {
    Cache::of(PODS).index(BY_OWNER, owner_uids).index(ORPHANS, orphan_namespace).start(shared(api), env)
}

fn names(entries: &[Arc<Entry>]) -> Vec<String> {
    entries.iter().map(|entry| entry.object.header().name.to_string()).collect()
}

fn owned(name: &str, owner: &str) -> serde_json::Value {
    let mut pod = pod(name);
    pod["metadata"]["ownerReferences"] =
        json!([{ "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true }]);
    pod
}

#[tokio::test(start_paused = true)]
async fn it_shows_what_is_there_and_what_comes() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, pod("a"));
    let cache = start(&api, &env);
    cache.synced().await;
    assert_eq!(names(&cache.list()), ["a"]);
    let revision = api.put(PODS, pod("b")).header().revision;
    cache.wait_for_revision(revision).await;
    assert_eq!(names(&cache.list_in("shop")), ["a", "b"]);
    api.remove(PODS, &Key::new("shop", "a"));
    cache.wait_for_revision(api.revision()).await;
    assert_eq!(names(&cache.list()), ["b"]);
    assert_eq!(cache.revision(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_empty_cache_is_filled_too() {
    let (api, env) = (FakeApi::default(), env());
    let cache = start(&api, &env);
    cache.synced().await;
    assert!(cache.is_empty() && cache.is_synced());
}

#[tokio::test(start_paused = true)]
async fn indexes_follow_changes() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, owned("a", "x"));
    api.put(PODS, owned("b", "x"));
    api.put(PODS, pod("alone"));
    let cache = start(&api, &env);
    cache.synced().await;
    assert_eq!(names(&cache.by_index(BY_OWNER, "x")), ["a", "b"]);
    assert_eq!(names(&cache.by_index(ORPHANS, "shop")), ["alone"]);
    api.put(PODS, owned("a", "y"));
    api.remove(PODS, &Key::new("shop", "b"));
    cache.wait_for_revision(api.revision()).await;
    assert_eq!(
        (cache.count_by_index(BY_OWNER, "x"), names(&cache.by_index(BY_OWNER, "y"))),
        (0, vec!["a".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_past_is_forgotten_it_lists_anew_and_tells_the_difference() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, pod("stays"));
    api.put(PODS, pod("goes"));
    let cache = start(&api, &env);
    cache.synced().await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = told.clone();
    cache.subscribe(move |change| {
        let sign = match (change.old, change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        log.lock().unwrap().push(format!("{sign}{}", change.key.name));
    });
    assert_eq!(*told.lock().unwrap(), ["+goes", "+stays"], "a subscriber is told what is there");
    api.hold_events();
    api.remove(PODS, &Key::new("shop", "goes"));
    api.put(PODS, pod("comes"));
    api.end_watches(Some(forgotten()));
    cache.wait_for_revision(api.revision()).await;
    assert_eq!(told.lock().unwrap()[2..], ["-goes", "+comes"], "what stayed is not told again");
    assert_eq!(api.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_lists_anew_when_asked_to_and_has_nothing_more_to_show_once_closed() {
    let (api, env) = (FakeApi::default(), env());
    let cache = start(&api, &env);
    cache.synced().await;
    api.hold_events();
    api.put(PODS, pod("a"));
    cache.list_anew().await;
    assert_eq!((names(&cache.list()), api.lists()), (vec!["a".to_owned()], 2));
    api.release_events();
    api.put(PODS, pod("b"));
    cache.wait_for_revision(api.revision()).await;
    assert_eq!((names(&cache.list()), api.lists()), (vec!["a".to_owned(), "b".to_owned()], 2));
    cache.close();
    cache.list_anew().await;
    assert!(cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_begun_again_without_a_list() {
    let (api, env) = (FakeApi::default(), env());
    let cache = start(&api, &env);
    cache.synced().await;
    api.end_watches(None);
    env.clock.sleep(Duration::from_secs(5)).await;
    let revision = api.put(PODS, pod("a")).header().revision;
    cache.wait_for_revision(revision).await;
    assert_eq!(api.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_are_waited_out() {
    let (api, env) = (FakeApi::default(), env());
    for _ in 0..5 {
        api.fail_next(Status::internal("not yet"));
    }
    let cache = start(&api, &env);
    cache.synced().await;
    assert_eq!(api.lists(), 6);
    assert!(env.clock.monotonic() > Duration::from_secs(6), "pauses grow");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_object_can_be_waited_for() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, pod("a"));
    let cache = start(&api, &env);
    cache.synced().await;
    let key = Key::new("shop", "a");
    assert!(env.clock.timeout(Duration::from_secs(60), cache.wait_gone(&key, "a")).await.is_none());
    cache.wait_gone(&key, "another").await;
    let (waiting, removing) = (cache.clone(), api.clone());
    let gone = async { waiting.wait_gone(&key, "a").await };
    let removal = async {
        env.clock.sleep(Duration::from_secs(1)).await;
        removing.remove(PODS, &key);
    };
    tokio::join!(gone, removal);
    cache.wait_gone(&key, "a").await;
}

#[tokio::test(start_paused = true)]
async fn changed_names_are_taken_once() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, pod("a"));
    let cache = start(&api, &env);
    cache.synced().await;
    let mut changes = cache.changes();
    assert_eq!(changes.next().await, Key::new("shop", "a"));
    for _ in 0..3 {
        api.put(PODS, pod("a"));
    }
    api.put(PODS, pod("b"));
    cache.wait_for_revision(api.revision()).await;
    let all: Vec<String> = changes.next_all().await.iter().map(ToString::to_string).collect();
    assert_eq!(all, ["shop/a", "shop/b"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_cache_is_emptied_and_follows_no_more() {
    let (api, env) = (FakeApi::default(), env());
    api.put(PODS, pod("a"));
    let cache = start(&api, &env);
    cache.synced().await;
    let gone = Arc::new(Mutex::new(Vec::new()));
    let told = gone.clone();
    cache.subscribe(move |change| {
        if change.new.is_none() {
            told.lock().unwrap().push(change.key.clone());
        }
    });
    cache.close();
    env.clock.sleep(Duration::from_secs(1)).await;
    assert!(cache.is_empty());
    assert_eq!(*gone.lock().unwrap(), [Key::new("shop", "a")]);
    api.put(PODS, pod("b"));
    env.clock.sleep(Duration::from_secs(60)).await;
    assert!(cache.is_empty());
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::tests::fake::{FakeApi, shared};

fn candidate(api: &FakeApi, name: &str, env: &Env) -> Election {
    let key = Key::new("kube-system", "leader");
    Election::start(Client::new(shared(api)), key, name.to_owned(), env)
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_another_takes_over_when_it_falls_silent() {
    let api = FakeApi::default();
    let start = WallTime::from_secs(1_000);
    let (first_env, second_env) = (Env::simulated(start, 1), Env::simulated(start, 2));
    let mut first = candidate(&api, "first", &first_env);
    first.elected().await;
    let mut second = candidate(&api, "second", &second_env);
    first_env.clock.sleep(Duration::from_secs(120)).await;
    assert_eq!((first.is_leading(), second.is_leading()), (true, false));
    first_env.tasks.stop(Duration::from_secs(1)).await;
    let silent = second_env.clock.monotonic();
    second.elected().await;
    let waited = second_env.clock.monotonic() - silent;
    assert!(waited >= LEASE - EVERY * 2 && waited <= LEASE + EVERY * 3, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_steps_down() {
    let api = FakeApi::default();
    let env = Env::simulated(WallTime::from_secs(1_000), 1);
    let mut leader = candidate(&api, "only", &env);
    leader.elected().await;
    for _ in 0..20 {
        api.fail_next(Status::internal("no"));
    }
    let before = env.clock.monotonic();
    leader.deposed().await;
    let waited = env.clock.monotonic() - before;
    assert!(waited <= RENEW_WITHIN + EVERY * 2, "it must be down before anybody else may be up: {waited:?}");
    leader.elected().await;
}

#[tokio::test(start_paused = true)]
async fn who_resigns_makes_room_at_once() {
    let api = FakeApi::default();
    let start = WallTime::from_secs(1_000);
    let (first_env, second_env) = (Env::simulated(start, 1), Env::simulated(start, 2));
    let mut first = candidate(&api, "first", &first_env);
    first.elected().await;
    let mut second = candidate(&api, "second", &second_env);
    first_env.clock.sleep(Duration::from_secs(30)).await;
    let watching = first.clone();
    first.resign().await;
    assert!(!watching.is_leading());
    let resigned = second_env.clock.monotonic();
    second.elected().await;
    let waited = second_env.clock.monotonic() - resigned;
    assert!(waited <= EVERY * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_under_its_name_leads_at_once() {
    let api = FakeApi::default();
    let start = WallTime::from_secs(1_000);
    let first_env = Env::simulated(start, 1);
    candidate(&api, "same", &first_env).elected().await;
    first_env.tasks.stop(Duration::from_secs(1)).await;
    let second_env = Env::simulated(start, 2);
    let killed = second_env.clock.monotonic();
    candidate(&api, "same", &second_env).elected().await;
    assert!(second_env.clock.monotonic() - killed < EVERY, "it waits for its own former self");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_yet_is_asked_again_soon() {
    let api = FakeApi::default();
    let env = Env::simulated(WallTime::from_secs(1_000), 1);
    api.fail_next(Status::internal("no"));
    let before = env.clock.monotonic();
    candidate(&api, "only", &env).elected().await;
    assert!(env.clock.monotonic() - before < EVERY);
}

/// Who works now: a number that goes up when work begins and down when its tasks end.
fn worker(working: &Arc<AtomicUsize>) -> impl Fn(Env) + Send + 'static + use<> {
    let working = working.clone();
    move |env: Env| {
        struct Working(Arc<AtomicUsize>);
        impl Drop for Working {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        working.fetch_add(1, Ordering::SeqCst);
        let guard = Working(working.clone());
        env.tasks.spawn("work", async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
    }
}

fn leadership(api: &FakeApi, name: &str, env: &Env, working: &Arc<AtomicUsize>) -> Leadership {
    let key = Key::new("kube-system", "leader");
    Leadership::start(Client::new(shared(api)), key, name.to_owned(), env, worker(working))
}

async fn until(env: &Env, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        env.clock.sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come to that");
}

#[tokio::test(start_paused = true)]
async fn only_who_leads_works_and_work_moves_on() {
    let api = FakeApi::default();
    let start = WallTime::from_secs(1_000);
    let (first_env, second_env) = (Env::simulated(start, 1), Env::simulated(start, 2));
    let (first, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let leader = leadership(&api, "first", &first_env, &first);
    until(&first_env, || first.load(Ordering::SeqCst) == 1).await;
    let _other = leadership(&api, "second", &second_env, &second);
    first_env.clock.sleep(Duration::from_secs(60)).await;
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 0));
    leader.stop().await;
    assert_eq!(first.load(Ordering::SeqCst), 0);
    until(&second_env, || second.load(Ordering::SeqCst) == 1).await;
    second_env.tasks.stop(Duration::from_secs(5)).await;
    until(&first_env, || second.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn work_ends_when_the_lease_cannot_be_renewed_and_begins_anew() {
    let api = FakeApi::default();
    let env = Env::simulated(WallTime::from_secs(1_000), 1);
    let working = Arc::new(AtomicUsize::new(0));
    let _leader = leadership(&api, "only", &env, &working);
    until(&env, || working.load(Ordering::SeqCst) == 1).await;
    for _ in 0..20 {
        api.fail_next(Status::internal("no"));
    }
    until(&env, || working.load(Ordering::SeqCst) == 0).await;
    until(&env, || working.load(Ordering::SeqCst) == 1).await;
}

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

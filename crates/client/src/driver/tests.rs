use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::recorder::{About, Source};
use crate::resources::{EVENTS, PODS};
use crate::tests::fake::{FakeApi, pod, shared};
use crate::transport::{Call, Transport};

/// Makes a pod for every key, until the cache shows it.
struct Maker {
    pods: Cache,
    plans: Arc<Mutex<Vec<String>>>,
}

impl Controller for Maker {
    type Key = Key;
    type View = (Key, bool);

    fn name(&self) -> &'static str {
        "maker"
    }

    async fn look(&self, key: &Key) -> Result<Option<(Key, bool)>, Status> {
        Ok(Some((key.clone(), self.pods.get(key).is_some())))
    }

    fn plan(&self, (key, is_there): (Key, bool), _now: WallTime) -> Plan {
        self.plans.lock().unwrap().push(format!("{} {is_there}", key.name));
        let mut plan = Plan::nothing();
        if is_there {
            return plan;
        }
        plan.because("it is not there");
        let about = About::named(PODS, &key, "u");
        let op = Op::create(PODS, &key.namespace, &pod(&key.name))
            .on_success(Note::normal(&about, "Made", "made {name}"))
            .on_failure(Note::warning(&about, "Failed", "cannot: {error}"));
        plan.push(op);
        plan
    }
}

struct Bench {
    api: FakeApi,
    env: Env,
    queue: Queue<Key>,
    plans: Arc<Mutex<Vec<String>>>,
    decisions: Decisions,
}

fn bench() -> Bench {
    let (api, env) = (FakeApi::default(), Env::simulated(WallTime::from_secs(0), 1));
    let queue = Queue::new(&env);
    let pods: Cache = Cache::of(PODS).start(shared(&api), &env);
    let plans = Arc::new(Mutex::new(Vec::new()));
    let maker = Maker { pods: pods.clone(), plans: plans.clone() };
    let client = Client::new(shared(&api));
    let recorder = Recorder::start(client.clone(), Source { component: "maker", ..Source::default() }, &env);
    let decisions = Driver::new(maker, queue.clone(), client, recorder, &env).sees(&pods).start();
    Bench { api, env, queue, plans, decisions }
}

impl Bench {
    async fn rest(&self, secs: u64) {
        self.env.clock.sleep(Duration::from_secs(secs)).await;
    }

    fn plans(&self) -> Vec<String> {
        self.plans.lock().unwrap().clone()
    }

    async fn events(&self) -> Vec<String> {
        let events = self.api.list(EVENTS, Call::default()).await.unwrap().items;
        let message = |event: &Object| {
            let document: serde_json::Value = serde_json::from_slice(event.body()).unwrap();
            document["message"].as_str().unwrap().to_owned()
        };
        events.iter().map(message).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_executed_and_remembered() {
    let bench = bench();
    bench.queue.add(Key::new("shop", "a"));
    bench.rest(1).await;
    assert_eq!(bench.plans(), ["a false"]);
    assert_eq!(bench.events().await, ["made a"]);
    let decision = bench.decisions.of("shop/a").unwrap();
    assert_eq!(
        (decision.reasons, decision.writes),
        (vec!["it is not there".to_owned()], vec!["create pods shop/?".to_owned()])
    );
}

/// A bench whose cache does not see what was written for a key, which is to be looked at again.
async fn blind() -> Bench {
    let bench = bench();
    bench.rest(1).await;
    bench.api.hold_events();
    bench.queue.add(Key::new("shop", "a"));
    bench.rest(1).await;
    bench.queue.add(Key::new("shop", "a"));
    bench
}

#[tokio::test(start_paused = true)]
async fn a_key_is_parked_until_its_own_writes_are_seen() {
    let bench = blind().await;
    bench.queue.add(Key::new("shop", "b"));
    bench.rest(5).await;
    assert_eq!(bench.plans(), ["a false", "b false"], "others go on, but this one waits");
    bench.api.release_events();
    bench.rest(1).await;
    assert_eq!(bench.plans(), ["a false", "b false", "a true"]);
}

#[tokio::test(start_paused = true)]
async fn a_view_that_stays_behind_is_read_anew_before_it_is_acted_upon() {
    let bench = blind().await;
    bench.rest(60).await;
    assert_eq!(bench.plans(), ["a false"]);
    bench.rest(600).await;
    assert_eq!(bench.plans(), ["a false", "a true"]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_tried_again() {
    let bench = bench();
    bench.rest(1).await;
    bench.api.fail_next(Status::internal("no"));
    bench.api.fail_next(Status::internal("no"));
    bench.queue.add(Key::new("shop", "a"));
    bench.rest(5).await;
    assert!(bench.plans().len() >= 2);
    assert!(bench.api.get(PODS, Call::object("shop", "a")).await.is_ok());
    let before = bench.plans().len();
    bench.rest(3_600).await;
    assert_eq!(bench.plans().len(), before, "what succeeded is not looked at again without a reason");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_ends_takes_nothing_and_that_is_fine() {
    let bench = bench();
    bench.rest(1).await;
    let cause = machinery::status::Cause { reason: "NamespaceTerminating".to_owned(), ..Default::default() };
    let subject = machinery::status::GroupName { group: "", name: "pods" };
    bench.api.fail_next(Status::forbidden(subject, "a", "it ends").caused_by(cause));
    bench.queue.add(Key::new("shop", "a"));
    bench.rest(60).await;
    assert_eq!(bench.plans(), ["a false"]);
}

/// Does as it is told, once.
struct Script {
    plan: Mutex<Option<Plan>>,
}

impl Controller for Script {
    type Key = Key;
    type View = ();

    fn name(&self) -> &'static str {
        "script"
    }

    async fn look(&self, _key: &Key) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }

    fn plan(&self, _view: (), _now: WallTime) -> Plan {
        self.plan.lock().unwrap().take().unwrap_or_default()
    }
}

async fn play(api: &FakeApi, plan: Plan) {
    let env = Env::simulated(WallTime::from_secs(0), 1);
    let queue = Queue::new(&env);
    let client = Client::new(shared(api));
    let recorder = Recorder::start(client.clone(), Source::default(), &env);
    Driver::new(Script { plan: Mutex::new(Some(plan)) }, queue.clone(), client, recorder, &env).start();
    queue.add(Key::new("shop", "key"));
    env.clock.sleep(Duration::from_secs(60)).await;
}

fn names(api: &FakeApi) -> impl Future<Output = Vec<String>> + use<> {
    let api = api.clone();
    async move {
        let pods = api.list(PODS, Call::default()).await.unwrap().items;
        pods.iter().map(|pod| pod.header().name.to_string()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_stops_the_plan_and_changes_its_status() {
    let api = FakeApi::default();
    api.put(PODS, pod("told"));
    let told =
        |text: &str| Op::patch(PODS, &Key::new("shop", "told"), &json!({ "status": { "message": text } }));
    let mut plan = Plan::nothing();
    plan.push_together(vec![Op::create(PODS, "shop", &pod("a")), Op::create(PODS, "shop", &pod("told"))]);
    plan.push(Op::create(PODS, "shop", &pod("never")));
    plan.status = Some(told("well"));
    let failed = told("badly");
    plan.after_failure = Some(Box::new(move |status| (status.code == 409).then_some(failed)));
    play(&api, plan).await;
    assert_eq!(names(&api).await, ["a", "told"]);
    let object = api.get(PODS, Call::object("shop", "told")).await.unwrap();
    assert!(String::from_utf8_lossy(object.body()).contains("badly"));
}

#[tokio::test(start_paused = true)]
async fn a_condition_the_server_does_not_confirm_stops_the_plan() {
    for (uid, expected) in [("told", vec!["a", "told"]), ("another", vec!["told"])] {
        let api = FakeApi::default();
        api.put(PODS, pod("told"));
        let mut plan = Plan::nothing();
        let key = Key::new("shop", "told");
        plan.steps.push(Step::Confirm { resource: PODS, key, uid: uid.to_owned() });
        plan.push(Op::create(PODS, "shop", &pod("a")));
        play(&api, plan).await;
        assert_eq!(names(&api).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_tolerated_is_no_failure() {
    let api = FakeApi::default();
    let mut plan = Plan::nothing();
    plan.push(Op::delete(PODS, &Key::new("shop", "missing"), "u"));
    plan.push(Op::create(PODS, "shop", &pod("a")));
    play(&api, plan).await;
    assert_eq!((names(&api).await, api.writes()), (vec!["a".to_owned()], 2));
}

//! Members that are killed, paused and lost while a store works on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

/// Slow elections: on a busy machine a member must not be taken for dead because it waits for a processor.
const CALM: [&str; 2] = ["--heartbeat-interval=500", "--election-timeout=5000"];

/// Three members, of which the two that do not lead are killed, started again, paused and woken, all the time.
struct Disturbed {
    members: Arc<Mutex<Members>>,
    leader: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The one disturbed cluster. Tests on it take turns.
static DISTURBED: tokio::sync::Mutex<Option<Disturbed>> = tokio::sync::Mutex::const_new(None);

/// A store on a cluster that is disturbed.
struct OnThreeMembers {
    store: Arc<Etcd>,
    _turn: tokio::sync::MutexGuard<'static, Option<Disturbed>>,
}

impl Backend for OnThreeMembers {
    // A transaction of etcd has one revision.
    const NUMBERS_APART: bool = false;

    async fn make(options: Options) -> OnThreeMembers {
        let mut turn = DISTURBED.lock().await;
        if turn.is_none() {
            *turn = Some(Disturbed::start().await);
        }
        let disturbed = turn.as_ref().expect("it was just started");
        let config = lock(&disturbed.members).config(disturbed.leader, &fresh_prefix());
        OnThreeMembers { store: open_patiently(config, options).await, _turn: turn }
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    async fn tells_progress(&self) -> bool {
        self.store.shared.cluster.connection().await.expect("a connection").tells_progress
    }
}

mod disturbed {
    use super::*;

    conformance!(OnThreeMembers);
}

fn lock(members: &Mutex<Members>) -> std::sync::MutexGuard<'_, Members> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disturbed {
    async fn start() -> Disturbed {
        let members = Members::start(3, &CALM);
        let leader = leader(&members).await;
        // The store that the members' health is seen by is made now: later its making would take a revision.
        drop(open_patiently(alone(&members, leader), Options::default()).await);
        let members = Arc::new(Mutex::new(members));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (members, stop) = (members.clone(), stop.clone());
            let followers: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
            move || disturb(&members, &followers, &stop)
        });
        Disturbed { members, leader, stop, thread: Some(thread) }
    }
}

impl Drop for Disturbed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the disturber does not panic");
        }
    }
}

fn disturb(members: &Mutex<Members>, followers: &[usize], stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let nap = || std::thread::sleep(Duration::from_millis(300));
    while !stop.load(Ordering::Relaxed) {
        lock(members).members[followers[0]].kill();
        nap();
        lock(members).members[followers[0]].start();
        runtime.block_on(until_well(members, followers[0]));
        lock(members).members[followers[1]].pause(true);
        nap();
        lock(members).members[followers[1]].pause(false);
        runtime.block_on(until_well(members, followers[1]));
    }
}

/// Waits until a member answers with what the whole cluster agrees on.
async fn until_well(members: &Mutex<Members>, member: usize) {
    let config = alone(&lock(members), member);
    drop(open_patiently(config, Options::default()).await);
}

/// A way to one member only, to a store that all tests may look at.
fn alone(members: &Members, member: usize) -> Config {
    let mut config = members.config(member, "/test/health");
    config.endpoints.truncate(1);
    config
}

/// Which member leads.
async fn leader(members: &Members) -> usize {
    let env = Env::real();
    loop {
        for member in 0..members.members.len() {
            let cluster = Cluster::new(alone(members, member), env.clone()).expect("a configuration");
            let answer = cluster.ask(method::STATUS, &wire::Writer::default(), Repeat::Freely).await;
            if answer.is_ok_and(leads) {
                return member;
            }
        }
        env.clock.sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a member's word about itself says that it leads.
fn leads(status: Bytes) -> bool {
    let (mut own, mut leader) = (0, 0);
    let mut fields = wire::Reader::new(status);
    while let Some((field, value)) = fields.next().expect("well formed") {
        match field {
            1 => {
                let mut head = wire::Reader::new(value.bytes());
                while let Some((field, value)) = head.next().expect("well formed") {
                    if field == 2 {
                        own = value.number();
                    }
                }
            }
            4 => leader = value.number(),
            _ => {}
        }
    }
    own != 0 && own == leader
}

/// Writes numbers under one key until it is told to stop; what came of a write may be unknown, but a write that was
/// answered must be there. Answers the last number that was acknowledged.
async fn write_numbers(store: &Arc<Etcd>, stop: &AtomicBool) -> u64 {
    let key = Bytes::from_static(b"number");
    let (mut number, mut acknowledged) = (0u64, 0);
    while !stop.load(Ordering::Relaxed) {
        let held = match store.get(key.clone()).await {
            Ok(held) => held,
            Err(StoreError::Unavailable { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let there = held.as_ref().map_or(0, |held| text(&held.value).parse().expect("a number"));
        assert!(there >= acknowledged, "{acknowledged} was acknowledged, and {there} is there");
        number = number.max(there) + 1;
        let guard =
            held.map_or(Guard::Absent(key.clone()), |held| Guard::ModifiedAt(key.clone(), held.modified));
        match store.commit(Txn { guards: vec![guard], ..put("number", &number.to_string()) }).await {
            Ok(Outcome::Committed(_)) => acknowledged = number,
            Ok(Outcome::Conflict { .. })
            | Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    acknowledged
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).expect("values are text")
}

/// Takes events until the key `end` is written. Answers the numbers that were told.
async fn numbers_told(store: &Arc<Etcd>) -> Vec<u64> {
    let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
    let (mut last, mut numbers) = (0, Vec::new());
    loop {
        let WatchItem::Events(events) = watch.next().await.expect("the watch goes on") else { continue };
        for event in events {
            assert!(event.revision > last, "told twice or out of order: {event:?}");
            last = event.revision;
            if event.key == "end" {
                return numbers;
            }
            let value = event.value.expect("nothing is deleted").value;
            numbers.push(text(&value).parse().expect("a number"));
        }
    }
}

/// Kills and pauses whoever serves the store, in turn.
async fn lose_who_serves(store: &Arc<Etcd>, members: &mut Members) {
    let clock = Env::real().clock;
    for round in 0..4 {
        let member = loop {
            if let Ok(connection) = store.shared.cluster.connection().await {
                break connection.member;
            }
        };
        clock.sleep(Duration::from_millis(300)).await;
        if round % 2 == 0 {
            members.members[member].kill();
            clock.sleep(Duration::from_millis(1500)).await;
            members.members[member].start();
        } else {
            members.members[member].pause(true);
            clock.sleep(Duration::from_millis(6000)).await;
            members.members[member].pause(false);
        }
        drop(open_patiently(alone(members, member), Options::default()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_serves_us_may_be_lost_and_nothing_acknowledged_is() {
    let mut members = Members::start(3, &[]);
    let store = open_patiently(members.config(0, &fresh_prefix()), tight()).await;
    let stop = AtomicBool::new(false);
    let writing = async {
        let acknowledged = write_numbers(&store, &stop).await;
        while store.commit(put("end", "")).await.is_err() {}
        acknowledged
    };
    let losing = async {
        lose_who_serves(&store, &mut members).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (acknowledged, numbers, ()) = tokio::join!(writing, numbers_told(&store), losing);
    assert!(acknowledged > 10, "writes went on: {acknowledged}");
    assert!(numbers.contains(&acknowledged), "what was acknowledged last was told");
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len(), "a write happened twice");
}

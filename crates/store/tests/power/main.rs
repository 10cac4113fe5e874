//! A store on a disk that loses power, runs full, or cannot keep its word.
//!
//! `IRONCLAD_CRASHES=2000` asks for more losses of power than the few dozen that are made by default.

mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use disk::{Entry, Fault, Observed};
use env::{Entropy, Env};
use store::embedded::{Embedded, check};
use store::{Guard, Options, Outcome, Query, Revision, Store, StoreError, Txn, Write};

const WRITERS: usize = 32;
/// So many that the log is brought over and begun anew several times.
const WRITES_EACH: u64 = 400;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("store-power-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    /// A store's directory in it, observed.
    fn observed(&self) -> PathBuf {
        let path = self.0.join("store");
        disk::observe(&path);
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options() -> Options {
    // History is forgotten and swept meanwhile, and hardly anything stays in memory.
    Options {
        retention: Duration::from_secs(1),
        hot_bytes: 10_000,
        sweep_interval: Duration::from_millis(5),
        log_bytes: 32 << 20,
        ..Options::default()
    }
}

async fn open(directory: &Path) -> Arc<Embedded> {
    Embedded::open_on(directory, options(), Env::real(), Arc::new(Observed)).await.expect("the store opens")
}

fn key(writer: usize, half: &str) -> Bytes {
    Bytes::from(format!("writer-{writer}/{half}"))
}

fn put(key: Bytes, value: Bytes) -> Write {
    Write::Put { key, value, ttl_secs: None }
}

/// A writer has two keys, always with the same number, because one transaction writes both.
async fn write_all(store: Arc<Embedded>, directory: PathBuf, writer: usize) {
    let mut guard = Guard::Absent(key(writer, "first"));
    for number in 1..=WRITES_EACH {
        let value = Bytes::from(format!("{number}{}", ".".repeat((number as usize * 37) % 3000)));
        let writes = ["first", "second"].map(|half| put(key(writer, half), value.clone()));
        let outcome =
            store.commit(Txn { guards: vec![guard], writes: writes.to_vec(), ..Txn::default() }).await;
        let Ok(Outcome::Committed(revision)) = outcome else {
            panic!("nobody else writes this: {outcome:?}")
        };
        disk::answered(&directory, writer, number, revision);
        guard = Guard::ModifiedAt(key(writer, "first"), revision);
    }
}

/// What happened to the files while many wrote.
async fn recording(directory: &Path) -> Vec<Entry> {
    let store = open(directory).await;
    let tasks = env::Tasks::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tasks.spawn("writer", write_all(store.clone(), directory.to_owned(), writer)))
        .collect();
    for writer in writers {
        writer.join().await.expect("a writer ends well");
    }
    // The end of a good day is a moment for power to fail, too.
    store.close().await;
    disk::tape(directory)
}

/// What is wrong with what is left after a loss of power.
async fn findings(directory: &Path, entries: &[Entry], at: usize) -> Vec<String> {
    let mut findings = Vec::new();
    let store = match Embedded::open_on(directory, options(), Env::real(), Arc::new(Observed)).await {
        Ok(store) => store,
        Err(error) => return vec![error.to_string()],
    };
    let mut answered: BTreeMap<usize, (u64, Revision)> = BTreeMap::new();
    for entry in &entries[..at] {
        if let Entry::Answer { writer, number, revision } = entry {
            answered.insert(*writer, (*number, *revision));
        }
    }
    for writer in 0..WRITERS {
        let page = store.range(Query::prefix(format!("writer-{writer}/").as_bytes())).await.expect("a read");
        let numbers: Vec<u64> = page
            .items
            .iter()
            .map(|item| std::str::from_utf8(&item.value).expect("text").trim_end_matches('.').parse())
            .collect::<Result<_, _>>()
            .expect("values begin with a number");
        let number = match numbers[..] {
            [] => 0,
            [first, second] if first == second => first,
            _ => {
                findings.push(format!("writer {writer}: half a transaction is there: {numbers:?}"));
                continue;
            }
        };
        let sure = answered.get(&writer).map_or(0, |(number, _)| *number);
        if number != sure && number != sure + 1 {
            findings.push(format!("writer {writer}: {sure} was answered, and {number} is there"));
        }
    }
    let newest = answered.values().map(|(_, revision)| *revision).max().unwrap_or(0);
    let next =
        store.commit(Txn { writes: vec![put(Bytes::from_static(b"next"), Bytes::new())], ..Txn::default() });
    match next.await {
        Ok(Outcome::Committed(revision)) if revision > newest => {}
        other => findings.push(format!("revision {newest} was answered, and the next is {other:?}")),
    }
    store.close().await;
    match check(directory) {
        Ok(report) => findings.extend(report.findings),
        Err(error) => findings.push(error.to_string()),
    }
    findings
}

/// Lets power fail at random moments. Answers what was found each time.
async fn losses(
    directory: &Directory,
    entries: &[Entry],
    count: usize,
    lies: bool,
) -> Vec<(usize, Vec<String>)> {
    let entropy = Entropy::from_os();
    let mut found = Vec::new();
    for _ in 0..count {
        let at = entropy.below(entries.len() as u64 + 1) as usize;
        let left = directory.0.join("left");
        std::fs::create_dir_all(&left).expect("a directory");
        for (name, content) in disk::after_power_loss(entries, at, lies, &entropy) {
            std::fs::write(left.join(name), content).expect("a file");
        }
        let findings = findings(&left, entries, at).await;
        if !findings.is_empty() {
            found.push((at, findings));
        }
        std::fs::remove_dir_all(&left).expect("ours");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_loss_of_power() {
    let directory = Directory::new("loss");
    let path = directory.observed();
    let entries = recording(&path).await;
    let checkpoints =
        entries.iter().filter(|entry| matches!(entry, Entry::Sync { file, .. } if file == "store.db"));
    assert!(checkpoints.count() >= 2, "the log was brought over while it was written");
    let crashes = std::env::var("IRONCLAD_CRASHES").map_or(40, |count| count.parse().expect("a number"));
    assert_eq!(losses(&directory, &entries, crashes, false).await, vec![]);
    // The same losses on a disk that only says that data are durable: if nothing were found there, we would not look.
    assert!(!losses(&directory, &entries, 10, true).await.is_empty());
}

fn one(value: &'static str) -> Txn {
    Txn {
        guards: vec![],
        writes: vec![put(Bytes::from_static(b"key"), Bytes::from_static(value.as_bytes()))],
        ..Txn::default()
    }
}

async fn held(store: &Embedded) -> Bytes {
    store.get(Bytes::from_static(b"key")).await.expect("a read").expect("it is there").value
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_heals() {
    let directory = Directory::new("full");
    let path = directory.observed();
    let store = open(&path).await;
    store.commit(one("before")).await.expect("a write");
    for _ in 0..3 {
        disk::set_fault(&path, Fault::Full);
        let refused = store.commit(one("refused")).await;
        assert!(
            matches!(&refused, Err(StoreError::DiskFull { path }) if path.ends_with("store.db")),
            "{refused:?}"
        );
        assert_eq!(held(&store).await, "before");
        assert_eq!(store.range(Query::default()).await.expect("a read").items.len(), 1);
        assert!(store.watch(Bytes::new(), 0).await.is_ok(), "watching goes on");
        disk::set_fault(&path, Fault::None);
        store.commit(one("before")).await.expect("there is room again");
    }
    let revision = store.revision().await.expect("a revision");
    store.close().await;
    assert_eq!(check(&path).expect("a report").findings, Vec::<String>::new());
    assert_eq!(open(&path).await.revision().await, Ok(revision));
    assert_eq!(revision, 4, "what was refused took no revision");
}

#[tokio::test]
async fn a_journal_that_cannot_be_made_durable_ends_the_store() {
    let directory = Directory::new("fsync");
    let path = directory.observed();
    let store = open(&path).await;
    store.commit(one("before")).await.expect("a write");
    disk::set_fault(&path, Fault::NotDurable("journal-0"));
    let unknown = store.commit(one("unsure")).await;
    assert!(matches!(unknown, Err(StoreError::Unknown { .. })), "{unknown:?}");
    // It is never tried again: a second fsync would say nothing of what the first one lost.
    disk::set_fault(&path, Fault::None);
    let refused = store.commit(one("after")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let refused = store.get(Bytes::from_static(b"key")).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "what is not sure is not shown: {refused:?}"
    );
    store.close().await;
    let store = open(&path).await;
    let held = held(&store).await;
    assert!(held == "before" || held == "unsure", "{held:?}");
    store.commit(one("after")).await.expect("a new start reads what is there");
}

/// Writes large values until one is refused; answers the last revision and the refusal.
async fn write_until_refused(store: &Embedded) -> (Revision, StoreError) {
    let mut answered = 0;
    loop {
        let value = Bytes::from(vec![b'v'; 500_000]);
        match store
            .commit(Txn { writes: vec![put(Bytes::from_static(b"key"), value)], ..Txn::default() })
            .await
        {
            Ok(Outcome::Committed(revision)) => answered = revision,
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (answered, error),
        }
        assert!(answered < 10_000, "nothing is refused");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_made_durable_ends_the_store() {
    for (number, file) in ["store.db-wal", "store.db"].into_iter().enumerate() {
        let directory = Directory::new(&format!("checkpoint-{number}"));
        let path = directory.observed();
        let store = open(&path).await;
        disk::set_fault(&path, Fault::NotDurable(file));
        // Writes are answered until the journal is so long that it is brought over.
        let (answered, refused) = write_until_refused(&store).await;
        assert!(answered > 0, "{file}");
        assert!(
            matches!(refused, StoreError::Unavailable { .. } | StoreError::Unknown { .. }),
            "{file}: {refused:?}"
        );
        disk::set_fault(&path, Fault::None);
        store.close().await;
        let revision = open(&path).await.revision().await.expect("a revision");
        assert!(
            revision == answered || revision == answered + 1,
            "{file}: {answered} was answered, and {revision} is there"
        );
    }
}

#[tokio::test]
async fn writes_without_a_pause_do_not_make_the_log_grow_for_ever() {
    let directory = Directory::new("log");
    let store = Embedded::open(&directory.0, options(), Env::real()).await.expect("the store opens");
    let mut longest = 0;
    for _ in 0..600 {
        let write = put(Bytes::from_static(b"key"), Bytes::from(vec![b'v'; 500_000]));
        store.commit(Txn { writes: vec![write], ..Txn::default() }).await.expect("it is taken");
        longest = longest.max(std::fs::metadata(directory.0.join("store.db-wal")).map_or(0, |log| log.len()));
    }
    assert!(longest < 128 << 20, "300 MB were written, and the log was {longest} bytes long");
    store.close().await;
}

#[tokio::test]
async fn what_a_burst_has_made_of_the_log_is_given_back_when_it_is_over() {
    let directory = Directory::new("burst");
    let options = Options { log_bytes: 1 << 30, ..options() };
    let store = Embedded::open(&directory.0, options, Env::real()).await.expect("the store opens");
    let write = |bytes: usize| {
        let write = put(Bytes::from_static(b"key"), Bytes::from(vec![b'v'; bytes]));
        store.commit(Txn { writes: vec![write], ..Txn::default() })
    };
    for _ in 0..120 {
        write(500_000).await.expect("it is taken");
    }
    let log = || std::fs::metadata(directory.0.join("store.db-wal")).map_or(0, |log| log.len());
    // The log is cut by the first transaction after it was brought over, which a little more than usual makes happen.
    let cut = async {
        while log() > 33 << 20 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            write(300_000).await.expect("it is taken");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), cut).await.expect("the log was cut");
    store.close().await;
}

#[tokio::test]
async fn a_database_without_room_refuses_writes_before_the_journal_is_lost_and_heals() {
    let directory = Directory::new("database-full");
    let path = directory.observed();
    let store = open(&path).await;
    disk::set_fault(&path, Fault::DatabaseFull);
    for _ in 0..3 {
        let (_, refused) = write_until_refused(&store).await;
        assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused:?}");
    }
    let revision = store.revision().await.expect("a revision");
    assert!(revision > 0, "the journal had room");
    // What only the journal has is read all the same.
    assert_eq!(held(&store).await.len(), 500_000);
    assert_eq!(store.range(Query::default()).await.expect("a read").items.len(), 1);
    disk::set_fault(&path, Fault::None);
    store.commit(one("after")).await.expect("there is room again");
    store.close().await;
    assert_eq!(check(&path).expect("a report").findings, Vec::<String>::new());
    assert_eq!(open(&path).await.revision().await, Ok(revision + 1));
}

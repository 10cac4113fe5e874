//! Kills a process that writes, again and again, and looks at what is left each time.
//!
//! `IRONCLAD_CRASHES=2000` asks for more than the few dozen that are made by default.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Entropy, Env};
use store::embedded::{Embedded, check};
use store::{Guard, Options, Outcome, Query, Revision, Store, Txn, Write};

const WRITERS: usize = 64;
/// Tells the child where to write, and that it is the child.
const DIRECTORY: &str = "IRONCLAD_CRASH_DIRECTORY";

/// What one writer's two keys hold: always the same number in both, because one transaction writes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    number: u64,
    revision: Revision,
}

fn options() -> Options {
    // History is forgotten and swept while the kills come, and hardly anything stays in memory.
    Options {
        retention: Duration::from_secs(1),
        hot_bytes: 10_000,
        sweep_interval: Duration::from_millis(5),
        ..Options::default()
    }
}

fn key(writer: usize, half: &str) -> Bytes {
    Bytes::from(format!("writer-{writer}/{half}"))
}

async fn held(store: &Embedded, writer: usize) -> Held {
    let page = store.range(Query::prefix(format!("writer-{writer}/").as_bytes())).await.expect("a read");
    let halves: Vec<Held> = page
        .items
        .iter()
        .map(|item| {
            let text = std::str::from_utf8(&item.value).expect("values are text");
            let number = text.trim_end_matches('.').parse().expect("values begin with a number");
            Held { number, revision: item.modified }
        })
        .collect();
    match halves.as_slice() {
        [] => Held::default(),
        [first, second] => {
            assert_eq!(first, second, "writer {writer}: half a transaction is there");
            *first
        }
        _ => panic!("writer {writer}: half a transaction is there: {halves:?}"),
    }
}

/// Writes until it is killed. Each answer goes to a file before the next question is asked.
async fn write_until_killed(directory: &Path) {
    let store =
        Embedded::open(&directory.join("store"), options(), Env::real()).await.expect("the store opens");
    let answers =
        OpenOptions::new().append(true).create(true).open(directory.join("answers")).expect("a file");
    let answers = Arc::new(answers);
    let tasks = env::Tasks::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tasks.spawn("writer", write_for_ever(store.clone(), answers.clone(), writer)))
        .collect();
    for writer in writers {
        writer.join().await;
    }
    panic!("writers write until they are killed");
}

async fn write_for_ever(store: Arc<Embedded>, answers: Arc<File>, writer: usize) {
    let mut before = held(&store, writer).await;
    loop {
        let number = before.number + 1;
        let value = Bytes::from(format!("{number}{}", ".".repeat((number as usize * 37) % 3000)));
        let guard = match before.revision {
            0 => Guard::Absent(key(writer, "first")),
            revision => Guard::ModifiedAt(key(writer, "first"), revision),
        };
        let writes = ["first", "second"].map(|half| Write::Put {
            key: key(writer, half),
            value: value.clone(),
            ttl_secs: None,
        });
        let outcome =
            store.commit(Txn { guards: vec![guard], writes: writes.to_vec(), ..Txn::default() }).await;
        let Ok(Outcome::Committed(revision)) = outcome else {
            panic!("nobody else writes this: {outcome:?}")
        };
        before = Held { number, revision };
        // One call, so that a kill leaves a whole line or none.
        (&*answers).write_all(format!("{writer} {number} {revision}\n").as_bytes()).expect("a line");
    }
}

/// What writers were answered, across all lives of the child.
#[derive(Default)]
struct Answers {
    last: BTreeMap<usize, Held>,
    revisions: BTreeMap<Revision, usize>,
    /// How much of the file was read.
    read: usize,
}

impl Answers {
    /// Reads what was written since the last time.
    fn read_on(&mut self, directory: &Path) {
        // Before the first answer there is no file.
        let Ok(mut file) = File::open(directory.join("answers")) else { return };
        file.seek(SeekFrom::Start(self.read as u64)).expect("a file");
        let mut text = String::new();
        self.read += file.read_to_string(&mut text).expect("a text");
        for line in text.lines() {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [writer, number, revision] = numbers[..] else { panic!("not an answer: {line}") };
            let writer = writer as usize;
            let before = self.last.insert(writer, Held { number, revision }).unwrap_or_default();
            assert!(
                before.number < number && before.revision < revision,
                "writer {writer} went back: {line}"
            );
            let other = self.revisions.insert(revision, writer);
            assert_eq!(other, None, "revision {revision} was given out twice");
        }
    }

    /// Compares with what is there. `known` is what was there after the crash before.
    async fn verify(&self, store: &Embedded, known: &mut BTreeMap<usize, Held>) {
        for writer in 0..WRITERS {
            let held = held(store, writer).await;
            let answered = self.last.get(&writer).copied().unwrap_or_default();
            let known = known.entry(writer).or_default();
            let sure = if answered.number > known.number { answered } else { *known };
            // At most the one that was not answered yet may be there too.
            let one_more = held.number == sure.number + 1 && held.revision > sure.revision;
            assert!(held == sure || one_more, "writer {writer}: {sure:?} was sure, and there is {held:?}");
            if one_more {
                assert!(!self.revisions.contains_key(&held.revision), "a revision was given out twice");
            }
            *known = held;
        }
        let newest = store.revision().await.expect("a revision");
        assert!(self.revisions.keys().next_back().is_none_or(|last| *last <= newest));
    }
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_answered_survives_kills() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&directory)).await;
    }
    let crashes = std::env::var("IRONCLAD_CRASHES").map_or(25, |count| count.parse().expect("a number"));
    let directory = Directory(std::env::temp_dir().join(format!("store-crash-{}", std::process::id())));
    std::fs::create_dir(&directory.0).expect("a directory");
    let entropy = Entropy::from_os();
    let (mut known, mut answers) = (BTreeMap::new(), Answers::default());
    for crash in 0..crashes {
        let written = || std::fs::metadata(directory.0.join("answers")).map_or(0, |file| file.len());
        let before = written();
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "what_was_answered_survives_kills", "--nocapture"])
            .env(DIRECTORY, &directory.0)
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        // Mostly while it writes, sometimes while it starts.
        if crash == 0 || entropy.below(10) > 0 {
            while written() == before {
                assert!(child.try_wait().expect("a child").is_none(), "the child ended by itself");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_micros(entropy.below(60_000)));
        child.kill().expect("a kill");
        child.wait().expect("a child that was killed");
        answers.read_on(&directory.0);
        let store =
            Embedded::open(&directory.0.join("store"), options(), Env::real()).await.expect("it opens");
        answers.verify(&store, &mut known).await;
        store.close().await;
        if (crash + 1) % 100 == 0 {
            println!("{} crashes, {} answers", crash + 1, answers.revisions.len());
        }
    }
    println!("{crashes} crashes, {} answers", answers.revisions.len());
    assert!(answers.revisions.len() > WRITERS, "the writers got somewhere");
    let report = check(&directory.0.join("store")).expect("a report");
    assert_eq!(report.findings, Vec::<String>::new());
}

//! The conformance suite on disk, and what only a disk can do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::conformance::{Backend, conformance, tight};
use crate::{Write, embedded};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("store-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct OnDisk {
    store: Arc<Embedded>,
    _directory: Directory,
}

impl Backend for OnDisk {
    async fn make(options: Options) -> OnDisk {
        let directory = Directory::new();
        let store = Embedded::open(&directory.at("store"), options, Env::real()).await.unwrap();
        OnDisk { store, _directory: directory }
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }
}

conformance!(OnDisk);

async fn open(directory: &Path) -> Result<Arc<Embedded>, StoreError> {
    Embedded::open(directory, tight(), Env::real()).await
}

async fn put(store: &Embedded, key: &str, value: &str) -> Revision {
    let write = Write::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl_secs: None,
    };
    match store.commit(Txn { writes: vec![write], ..Txn::default() }).await {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

async fn delete(store: &Embedded, key: &str) {
    let writes = vec![Write::Delete(Bytes::copy_from_slice(key.as_bytes()))];
    store.commit(Txn { writes, ..Txn::default() }).await.unwrap();
}

async fn all(store: &Embedded) -> Page {
    store.range(Query::default()).await.unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = Directory::new();
    let store = open(&directory.0).await.unwrap();
    for number in 0..100 {
        put(&store, &format!("k{}", number % 20), &number.to_string()).await;
    }
    delete(&store, "k3").await;
    let (before, past) =
        (all(&store).await, store.range(Query { revision: Some(50), ..Query::default() }).await);
    store.close().await;
    let store = open(&directory.0).await.unwrap();
    let after = all(&store).await;
    assert_eq!((after.items, after.revision), (before.items, 101));
    assert_eq!(
        store.range(Query { revision: Some(50), ..Query::default() }).await.unwrap().items,
        past.unwrap().items
    );
    let mut watch = store.watch(Bytes::new(), 90).await.unwrap();
    let mut seen = 0;
    while seen < 11 {
        if let crate::WatchItem::Events(events) = watch.next().await.unwrap() {
            assert_eq!(events[0].revision, 91 + seen);
            seen += events.len() as u64;
        }
    }
    assert_eq!(put(&store, "new", "1").await, 102);
}

/// The files of a store as a kill would leave them. The store goes on.
fn as_after_a_kill(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for name in ["store.db", "store.db-wal", "journal-0", "journal-1"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// The format of a database, and whether it has rows.
fn look(directory: &Path) -> (i32, bool) {
    let connection = rusqlite::Connection::open(disk::database(directory)).unwrap();
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0)).unwrap();
    (number("PRAGMA user_version"), number("SELECT count(*) FROM log") > 0)
}

#[tokio::test]
async fn what_only_the_journal_has_is_there_after_a_kill() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    for number in 0..10 {
        put(&store, &format!("k{}", number % 5), &number.to_string()).await;
    }
    delete(&store, "k3").await;
    for name in ["looked-over", "opened", "only-looked-into"] {
        as_after_a_kill(&directory.at("store"), &directory.at(name));
    }
    assert_eq!(look(&directory.at("only-looked-into")), (2, false), "the database has nothing yet");
    let report = check(&directory.at("looked-over")).unwrap();
    assert_eq!((report.findings, report.keys, report.rows, report.revision), (vec![], 4, 11, 11));
    let killed = open(&directory.at("opened")).await.unwrap();
    assert_eq!(all(&killed).await, all(&store).await);
    assert_eq!(put(&killed, "new", "1").await, 12);
    killed.close().await;
    assert_eq!(look(&directory.at("opened")), (1, true), "closed, the database is all there is");
}

#[tokio::test]
async fn no_log_is_left_by_a_store_that_was_closed_and_one_left_by_a_kill_is_brought_over_in_a_calm_moment() {
    let directory = Directory::new();
    let (path, copy) = (directory.at("store"), directory.at("copy"));
    let length =
        |of: &Path| std::fs::metadata(disk::write_ahead_log(&disk::database(of))).map_or(0, |log| log.len());
    let store = open(&path).await.unwrap();
    let value = "v".repeat(400_000);
    for number in 0..4 {
        put(&store, &format!("key-{number}"), &value).await;
    }
    while length(&path) < 1_000_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    as_after_a_kill(&path, &copy);
    store.close().await;
    drop(store);
    assert_eq!(length(&path), 0);

    let database = disk::database(&copy);
    let before = std::fs::metadata(&database).unwrap().len();
    let store = open(&copy).await.unwrap();
    let brought_over = async {
        while std::fs::metadata(&database).unwrap().len() < before + 1_000_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), brought_over).await.expect("the log is brought over");
    assert_eq!(all(&store).await.items.len(), 4);
}

#[tokio::test]
async fn a_store_from_before_there_was_a_journal_opens() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    put(&store, "a", "1").await;
    store.close().await;
    let connection = rusqlite::Connection::open(disk::database(&directory.at("store"))).unwrap();
    connection.execute("DELETE FROM meta WHERE name = 'epoch'", []).unwrap();
    connection.close().unwrap();
    std::fs::remove_file(directory.at("store").join("journal-0")).unwrap();
    std::fs::remove_file(directory.at("store").join("journal-1")).unwrap();
    assert_eq!(check(&directory.at("store")).unwrap().revision, 1);
    let store = open(&directory.at("store")).await.unwrap();
    assert_eq!(put(&store, "b", "2").await, 2);
    assert_eq!(all(&store).await.items.len(), 2);
}

#[tokio::test]
async fn a_journal_that_another_store_left_is_not_read() {
    let directory = Directory::new();
    let [one, other] = ["one", "other"].map(|name| directory.at(name));
    let store = open(&one).await.unwrap();
    put(&store, "a", "of one").await;
    put(&store, "b", "of one").await;
    let stranger = open(&other).await.unwrap();
    put(&stranger, "a", "of the other").await;
    as_after_a_kill(&one, &directory.at("mixed"));
    std::fs::copy(other.join("journal-0"), directory.at("mixed").join("journal-1")).unwrap();
    let mixed = open(&directory.at("mixed")).await.unwrap();
    assert_eq!(all(&mixed).await, all(&store).await);
}

#[tokio::test]
async fn a_damaged_journal_is_found_at_start_and_named() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    for key in ["a", "b", "c"] {
        put(&store, key, &format!("the value of {key}")).await;
    }
    as_after_a_kill(&directory.at("store"), &directory.at("killed"));
    let file = directory.at("killed").join("journal-0");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(14).position(|window| window == b"the value of b").unwrap();
    bytes[at] = b'T';
    std::fs::write(&file, bytes).unwrap();
    for refused in [open(&directory.at("killed")).await.map(drop), check(&directory.at("killed")).map(drop)] {
        let Err(StoreError::Corrupt { path, detail }) = refused else { panic!("{refused:?}") };
        assert!(path.ends_with("journal-0") && detail.contains("damaged"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_transaction_larger_than_the_journal_is_as_safe() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    put(&store, "before", "1").await;
    let value = Bytes::from(vec![b'v'; 1 << 20]);
    let large = |number| Write::Put {
        key: Bytes::from(format!("large-{number}")),
        value: value.clone(),
        ttl_secs: None,
    };
    let txn = Txn { writes: (0..9).map(large).collect(), ..Txn::default() };
    assert_eq!(store.commit(txn).await, Ok(Outcome::Committed(2)));
    put(&store, "after", "2").await;
    as_after_a_kill(&directory.at("store"), &directory.at("killed"));
    let killed = open(&directory.at("killed")).await.unwrap();
    assert_eq!(all(&killed).await, all(&store).await);
}

#[tokio::test]
async fn revisions_go_on_although_the_last_row_was_forgotten() {
    let directory = Directory::new();
    let store = open(&directory.0).await.unwrap();
    put(&store, "a", "1").await;
    delete(&store, "a").await;
    store.compact(2).await.unwrap();
    store.close().await;
    let store = open(&directory.0).await.unwrap();
    assert_eq!(store.revision().await, Ok(2));
    let refused = store.range(Query { revision: Some(1), ..Query::default() }).await;
    assert_eq!(refused.unwrap_err(), StoreError::Compacted { asked: 1, oldest: 2 });
    assert_eq!(put(&store, "a", "2").await, 3);
}

#[tokio::test]
async fn a_second_user_is_refused_and_files_are_private() {
    let directory = Directory::new();
    let path = directory.at("store");
    let store = open(&path).await.unwrap();
    put(&store, "a", "secret").await;
    let expected = StoreError::InUse { path: path.display().to_string() };
    assert_eq!(open(&path).await.map(drop).unwrap_err(), expected);
    assert_eq!(check(&path).unwrap_err(), expected);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
    store.close().await;
    assert!(open(&path).await.is_ok());
}

#[tokio::test]
async fn forgotten_rows_leave_the_disk() {
    let directory = Directory::new();
    let store = open(&directory.0).await.unwrap();
    for number in 0..1000 {
        put(&store, &format!("k{}", number % 4), &number.to_string()).await;
    }
    store.compact(990).await.unwrap();
    put(&store, "end", "x").await;
    // Four keys and their rows of the ten revisions that are kept, of which up to four replaced older ones.
    let most: u64 = 4 + 10 + 1;
    let reader = database::open_reader(&disk::database(&directory.0)).unwrap();
    let rows = || reader.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0)).unwrap();
    // They leave step by step, beside everything else.
    for _ in 0..6_000 {
        if rows() <= i64::try_from(most).unwrap() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(reader);
    store.close().await;
    let report = check(&directory.0).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!((report.keys, report.revision, report.compacted), (5, 1001, 990));
    assert!(report.rows <= most, "{report:?}");
}

#[tokio::test]
async fn a_backup_is_consistent_and_a_restored_store_jumps_ahead() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    for number in 0..500 {
        put(&store, &format!("k{}", number % 100), &number.to_string()).await;
    }
    delete(&store, "k7").await;
    let expected = all(&store).await;
    let file = directory.at("backup");
    let writing = async {
        for number in 0..50 {
            put(&store, "later", &number.to_string()).await;
        }
    };
    let (revision, ()) = tokio::join!(store.backup(&file), writing);
    let revision = revision.unwrap();
    assert!((501..=551).contains(&revision));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    assert!(store.backup(&file).await.is_err(), "a file that exists is not overwritten");
    let report = check(&file).unwrap();
    assert_eq!((report.findings, report.revision), (vec![], revision));

    let restored = directory.at("restored");
    let jumped = embedded::backup::restore(&file, &restored).unwrap();
    assert_eq!(jumped, revision + embedded::backup::REVISION_JUMP);
    assert!(embedded::backup::restore(&file, &restored).is_err(), "a store that exists is not overwritten");
    let store = open(&restored).await.unwrap();
    let page = all(&store).await;
    let items: Vec<_> = page.items.into_iter().filter(|item| item.key != "later").collect();
    assert_eq!((items, page.revision), (expected.items, jumped));
    let refused = store.watch(Bytes::new(), revision).await.map(drop);
    assert_eq!(refused, Err(StoreError::Compacted { asked: revision, oldest: jumped }));
    assert_eq!(put(&store, "k7", "again").await, jumped + 1);
    store.close().await;
    assert_eq!(check(&restored).unwrap().findings, Vec::<String>::new());
}

/// Changes bytes of the database behind the store's back.
fn damage(path: &Path, old: &[u8], new: &[u8]) {
    let file = disk::database(path);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(old.len()).rposition(|window| window == old).expect("the bytes are in the file");
    bytes[at..at + new.len()].copy_from_slice(new);
    std::fs::write(&file, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_value_is_found_when_it_is_read_and_named() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    put(&store, "/registry/a", "the value that will be damaged").await;
    put(&store, "/registry/b", "another").await;
    store.close().await;
    damage(&directory.at("store"), b"will be damaged", b"was not damaged");
    let store = open(&directory.at("store")).await.unwrap();
    assert!(store.get(Bytes::from_static(b"/registry/b")).await.is_ok());
    let Err(StoreError::Corrupt { path, detail }) = store.get(Bytes::from_static(b"/registry/a")).await
    else {
        panic!("a damaged value must not be handed out");
    };
    assert!(
        path.ends_with("store.db") && detail.contains("/registry/a") && detail.contains("revision 1"),
        "{detail}"
    );
    assert!(matches!(store.backup(&directory.at("backup")).await, Err(StoreError::Corrupt { .. })));
    assert!(!directory.at("backup").exists() && !directory.at("backup.partial").exists());
    store.close().await;
    let report = check(&directory.at("store")).unwrap();
    assert!(report.findings.len() == 1 && report.findings[0].contains("/registry/a"), "{report:?}");
}

#[tokio::test]
async fn a_damaged_key_is_found_at_start() {
    let directory = Directory::new();
    let store = open(&directory.0).await.unwrap();
    put(&store, "/registry/some/key", "value").await;
    store.close().await;
    damage(&directory.0, b"some/key", b"same/key");
    assert!(matches!(open(&directory.0).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let directory = Directory::new();
    let store = open(&directory.0).await.unwrap();
    for number in 0..2000 {
        put(&store, &format!("k{number}"), &"v".repeat(200)).await;
    }
    store.close().await;
    let file = disk::database(&directory.0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 512].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let opened = open(&directory.0).await;
    let found = match &opened {
        Err(StoreError::Corrupt { .. }) => true,
        Err(_) => false,
        Ok(_) => {
            drop(opened);
            !check(&directory.0).unwrap().findings.is_empty()
        }
    };
    assert!(found);
}

#[tokio::test]
async fn another_file_is_no_store() {
    let directory = Directory::new();
    std::fs::write(disk::database(&directory.0), "this is a text, and it is longer than a header would be")
        .unwrap();
    assert!(matches!(open(&directory.0).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored() {
    let directory = Directory::new();
    let store = open(&directory.at("store")).await.unwrap();
    put(&store, "a", "the value that will be damaged").await;
    store.backup(&directory.at("backup")).await.unwrap();
    let mut bytes = std::fs::read(directory.at("backup")).unwrap();
    let at = bytes.windows(7).position(|window| window == b"damaged").unwrap();
    bytes[at] = b'D';
    std::fs::write(directory.at("backup"), bytes).unwrap();
    let refused = embedded::backup::restore(&directory.at("backup"), &directory.at("restored"));
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    assert!(!disk::database(&directory.at("restored")).exists());
}

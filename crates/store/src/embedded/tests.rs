//! The conformance suite on disk, and what only a disk can do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
    match store.commit(Txn { guards: vec![], writes: vec![write] }).await {
        Ok(Outcome::Committed(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

async fn delete(store: &Embedded, key: &str) {
    let writes = vec![Write::Delete(Bytes::copy_from_slice(key.as_bytes()))];
    store.commit(Txn { guards: vec![], writes }).await.unwrap();
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
    store.close().await;
    let report = check(&directory.0).unwrap();
    // Four keys and their rows of the ten revisions that are kept, of which up to four replaced older ones.
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!((report.keys, report.revision, report.compacted), (5, 1001, 990));
    assert!(report.rows <= 4 + 10 + 1 || report.rows > 256, "{report:?}");
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

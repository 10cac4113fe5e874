use env::WallTime;
use store::memory::Memory;
use store::{Guard, Options};

use super::*;

const KEY: &[u8] = b"/registry/core/secrets/n/s";
/// 32 bytes, in base64.
const ONE: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
const TWO: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";

fn rules(resources: &str, providers: &str) -> Rules {
    config::parse(&format!(
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: {resources}\n  \
         providers: {providers}\n"
    ))
    .unwrap()
}

fn keys(cipher: &str, keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> =
        keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: \"{secret}\"}}")).collect();
    format!("[{{{cipher}: {{keys: [{}]}}}}, {{identity: {{}}}}]", keys.join(", "))
}

struct World {
    memory: Arc<Memory>,
    seals: Arc<Seals>,
    store: Arc<Sealing>,
}

fn world(rules: Rules) -> World {
    let memory = Memory::new(Options::default(), Env::simulated(WallTime::from_secs(1), 1));
    let seals = Seals::new(rules);
    let store = Sealing::new(memory.clone(), &seals);
    World { memory, seals, store }
}

async fn put(store: &dyn Store, key: &'static [u8], value: &'static [u8]) {
    let write = Write::Put { key: Bytes::from_static(key), value: Bytes::from_static(value), ttl_secs: None };
    store.commit(Txn { writes: vec![write], ..Txn::default() }).await.unwrap();
}

async fn raw(world: &World) -> Vec<u8> {
    world.memory.get(Bytes::from_static(KEY)).await.unwrap().unwrap().value.to_vec()
}

async fn plain(world: &World) -> Vec<u8> {
    world.store.get(Bytes::from_static(KEY)).await.unwrap().unwrap().value.to_vec()
}

#[tokio::test]
async fn every_cipher_seals_and_opens() {
    for cipher in ["aesgcm", "aescbc", "secretbox"] {
        let world = world(rules("[secrets]", &keys(cipher, &[("k1", ONE)])));
        put(world.store.as_ref(), KEY, b"{\"password\":\"hunter2\"}").await;
        let sealed = raw(&world).await;
        let prefix = format!("k8s:enc:{cipher}:v1:k1:");
        assert!(sealed.starts_with(prefix.as_bytes()), "{cipher}");
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"), "{cipher}");
        assert_eq!(plain(&world).await, b"{\"password\":\"hunter2\"}", "{cipher}");
        let page = world.store.range(Query::prefix(b"/registry/")).await.unwrap();
        assert_eq!(page.items[0].value, "{\"password\":\"hunter2\"}", "{cipher}");
        let mut watch = world.store.watch(Bytes::from_static(b"/"), 0).await.unwrap();
        let WatchItem::Events(events) = watch.next().await.unwrap() else { panic!("events come first") };
        assert_eq!(events[0].value.as_ref().unwrap().value, "{\"password\":\"hunter2\"}", "{cipher}");
    }
}

#[tokio::test]
async fn other_kinds_stay_as_they_are() {
    let world = world(rules("[secrets]", &keys("aesgcm", &[("k1", ONE)])));
    put(world.store.as_ref(), b"/registry/core/configmaps/n/s", b"{}").await;
    let stored =
        world.memory.get(Bytes::from_static(b"/registry/core/configmaps/n/s")).await.unwrap().unwrap();
    assert_eq!(stored.value, "{}");
    assert!(!world.seals.is_stale(b"/registry/core/configmaps/n/s"));
}

#[tokio::test]
async fn keys_are_rotated_by_writing_again() {
    let world = world(Rules::default());
    put(world.store.as_ref(), KEY, b"{}").await;
    assert!(!world.seals.is_stale(KEY), "nothing is to be sealed");
    world.seals.set_rules(rules("[secrets]", &keys("secretbox", &[("k1", ONE)])));
    assert_eq!(plain(&world).await, b"{}", "what is not sealed is read as it is");
    assert!(world.seals.is_stale(KEY));
    put(world.store.as_ref(), KEY, b"{}").await;
    plain(&world).await;
    assert!(!world.seals.is_stale(KEY));
    world.seals.set_rules(rules("['*.']", &keys("secretbox", &[("k2", TWO), ("k1", ONE)])));
    assert_eq!(plain(&world).await, b"{}", "the old key still opens");
    assert!(world.seals.is_stale(KEY), "but it does not seal any more");
    put(world.store.as_ref(), KEY, b"{}").await;
    assert!(raw(&world).await.starts_with(b"k8s:enc:secretbox:v1:k2:"));
    world.seals.set_rules(rules("[secrets]", "[{identity: {}}]"));
    assert!(plain(&world).await.starts_with(SEALED), "without its key nobody opens it");
}

#[tokio::test]
async fn what_was_tampered_with_or_moved_does_not_open() {
    let world = world(rules("[secrets]", &keys("aesgcm", &[("k1", ONE)])));
    put(world.store.as_ref(), KEY, b"{}").await;
    let sealed = raw(&world).await;
    let mut broken = sealed.clone();
    *broken.last_mut().unwrap() ^= 1;
    for (key, value) in [(KEY, broken), (b"/registry/core/secrets/n/other", sealed)] {
        let write = Write::Put { key: Bytes::from_static(key), value: Bytes::from(value), ttl_secs: None };
        world.memory.commit(Txn { writes: vec![write], ..Txn::default() }).await.unwrap();
        let read = world.store.get(Bytes::from_static(key)).await.unwrap().unwrap();
        assert!(read.value.starts_with(SEALED));
    }
    let conflict =
        Txn { guards: vec![Guard::Absent(Bytes::from_static(KEY))], writes: vec![], ..Txn::default() };
    assert!(matches!(world.store.commit(conflict).await, Ok(Outcome::Conflict { .. })));
}

#[test]
fn what_is_wrong_with_a_file_is_told_without_its_secrets() {
    let file =
        |rest: &str| format!("kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n{rest}");
    let with =
        |provider: &str| file(&format!("resources:\n- resources: [secrets]\n  providers: [{provider}]\n"));
    for (text, expected) in [
        ("kind: X".to_owned(), "it is no EncryptionConfiguration"),
        (file("resources:\n- providers: [{identity: {}}]\n"), "must name at least one resource"),
        (file("resources:\n- resources: [secrets]\n"), "must name at least one provider"),
        (with("{kms: {}}"), "kms is not supported"),
        (with("{aescbc: {keys: []}}"), "it needs at least one key"),
        (
            with("{aescbc: {keys: [{name: a, secret: \"hunter2!\"}]}}"),
            "the secret of key a must be base64 encoded",
        ),
        (
            with("{aescbc: {keys: [{name: a, secret: \"aHVudGVyMg==\"}]}}"),
            "has 7 bytes; it must have one of [16, 24, 32]",
        ),
        (with("{aescbc: {keys: [{name: \"a:b\", secret: \"\"}]}}"), "a key needs a name, without colons"),
        (with("{identity: {}, aescbc: {}}"), "exactly one of"),
    ] {
        let error = config::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("aHVu"), "{error}");
    }
}

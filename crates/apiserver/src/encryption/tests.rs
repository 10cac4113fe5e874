use env::WallTime;
use store::memory::Memory;
use store::{Guard, Options};

use super::kms::fake::Fake;
use super::*;
use crate::cache::Caches;

const KEY: &[u8] = b"/registry/core/secrets/n/s";
/// 32 bytes, in base64.
const ONE: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";
const TWO: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";

/// What the plugin is called, in a flow of YAML.
const PLUGIN: &str = "{kms: {apiVersion: v2, name: p, endpoint: \"unix:///p.sock\"}}";

fn file(resources: &str, providers: &str) -> String {
    format!(
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: {resources}\n  \
         providers: {providers}\n"
    )
}

fn rules(resources: &str, providers: &str) -> Rules {
    let env = Env::simulated(WallTime::from_secs(1), 1);
    plugin_rules(&file(resources, providers), &env, &Arc::new(Fake::new()))
}

fn plugin_rules(text: &str, env: &Env, fake: &Arc<Fake>) -> Rules {
    Rules::new(config::parse(text).unwrap(), env, &|_| fake.clone())
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
    let error = world.store.get(Bytes::from_static(KEY)).await.unwrap_err().to_string();
    assert_eq!(error, "unable to transform key \"/registry/core/secrets/n/s\": no matching prefix found");
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
        let error = world.store.get(Bytes::from_static(key)).await.unwrap_err();
        assert!(matches!(error, StoreError::Seal { .. }), "{error}");
        let error = world.store.range(Query::prefix(key)).await.unwrap_err();
        assert!(
            error.to_string().ends_with("the value was not encrypted with this key, or was changed"),
            "{error}"
        );
    }
    let conflict =
        Txn { guards: vec![Guard::Absent(Bytes::from_static(KEY))], writes: vec![], ..Txn::default() };
    assert!(matches!(world.store.commit(conflict).await, Err(StoreError::Seal { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_plugin_seals_beside_ciphers_and_its_new_key_makes_values_stale() {
    let world = world(rules("[secrets]", &keys("aescbc", &[("k1", ONE)])));
    put(world.store.as_ref(), KEY, b"{}").await;
    let env = Env::simulated(WallTime::from_secs(1), 1);
    let fake = Arc::new(Fake::new());
    let both =
        format!("[{PLUGIN}, {{aescbc: {{keys: [{{name: k1, secret: \"{ONE}\"}}]}}}}, {{identity: {{}}}}]");
    let rules = plugin_rules(&file("[secrets]", &both), &env, &fake);
    rules.begin().await;
    world.seals.set_rules(rules);
    assert_eq!(plain(&world).await, b"{}");
    assert!(world.seals.is_stale(KEY), "the cipher sealed it");
    put(world.store.as_ref(), KEY, b"{}").await;
    assert!(raw(&world).await.starts_with(b"k8s:enc:kms:v2:p:\x0a"));
    assert_eq!(plain(&world).await, b"{}");
    assert!(!world.seals.is_stale(KEY));
    fake.rotate("2");
    env.clock.sleep(Duration::from_secs(61)).await;
    assert_eq!(plain(&world).await, b"{}");
    assert!(world.seals.is_stale(KEY), "the plugin has another key");
    put(world.store.as_ref(), KEY, b"{}").await;
    plain(&world).await;
    assert!(!world.seals.is_stale(KEY));
    assert_eq!(world.seals.health().await, Some(Ok(())));
}

async fn until(env: &Env, holds: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        env.clock.sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came true");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_open_yet_is_refused_and_not_taken_for_nothing() {
    let env = Env::simulated(WallTime::from_secs(1), 1);
    let fake = Arc::new(Fake::new());
    let text = file("[secrets]", &format!("[{PLUGIN}]"));
    let rules = plugin_rules(&text, &env, &fake);
    rules.begin().await;
    let world = world(rules);
    let object = br#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"n"}}"#;
    put(world.store.as_ref(), KEY, object).await;
    fake.leave();
    // A server that is started while the plugin is gone.
    let seals = Seals::new(plugin_rules(&text, &env, &fake));
    let store = Sealing::new(world.memory.clone(), &seals);
    let names = ["core/secrets".to_owned(), "core/configmaps".to_owned()];
    let caches = Caches::open(&env, store.clone(), &names).await.unwrap();
    let secrets = caches.collection("core/secrets").unwrap();
    let error = secrets.opened().unwrap_err();
    assert_eq!(error.code, 500);
    let expected = "Internal error occurred: unable to transform key \"/registry/core/secrets/n/s\": failed to decrypt DEK, \
                    error: rpc error: code = Unavailable desc = gone";
    assert_eq!(error.message, expected);
    assert!(caches.collection("core/configmaps").unwrap().opened().is_ok(), "what is not sealed is read");
    fake.state().failure = Some(grpc::Failure::new(grpc::Code::INVALID_ARGUMENT, "no"));
    let (asked, key) = (fake.asked("Decrypt"), Bytes::from_static(KEY));
    env.clock.sleep(Duration::from_secs(4)).await;
    let before = fake.asked("Decrypt") - asked;
    assert!(store.get(key).await.is_err());
    assert_eq!(fake.asked("Decrypt") - asked - before, 1, "no provider is asked twice for one value");
    fake.come_back();
    until(&env, || secrets.opened().is_ok()).await;
    assert_eq!(secrets.len(), 1);
    // What another server writes with a seed that nobody can open here.
    let other = Seals::new(plugin_rules(&text, &env, &fake));
    other.rules.load_full().begin().await;
    fake.leave();
    put(Sealing::new(world.memory.clone(), &other).as_ref(), b"/registry/core/secrets/n/t", object).await;
    until(&env, || secrets.opened().is_err()).await;
    put(world.memory.as_ref(), b"/registry/core/secrets/n/u", object).await;
    fake.come_back();
    until(&env, || secrets.opened().is_ok()).await;
    assert_eq!(secrets.len(), 1, "all three say that they are the same object");
    assert_eq!(secrets.get("n/s").unwrap().revision(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_waits_for_its_plugins() {
    let env = Env::simulated(WallTime::from_secs(1), 1);
    let fake = Arc::new(Fake::new());
    fake.leave();
    let rules = plugin_rules(&file("[secrets]", &format!("[{PLUGIN}]")), &env, &fake);
    let begin = env.clock.monotonic();
    assert!(well(&env, &rules).await.unwrap_err().starts_with("kms-provider-0: failed to perform status"));
    let taken = env.clock.monotonic() - begin;
    assert!(taken >= PATIENCE && taken < 2 * PATIENCE, "{taken:?}");
    fake.come_back();
    assert_eq!(well(&env, &rules).await, Ok(()));
    assert_eq!(well(&env, &Rules::default()).await, Ok(()), "without plugins there is nothing to wait for");
}

#[test]
fn what_is_wrong_with_a_file_is_told_without_its_secrets() {
    let file =
        |rest: &str| format!("kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n{rest}");
    let with =
        |provider: &str| file(&format!("resources:\n- resources: [secrets]\n  providers: [{provider}]\n"));
    let kinds = |kinds: &str| {
        file(&format!("resources:\n- resources: [{kinds}]\n  providers: [{{identity: {{}}}}]\n"))
    };
    let kms =
        |rest: &str| with(&format!("{{kms: {{apiVersion: v2, name: p, endpoint: \"unix:///p\"{rest}}}}}"));
    let first = "resources[0].providers[0]";
    for (text, expected) in [
        ("kind: X".to_owned(), "it is no EncryptionConfiguration".to_owned()),
        (file(""), "resources: Required value: at least one resources is required".to_owned()),
        (
            file("resources:\n- providers: [{identity: {}}]\n"),
            "resources[0].resources: Required value: at least one resources[0].resources is required"
                .to_owned(),
        ),
        (
            file("resources:\n- resources: [secrets]\n"),
            "resources[0].providers: Required value: at least one resources[0].providers is required"
                .to_owned(),
        ),
        (with("{}"), format!("{first}: Invalid value: \"\": provider does not contain any of the expected")),
        (
            with("{identity: {}, aescbc: {}}"),
            format!("{first}: Invalid value: \"aescbc,identity\": more than one"),
        ),
        (with("{identity: {}, rot13: {}}"), format!("{first}.rot13: Forbidden: unknown field")),
        (
            with("{aescbc: {keys: []}}"),
            format!("{first}.aescbc.keys: Required value: at least one keys is required"),
        ),
        (
            with("{aescbc: {keys: [{name: a, secret: \"hunter2!\"}]}}"),
            format!(
                "{first}.aescbc.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded"
            ),
        ),
        (
            with("{aescbc: {keys: [{name: a, secret: \"aHVudGVyMg==\"}]}}"),
            "secret is not of the expected length, got 7, expected one of [16 24 32]".to_owned(),
        ),
        (
            with("{aescbc: {keys: [{name: \"\", secret: \"\"}]}}"),
            format!(
                "[{first}.aescbc.keys[0].name: Required value: name is a mandatory field for a key, \
                 {first}.aescbc.keys[0].secret: Required value: secret is a mandatory field for a key]"
            ),
        ),
        (with("{aescbc: {keys: [{name: \"a:b\", secret: \"\"}]}}"), "must not contain ':'".to_owned()),
        (
            kms(", timeout: 0s"),
            format!("{first}.kms.timeout: Invalid value: \"0s\": timeout should be a positive"),
        ),
        (
            kms(", cachesize: 7"),
            format!("{first}.kms.cachesize: Invalid value: 7: cachesize is not supported in v2"),
        ),
        (
            kms("}}, {kms: {apiVersion: v2, name: p, endpoint: \"unix:///q\""),
            "duplicate KMS provider name p".to_owned(),
        ),
        (
            with("{kms: {name: p, endpoint: \"unix:///p\"}}"),
            format!("{first}.kms.apiVersion: Forbidden: KMSv1 is deprecated"),
        ),
        (
            with("{kms: {apiVersion: v3, name: \"a:b\", endpoint: \"http://x\"}}"),
            format!(
                "[{first}.kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':', \
                 {first}.kms.endpoint: Invalid value: \"http://x\": unsupported scheme \"http\" for KMS provider, only unix \
                 is supported, {first}.kms.apiVersion: Invalid value: \"v3\": unsupported apiVersion"
            ),
        ),
        (
            with("{kms: {apiVersion: v2}}"),
            format!(
                "[{first}.kms.name: Required value: name is a mandatory field for a provider, {first}.kms.endpoint: \
                 Invalid value: \"\": endpoint is a mandatory field for a kms]"
            ),
        ),
        (
            kinds("secrets, secrets"),
            "resources[0].resources: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be"
                .to_owned(),
        ),
        (kinds("secrets, '*.'"), "using overlapping resources such as 'secrets' and '*.'".to_owned()),
        (kinds("'*.*', secrets"), "using overlapping resources".to_owned()),
        (
            kinds("Secrets"),
            "resources[0].resources[0]: Invalid value: \"Secrets\": resource name should not".to_owned(),
        ),
        (kinds("'*'"), "use '*.' to encrypt all the resources from core API group".to_owned()),
        (kinds("serviceipallocations"), "do not have REST API/s".to_owned()),
        (kinds("events.events.k8s.io"), "are stored using the 'events' API group".to_owned()),
        (kinds("deployments.extensions"), "'extensions' group has been removed".to_owned()),
        (kinds("'pods.*'"), "encrypting the same resource across groups is not supported".to_owned()),
        (
            kinds("'*.apps'") + "- resources: [deployments.apps]\n  providers: [{identity: {}}]\n",
            "resource \"deployments.apps\" is masked by earlier rule \"*.apps\"".to_owned(),
        ),
    ] {
        let error = config::parse(&text).unwrap_err().to_string();
        assert!(error.contains(&expected), "{error}\nand not\n{expected}");
        assert!(!error.contains("hunter2") && !error.contains("aHVu"), "{error}");
    }
    for text in [kms(""), kms(", timeout: 10s"), kinds("secrets, '*.apps', configmaps"), kinds("'*.*'")] {
        config::parse(&text).unwrap();
    }
}

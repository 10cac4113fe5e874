//! What becomes of keys while a plugin is well, changes its key, is wrong, or is gone.

use std::path::PathBuf;

use super::fake::Fake;
use super::*;

mod socket;

const AT: &[u8] = b"/registry/core/secrets/n/s";

struct World {
    env: Env,
    fake: Arc<Fake>,
    kms: Arc<Kms>,
}

fn world() -> World {
    let env = Env::simulated(WallTime::from_secs(1_000_000_000), 1);
    let fake = Arc::new(Fake::new());
    let kms = kms(&env, &fake);
    World { env, fake, kms }
}

fn kms(env: &Env, fake: &Arc<Fake>) -> Arc<Kms> {
    let settings = Settings {
        name: "p".to_owned(),
        endpoint: "unix:///p.sock".to_owned(),
        timeout: Duration::from_secs(3),
    };
    Kms::new(settings, fake.clone(), env)
}

impl World {
    async fn wait(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn opens(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let sealed = sealed.strip_prefix(b"k8s:enc:kms:v2:p:").expect("values of the plugin begin so");
        self.kms.open(AT, sealed).await.map(|(plain, _)| plain)
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_sealed_with_a_seed_that_the_plugin_seals_once() {
    let world = world();
    assert_eq!(world.kms.seal(AT, b"x").unwrap_err(), "got unexpected nil transformer");
    assert_eq!(world.kms.mark(), None);
    world.kms.check().await.unwrap();
    let sealed: Vec<Vec<u8>> = (0..50).map(|_| world.kms.seal(AT, b"hunter2").unwrap()).collect();
    for sealed in &sealed {
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(world.opens(sealed).await.unwrap(), b"hunter2");
    }
    assert_eq!((world.fake.asked("Encrypt"), world.fake.asked("Decrypt")), (1, 0));
    let another = World { kms: kms(&world.env, &world.fake), ..world };
    for sealed in &sealed {
        assert_eq!(another.opens(sealed).await.unwrap(), b"hunter2");
    }
    assert_eq!(another.fake.asked("Decrypt"), 1, "after a start each seed is opened once");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_of_the_plugin_means_a_new_seed() {
    let world = world();
    attend(&world.kms);
    world.wait(1).await;
    let (old, before) = (world.kms.seal(AT, b"x").unwrap(), world.kms.mark());
    world.wait(600).await;
    assert_eq!(world.kms.mark(), before, "the same key means the same seed, however old");
    assert_eq!(world.fake.asked("Encrypt"), 1);
    world.fake.rotate("2");
    world.wait(61).await;
    assert_ne!(world.kms.mark(), before);
    assert_eq!(world.opens(&old).await.unwrap(), b"x");
    assert_eq!(world.fake.asked("Decrypt"), 0, "what this server sealed it opens itself");
    let (_, mark) = world.kms.open(AT, &old[17..]).await.unwrap();
    assert_eq!(Some(mark), before, "what the old key sealed is known to be so");
}

#[tokio::test(start_paused = true)]
async fn without_the_plugin_writes_go_on_for_three_minutes_and_reads_for_ever() {
    let world = world();
    attend(&world.kms);
    world.wait(1).await;
    let sealed = world.kms.seal(AT, b"x").unwrap();
    world.fake.leave();
    world.wait(175).await;
    assert!(world.kms.seal(AT, b"y").is_ok());
    world.wait(10).await;
    let error = world.kms.seal(AT, b"y").unwrap_err();
    let hash = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    assert_eq!(
        error,
        format!(
            "encryptedDEKSource with keyID hash \"{hash}\" expired at 2001-09-09T01:49:40Z (current time is \
             2001-09-09T01:49:46Z)"
        )
    );
    world.wait(100_000).await;
    assert_eq!(world.opens(&sealed).await.unwrap(), b"x");
    world.fake.come_back();
    world.wait(11).await;
    assert!(world.kms.seal(AT, b"y").is_ok(), "an unwell plugin is asked every ten seconds");
    assert_eq!(world.fake.asked("Encrypt"), 1, "and its seed is as good as before");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_is_not_asked_for_every_value() {
    let world = world();
    world.kms.check().await.unwrap();
    let sealed = world.kms.seal(AT, b"x").unwrap();
    let another = World { kms: kms(&world.env, &world.fake), ..world };
    another.fake.leave();
    for _ in 0..100 {
        let error = another.opens(&sealed).await.unwrap_err();
        assert_eq!(error, "failed to decrypt DEK, error: rpc error: code = Unavailable desc = gone");
    }
    assert_eq!(another.fake.asked("Decrypt"), 1);
    another.fake.come_back();
    another.wait(4).await;
    assert_eq!(another.opens(&sealed).await.unwrap(), b"x");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_its_health_is_no_burden_to_the_plugin() {
    let world = world();
    for _ in 0..10 {
        assert_eq!(world.kms.check().await, Ok(()));
    }
    assert_eq!(world.fake.asked("Status"), 1);
    world.fake.leave();
    world.wait(19).await;
    assert_eq!(world.kms.check().await, Ok(()));
    world.wait(2).await;
    let expected = "failed to perform status section of the healthz check for KMS Provider p, error: rpc error: code = \
                    Unavailable desc = gone";
    assert_eq!(world.kms.check().await, Err(expected.to_owned()));
    world.fake.come_back();
    assert_eq!(world.kms.check().await, Err(expected.to_owned()));
    world.wait(4).await;
    assert_eq!(world.kms.check().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_wrong_is_told_so_in_upstreams_words() {
    type Change = fn(&mut super::fake::State);
    let cases: [(Change, &str); 6] = [
        (|state| state.health.healthz = "tired".to_owned(), "error: got unexpected healthz status: tired"),
        (|state| state.health.version = "v1".to_owned(), "error: expected KMSv2 API version v2, got v1"),
        (
            |state| state.health.key_id = String::new(),
            "error: got invalid KMSv2 KeyID hash \"\": keyID is empty",
        ),
        (
            |state| state.health.key_id = "k".repeat(1025),
            "keyID is 1025 bytes, which exceeds the max size of 1024",
        ),
        (
            |state| {
                state.health.healthz = "tired".to_owned();
                state.health.version = String::new();
            },
            "error: [got unexpected healthz status: tired, expected KMSv2 API version v2, got ]",
        ),
        (
            |state| state.seals = "9".to_owned(),
            "errState=got unexpected nil transformer, errGen=<nil>, statusKeyIDHash=\"sha256:6b86b",
        ),
    ];
    for (change, expected) in cases {
        let world = world();
        change(&mut world.fake.state());
        let error = world.kms.check().await.unwrap_err();
        assert!(
            error.starts_with("kmsv2 Provider p is not healthy, error: ") && error.contains(expected),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_changes_is_no_plugin_to_rely_on() {
    let world = world();
    world.kms.check().await.unwrap();
    world.fake.state().health.version = "v2beta1".to_owned();
    world.wait(21).await;
    let error = world.kms.check().await.unwrap_err();
    let expected = "should not change after the initial status response version v2, got v2beta1";
    assert!(error.contains(expected), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_fails_leaves_the_seed_as_it_is() {
    let world = world();
    world.kms.check().await.unwrap();
    let before = world.kms.mark();
    world.fake.state().health.key_id = "2".to_owned();
    world.wait(21).await;
    let error = world.kms.check().await.unwrap_err();
    assert!(error.contains("failed to rotate DEK uid="), "{error}");
    assert!(error.contains("errState=<nil>, errGen=<nil>"), "{error}");
    assert_eq!(world.kms.mark(), before);
    assert!(world.kms.seal(AT, b"x").is_ok());
    world.wait(170).await;
    assert!(world.kms.seal(AT, b"x").is_err(), "but not for longer than when nobody answers");
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_a_plugin_that_is_no_longer_used() {
    let world = world();
    attend(&world.kms);
    world.wait(130).await;
    let World { env, fake, kms } = world;
    drop(kms);
    let asked = fake.asked("Status");
    assert!(asked >= 3, "{asked}");
    env.clock.sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.asked("Status"), asked);
}

#[test]
fn endpoints_name_sockets_with_and_without_a_file() {
    for (endpoint, expected) in [
        ("unix:///run/kms.sock", "/run/kms.sock"),
        ("unix:/run/kms.sock", "/run/kms.sock"),
        ("unix:///@kms.sock", "@kms.sock"),
        ("unix://host/run/kms.sock", "/run/kms.sock"),
        ("unix://host", ""),
    ] {
        let settings =
            Settings { name: String::new(), endpoint: endpoint.to_owned(), timeout: Duration::ZERO };
        assert_eq!(settings.socket(), expected, "{endpoint}");
    }
}

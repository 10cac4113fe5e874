//! Keys that a plugin keeps (`kms`, version 2): values are sealed with keys derived from a seed, the plugin seals the seed,
//! and the sealed seed stands beside each value.
//!
//! The plugin is asked how it is every minute. As long as its key stays the same so does the seed; when the plugin has
//! another key a new seed is made, and what the old one sealed is written anew at its next write. A plugin that cannot
//! be asked leaves the seed as it is for three minutes; then nothing is written any more. What was opened once is
//! read without the plugin.

pub(crate) mod envelope;
mod key;
mod keyring;
pub(crate) mod message;
pub mod plugin;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use env::{Env, WallTime};
use grpc::{Code, Failure};
use machinery::field::go_quote;
use machinery::time::Timestamp;

use self::envelope::{Digest, Envelope, Use};
use self::key::Key;
use self::keyring::{Held, Keyring};
use self::plugin::{Health, Plugin, Source};

/// What the values of all plugins begin with.
pub const PREFIX: &str = "k8s:enc:kms:v2:";
/// How often a plugin is asked how it is: while it is well, and while it is not.
const WELL: Duration = Duration::from_secs(60);
const UNWELL: Duration = Duration::from_secs(10);
/// How long whoever asks for its health is told the same, so that askers are no burden.
const WELL_KNOWN: Duration = Duration::from_secs(20);
const UNWELL_KNOWN: Duration = Duration::from_secs(3);
/// How long a seed seals when the plugin can no longer be asked: long enough for three minutes' outage, short enough
/// that who rotates keys knows when the old one has written its last.
const WRITE_LIMIT: Duration = Duration::from_secs(180);

/// Where a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, which stands before every value that it had a part in.
    pub name: String,
    /// Its socket: `unix:///run/plugin.sock`, or `unix:///@name` for one without a file.
    pub endpoint: String,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Settings {
    /// The path in the endpoint; a name without a file begins with `@`.
    fn socket(&self) -> &str {
        let rest = self.endpoint.strip_prefix("unix:").unwrap_or(&self.endpoint);
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
            None => rest,
        };
        path.strip_prefix('/').filter(|name| name.starts_with('@')).unwrap_or(path)
    }
}

/// A plugin, and what it opened for us.
#[derive(Debug)]
pub struct Kms {
    settings: Settings,
    prefix: Bytes,
    plugin: Arc<dyn Plugin>,
    env: Env,
    writing: ArcSwapOption<Writing>,
    keyring: Mutex<Keyring>,
    /// What the last call said that found nobody, and until when others are told the same: whoever reads a thousand
    /// values waits for the plugin once, not a thousand times.
    silence: Mutex<Option<(Duration, Failure)>>,
    probe: tokio::sync::Mutex<Probe>,
}

/// The seed that seals.
#[derive(Debug)]
struct Writing {
    key: Arc<Held>,
    source: Source,
    digest: Digest,
    /// What stands behind each value.
    tail: Vec<u8>,
    until: Expiry,
}

/// When a seed seals no more.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    monotonic: Duration,
    wall: WallTime,
}

/// What is known of a plugin's health.
#[derive(Debug, Default)]
struct Probe {
    last: Option<(Duration, Result<(), String>)>,
    /// The version that its first answer named.
    version: String,
}

impl Kms {
    /// A plugin that was not asked anything yet.
    pub fn new(settings: Settings, plugin: Arc<dyn Plugin>, env: &Env) -> Arc<Kms> {
        Arc::new(Kms {
            prefix: Bytes::from(format!("{PREFIX}{}:", settings.name)),
            settings,
            plugin,
            env: env.clone(),
            writing: ArcSwapOption::empty(),
            keyring: Mutex::default(),
            silence: Mutex::default(),
            probe: tokio::sync::Mutex::default(),
        })
    }

    /// What the values begin with that it had a part in.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// What tells values that it seals now from others; `None` as long as it cannot seal.
    pub fn mark(&self) -> Option<Bytes> {
        self.writing.load().as_ref().map(|writing| writing.key.mark.clone())
    }

    /// The value as it is stored at a key of the store.
    pub fn seal(&self, at: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
        let writing = self.writing.load_full().ok_or("got unexpected nil transformer")?;
        let now = self.expiry(Duration::ZERO);
        if now.monotonic > writing.until.monotonic {
            let hash = go_quote(&hash_of(&writing.source.key_id));
            let (end, now) = (rfc3339(writing.until.wall), rfc3339(now.wall));
            return Err(format!(
                "encryptedDEKSource with keyID hash {hash} expired at {end} (current time is {now})"
            ));
        }
        Ok(envelope::encode(&self.prefix, &writing.key.key.seal(at, plain)?, &writing.tail))
    }

    /// What was sealed at a key of the store, and what tells how; `sealed` is without the prefix.
    pub async fn open(&self, at: &[u8], sealed: &[u8]) -> Result<(Vec<u8>, Bytes), String> {
        let envelope = Envelope::decode(sealed)?;
        let held = self.held(&envelope).await?;
        let plain = held.key.open(at, envelope.data)?;
        Ok((plain, held.mark.clone()))
    }

    /// The key of an envelope: known, or opened by the plugin.
    async fn held(&self, envelope: &Envelope<'_>) -> Result<Arc<Held>, String> {
        let digest = envelope.digest();
        if let Some(writing) = self.writing.load().as_ref().filter(|writing| writing.digest == digest) {
            return Ok(writing.key.clone());
        }
        let now = self.env.clock.monotonic();
        if let Some(known) = self.keyring().get(&digest) {
            return Ok(known);
        }
        let in_plugin = |failure| format!("failed to decrypt DEK, error: {failure}");
        if let Some((_, failure)) = self.silence().as_ref().filter(|(until, _)| *until > now) {
            return Err(in_plugin(failure.clone()));
        }
        let uid = self.env.entropy.uuid();
        let opened = self.plugin.decrypt(&uid, &envelope.source).await;
        let now = self.env.clock.monotonic();
        let secret = opened.map_err(|failure| {
            if [Code::UNAVAILABLE, Code::DEADLINE_EXCEEDED].contains(&failure.code) {
                *self.silence() = Some((now + UNWELL_KNOWN, failure.clone()));
            }
            in_plugin(failure)
        })?;
        let key = Key::opened(envelope.usage, secret)?;
        let held = Arc::new(Held { key, mark: self.mark_of(&envelope.source.key_id, envelope.usage) });
        self.keyring().keep(digest, held.clone(), now);
        Ok(held)
    }

    /// Whether the plugin is well, as it says itself or said a moment ago. It is asked to seal a new seed where one is
    /// due.
    pub async fn check(&self) -> Result<(), String> {
        let mut probe = self.probe.lock().await;
        let now = self.env.clock.monotonic();
        if let Some((at, outcome)) = &probe.last {
            let known = if outcome.is_ok() { WELL_KNOWN } else { UNWELL_KNOWN };
            if now < *at + known {
                return outcome.clone();
            }
        }
        let outcome = self.ask(&mut probe.version).await;
        if outcome.is_ok() {
            *self.silence() = None;
        }
        probe.last = Some((self.env.clock.monotonic(), outcome.clone()));
        outcome
    }

    async fn ask(&self, version: &mut String) -> Result<(), String> {
        let name = &self.settings.name;
        let health = self.plugin.status().await.map_err(|failure| {
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {failure}")
        })?;
        let mut wrong = unwell(&health, version);
        match envelope::check_key_id(&health.key_id) {
            Err(why) => {
                let hash = go_quote(&hash_of(&health.key_id));
                wrong.push(format!("got invalid KMSv2 KeyID hash {hash}: {why}"));
            }
            Ok(()) => wrong.extend(self.rotate(&health.key_id).await.err()),
        }
        match joined(wrong) {
            None => Ok(()),
            Some(why) => Err(format!("kmsv2 Provider {name} is not healthy, error: {why}")),
        }
    }

    /// Lets the seed seal on if the plugin's key is still its, and makes a new one if not. Where that fails the old one
    /// stays as it is.
    async fn rotate(&self, key_id: &str) -> Result<(), String> {
        // The time counts from before the plugin is asked.
        let until = self.expiry(WRITE_LIMIT);
        let before = self.writing.load_full();
        if let Some(writing) = before.as_ref().filter(|writing| writing.source.key_id == key_id) {
            let (key, source) = (writing.key.clone(), writing.source.clone());
            let (digest, tail) = (writing.digest, writing.tail.clone());
            self.writing.store(Some(Arc::new(Writing { key, source, digest, tail, until })));
            return Ok(());
        }
        let uid = self.env.entropy.uuid();
        let made = self.make(&uid, until).await;
        match made {
            Ok(writing) if writing.source.key_id == key_id => {
                tracing::info!(
                    plugin = self.settings.name,
                    key = hash_of(key_id),
                    "a new key seals from now on"
                );
                self.keyring().keep(writing.digest, writing.key.clone(), self.env.clock.monotonic());
                self.writing.store(Some(Arc::new(writing)));
                Ok(())
            }
            made => Err(not_rotated((&uid, key_id), before.as_deref(), &made)),
        }
    }

    async fn make(&self, uid: &str, until: Expiry) -> Result<Writing, String> {
        let key = Key::random()?;
        let sealed = self.plugin.encrypt(uid, key.secret()).await;
        let source = sealed.map_err(|failure| format!("failed to encrypt DEK, error: {failure}"))?;
        envelope::check(&source)?;
        let tail = envelope::tail(&source, Use::Seed);
        let mark = self.mark_of(&source.key_id, Use::Seed);
        Ok(Writing {
            key: Arc::new(Held { key, mark }),
            digest: envelope::digest_of(&tail),
            source,
            tail,
            until,
        })
    }

    /// What tells values of a key from those of others.
    fn mark_of(&self, key_id: &str, usage: Use) -> Bytes {
        let usage: &[u8] = if usage == Use::Seed { b"seed:" } else { b"key:" };
        Bytes::from([&self.prefix[..], usage, key_id.as_bytes()].concat())
    }

    fn expiry(&self, after: Duration) -> Expiry {
        let clock = &self.env.clock;
        Expiry { monotonic: clock.monotonic() + after, wall: clock.now().plus(after) }
    }

    fn keyring(&self) -> MutexGuard<'_, Keyring> {
        self.keyring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> MutexGuard<'_, Option<(Duration, Failure)>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a plugin how it is, again and again, for as long as anybody uses it.
pub fn attend(kms: &Arc<Kms>) {
    let (weak, clock) = (Arc::downgrade(kms), kms.env.clock.clone());
    kms.env.tasks.spawn("kms plugin", async move {
        loop {
            let Some(kms) = weak.upgrade() else { return };
            let pause = match kms.check().await {
                Ok(()) => WELL,
                Err(error) => {
                    tracing::error!(
                        plugin = kms.settings.name,
                        error,
                        "a plugin that keeps keys is not well"
                    );
                    UNWELL
                }
            };
            drop(kms);
            clock.sleep(pause).await;
        }
    });
}

/// What is wrong with a plugin as it tells itself.
fn unwell(health: &Health, version: &mut String) -> Vec<String> {
    let mut wrong = Vec::new();
    if health.healthz != "ok" {
        wrong.push(format!("got unexpected healthz status: {}", health.healthz));
    }
    if !["v2", "v2beta1"].contains(&health.version.as_str()) {
        wrong.push(format!("expected KMSv2 API version v2, got {}", health.version));
    } else if version.is_empty() {
        version.clone_from(&health.version);
    } else if *version != health.version {
        wrong.push(format!(
            "KMSv2 API version should not change after the initial status response version {version}, got {}",
            health.version
        ));
    }
    wrong
}

/// Why there is no new seed, as upstream tells it.
fn not_rotated(
    (uid, status): (&str, &str),
    before: Option<&Writing>,
    made: &Result<Writing, String>,
) -> String {
    let hash = |key_id: &str| go_quote(&hash_of(key_id));
    let state = before.map_or("got unexpected nil transformer", |_| "<nil>");
    let (error, encrypted) = match made {
        Ok(writing) => ("<nil>", writing.source.key_id.as_str()),
        Err(error) => (error.as_str(), ""),
    };
    let old = before.map_or("", |writing| writing.source.key_id.as_str());
    let end = before.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |writing| rfc3339(writing.until.wall));
    format!(
        "failed to rotate DEK uid={}, useSeed=true, errState={state}, errGen={error}, statusKeyIDHash={}, \
         encryptKeyIDHash={}, stateKeyIDHash={}, expirationTimestamp={end}",
        go_quote(uid),
        hash(status),
        hash(encrypted),
        hash(old),
    )
}

/// The names of keys are shown as their hashes: they may say more than logs should.
fn hash_of(key_id: &str) -> String {
    if key_id.is_empty() {
        return String::new();
    }
    let hash = digest(&SHA256, key_id.as_bytes());
    let digits: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

fn rfc3339(time: WallTime) -> String {
    Timestamp::from_secs(time.secs()).to_rfc3339()
}

/// Several errors as one, each once.
pub(super) fn joined(errors: Vec<String>) -> Option<String> {
    let mut once: Vec<String> = Vec::new();
    for error in errors {
        if !once.contains(&error) {
            once.push(error);
        }
    }
    match once.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;

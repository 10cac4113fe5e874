//! The audit log: who asked for what, when, and what came of it, as far as a policy says.
//!
//! Only requests over HTTP are written down: what runs in this process and speaks to the server without them is the
//! server itself.

mod file;
pub mod policy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use env::{Clock, Env};
use futures_util::StreamExt;
use machinery::Value;
use machinery::time::Timestamp;

use self::file::Log;
use self::policy::{Level, Policy, PolicyError, Stage};
use crate::http::{Body, Response};
use crate::identity::Identity;
use crate::reviews::user_info;
use crate::route::Route;

/// How requests are written down.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that says which requests are, and how much of them.
    pub policy: PathBuf,
    /// Where.
    pub log: PathBuf,
    /// Bytes after which the log begins anew.
    pub max_size: u64,
    /// Logs that are kept beside the present one.
    pub max_backups: usize,
}

/// Why nothing can be written down.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy is wrong.
    #[error("the audit policy {0} cannot be used")]
    Policy(PathBuf, #[source] PolicyError),
    /// A file cannot be used.
    #[error("{0} cannot be used")]
    File(PathBuf, #[source] std::io::Error),
}

/// Writes requests down.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    log: Log,
    clock: Clock,
}

/// What is known of a request when it has been understood.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its number.
    pub id: &'a str,
    /// Path and parameters, as they came.
    pub uri: &'a str,
    /// What it is about.
    pub route: &'a Route,
    /// Who sent it; `None` if nobody knows.
    pub identity: Option<&'a Identity>,
    /// As whom it acts, if that is somebody else.
    pub acting: Option<&'a Identity>,
    /// From where.
    pub address: SocketAddr,
    /// With what.
    pub agent: &'a str,
}

/// A request that is being written down.
#[derive(Debug)]
pub struct Record {
    level: Level,
    omit_managed_fields: bool,
    omit_stages: Vec<Stage>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    event: Value,
    annotations: BTreeMap<String, String>,
}

impl Audit {
    /// As configured.
    pub fn open(env: &Env, settings: &Settings) -> Result<Arc<Audit>, AuditError> {
        let text = std::fs::read_to_string(&settings.policy)
            .map_err(|error| AuditError::File(settings.policy.clone(), error))?;
        let policy =
            Policy::parse(&text).map_err(|error| AuditError::Policy(settings.policy.clone(), error))?;
        let log = Log::open(env, settings).map_err(|error| AuditError::File(settings.log.clone(), error))?;
        Ok(Arc::new(Audit { policy, log, clock: env.clock.clone() }))
    }

    fn time(&self) -> Value {
        let now = self.clock.now();
        let nanos = u32::try_from(now.subsec_nanos()).unwrap_or(0);
        let time = Timestamp::checked(now.secs(), nanos).unwrap_or(Timestamp::from_secs(now.secs()));
        Value::from(time.to_rfc3339_micro())
    }

    /// Begins a record; `None` if the policy does not want one.
    pub async fn begin(&self, about: About<'_>) -> Option<Arc<Record>> {
        let nobody = Identity::default();
        let verdict = self.policy.verdict(about.identity.unwrap_or(&nobody), about.route);
        if verdict.level == Level::None {
            return None;
        }
        let record = Arc::new(Record {
            level: verdict.level,
            omit_managed_fields: verdict.omit_managed_fields,
            omit_stages: verdict.omit_stages,
            state: Mutex::new(State {
                event: event_of(about, verdict.level, self.time()),
                annotations: BTreeMap::new(),
            }),
        });
        self.write(&record, Stage::RequestReceived).await;
        Some(record)
    }

    /// The answer begins and will last.
    pub async fn started(&self, record: &Record) {
        self.write(record, Stage::ResponseStarted).await;
    }

    /// The request is answered.
    pub async fn completed(&self, record: &Record) {
        self.write(record, Stage::ResponseComplete).await;
    }

    async fn write(&self, record: &Record, stage: Stage) {
        if let Some(line) = self.line(record, stage) {
            self.log.write(line).await;
        }
    }

    fn line(&self, record: &Record, stage: Stage) -> Option<Vec<u8>> {
        if record.omit_stages.contains(&stage) {
            return None;
        }
        Some({
            let mut state = record.state();
            state.event.set("stage", stage.name());
            state.event.set("stageTimestamp", self.time());
            let annotations = state.annotations.clone();
            for (key, text) in annotations {
                state.event.entry("annotations").set(&key, text);
            }
            let mut line = machinery::json::to_vec(&state.event);
            line.push(b'\n');
            line
        })
    }
}

/// Writes down that an answer is complete when it is dropped, however it ends.
struct Ending {
    audit: Arc<Audit>,
    record: Arc<Record>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(line) = self.audit.line(&self.record, Stage::ResponseComplete) {
            self.audit.log.write_now(line);
        }
    }
}

/// The answer, which is written down once more when it has ended.
pub fn when_ended(audit: &Arc<Audit>, record: Arc<Record>, response: Response) -> Response {
    let ending = Ending { audit: audit.clone(), record };
    response.map(|body| match body {
        Body::Pieces(pieces) => Body::Pieces(Box::pin(pieces.inspect(move |_| {
            let _held = &ending;
        }))),
        whole @ Body::Full(_) => whole,
    })
}

fn event_of(about: About<'_>, level: Level, time: Value) -> Value {
    let route = about.route;
    let mut event = Value::from([
        ("kind", Value::from("Event")),
        ("apiVersion", Value::from("audit.k8s.io/v1")),
        ("level", Value::from(level.name())),
        ("auditID", Value::from(about.id)),
        ("stage", Value::Null),
        ("requestURI", Value::from(about.uri)),
        ("verb", Value::from(route.verb.as_str())),
        ("user", about.identity.map_or_else(Value::object, user_info)),
    ]);
    if let Some(acting) = about.acting {
        event.set("impersonatedUser", user_info(acting));
    }
    event.set("sourceIPs", vec![Value::from(about.address.ip().to_string())]);
    if !about.agent.is_empty() {
        event.set("userAgent", about.agent);
    }
    if route.is_resource {
        let mut reference = Value::object();
        for (name, text) in [
            ("resource", &route.resource),
            ("namespace", &route.namespace),
            ("name", &route.name),
            ("apiGroup", &route.group),
            ("apiVersion", &route.version),
            ("subresource", &route.subresource),
        ] {
            if !text.is_empty() {
                reference.set(name, text.as_str());
            }
        }
        event.set("objectRef", reference);
    }
    event.set("requestReceivedTimestamp", time);
    event
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something beside the request.
    pub fn note(&self, key: &str, text: &str) {
        self.state().annotations.insert(key.to_owned(), text.to_owned());
    }

    /// Takes over what admission noted.
    pub fn note_all(&self, notes: &mut BTreeMap<String, String>) {
        self.state().annotations.append(notes);
    }

    /// What was sent: its name belongs to the record, and all of it if the record is to have it.
    pub fn set_request(&self, document: impl FnOnce() -> Option<Value>) {
        let Some(mut document) = document() else { return };
        let mut state = self.state();
        if let Some(reference) = state.event.get_mut("objectRef") {
            let name = document.at(&["metadata", "name"]).str_or_empty();
            if reference.get("name").is_null() && !name.is_empty() {
                reference.set("name", name);
            }
        }
        if self.level >= Level::Request {
            self.strip(&mut document);
            state.event.set("requestObject", document);
        }
    }

    /// What is answered. Of an answer that lasts, the document is nobody's to keep.
    pub fn set_answer(&self, response: &Response, lasts: bool) {
        let code = i64::from(response.status().as_u16());
        let status = Value::from([("metadata", Value::object()), ("code", Value::from(code))]);
        self.state().event.set("responseStatus", status);
        let Body::Full(bytes) = response.body() else { return };
        if lasts {
            return;
        }
        let Ok(mut document) = machinery::json::parse(bytes) else { return };
        if document.get("kind").as_str() == Some("Status") && document.get("code").as_int().is_some() {
            let mut status = document.clone();
            status.remove("kind");
            status.remove("apiVersion");
            self.state().event.set("responseStatus", status);
        }
        if self.level == Level::RequestResponse {
            self.strip(&mut document);
            self.state().event.set("responseObject", document);
        }
    }

    fn strip(&self, document: &mut Value) {
        if !self.omit_managed_fields {
            return;
        }
        if let Some(metadata) = document.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        if let Some(items) = document.get_mut("items") {
            for item in items.items_mut() {
                item.entry("metadata").remove("managedFields");
            }
        }
    }
}

#[cfg(test)]
mod tests;

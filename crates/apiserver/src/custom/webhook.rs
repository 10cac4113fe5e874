//! Conversion by a webhook: `ConversionReview`, asked about many objects at a time.
//!
//! The webhook may change labels, annotations and whatever is not metadata. All other metadata stay as they were, and an
//! answer that is about something else than the question is refused, in upstream's words.

use std::fmt;
use std::time::Duration;

use machinery::field::go_quote;
use machinery::{Reason, Status, Value, json};

use super::metadata;
use crate::admission::Surroundings;
use crate::hook::Hook;

/// How long a webhook has.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many objects are converted at a time, and how many bytes of them at least.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// How large an answer may be: objects may grow, and a batch may end with the largest one there can be.
const ANSWER_MAX: usize = 32 << 20;

/// The webhook of a definition.
#[derive(Debug)]
pub struct Webhook {
    hook: Hook,
    /// The version of the question, if we know one that it knows: `v1` or `v1beta1`.
    review: Option<&'static str>,
}

/// What is converted, as failures call it.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// One object of a kind.
    Object(&'a str),
    /// A list, by its version and kind.
    List(&'a str, &'a str),
}

/// What is said of an answer that cannot be used.
type Unusable = String;

impl Webhook {
    /// The webhook of a definition's `conversion`, if it has one.
    pub fn read(conversion: &Value) -> Option<Webhook> {
        if conversion.get("strategy").as_str() != Some("Webhook") {
            return None;
        }
        let webhook = conversion.get("webhook");
        let versions = webhook.get("conversionReviewVersions").items().iter();
        let review = versions.filter_map(Value::as_str).find_map(|version| match version {
            "v1" => Some("v1"),
            "v1beta1" => Some("v1beta1"),
            _ => None,
        });
        Some(Webhook { hook: Hook::new(webhook.get("clientConfig"), TIMEOUT), review })
    }

    /// Documents in another version, in the same order.
    pub async fn convert(
        &self,
        documents: Vec<Value>,
        wanted: &str,
        subject: Subject<'_>,
        around: Surroundings<'_>,
    ) -> Result<Vec<Value>, Status> {
        let mut converted = Vec::with_capacity(documents.len());
        let mut rest = documents.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest));
            converted.extend(self.ask(batch, wanted, subject, around).await?);
            rest = later;
        }
        Ok(converted)
    }

    async fn ask(
        &self,
        batch: &[Value],
        wanted: &str,
        subject: Subject<'_>,
        around: Surroundings<'_>,
    ) -> Result<Vec<Value>, Status> {
        let Some(review) = self.review else { return Err(failed("no supported conversion review versions")) };
        let named =
            Named { subject, from: batch.first().map_or("", |first| first.get("apiVersion").str_or_empty()) };
        let uid = around.entropy.uuid();
        let question = question(review, batch, wanted, &uid);
        let answer = self.hook.post(question, ANSWER_MAX, around).await;
        let answered = answer.and_then(|answer| objects(review, &answer, &uid));
        let answered =
            answered.map_err(|why| failed(format!("conversion webhook for {named} failed: {why}")))?;
        if answered.len() != batch.len() {
            let (found, expected) = (answered.len(), batch.len());
            let why = format!("conversion webhook for {named} returned {found} objects, expected {expected}");
            return Err(failed(why));
        }
        let pairs = batch.iter().zip(answered).enumerate();
        pairs.map(|(index, (original, found))| named.accept(index, original, found, wanted)).collect()
    }
}

/// How many of these documents are converted at a time.
fn batch_length(documents: &[Value]) -> usize {
    let mut bytes = 0;
    let ends = |document: &Value| {
        bytes += json::to_vec(document).len();
        bytes >= BATCH_BYTES
    };
    documents.iter().take(BATCH).position(ends).map_or(documents.len().min(BATCH), |last| last + 1)
}

fn question(review: &str, objects: &[Value], wanted: &str, uid: &str) -> Vec<u8> {
    let request = Value::from([
        ("uid", Value::from(uid)),
        ("desiredAPIVersion", Value::from(wanted)),
        ("objects", Value::from(objects.to_vec())),
    ]);
    json::to_vec(&Value::from([
        ("kind", Value::from("ConversionReview")),
        ("apiVersion", Value::from(format!("apiextensions.k8s.io/{review}"))),
        ("request", request),
    ]))
}

/// The objects of an answer, or why it has none.
fn objects(review: &str, answer: &[u8], uid: &str) -> Result<Vec<Value>, Unusable> {
    let answer = json::parse(answer).map_err(|error| error.to_string())?;
    let response = answer.get("response");
    if review == "v1" {
        let (version, kind) = (answer.get("apiVersion").str_or_empty(), answer.get("kind").str_or_empty());
        if version != "apiextensions.k8s.io/v1" || kind != "ConversionReview" {
            return Err(format!(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}",
                group_version_kind(version, kind)
            ));
        }
    }
    if response.is_null() {
        return Err("no response provided".to_owned());
    }
    let own = response.get("uid").str_or_empty();
    if review == "v1" && own != uid {
        return Err(format!("expected response.uid={}, got {}", go_quote(uid), go_quote(own)));
    }
    let result = response.get("result");
    let status = result.get("status").str_or_empty();
    if status != "Success" {
        return Err(match result.get("message").str_or_empty() {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    Ok(response.get("convertedObjects").items().to_vec())
}

/// As Go writes a group, version and kind.
fn group_version_kind(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// 500, without a reason, as upstream tells that objects cannot be read or written.
fn failed(why: impl Into<String>) -> Status {
    Status::new(500, Reason::Unknown, why.into())
}

/// What is converted, and from which version.
struct Named<'a> {
    subject: Subject<'a>,
    from: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, kind) = match self.subject {
            Subject::Object(kind) => (self.from, kind),
            Subject::List(version, kind) => (version, kind),
        };
        out.write_str(&group_version_kind(version, kind))
    }
}

impl Named<'_> {
    /// The answer about one object, if it is about that object.
    fn accept(
        &self,
        index: usize,
        original: &Value,
        mut found: Value,
        wanted: &str,
    ) -> Result<Value, Status> {
        // Upstream counts where it converts a list, and mostly does not where it converts one object.
        let (object, item) = match self.subject {
            Subject::Object(_) => {
                ("object at index 0".to_owned(), ["object".to_owned(), "metadata".to_owned()])
            }
            Subject::List(..) => {
                let item = format!("converted object at index {index}");
                (item.clone(), [item, format!("metadata in object at index {index}")])
            }
        };
        let refused = |what: &str, why: String| {
            failed(format!("conversion webhook for {self} returned invalid {what}: {why}"))
        };
        let version = found.get("apiVersion").str_or_empty();
        if version != wanted {
            let why = format!("invalid groupVersion (expected {wanted}, received {version})");
            return Err(refused(&object, why));
        }
        let (expected, kind) = (original.get("kind").str_or_empty(), found.get("kind").str_or_empty());
        if kind != expected {
            return Err(refused(&object, format!("invalid kind (expected {expected}, received {kind})")));
        }
        metadata::check_same(original, &found).map_err(|why| refused(&item[0], why))?;
        metadata::restore(original, &mut found).map_err(|why| refused(&item[1], why))?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests;

//! `AdmissionReview`: the question to a webhook, and its answer.

use std::collections::BTreeMap;

use base64::Engine as _;
use machinery::field::go_quote;
use machinery::{Reason, Status, Value};

use super::super::policies::subject::Subject;
use super::catalog::Webhook;

/// What a webhook says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// `None` if it lets the write pass; else its `status`, with what the refusal is about.
    pub refusal: Option<Refusal>,
    /// Operations of a JSON patch.
    pub patch: Option<Vec<u8>>,
    pub warnings: Vec<String>,
    pub annotations: BTreeMap<String, String>,
}

/// Why a webhook refuses.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    code: u16,
    reason: String,
    message: String,
    status: Value,
}

/// Why a webhook did not let a write pass.
#[derive(Debug)]
pub(super) enum Refused {
    /// It could not be asked, or its answer is none.
    Call(String),
    /// We refuse on its behalf.
    Answer(Status),
}

impl Refused {
    /// The refusal, unless the webhook says that failures to ask it do not matter.
    pub fn settle(self, webhook: &Webhook) -> Result<(), Status> {
        match self {
            Refused::Answer(status) => Err(status),
            Refused::Call(error) if webhook.is_ignoring_failures => {
                tracing::warn!(
                    webhook = webhook.name,
                    error,
                    "a webhook could not be asked; the write passes"
                );
                Ok(())
            }
            Refused::Call(error) => {
                let name = go_quote(&webhook.name);
                Err(Status::internal(format!("failed calling webhook {name}: {error}")))
            }
        }
    }
}

fn api_version(webhook: &Webhook) -> String {
    format!("admission.k8s.io/{}", webhook.version)
}

/// The question.
pub(super) fn question(webhook: &Webhook, subject: &Subject, uid: &str) -> Vec<u8> {
    let mut request = Value::from([("uid", Value::from(uid))]);
    for (name, value) in subject.request().members() {
        request.set(name, value.clone());
    }
    request.set("object", subject.object.clone());
    request.set("oldObject", subject.old.clone());
    let review = Value::from([
        ("kind", Value::from("AdmissionReview")),
        ("apiVersion", Value::from(api_version(webhook))),
        ("request", request),
    ]);
    machinery::json::to_vec(&review)
}

/// The answer, or why it is none.
pub(super) fn answer(webhook: &Webhook, body: &[u8], uid: &str) -> Result<Answer, String> {
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let review = machinery::json::parse(body)
        .map_err(|error| format!("failed to call webhook: the response cannot be read: {error}"))?;
    let response = review.get("response");
    if response.is_null() {
        return Err(invalid("webhook response was absent".to_owned()));
    }
    if webhook.version == "v1" {
        let (version, kind) = (review.get("apiVersion").str_or_empty(), review.get("kind").str_or_empty());
        if version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            return Err(invalid(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {version}, Kind={kind}"
            )));
        }
        let own = response.get("uid").str_or_empty();
        if own != uid {
            return Err(invalid(format!("expected response.uid={}, got {}", go_quote(uid), go_quote(own))));
        }
    }
    let patch = patch_of(webhook, response).map_err(invalid)?;
    let texts = response.get("warnings").items().iter();
    let annotations = response.get("auditAnnotations").members();
    Ok(Answer {
        refusal: (!response.get("allowed").is_true()).then(|| Refusal::read(response.get("status"))),
        patch,
        warnings: texts.map(|text| text.str_or_empty().to_owned()).collect(),
        annotations: annotations
            .map(|(key, text)| (key.to_string(), text.str_or_empty().to_owned()))
            .collect(),
    })
}

fn patch_of(webhook: &Webhook, response: &Value) -> Result<Option<Vec<u8>>, String> {
    let (patch, kind) = (response.get("patch").str_or_empty(), response.get("patchType").str_or_empty());
    let is_strict = webhook.version == "v1";
    match (patch, kind) {
        ("", "") => return Ok(None),
        (_, "") if is_strict => {
            return Err("webhook returned response.patch but not response.patchType".to_owned());
        }
        ("", _) if is_strict => {
            return Err("webhook returned response.patchType but not response.patch".to_owned());
        }
        (_, "" | "JSONPatch") => {}
        (_, other) => {
            return Err(format!("webhook returned invalid response.patchType of {}", go_quote(other)));
        }
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch);
    bytes.map(Some).map_err(|error| format!("response.patch cannot be read: {error}"))
}

impl Refusal {
    fn read(status: &Value) -> Refusal {
        let code = status.get("code").as_int().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        Refusal {
            code,
            reason: status.get("reason").str_or_empty().to_owned(),
            message: status.get("message").str_or_empty().to_owned(),
            status: status.clone(),
        }
    }
}

/// The answer to who is refused by a webhook. A code that is none of a refusal becomes 400.
pub(super) fn refusal(webhook: &Webhook, refusal: &Refusal) -> Status {
    let by = format!("admission webhook {} denied the request", go_quote(&webhook.name));
    let message = match (refusal.message.as_str(), refusal.reason.as_str()) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let mut status = Status::from_value(&refusal.status);
    status.code = refusal.code.max(400);
    status.reason = Reason::parse(&refusal.reason);
    status.message = message;
    status
}

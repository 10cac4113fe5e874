//! Patching objects.

use bytes::Bytes;
use machinery::json::{Report, TypeMeta};
use machinery::patch::{self, Shown};
use machinery::{Reason, Status, Value};

use super::update::{self, Change};
use crate::custom;
use crate::document::{self, Expected, Validation};
use crate::registry::Served;
use crate::write::{Outcome, Request};

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Upstream's own, by the kind's schema.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    /// The form that a `Content-Type` names, of those that a resource knows.
    pub fn for_resource(served: &Served, content_type: &str) -> Result<Patch, Status> {
        let patch = Patch::of(content_type);
        match (&served.custom, patch) {
            (Some(_), Ok(Patch::Strategic) | Err(_)) => Err(document::unsupported(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ])),
            (_, patch) => patch,
        }
    }

    /// The form that a `Content-Type` names.
    pub fn of(content_type: &str) -> Result<Patch, Status> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Patch::Json),
            "application/merge-patch+json" => Ok(Patch::Merge),
            "application/strategic-merge-patch+json" => Ok(Patch::Strategic),
            "application/apply-patch+yaml" => Ok(Patch::Apply),
            _ => Err(unsupported()),
        }
    }
}

/// 415, as the router answers it.
fn unsupported() -> Status {
    let mut status = Status::new(415, Reason::UnsupportedMediaType, "415: Unsupported Media Type");
    status.details = Some(Box::default());
    status
}

/// A patch on its way.
struct Patching<'a> {
    request: Request<'a>,
    patch: Patch,
    body: Bytes,
    findings: std::sync::Mutex<Vec<String>>,
}

/// Patches an object.
pub async fn patch(request: Request<'_>, patch: Patch, body: Bytes) -> Result<Outcome, Status> {
    if patch == Patch::Apply {
        return super::apply::apply(request, body).await;
    }
    let change = Patching { request, patch, body, findings: std::sync::Mutex::default() };
    let outcome = update::change(request, &change).await;
    // Whoever wrote what nobody knows is told so, although it may be refused for another reason.
    let findings = change.findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    request.options.told.lock().extend(findings);
    outcome
}

impl Patching<'_> {
    /// 422 if the patch makes of the object one of another kind.
    fn check_kind(&self, patched: &Value) -> Result<(), Status> {
        let registry = self.request.core.registry.load();
        let served = self.request.served;
        let kind = patched.get("kind").str_or_empty();
        if served.custom.is_some() && kind != served.kind {
            let name = patched.at(&["metadata", "name"]).str_or_empty();
            return Err(custom::other_kind(&served.group, kind, name, &served.kind));
        }
        let expected = Expected::object(served);
        let found = TypeMeta {
            api_version: patched.get("apiVersion").str_or_empty().into(),
            kind: patched.get("kind").str_or_empty().into(),
        };
        match document::other_kind(&registry, &found, expected) {
            None => Ok(()),
            Some(why) => Err(patch::invalid(&machinery::json::to_string(patched), &why)),
        }
    }
}

impl Patching<'_> {
    /// Reads a patched document as what it should be.
    fn settle(&self, patched: Value, report: &mut Report) -> Result<Value, Status> {
        self.check_kind(&patched)?;
        let served = self.request.served;
        let Some(custom) = &served.custom else {
            return patch::settle(&patched, &Shown::Document, served.schema.root(), report);
        };
        let shown = machinery::json::to_string(&patched);
        custom::settle(custom, patched, report).map_err(|why| patch::invalid(&shown, &why))
    }
}

impl Patching<'_> {
    /// The patched document, read as what it should be, and what was found in it.
    fn patched(&self, document: Value) -> Result<(Value, Report), Status> {
        let schema = &self.request.served.schema;
        let ignores = self.request.options.validation == Validation::Ignore;
        let mut report = if ignores { Report::ignoring() } else { Report::new() };
        let object = match self.patch {
            Patch::Json => {
                let patched = patch::json(document, &self.body, &mut report)?;
                self.settle(patched, &mut report)?
            }
            Patch::Merge => {
                let patched = patch::merge(document, &self.body, &mut report)?;
                self.settle(patched, &mut report)?
            }
            Patch::Strategic => {
                let (patched, patch) = patch::strategic(document, &self.body, schema.root(), &mut report)?;
                patch::settle(&patched, &Shown::Patch(&patch), schema.root(), &mut report)?
            }
            // An apply is no change of a document, and comes in by a door of its own.
            Patch::Apply => return Err(unsupported()),
        };
        Ok((object, report))
    }

    /// The same, if the patch cannot touch managed fields: then these, half of most objects, need not be written and read
    /// once more. `None` if it can, or if it fails: what fails is shown whole.
    fn sparing_managed_fields(&self, current: &Value) -> Option<(Value, Report)> {
        const NAME: &[u8] = b"managedFields";
        let merges = matches!(self.patch, Patch::Merge | Patch::Strategic);
        let may_name = |body: &[u8]| {
            // Escaped, or by a directive for what is around them.
            body.iter().any(|byte| matches!(byte, b'\\' | b'$'))
                || body.windows(NAME.len()).any(|part| part == NAME)
        };
        if !merges || self.request.served.custom.is_some() || may_name(&self.body) {
            return None;
        }
        let mut document = current.clone();
        let kept = document.get_mut("metadata")?.remove("managedFields")?;
        let (mut object, report) = self.patched(document).ok()?;
        object.get_mut("metadata")?.set("managedFields", kept);
        Some((object, report))
    }
}

impl Change for Patching<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let request = self.request;
        let (mut object, report) = match self.sparing_managed_fields(current) {
            Some(patched) => patched,
            None => self.patched(current.clone())?,
        };
        let findings = report.strict_errors().to_vec();
        if request.options.validation == Validation::Strict && !findings.is_empty() {
            return Err(strict(&findings));
        }
        *self.findings.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = findings;
        object.set("kind", request.served.kind.as_str());
        object.set("apiVersion", request.served.api_version.as_str());
        update::check_name(request, &object)?;
        request.check_namespace(&mut object)?;
        request.served.rules.default(&mut object);
        Ok(object)
    }
}

fn strict(findings: &[String]) -> Status {
    let why = format!("strict decoding error: {}", findings.join(", "));
    let nameless = machinery::status::GroupName { group: "", name: "" };
    let error = machinery::field::Error::invalid(&machinery::field::Path::new("patch"), why.as_str(), "");
    Status::invalid(nameless, "", &[error])
}

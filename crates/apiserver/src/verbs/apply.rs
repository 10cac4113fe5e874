//! Server-side apply: what a manager wants of an object, merged into what others want.

use bytes::Bytes;
use machinery::field::{Error, Path};
use machinery::json::{self, Report};
use machinery::status::GroupName;
use machinery::{Reason, Status, Value, apply, yaml};

use super::create;
use super::update::{self, Change};
use crate::custom;
use crate::document::Validation;
use crate::managed;
use crate::write::{Outcome, Request};

/// Applies a configuration, in YAML or JSON, to an object; makes it if it is missing.
pub async fn apply(request: Request<'_>, body: Bytes) -> Result<Outcome, Status> {
    if !request.options.manager_named {
        let path = Path::new("fieldManager");
        let error = Error::required(&path, "is required for apply patch");
        let subject = GroupName { group: "meta.k8s.io", name: "PatchOptions" };
        return Err(Status::invalid(subject, "", &[error]));
    }
    let config = read(request, &body)?;
    let change = Applying { request, config: &config };
    if request.current().await.is_err() {
        request.core.catch_up().await?;
    }
    if request.current().await.is_ok() {
        return update::change(request, &change).await;
    }
    if !request.subresource.is_empty() {
        return Err(Status::not_found(request.served.resource(), request.name));
    }
    let uid = config.at(&["metadata", "uid"]).str_or_empty();
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(request.served.resource(), request.name, &why));
    }
    let mut object = change.apply(request.served.empty())?;
    object.entry("metadata").remove("resourceVersion");
    create::create_managed(request, object).await
}

/// Reads the configuration: YAML, of which JSON is a part.
fn read(request: Request<'_>, body: &[u8]) -> Result<Value, Status> {
    let undecodable = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let composed = yaml::compose(body)
        .map_err(|error| undecodable(format!("error converting YAML to JSON: {error}")))?;
    if request.options.validation == Validation::Strict && !composed.duplicates.is_empty() {
        let why = format!("yaml: unmarshal errors:\n  {}", composed.duplicates.join("\n  "));
        return Err(undecodable(format!("error converting YAML to JSON: {why}")));
    }
    let config = composed.documents.into_iter().next().unwrap_or_default();
    let found = match &config {
        Value::Object(_) => "",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Null => return Err(Status::bad_request("invalid object type: /, Kind=")),
    };
    if !found.is_empty() {
        return Err(undecodable(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type \
             map[string]interface {{}}"
        )));
    }
    let (version, kind) = (config.get("apiVersion").str_or_empty(), config.get("kind").str_or_empty());
    if version != request.served.api_version || kind != request.served.kind {
        let slash = if version.contains('/') { "" } else { "/" };
        return Err(Status::bad_request(format!("invalid object type: {slash}{version}, Kind={kind}")));
    }
    Ok(config)
}

struct Applying<'a> {
    request: Request<'a>,
    config: &'a Value,
}

impl Change for Applying<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let request = self.request;
        let served = request.served;
        let time = managed::now(request);
        let write = managed::write(request, &time);
        let applied = apply::apply(current, self.config, request.options.force == Some(true), write)?;
        let mut object = match applied.document {
            None => current.clone(),
            Some(document) => {
                let mut report = Report::ignoring();
                let read = match &served.custom {
                    Some(custom) => custom::settle(custom, document, &mut report),
                    None => json::decode(&json::to_vec(&document), served.schema.root(), &mut report)
                        .map_err(|error| error.to_string()),
                };
                read.map_err(|why| Status::new(500, Reason::Unknown, why))?
            }
        };
        object.set("kind", served.kind.as_str());
        object.set("apiVersion", served.api_version.as_str());
        // A configuration without a name names nothing, even where the object has one.
        let name = self.config.at(&["metadata", "name"]).str_or_empty();
        object.entry("metadata").set("name", name);
        update::check_name(request, &object)?;
        request.check_namespace(&mut object)?;
        served.rules.default(&mut object);
        managed::set(&mut object, applied.managed_fields);
        request.canonical(&mut object);
        Ok(object)
    }

    fn track(&self, _request: Request<'_>, _old: &Value, _object: &mut Value) {
        // The apply itself said who manages what.
    }
}

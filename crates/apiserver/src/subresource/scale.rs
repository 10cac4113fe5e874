//! `scale`: how many of something there are to be, whatever it is.

use api::Verb;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use machinery::field::{Error, Path, go_quote};
use machinery::json::Report;
use machinery::patch::{self, Shown};
use machinery::schema::Schema;
use machinery::selector::LabelSelector;
use machinery::status::GroupName;
use machinery::{Status, Value};

use crate::answer::objects::{Look, in_form};
use crate::answer::{self, table};
use crate::custom::Custom;
use crate::document::Expected;
use crate::handler::objects::Call;
use crate::handler::{Arrived, read_body};
use crate::http::Response;
use crate::http::accept::Shape;
use crate::managed;
use crate::registry::{Served, method_not_allowed, no_such_resource};
use crate::verbs::get;
use crate::verbs::patch::Patch;
use crate::verbs::update::{self, Change};
use crate::write::Request;

/// Answers a request about the scale of an object.
pub(super) async fn answer(call: &Call<'_>, request: Arrived, verb: Verb) -> Result<Response, Status> {
    let look = call.look(&request)?;
    let registry = call.core.registry.load_full();
    let table = registry.table();
    let kind = table.kind("autoscaling", "v1", "Scale").ok_or_else(no_such_resource)?;
    let schema = table.schema_of(kind);
    match verb {
        Verb::Get => {
            let key = (request.route.namespace.as_str(), request.route.name.as_str());
            let entry = get::get(call.core, call.served, key, "").await?;
            show(look, scale_of(call.served, &entry.object().to_value()?)?, &schema)
        }
        Verb::Update => {
            let options = call.write_options(&request, "UpdateOptions")?;
            let expected = Expected {
                group: "autoscaling",
                version: "v1",
                kind: "Scale",
                schema: &schema,
                custom: None,
                aliases: &[],
            };
            let (route, scale) = call.read(request, expected, &options).await?;
            let request = call.request(&route, &options);
            update::check_name(request, &scale)?;
            let outcome = update::change(request, &Rescale { request, scale: &scale }).await?;
            show(look, scale_of(call.served, &outcome.entry.object().to_value()?)?, &schema)
        }
        Verb::Patch => {
            let options = call.write_options(&request, "PatchOptions")?;
            let patch = Patch::of(request.header(CONTENT_TYPE))?;
            let Arrived { route, body, .. } = request;
            let body = read_body(body, call.core.config.limits.body).await?;
            let scale = patch_scale(call.request(&route, &options), patch, body).await?;
            shown(look, &scale)
        }
        _ => Err(method_not_allowed()),
    }
}

/// Patches the scale of an object; answers the scale as it is then.
pub(crate) async fn patch_scale(request: Request<'_>, patch: Patch, body: Bytes) -> Result<Value, Status> {
    let registry = request.core.registry.load_full();
    let table = registry.table();
    let kind = table.kind("autoscaling", "v1", "Scale").ok_or_else(no_such_resource)?;
    let schema = table.schema_of(kind);
    let outcome = update::change(request, &Repatch { request, patch, body, schema: &schema }).await?;
    let mut scale = scale_of(request.served, &outcome.entry.object().to_value()?)?;
    machinery::json::canonicalize(&mut scale, schema.root());
    Ok(scale)
}

fn show(look: Look<'_>, mut scale: Value, schema: &Schema) -> Result<Response, Status> {
    machinery::json::canonicalize(&mut scale, schema.root());
    shown(look, &scale)
}

fn shown(look: Look<'_>, scale: &Value) -> Result<Response, Status> {
    match look.form.shape {
        Shape::Table(version) => {
            let rules = kinds::registry::rules("autoscaling", "v1", "Scale").ok_or_else(no_such_resource)?;
            in_form(200, table::of_document(rules, scale, version, look.rows), look.form)
        }
        _ => Ok(answer::document(look.table, 200, scale, look.form)),
    }
}

/// The numbers of a scale.
struct Numbers {
    wanted: i64,
    running: i64,
    selector: String,
}

fn numbers_of(served: &Served, object: &Value) -> Result<Numbers, Status> {
    if let Some(custom) = &served.custom {
        let scale = custom.scale().ok_or_else(no_such_resource)?;
        let wanted = scale.spec.find(object).as_int().ok_or_else(|| {
            Status::internal(format!("the spec replicas field {} does not exist", go_quote(&scale.spec_path)))
        })?;
        let selector = scale.selector.as_ref().map(|(_, path)| path.find(object).str_or_empty().to_owned());
        let running = scale.status.find(object).as_int().unwrap_or(0);
        return Ok(Numbers { wanted, running, selector: selector.unwrap_or_default() });
    }
    let selector = object.at(&["spec", "selector"]);
    let plain = selector.get("matchLabels").is_null() && selector.get("matchExpressions").is_null();
    let text = if plain {
        LabelSelector::from_map(selector).to_string()
    } else {
        LabelSelector::from_document(selector).map_err(Status::internal)?.to_string()
    };
    Ok(Numbers {
        wanted: object.at(&["spec", "replicas"]).as_int().unwrap_or(0),
        running: object.at(&["status", "replicas"]).as_int().unwrap_or(0),
        selector: text,
    })
}

/// The scale of an object.
pub(crate) fn scale_of(served: &Served, object: &Value) -> Result<Value, Status> {
    let numbers = numbers_of(served, object)?;
    let from = object.get("metadata");
    let mut metadata = Value::object();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !from.get(name).is_null() {
            metadata.set(name, from.get(name).clone());
        }
    }
    let mut spec = Value::object();
    if numbers.wanted != 0 {
        spec.set("replicas", numbers.wanted);
    }
    let mut status = Value::from([("replicas", Value::from(numbers.running))]);
    if !numbers.selector.is_empty() {
        status.set("selector", numbers.selector);
    }
    Ok(Value::from([
        ("kind", Value::from("Scale")),
        ("apiVersion", Value::from("autoscaling/v1")),
        ("metadata", metadata),
        ("spec", spec),
        ("status", status),
    ]))
}

/// The scale of an object as it is patched: with its managers, which answers leave out.
fn managed_scale_of(served: &Served, object: &Value) -> Result<Value, Status> {
    let mut scale = scale_of(served, object)?;
    let entries = object.at(&["metadata", "managedFields"]).items();
    let managers: Vec<Value> = entries.iter().filter_map(manager_of_replicas).collect();
    if !managers.is_empty() {
        scale.entry("metadata").set("managedFields", managers);
    }
    Ok(scale)
}

/// Who manages the number of replicas of an object manages that of its scale; nothing else of it is shown there.
fn manager_of_replicas(entry: &Value) -> Option<Value> {
    if entry.at(&["fieldsV1", "f:spec", "f:replicas"]).is_null() {
        return None;
    }
    let mut shown = entry.clone();
    shown.set("apiVersion", "autoscaling/v1");
    let replicas = Value::from([("f:replicas", Value::object())]);
    shown.set("fieldsV1", Value::from([("f:spec", replicas)]));
    Some(shown)
}

/// Records who changed the number of replicas. When that was is not kept of changes through a scale, as upstream's are
/// not.
fn track_scaling(request: Request<'_>, old: &Value, object: &mut Value) {
    managed::track_update(request, old, object);
    for entry in object.at_mut(&["metadata", "managedFields"]).items_mut() {
        if entry.get("subresource").str_or_empty() == "scale" {
            entry.remove("time");
        }
    }
}

/// The object with the replicas, and the preconditions, of a scale.
fn rescaled(request: Request<'_>, current: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale.at(&["spec", "replicas"]).as_int().unwrap_or(0);
    if let Some(custom) = &request.served.custom {
        return rescaled_custom(custom, current, scale);
    }
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = Error::invalid(&path, replicas, "must be greater than or equal to 0");
        let subject = GroupName { group: "autoscaling", name: "Scale" };
        return Err(Status::invalid(subject, request.name, &[error]));
    }
    let mut object = current.clone();
    object.entry("spec").set("replicas", replicas);
    let metadata = object.entry("metadata");
    for name in ["resourceVersion", "uid"] {
        metadata.set(name, scale.at(&["metadata", name]).str_or_empty());
    }
    Ok(object)
}

/// The same for a custom resource, whose own rules look at the number. Without a version the newest is meant.
fn rescaled_custom(custom: &Custom, current: &Value, scale: &Value) -> Result<Value, Status> {
    let places = custom.scale().ok_or_else(no_such_resource)?;
    let mut object = current.clone();
    let wanted = scale.at(&["spec", "replicas"]).as_int().unwrap_or(0);
    places.spec.put(&mut object, Value::Int(wanted));
    let metadata = object.entry("metadata");
    for name in ["resourceVersion", "uid"] {
        let named = scale.at(&["metadata", name]).str_or_empty();
        if !named.is_empty() {
            metadata.set(name, named);
        }
    }
    Ok(object)
}

struct Rescale<'a> {
    request: Request<'a>,
    scale: &'a Value,
}

impl Change for Rescale<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        rescaled(self.request, current, self.scale)
    }

    fn track(&self, request: Request<'_>, old: &Value, object: &mut Value) {
        track_scaling(request, old, object);
    }

    fn replaces(&self) -> bool {
        true
    }
}

struct Repatch<'a> {
    request: Request<'a>,
    patch: Patch,
    body: Bytes,
    schema: &'a Schema,
}

impl Change for Repatch<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let scale = managed_scale_of(self.request.served, current)?;
        let mut report = Report::ignoring();
        let root = self.schema.root();
        let (patched, shown) = match self.patch {
            Patch::Json => (patch::json(scale, &self.body, &mut report)?, None),
            Patch::Merge => (patch::merge(scale, &self.body, &mut report)?, None),
            Patch::Strategic => {
                let (patched, patch) = patch::strategic(scale, &self.body, root, &mut report)?;
                (patched, Some(patch))
            }
            Patch::Apply => return Err(method_not_allowed()),
        };
        let shown = shown.as_ref().map_or(Shown::Document, Shown::Patch);
        let scale = patch::settle(&patched, &shown, root, &mut report)?;
        update::check_name(self.request, &scale)?;
        rescaled(self.request, current, &scale)
    }

    fn track(&self, request: Request<'_>, old: &Value, object: &mut Value) {
        track_scaling(request, old, object);
    }
}

//! `binding`: the scheduler's word on which node a pod runs.

use machinery::field::{Error, Path};
use machinery::status::GroupName;
use machinery::time::Timestamp;
use machinery::{Reason, Status, Value};

use crate::answer;
use crate::document::Expected;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::Response;
use crate::registry::no_such_resource;
use crate::verbs::update::{self, Change};
use crate::write::{self, Request};

/// Labels of a binding that go to the pod: where the node stands.
const TOPOLOGY: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Binds a pod.
pub(super) async fn answer(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    let form = call.form(&request)?;
    let options = call.write_options(&request, "CreateOptions")?;
    let registry = call.core.registry.load_full();
    let table = registry.table();
    let kind = table.kind("", "v1", "Binding").ok_or_else(no_such_resource)?;
    let schema = table.schema_of(kind);
    let expected =
        Expected { group: "", version: "v1", kind: "Binding", schema: &schema, custom: None, aliases: &[] };
    let (route, binding) = call.read(request, expected, &options).await?;
    let outcome = bind(call.request(&route, &options), binding).await?;
    call.warnings().extend(outcome.warnings);
    Ok(answer::document(table, 201, &created(), form))
}

/// What answers a POST that makes nothing by itself.
pub(crate) fn created() -> Value {
    Value::from([
        ("kind", Value::from("Status")),
        ("apiVersion", Value::from("v1")),
        ("metadata", Value::object()),
        ("status", Value::from("Success")),
        ("code", Value::from(201i64)),
    ])
}

/// Binds a pod as a `Binding` says.
pub(crate) async fn bind(request: Request<'_>, binding: Value) -> Result<write::Outcome, Status> {
    let own = binding.at(&["metadata", "name"]).str_or_empty();
    if own != request.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let target = binding.get("target");
    let mut errors = Vec::new();
    let path = Path::new("target");
    if !matches!(target.get("kind").str_or_empty(), "" | "Node") {
        let kind = target.get("kind").str_or_empty();
        errors.push(Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if target.get("name").str_or_empty().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if !errors.is_empty() {
        // No refusal of an object, says the reference server, but a failure to answer.
        return Err(Status::new(500, Reason::Unknown, machinery::field::listed(&errors)));
    }
    let (binding, warnings) = request.admit_posted(binding).await?;
    let outcome = update::change(request, &Binding { request, binding: &binding }).await?;
    Ok(write::Outcome { warnings, ..outcome })
}

struct Binding<'a> {
    request: Request<'a>,
    binding: &'a Value,
}

impl Binding<'_> {
    fn refused(&self, why: &str) -> Status {
        let subject = GroupName { group: "", name: "pods/binding" };
        Status::conflict(subject, self.request.name, &format!("pod {} {why}", self.request.name))
    }
}

impl Change for Binding<'_> {
    fn is_ruled(&self) -> bool {
        false
    }

    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let metadata = current.get("metadata");
        if !metadata.get("deletionTimestamp").is_null() {
            return Err(self.refused("is being deleted, cannot be assigned to a host"));
        }
        let node = current.at(&["spec", "nodeName"]).str_or_empty();
        if !node.is_empty() {
            let node = machinery::field::go_quote(node);
            return Err(self.refused(&format!("is already assigned to node {node}")));
        }
        if !current.at(&["spec", "schedulingGates"]).items().is_empty() {
            return Err(self.refused("has non-empty .spec.schedulingGates"));
        }
        let wanted = self.binding.at(&["metadata", "uid"]).str_or_empty();
        let uid = metadata.get("uid").str_or_empty();
        if !wanted.is_empty() && wanted != uid {
            let why =
                format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
            let subject = GroupName { group: "", name: "pods/binding" };
            return Err(Status::conflict(subject, self.request.name, &why));
        }
        let mut pod = current.clone();
        pod.entry("spec").set("nodeName", self.binding.at(&["target", "name"]).clone());
        for (key, value) in self.binding.at(&["metadata", "annotations"]).members() {
            pod.at_mut(&["metadata", "annotations"]).set(key, value.clone());
        }
        for (key, value) in self.binding.at(&["metadata", "labels"]).members() {
            if TOPOLOGY.contains(&key.as_str()) {
                pod.at_mut(&["metadata", "labels"]).set(key, value.clone());
            }
        }
        let now = Timestamp::from_secs(self.request.core.env.clock.now().secs()).to_rfc3339();
        set_scheduled(&mut pod, &now);
        Ok(pod)
    }
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let conditions = pod.at_mut(&["status", "conditions"]).make_array();
    let is_scheduled = |condition: &Value| condition.get("type").as_str() == Some("PodScheduled");
    let condition = Value::from([
        ("type", Value::from("PodScheduled")),
        ("status", Value::from("True")),
        ("lastProbeTime", Value::Null),
        ("lastTransitionTime", Value::from(now)),
    ]);
    match conditions.iter().position(is_scheduled) {
        Some(position) => conditions[position] = condition,
        None => conditions.push(condition),
    }
}

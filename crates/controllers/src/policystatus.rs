//! What is wrong with the expressions of admission policies, for the kinds that they are about, is told in their status.

pub mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use client::driver::{Controller, Decisions};
use client::{Cache, Client, Key, resources};
use env::WallTime;
use kinds::admission::typing::{self, Typed, Wanted};
use machinery::cel::Declaration;
use machinery::structural::{Structural, declaration};
use machinery::{Status, Value};

use crate::context::{Context, enqueue_changed};
use plan::View;

/// Starts the controller. Its keys are policies.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let policies = context.cache(resources::VALIDATING_ADMISSION_POLICIES);
    enqueue_changed(&policies, &queue);
    let reader = Client::new(context.reader());
    let controller = PolicyStatus { policies: policies.clone(), table: api::Table::load(), reader };
    let name = "validatingadmissionpolicy-status-controller";
    context.driver(controller, &queue, name, name).sees(&policies).start()
}

struct PolicyStatus {
    policies: Cache,
    table: Arc<api::Table>,
    reader: Client,
}

impl Controller for PolicyStatus {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(policy) = self.policies.get(key) else { return Ok(None) };
        let mut types = Vec::new();
        let document = policy.object.to_value()?;
        if !plan::is_checked(&document) {
            for wanted in typing::wanted(document.get("spec")) {
                types.extend(self.typed(wanted).await?);
            }
        }
        Ok(Some(View { policy: policy.object.clone(), types }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}

impl PolicyStatus {
    /// What objects of a resource look like; `None` if there is no such resource.
    async fn typed(&self, wanted: Wanted) -> Result<Option<Typed>, Status> {
        let Wanted { group, version, plural } = wanted;
        if let Some(resource) = self.table.resource(&group, &version, &plural)
            && let Some(kind) = self.table.kind(&group, &version, resource.kind)
        {
            let declaration = Declaration::from_schema(self.table.schema_of(kind).root());
            return Ok(Some(Typed { kind: resource.kind.to_owned(), group, version, declaration }));
        }
        let key = Key::new("", &format!("{plural}.{group}"));
        match self.reader.object(resources::CUSTOM_RESOURCE_DEFINITIONS, &key).await {
            Ok(definition) => Ok(self.custom(&definition.to_value()?, group, version)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// What custom resources look like in a version.
    fn custom(&self, definition: &Value, group: String, version: String) -> Option<Typed> {
        let spec = definition.get("spec");
        let versions = spec.get("versions").items();
        let served = versions.iter().find(|own| own.get("name").str_or_empty() == version)?;
        let schema = Structural::compile(served.at(&["schema", "openAPIV3Schema"]));
        let kind = spec.at(&["names", "kind"]).str_or_empty().to_owned();
        let metadata = self.table.kind("", "v1", "ConfigMap").map(|kind| self.table.schema_of(kind));
        let metadata = metadata.as_ref().and_then(|schema| schema.root().member("metadata"));
        let metadata = metadata.map_or_else(Declaration::dynamic, Declaration::from_schema);
        let declaration = declaration(&schema, &kind, metadata);
        Some(Typed { group, version, kind, declaration })
    }
}

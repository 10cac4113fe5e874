//! Definitions come alive: their names are accepted, what they define is served, and when they go, their objects go
//! first.
//!
//! One task follows the definitions. What it is to do is planned from the definitions alone ([`plan`]); it serves what is
//! accepted before it says so, so that whoever reads `Established` can make objects at once.

mod cleanup;
mod compile;
mod names;
mod order;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use machinery::{Reason, Status, Value};
use smol_str::SmolStr;

pub use cleanup::Cleaning;
pub use order::precedence;
pub use plan::{mark_deleted, set_condition};

use crate::cache::{Collection, Snapshot};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::Served;
use crate::verbs::update::{self, NewStatus};
use crate::write::{Options, Request};

/// Where definitions are kept.
const COLLECTION: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Whether a resource is that of definitions.
pub fn is_definition(served: &Served) -> bool {
    served.is("apiextensions.k8s.io", "customresourcedefinitions")
}

/// What is served of one definition.
struct Live {
    /// What it was made of: the definition's identity and generation, and the names it has.
    source: (SmolStr, i64, Value),
    collection: String,
    versions: Vec<Arc<Served>>,
}

/// The task that follows the definitions.
pub struct Definitions {
    core: Arc<Core>,
    collection: Arc<Collection>,
    /// By the name of the definition.
    served: BTreeMap<SmolStr, Live>,
    next_number: u64,
}

impl Definitions {
    /// Serves what is defined already, before anybody asks. `None` if there are no definitions at all.
    pub async fn begin(core: &Arc<Core>) -> Option<Definitions> {
        let collection = core.caches.collection(COLLECTION)?;
        let mut task =
            Definitions { core: core.clone(), collection, served: BTreeMap::new(), next_number: 1 };
        let snapshot = task.collection.snapshot();
        task.settle(&snapshot).await;
        Some(task)
    }

    /// Follows the definitions for as long as the server runs.
    pub async fn run(mut self) {
        loop {
            // Only the newest state counts, so that nobody needs to look at the changes one by one.
            let (snapshot, cursor) = self.collection.follow();
            self.settle(&snapshot).await;
            let stopping = self.core.env.tasks.stopping();
            tokio::select! {
                biased;
                () = stopping => return,
                () = cursor.ready() => {}
            }
        }
    }

    /// Brings what is served, and what definitions say of themselves, to where the definitions want it.
    async fn settle(&mut self, snapshot: &Snapshot) {
        let documents: Vec<Value> = snapshot
            .starting_at("")
            .filter_map(|entry| match entry.object().to_value() {
                Ok(document) => Some(document),
                Err(error) => {
                    tracing::error!(name = entry.key(), %error, "a definition cannot be read");
                    None
                }
            })
            .collect();
        let plans = plan::plan(&documents, self.core.env.clock.now().secs());
        self.serve(&documents, &plans).await;
        for plan in &plans {
            if let Some(status) = &plan.status
                && let Err(error) = self.write_status(&plan.name, status).await
            {
                tracing::error!(name = %plan.name, %error, "the status of a definition cannot be written");
            }
            if plan.remove_objects {
                cleanup::start(&self.core, &plan.name);
            }
        }
    }

    /// Serves what the plans say, all at once.
    async fn serve(&mut self, documents: &[Value], plans: &[plan::Plan]) {
        let mut changed = false;
        let wanted = |name: &SmolStr| plans.iter().any(|plan| plan.name == *name && plan.serve);
        let gone: Vec<SmolStr> = self.served.keys().filter(|name| !wanted(name)).cloned().collect();
        let mut closed = Vec::new();
        for name in gone {
            closed.extend(self.served.remove(&name).map(|live| live.collection));
            changed = true;
        }
        for (document, plan) in documents.iter().zip(plans).filter(|(_, plan)| plan.serve) {
            let metadata = document.get("metadata");
            let generation = metadata.get("generation").as_int().unwrap_or(0);
            let source = (metadata.get("uid").str_or_empty().into(), generation, plan.accepted.clone());
            if self.served.get(&plan.name).is_some_and(|live| live.source == source) {
                continue;
            }
            let collection = crate::registry::collection_name(
                &plan.group,
                document.at(&["spec", "names", "plural"]).str_or_empty(),
            );
            match self.compile(document, plan, &collection).await {
                Ok(versions) => {
                    changed = true;
                    self.served.insert(plan.name.clone(), Live { source, collection, versions });
                }
                Err(error) => {
                    tracing::error!(name = %plan.name, %error, "a definition cannot be served");
                }
            }
        }
        if changed {
            let all = self.served.values().flat_map(|live| live.versions.iter().cloned()).collect();
            let registry = self.core.registry.load().with_custom(all);
            self.core.registry.store(Arc::new(registry));
        }
        // Nobody comes to it any more; whoever followed it is told that it ended.
        for name in closed {
            self.core.caches.close_collection(&name);
        }
    }

    async fn compile(
        &mut self,
        document: &Value,
        plan: &plan::Plan,
        collection: &str,
    ) -> Result<Vec<Arc<Served>>, Status> {
        let collection =
            self.core.caches.open_collection(collection).await.map_err(crate::core::store_failed)?;
        let registry = self.core.registry.load_full();
        let source = compile::Source { document, accepted: &plan.accepted, collection: &collection };
        let first = self.next_number;
        let versions = compile::compile(registry.table(), source, first);
        self.next_number += versions.len() as u64;
        Ok(versions.into_iter().map(Arc::new).collect())
    }

    async fn write_status(&self, name: &str, status: &Value) -> Result<(), Status> {
        match write_status(&self.core, name, &|_| status.clone()).await {
            // It is gone, or changed in the meantime: then there is news of it.
            Err(error) if error.is(Reason::NotFound) || error.is(Reason::Conflict) => Ok(()),
            other => other,
        }
    }
}

/// Writes the status of a definition, made of what it is now.
async fn write_status(
    core: &Arc<Core>,
    name: &str,
    make: &(dyn Fn(&Value) -> Value + Sync),
) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let Some(served) = registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions") else {
        return Ok(());
    };
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = Request {
        core,
        identity: &identity,
        served,
        namespace: "",
        name,
        subresource: "status",
        options: &options,
    };
    update::change(request, &NewStatus { make }).await.map(|_| ())
}

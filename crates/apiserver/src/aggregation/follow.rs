//! Follows the `APIService` objects: who serves what is told to requests, and each foreign server is attended to.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::TaskHandle;
use machinery::{Reason, Status, Value};

use super::foreign::Foreign;
use super::{GroupVersion, attend, plan};
use crate::cache::Snapshot;
use crate::core::Core;
use crate::identity::Identity;
use crate::verbs::{create, delete};
use crate::write::{Options, Request};

const SERVICES: &str = "apiregistration.k8s.io/apiservices";
const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// Follows them for as long as the server runs.
pub async fn run(core: Arc<Core>) {
    let (Some(services), Some(definitions)) =
        (core.caches.collection(SERVICES), core.caches.collection(DEFINITIONS))
    else {
        return;
    };
    let mut attended = BTreeMap::new();
    loop {
        let (seen, services_cursor) = services.follow();
        let (defined, definitions_cursor) = definitions.follow();
        let documents = documents(&seen);
        settle(&core, &documents, &mut attended);
        if let Err(error) = register(&core, &documents, &defined).await {
            tracing::warn!(%error, "the groups of custom resources could not be registered");
        }
        let stopping = core.env.tasks.stopping();
        tokio::select! {
            biased;
            () = stopping => return,
            () = services_cursor.ready() => {}
            () = definitions_cursor.ready() => {}
        }
    }
}

/// What a snapshot holds.
pub(super) fn documents(snapshot: &Snapshot) -> Vec<Value> {
    snapshot.starting_at("").filter_map(|entry| entry.object().to_value().ok()).collect()
}

/// Who attends to a foreign server.
type Attended = BTreeMap<GroupVersion, (Arc<Foreign>, TaskHandle<()>)>;

/// Brings who serves what, and who is attended to, to where the objects want it.
fn settle(core: &Arc<Core>, documents: &[Value], attended: &mut Attended) {
    let mut foreign = BTreeMap::new();
    let mut left = std::mem::take(attended);
    for document in documents {
        let text = |name: &str| document.at(&["spec", name]).str_or_empty();
        let key: GroupVersion = (text("group").into(), text("version").into());
        let before = left.remove(&key);
        let read = Foreign::read(core, document, before.as_ref().map(|(before, _)| before));
        let is_same = |before: &Foreign| read.as_ref().is_some_and(|read| read.source == before.source);
        let same = match before {
            Some((before, task)) if is_same(&before) => Some(task),
            Some((_, task)) => {
                task.abort();
                None
            }
            None => None,
        };
        let Some(read) = read.map(Arc::new) else { continue };
        foreign.insert(key.clone(), read.clone());
        let task = match same {
            Some(task) => task,
            None => {
                let name = document.at(&["metadata", "name"]).str_or_empty().to_owned();
                core.env.tasks.spawn("foreign server", attend::attend(core.clone(), name, read.clone()))
            }
        };
        attended.insert(key, (read, task));
    }
    for (_, task) in left.into_values() {
        task.abort();
    }
    core.aggregation.replace(foreign);
}

/// Makes and removes the objects that stand for groups of custom resources.
async fn register(core: &Arc<Core>, services: &[Value], definitions: &Snapshot) -> Result<(), Status> {
    let plan = plan::register(services, &plan::defined(&documents(definitions)));
    let registry = core.registry.load_full();
    let Some(served) = registry.find("apiregistration.k8s.io", "v1", "apiservices") else { return Ok(()) };
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = |name| Request {
        core,
        identity: &identity,
        served,
        namespace: "",
        name,
        subresource: "",
        options: &options,
    };
    for (group, version) in &plan.make {
        let mut object = plan::registered(group, version);
        request("").canonical(&mut object);
        match create::create(request(""), object).await {
            // Another server of the cluster was faster.
            Err(status) if status.is(Reason::AlreadyExists) => {}
            other => drop(other?),
        }
    }
    for name in &plan.remove {
        match delete::delete(request(name), &delete::Options::default()).await {
            Err(status) if status.is(Reason::NotFound) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

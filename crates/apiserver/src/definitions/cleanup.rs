//! The end of a definition: its objects go first, then what held it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machinery::{Reason, Status, Value};

use super::plan::{FINALIZER, set_condition};
use super::{RETRY, write_status};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::Served;
use crate::verbs::update::{self, Change};
use crate::verbs::{delete, deletecollection, list};
use crate::write::{Options, Request};

/// How long those who are just making an object have to finish: after this nobody makes one any more.
const PAUSE: Duration = Duration::from_secs(1);

/// The definitions whose objects are being removed.
#[derive(Debug, Default)]
pub struct Cleaning {
    names: Mutex<BTreeSet<String>>,
}

impl Cleaning {
    /// Whether somebody begins now, because nobody did yet.
    fn begin(&self, name: &str) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned())
    }

    fn end(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Starts to remove the objects of a definition and then what holds it, unless somebody does already.
pub fn start(core: &Arc<Core>, name: &str) {
    if !core.cleaning.begin(name) {
        return;
    }
    let (core, name) = (core.clone(), name.to_owned());
    core.env.clone().tasks.spawn("definition cleanup", async move {
        core.env.clock.sleep(PAUSE).await;
        while let Err(error) = clean(&core, &name).await {
            tracing::warn!(%name, %error, "the objects of a definition cannot be removed yet");
            core.env.clock.sleep(RETRY).await;
        }
        core.cleaning.end(&name);
    });
}

async fn clean(core: &Arc<Core>, name: &str) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let of_definition =
        |served: &&Arc<Served>| served.custom.as_ref().is_some_and(|custom| custom.definition.0 == name);
    // The version that is stored shows every object that was written lately without a webhook, which may be gone.
    let is_stored = |served: &&&Arc<Served>| {
        served.custom.as_ref().is_some_and(|custom| custom.versions.storage == served.version)
    };
    let versions: Vec<&Arc<Served>> = registry.all().iter().filter(of_definition).collect();
    if let Some(served) = versions.iter().find(is_stored).or(versions.first()) {
        let told = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
        note(core, name, told).await?;
        remove_objects(core, served).await?;
    }
    let told = ("False", "InstanceDeletionCompleted", "removed all instances");
    note(core, name, told).await?;
    release(core, name).await
}

/// Notes how far the deletion is.
async fn note(core: &Arc<Core>, name: &str, told: (&str, &str, &str)) -> Result<(), Status> {
    let now = core.env.clock.now().secs();
    let make = |current: &Value| {
        let mut status = current.get("status").clone();
        set_condition(&mut status, "Terminating", told, now);
        status
    };
    gone_is_fine(write_status(core, name, &make).await)
}

/// Removes all objects; fails as long as some are left.
async fn remove_objects(core: &Arc<Core>, served: &Arc<Served>) -> Result<(), Status> {
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = Request {
        core,
        identity: &identity,
        served,
        namespace: "",
        name: "",
        subresource: "",
        options: &options,
    };
    let everything = list::Options::default();
    deletecollection::delete_collection(request, &everything, &delete::Options::default()).await?;
    core.catch_up().await?;
    match served.collection()?.len() {
        0 => Ok(()),
        left => Err(Status::unavailable(format!("{left} objects wait for their finalizers"))),
    }
}

/// Takes away what holds the definition.
async fn release(core: &Arc<Core>, name: &str) -> Result<(), Status> {
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
        subresource: "",
        options: &options,
    };
    gone_is_fine(update::change(request, &Release).await.map(|_| ()))
}

fn gone_is_fine(outcome: Result<(), Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if status.is(Reason::NotFound) => Ok(()),
        other => other,
    }
}

struct Release;

impl Change for Release {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let mut object = current.clone();
        let finalizers = object.entry("metadata").entry("finalizers").make_array();
        finalizers.retain(|finalizer| finalizer.as_str() != Some(FINALIZER));
        if finalizers.is_empty() {
            object.entry("metadata").remove("finalizers");
        }
        Ok(object)
    }

    fn is_ruled(&self) -> bool {
        false
    }
}

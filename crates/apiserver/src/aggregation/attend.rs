//! Attends to one foreign server: looks whether it answers, says so, and learns what it serves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use machinery::{Reason, Status, Value};

use super::discovery;
use super::foreign::{Answer, Foreign, Said};
use super::plan::{Finding, obstacle};
use crate::backends;
use crate::core::Core;
use crate::definitions::set_condition;
use crate::identity::Identity;
use crate::verbs::update::{self, NewStatus};
use crate::write::{Options, Request};

/// How often one that answers is looked at: as often as upstream does.
const EVERY: Duration = Duration::from_secs(30);
/// How often one that does not.
const AGAIN: Duration = Duration::from_secs(1);
/// How many are asked at a time: behind a Service may be several, of which some are on their way out.
const ATTEMPTS: usize = 5;

/// Attends to a server until it is aborted. `name` is that of its `APIService`.
pub(super) async fn attend(core: Arc<Core>, name: String, foreign: Arc<Foreign>) {
    loop {
        let before = footprint(&core, &foreign);
        let finding = check(&core, &foreign).await;
        let is_available = finding.state == "True";
        if let Err(error) = write(&core, &name, &finding).await {
            tracing::warn!(name, %error, "whether a foreign server is available cannot be written");
        }
        learn(&core, &foreign, is_available).await;
        wait(&core, &foreign, &before, if is_available { EVERY } else { AGAIN }).await;
    }
}

/// What tells states of a Service and of its endpoints apart: their revisions.
fn footprint(core: &Core, foreign: &Foreign) -> Vec<Value> {
    let (namespace, name) = (foreign.service.0.as_str(), foreign.service.1.as_str());
    let slices = backends::slices(&core.caches, (namespace, name));
    let all = service(core, foreign).into_iter().chain(slices);
    all.map(|document| document.at(&["metadata", "resourceVersion"]).clone()).collect()
}

fn service(core: &Core, foreign: &Foreign) -> Option<Value> {
    let services = core.caches.collection("core/services")?;
    let entry = services.get(&format!("{}/{}", foreign.service.0, foreign.service.1))?;
    entry.object().to_value().ok()
}

/// Waits until it is time to look again: soon, if what is behind the Service changes.
async fn wait(core: &Core, foreign: &Foreign, before: &[Value], limit: Duration) {
    let changed = async {
        let followed = ["core/services", "discovery.k8s.io/endpointslices"];
        let [Some(services), Some(slices)] = followed.map(|name| core.caches.collection(name)) else {
            return std::future::pending().await;
        };
        loop {
            let ((_, services), (_, slices)) = (services.follow(), slices.follow());
            if footprint(core, foreign) != before {
                return;
            }
            tokio::select! {
                biased;
                () = services.ready() => {}
                () = slices.ready() => {}
            }
        }
    };
    core.env.clock.timeout(limit, changed).await;
}

async fn check(core: &Core, foreign: &Foreign) -> Finding {
    let (namespace, name) = (foreign.service.0.as_str(), foreign.service.1.as_str());
    let slices = backends::slices(&core.caches, (namespace, name));
    if let Some(found) = obstacle((namespace, name), foreign.port, service(core, foreign).as_ref(), &slices) {
        return found;
    }
    let path = foreign.path();
    let attempts = (0..ATTEMPTS).map(|_| Box::pin(probe(core, foreign, &path)));
    match select_ok(attempts).await {
        Ok(_) => Finding::passed(),
        Err(why) => Finding::silent(why),
    }
}

async fn probe(core: &Core, foreign: &Foreign, path: &str) -> Result<(), String> {
    match foreign.ask(core, path, "application/json", None).await? {
        Answer::Said(code, ..) if !code.is_success() => {
            let url = format!("https://{}{path}", foreign.address(core)?);
            let code = code.as_u16();
            Err(format!("failing or missing response from {url}: bad status from {url}: {code}"))
        }
        _ => Ok(()),
    }
}

/// Writes what was found, if that is news.
async fn write(core: &Arc<Core>, name: &str, finding: &Finding) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let Some(served) = registry.find("apiregistration.k8s.io", "v1", "apiservices") else { return Ok(()) };
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
    let now = core.env.clock.now().secs();
    let make = |current: &Value| {
        let mut status = current.get("status").clone();
        set_condition(&mut status, "Available", (finding.state, finding.reason, &finding.message), now);
        status
    };
    match update::change(request, &NewStatus { make: &make }).await {
        Err(status) if status.is(Reason::NotFound) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Learns what a server serves; what one that does not answer said once is kept.
async fn learn(core: &Core, foreign: &Foreign, is_available: bool) {
    let before = foreign.said();
    let mut said = Said::clone(&before);
    if is_available {
        match discovery::resources(core, foreign).await {
            Ok(resources) => (said.resources, said.is_current) = (resources, true),
            Err(error) => {
                tracing::warn!(?foreign, error, "what a foreign server serves cannot be learned");
                said.is_current = false;
            }
        }
        if let Err(error) = learn_openapi(core, foreign, &mut said).await {
            tracing::debug!(?foreign, error, "the OpenAPI of a foreign server cannot be learned");
        }
    } else {
        said.is_current = false;
    }
    let is_news = said.resources != before.resources
        || said.is_current != before.is_current
        || said.openapi_three != before.openapi_three
        || !Arc::ptr_eq(&said.openapi, &before.openapi);
    if is_news {
        foreign.remember(said);
        core.aggregation.learned();
    }
}

async fn learn_openapi(core: &Core, foreign: &Foreign, said: &mut Said) -> Result<(), String> {
    let json = "application/json";
    if let Some((listed, _)) = foreign.document(core, "/openapi/v3", json, None).await? {
        let own = foreign.path();
        let found = listed.at(&["paths", own.trim_start_matches('/'), "serverRelativeURL"]);
        said.openapi_three = found.str_or_empty().to_owned();
    }
    if let Some((document, tag)) = foreign.document(core, "/openapi/v2", json, said.tag.as_ref()).await? {
        said.openapi = Arc::new(document);
        said.tag = tag;
    }
    Ok(())
}

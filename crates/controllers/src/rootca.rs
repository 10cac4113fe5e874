//! Every namespace has the config map `kube-root-ca.crt`, by which pods know the API server.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::{Context, enqueue_changed};
use plan::View;

/// The name of the config map.
const NAME: &str = "kube-root-ca.crt";

/// Starts the controller. Its keys are namespaces.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let namespaces = context.cache(resources::NAMESPACES);
    // Config maps are many and large; only these are of interest.
    let maps: Cache = Cache::of(resources::CONFIG_MAPS)
        .fields(&format!("metadata.name={NAME}"))
        .start(context.reader(), &context.env);
    enqueue_changed(&namespaces, &queue);
    let changed = queue.clone();
    maps.subscribe(move |change| changed.add(Key::new("", &change.key.namespace)));
    let certificate = context.config.root_ca.clone();
    let controller = RootCa { namespaces: namespaces.clone(), maps: maps.clone(), certificate };
    let name = "root-ca-cert-publisher";
    context.driver(controller, &queue, name, name).sees(&namespaces).sees(&maps).start()
}

struct RootCa {
    namespaces: Cache,
    maps: Cache,
    certificate: String,
}

impl Controller for RootCa {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(None) };
        let map = self.maps.get(&Key::new(&key.name, NAME)).map(|entry| entry.object.clone());
        Ok(Some(View { namespace: namespace.object.clone(), map, certificate: self.certificate.clone() }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}

//! Every namespace has the service account `default`.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::{Context, enqueue_changed};
use plan::View;

/// Starts the controller. Its keys are namespaces.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (namespaces, accounts) =
        (context.cache(resources::NAMESPACES), context.cache(resources::SERVICE_ACCOUNTS));
    enqueue_changed(&namespaces, &queue);
    let gone = queue.clone();
    accounts.subscribe(move |change| {
        if change.new.is_none() {
            gone.add(Key::new("", &change.key.namespace));
        }
    });
    let controller = ServiceAccounts { namespaces: namespaces.clone(), accounts: accounts.clone() };
    let name = "service-account-controller";
    context.driver(controller, &queue, name, name).sees(&namespaces).sees(&accounts).start()
}

struct ServiceAccounts {
    namespaces: Cache,
    accounts: Cache,
}

impl Controller for ServiceAccounts {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(None) };
        let has_default = self.accounts.get(&Key::new(&key.name, "default")).is_some();
        Ok(Some(View { namespace: namespace.object.clone(), has_default }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}

//! ResourceQuotas: what is used of them, counted anew when something was given back.
//!
//! What is taken is charged when it is written. Both charge and count are conditional on the quota being as it was
//! seen, and the count looks at the server itself after that: neither forgets what the other did.

pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use client::cache::{Change, Facts};
use client::driver::{Controller, Decisions};
use client::{Cache, Call, Client, Key, Queue, Resource, resources};
use env::WallTime;
use kinds::quota::Tracked;
use machinery::Status;

use crate::context::{Context, enqueue_changed};
use crate::pod::PodFacts;
use plan::{Listed, View};

/// How often everything is counted though nothing happened.
const RESYNC: Duration = Duration::from_secs(300);

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let quotas = context.cache(resources::RESOURCE_QUOTAS);
    enqueue_changed(&quotas, &queue);
    for resource in resources::ALL.iter().copied().filter(|resource| is_counted(*resource)) {
        if resource != resources::PODS {
            enqueue_given_back(&context.cache(resource), &quotas, &queue, |change| {
                // Services and claims may come to use less without going.
                change.new.is_none() || (change.old.is_some() && may_shrink(change.new))
            });
        }
    }
    enqueue_given_back(&context.pods(), &quotas, &queue, |change| {
        let uses = |facts: &PodFacts| (facts.phase.is_terminal(), facts.deletion.is_some());
        match (change.old, change.new) {
            (_, None) => true,
            (Some(old), Some(new)) => {
                uses(&old.facts) != uses(&new.facts)
                    || old.object.header().generation != new.object.header().generation
            }
            (None, _) => false,
        }
    });
    let name = "resourcequota-controller";
    let all = quotas.clone();
    let controller = Quotas { reader: Client::new(context.reader()) };
    context
        .driver(controller, &queue, name, name)
        .sees(&quotas)
        .resync(RESYNC, move || all.list().iter().map(|entry| Key::of(&entry.object)).collect())
        .start()
}

/// Events are too many to be counted.
fn is_counted(resource: Resource) -> bool {
    resource.namespaced && resource != resources::EVENTS
}

fn may_shrink(entry: Option<&std::sync::Arc<client::Entry>>) -> bool {
    let shrinks = [resources::SERVICES.kind, resources::PERSISTENT_VOLUME_CLAIMS.kind];
    entry.is_some_and(|entry| shrinks.contains(&entry.object.header().kind.as_str()))
}

/// Counts a namespace's quotas when something in it may have been given back.
fn enqueue_given_back<F: Facts>(
    cache: &Cache<F>,
    quotas: &Cache,
    queue: &Queue<Key>,
    is_given_back: impl Fn(&Change<'_, F>) -> bool + Send + Sync + 'static,
) {
    let (quotas, queue) = (quotas.clone(), queue.clone());
    cache.subscribe(move |change| {
        if is_given_back(change) {
            for quota in quotas.list_in(&change.key.namespace) {
                queue.add(Key::of(&quota.object));
            }
        }
    });
}

struct Quotas {
    reader: Client,
}

impl Controller for Quotas {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(object) = self.reader.find(resources::RESOURCE_QUOTAS, key).await? else { return Ok(None) };
        let quota = object.to_value()?;
        let names = quota.at(&["spec", "hard"]).members().map(|(name, _)| name.as_str());
        let tracked: BTreeSet<Tracked> = names.filter_map(Tracked::by).collect();
        let mut listed = Vec::new();
        for tracked in tracked {
            let resource = resources::ALL.iter().copied().find(|resource| {
                is_counted(*resource)
                    && resource.group == tracked.group.as_str()
                    && resource.plural == tracked.plural.as_str()
            });
            if let Some(resource) = resource {
                let answer = self.reader.objects(resource, Call::all(&key.namespace)).await?;
                listed.push(Listed { tracked, objects: answer.items });
            }
        }
        Ok(Some(View { object, listed }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}

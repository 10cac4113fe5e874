//! Somebody who wants something else every few seconds, and to whose machines things happen.

mod machines;
mod wishes;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

use client::{Call, Client, Delete, Key, Resource, Write, resources};
use env::Entropy;
use machinery::{Object, Status};
use serde_json::{Value, json};

use crate::ledger::Seen;
use crate::life::Moment;
use crate::world::{Part, World};

/// Whom budgets apply to.
pub const EVICTOR: &str = "evictor";
/// Where the user works.
const NAMESPACES: [&str; 2] = ["north", "south"];
/// The longest between two wishes.
const PAUSE: Duration = Duration::from_secs(20);
/// The furthest the time of day is set wrong.
const STEP_SECS: u64 = 600;

/// A user.
pub struct User {
    world: Arc<World>,
    client: Client,
    evictor: Client,
    entropy: Entropy,
    serial: u64,
    stepped: i64,
}

impl User {
    /// Wants nothing yet.
    pub fn new(world: &Arc<World>) -> User {
        User {
            client: world.client("user"),
            evictor: world.client(EVICTOR),
            entropy: world.env.entropy.child("user"),
            world: world.clone(),
            serial: 0,
            stepped: 0,
        }
    }

    /// Makes the namespaces and the machines.
    pub async fn prepare(&mut self, machines: usize) {
        for namespace in NAMESPACES {
            let document =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            self.create(resources::NAMESPACES, "", document).await;
        }
        for _ in 0..machines {
            let name = self.next_name("node");
            self.world.add_node(&name);
        }
    }

    /// So many wishes, one after the other, or until a promise is broken.
    pub async fn wish(&mut self, wishes: u64) {
        for _ in 0..wishes {
            self.world.trace.wait(PAUSE.mul_f64(self.entropy.fraction())).await;
            if self.world.trace.verdict().is_some() {
                return;
            }
            match self.entropy.below(10) {
                0 => self.happen_to_a_part(),
                1 | 2 => self.happen_to_a_machine().await,
                _ => self.want_something().await,
            }
        }
    }

    /// Something happens to the server, the controllers, the scheduler, or the time of day.
    fn happen_to_a_part(&mut self) {
        let part = match self.entropy.below(6) {
            0 => Part::Server,
            1 => Part::Scheduler,
            5 => {
                let secs = i64::try_from(self.entropy.below(2 * STEP_SECS)).unwrap_or(0);
                let secs = secs - i64::try_from(STEP_SECS).unwrap_or(0);
                self.stepped += secs;
                self.world.trace.say(format_args!("the time of day is set {secs} s ahead"));
                return self.world.env.clock.step(secs);
            }
            _ => Part::Controllers,
        };
        let moment = if self.entropy.below(2) == 0 { Moment::Before } else { Moment::After };
        let operations = 1 + self.entropy.below(100);
        self.world.trace.say(format_args!("{part:?} will end at operation {operations} from now"));
        if let Some(life) = self.world.part(part) {
            life.doom(operations, moment);
        }
    }

    /// Wants only what can be had, so that everything can come to rest.
    pub async fn tidy(&mut self) {
        self.world.env.clock.step(-self.stepped);
        self.mend_machines().await;
        self.want_what_can_be_had().await;
    }

    fn next_name(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{what}-{}", self.serial)
    }

    fn chance(&self, percent: u64) -> bool {
        self.entropy.below(100) < percent
    }

    fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).unwrap_or(0);
        if count == 0 { None } else { of.get(usize::try_from(self.entropy.below(count)).unwrap_or(0)) }
    }

    /// Any object of a kind in the user's namespaces that is not going.
    fn any(&self, kind: &str) -> Option<Seen> {
        let all = self.all(kind);
        self.pick(&all).cloned()
    }

    fn all(&self, kind: &str) -> Vec<Seen> {
        let is_ours = |seen: &&Seen| {
            let header = seen.object.header();
            let is_in =
                NAMESPACES.contains(&header.namespace.as_str()) || header.namespace.starts_with("brief-");
            is_in && !header.deleting
        };
        self.world.ledger.look(|objects| objects.of_kind(kind).filter(is_ours).cloned().collect())
    }

    async fn create(&self, resource: Resource, namespace: &str, document: Value) {
        let body = document.to_string().into_bytes();
        self.insist(async || {
            let write = Write::Create(body.clone().into());
            self.client.write(resource, Call::all(namespace), write).await
        })
        .await;
    }

    async fn patch(&self, resource: Resource, of: &Object, patch: Value) {
        let key = Key::of(of);
        self.insist(async || self.client.patch(resource, &key, &patch).await).await;
    }

    async fn delete(&self, resource: Resource, of: &Object, propagation: &'static str) {
        let key = Key::of(of);
        let how = Delete { uid: of.header().uid.to_string(), propagation, ..Delete::default() };
        self.insist(async || self.client.delete(resource, &key, how.clone()).await).await;
    }

    /// Tries again while the server is away. What it refuses, it refuses.
    async fn insist(&self, call: impl AsyncFn() -> Result<Object, Status>) {
        while let Err(status) = call().await {
            if status.code != 503 {
                return;
            }
            self.world.env.clock.sleep(Duration::from_secs(1)).await;
        }
    }
}

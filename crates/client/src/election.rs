//! One active among several, decided by a Lease.

mod leadership;
#[cfg(test)]
mod tests;

pub use leadership::Leadership;

use std::time::Duration;

use env::{Env, WallTime};
use machinery::{Object, Status};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::transport::{Call, Write};
use crate::{Client, Key, resources, time};

/// How long a silent leader is still believed in.
const LEASE: Duration = Duration::from_secs(15);
/// How long the leader itself tries to renew before it steps down.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often it is tried.
const EVERY: Duration = Duration::from_secs(2);
/// How soon it is tried again when the server did not answer and nobody leads: at the start it may not be there yet.
const SOON: Duration = Duration::from_millis(250);
/// How long a lease that was given up still counts, in seconds.
const GIVEN_UP: u64 = 1;

/// Stands for election for as long as the tasks of its `Env` run.
#[derive(Clone, Debug)]
pub struct Election {
    leading: watch::Receiver<bool>,
    resigning: watch::Sender<bool>,
}

impl Election {
    /// Stands for the lease `key` under the name `identity`, which must be unique.
    pub fn start(client: Client, key: Key, identity: String, env: &Env) -> Election {
        let (sender, leading) = watch::channel(false);
        let candidate = Candidate { client, key, identity, env: env.clone(), seen: None };
        let resigning = watch::Sender::new(false);
        env.tasks.spawn("leader election", candidate.run(sender, resigning.subscribe()));
        Election { leading, resigning }
    }

    /// Whether this candidate leads now.
    pub fn is_leading(&self) -> bool {
        *self.leading.borrow()
    }

    /// Resolves once this candidate leads.
    pub async fn elected(&mut self) {
        if self.leading.wait_for(|leading| *leading).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Stands no more, and lets go of the lease so that others need not wait for its end. Resolves when that is done.
    pub async fn resign(mut self) {
        self.resigning.send_replace(true);
        // The candidate lets go of the channel when it ends.
        while self.leading.changed().await.is_ok() {}
    }

    /// Resolves once this candidate leads no more.
    pub async fn deposed(&mut self) {
        // A candidate that is gone does not lead either.
        let _ = self.leading.wait_for(|leading| !*leading).await;
    }
}

/// The holder of a lease, as it was last seen, and when by our own clock: others' clocks may be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    revision: u64,
    at: Duration,
}

struct Candidate {
    client: Client,
    key: Key,
    identity: String,
    env: Env,
    seen: Option<Seen>,
}

impl Candidate {
    async fn run(mut self, leading: watch::Sender<bool>, mut resigning: watch::Receiver<bool>) {
        let clock = self.env.clock.clone();
        let mut renewed: Option<Duration> = None;
        loop {
            let now = clock.monotonic();
            let outcome = clock.timeout(RENEW_WITHIN, self.try_once()).await;
            let is_unanswered = !matches!(outcome, Some(Ok(_)));
            match outcome {
                Some(Ok(true)) => renewed = Some(now),
                Some(Ok(false)) => renewed = None,
                Some(Err(status)) => tracing::debug!(lease = %self.key, "the lease cannot be had: {status}"),
                None => tracing::debug!(lease = %self.key, "the lease cannot be had in time"),
            }
            let held = renewed.is_some_and(|at| clock.monotonic().saturating_sub(at) < RENEW_WITHIN);
            leading.send_if_modified(|leading| std::mem::replace(leading, held) != held);
            let pause = if is_unanswered && renewed.is_none() { SOON } else { EVERY };
            let pause = pause.mul_f64(1.0 + self.env.entropy.fraction() * 0.2);
            // An election nobody holds any more goes on as long as its tasks do.
            let resigned = async {
                if resigning.wait_for(|resigning| *resigning).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            if clock.timeout(pause, resigned).await.is_some() {
                break;
            }
        }
        leading.send_replace(false);
        if renewed.is_some()
            && let Some(Err(status)) = clock.timeout(RENEW_WITHIN, self.release()).await
        {
            tracing::debug!(lease = %self.key, "the lease ends by itself, as it cannot be given up: {status}");
        }
    }

    /// Gives the lease up, if it is still ours.
    async fn release(&self) -> Result<(), Status> {
        let lease = self.client.object(resources::LEASES, &self.key).await?;
        let spec = Spec::of(&lease)?;
        if spec.holder != self.identity {
            return Ok(());
        }
        let now = time::micros(self.env.clock.now());
        let patch = json!({
            "metadata": { "resourceVersion": lease.header().revision.to_string() },
            "spec": {
                "holderIdentity": "",
                "leaseDurationSeconds": GIVEN_UP,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": spec.transitions,
            },
        });
        won(self.client.patch(resources::LEASES, &self.key, &patch).await).map(drop)
    }

    /// Takes or renews the lease. `false` if somebody else holds it.
    async fn try_once(&mut self) -> Result<bool, Status> {
        let now = self.env.clock.now();
        let Some(lease) = self.client.find(resources::LEASES, &self.key).await? else {
            let body = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": self.key.name.as_str(), "namespace": self.key.namespace.as_str() },
                "spec": self.held(now, now, 0),
            });
            let write = Write::Create(crate::typed::json(&body)?);
            return won(self.client.write(resources::LEASES, Call::all(&self.key.namespace), write).await);
        };
        let spec = Spec::of(&lease)?;
        if spec.holder != self.identity && !spec.holder.is_empty() && !self.has_expired(&lease) {
            return Ok(false);
        }
        let held = if spec.holder == self.identity {
            self.held(spec.acquired.unwrap_or(now), now, spec.transitions)
        } else {
            self.held(now, now, spec.transitions + 1)
        };
        let revision = lease.header().revision.to_string();
        let patch = json!({ "metadata": { "resourceVersion": revision }, "spec": held });
        won(self.client.patch(resources::LEASES, &self.key, &patch).await)
    }

    fn held(&self, acquired: WallTime, renewed: WallTime, transitions: i64) -> Value {
        json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE.as_secs(),
            "acquireTime": time::micros(acquired),
            "renewTime": time::micros(renewed),
            "leaseTransitions": transitions,
        })
    }

    /// Whether the lease has not changed for as long as it lasts.
    fn has_expired(&mut self, lease: &Object) -> bool {
        let (revision, now) = (lease.header().revision, self.env.clock.monotonic());
        match &self.seen {
            Some(seen) if seen.revision == revision => now.saturating_sub(seen.at) >= LEASE,
            _ => {
                self.seen = Some(Seen { revision, at: now });
                false
            }
        }
    }
}

fn won(answer: Result<Object, Status>) -> Result<bool, Status> {
    match answer {
        Ok(_) => Ok(true),
        // Somebody was faster.
        Err(status) if status.code == 409 => Ok(false),
        Err(status) => Err(status),
    }
}

struct Spec {
    holder: String,
    acquired: Option<WallTime>,
    transitions: i64,
}

impl Spec {
    fn of(lease: &Object) -> Result<Spec, Status> {
        let lease = lease.view::<k8s_openapi::api::coordination::v1::Lease>()?;
        let spec = lease.spec.clone().unwrap_or_default();
        Ok(Spec {
            holder: spec.holder_identity.unwrap_or_default(),
            acquired: spec.acquire_time.map(|at| time::wall(at.0)),
            transitions: i64::from(spec.lease_transitions.unwrap_or(0)),
        })
    }
}

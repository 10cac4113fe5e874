//! Which pod goes to which node.
//!
//! [`ring`] keeps the state and feeds it from caches; [`queue`] says whose turn it is; [`decide`](mod@decide) is the
//! decision, a pure function; [`plugins`] are what speaks for and against a node; [`bind`] writes down what was decided.

pub mod bind;
pub mod decide;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
pub mod ring;
pub mod snapshot;
mod text;

use std::sync::Arc;
use std::time::Duration;

use client::{Client, SharedTransport};
use env::Env;
use smol_str::SmolStr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use bind::Pen;
use decide::{Decision, decide, preempt::Preemption};
use pod::Pod;
use ring::{Ring, State};

/// How many bindings are under way at the same time: enough that one flush of the store serves many.
const CONCURRENT_WRITES: usize = 128;

/// Starts to place pods; it goes on as long as the tasks of `env` do.
pub fn start(transport: SharedTransport, env: Env) {
    let tasks = env.tasks.clone();
    tasks.spawn("scheduler", run(transport, env.child("scheduler")));
}

/// Why a pod has to wait, and what is done about it.
struct Why {
    reason: &'static str,
    message: String,
    preemption: Option<Preemption>,
    nominated: SmolStr,
}

/// What follows from a decision.
enum Follow {
    Bind(Pod, SmolStr),
    Wait(Pod, Why),
    /// Nothing can be done before then, if ever.
    Idle(Option<Duration>),
}

async fn run(transport: SharedTransport, env: Env) {
    let ring = Ring::default();
    let pen = Pen::new(Client::new(transport.clone()), &env);
    ring.feed(&transport, &env).await;
    let permits = Arc::new(Semaphore::new(CONCURRENT_WRITES));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let follow = ring.with(|state| next(state, &env));
        let (ring, pen) = (ring.clone(), pen.clone());
        match follow {
            Follow::Bind(pod, node) => {
                let work = bind(ring, pen, env.clone(), (pod, node), permit);
                env.tasks.spawn("bind", work);
            }
            Follow::Wait(pod, why) => {
                env.tasks.spawn("wait", wait(pen, pod, why, permit));
            }
            Follow::Idle(due) => {
                drop(permit);
                match due {
                    None => ring.changed().await,
                    Some(due) => {
                        let pause = due.saturating_sub(env.clock.monotonic());
                        // Either way there is something to look at.
                        let _ = env.clock.timeout(pause, ring.changed()).await;
                    }
                }
            }
        }
    }
}

/// Decides about the pod whose turn it is.
fn next(state: &mut State, env: &Env) -> Follow {
    if let Some(pod) = state.held_back.pop()
        && let Some(message) = plugins::scheduling_gates::held_back(&pod)
    {
        let (message, nominated) = (message.to_owned(), pod.facts.nominated.clone());
        return Follow::Wait(pod, Why { reason: "SchedulingGated", message, preemption: None, nominated });
    }
    let now = env.clock.monotonic();
    let Some(pod) = state.queue.next(now) else {
        let flush = state.queue.flush(now);
        let due = state.queue.next_due().into_iter().chain(flush).min();
        return Follow::Idle(due);
    };
    let uid = pod.object.header().uid.clone();
    match decide(&pod, &state.snapshot, &env.entropy) {
        Decision::Bind { node, looked_at, .. } => {
            let nodes = state.snapshot.nodes().len().max(1);
            state.snapshot.next_start = (state.snapshot.next_start + looked_at) % nodes;
            state.snapshot.forget_nomination(&uid);
            state.snapshot.add_pod(&node, pod.clone());
            state.assumed.insert(uid, node.clone());
            Follow::Bind(pod, node)
        }
        Decision::Wait { message, plugins, preemption, nominated } => {
            state.queue.refused(&uid, plugins, now);
            if let Some(preemption) = &preemption {
                state.snapshot.nominate(&preemption.node, pod.clone());
            }
            Follow::Wait(pod, Why { reason: "Unschedulable", message, preemption, nominated })
        }
    }
}

async fn bind(ring: Ring, pen: Pen, env: Env, (pod, node): (Pod, SmolStr), permit: OwnedSemaphorePermit) {
    let Err(status) = pen.bind(&pod, &node).await else { return drop(permit) };
    let uid = pod.object.header().uid.clone();
    tracing::debug!(pod = %pod::key(&pod), %node, "could not be bound: {status}");
    ring.with(|state| {
        // Unless the cache has meanwhile said what became of it.
        if let Some(assumed) = state.assumed.remove(&uid) {
            state.snapshot.remove_pod(&assumed, &uid);
            state.queue.failed(&uid, env.clock.monotonic());
        }
    });
    drop(permit);
    ring.wake();
}

async fn wait(pen: Pen, pod: Pod, why: Why, permit: OwnedSemaphorePermit) {
    if let Some(preemption) = &why.preemption
        && let Err(status) = pen.preempt(&pod, preemption).await
    {
        tracing::warn!(pod = %pod::key(&pod), "room could not be made: {status}");
    }
    if let Err(status) = pen.wait(&pod, why.reason, &why.message, &why.nominated).await {
        tracing::warn!(pod = %pod::key(&pod), "its status could not be written: {status}");
    }
    drop(permit);
}

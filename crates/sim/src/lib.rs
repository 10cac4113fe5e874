//! A whole cluster in one deterministic loop: the server's verbs on a store in memory, all controllers, the scheduler
//! and machines that only pretend, under virtual time. Processes crash between any two operations, answers are lost,
//! views are stale or skip what happened, calls are refused, clocks are set, cables are cut; and at every commit the
//! cluster's promises are checked. The same seed gives the same run.

mod checks;
mod door;
mod gateway;
mod hearing;
mod kubelet;
mod ledger;
mod life;
mod machine;
mod road;
mod settled;
mod trace;
mod user;
mod weather;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use env::{Env, WallTime};

use hearing::Hearing;
use trace::Trace;
use user::User;
use weather::Weather;
use world::World;

/// When every run begins: 2026-01-01T00:00:00Z.
const START: WallTime = WallTime::from_secs(1_767_225_600);
/// How long everything may take to become real once nothing goes wrong any more: longer than the longest back-off, the
/// time a pod bears a silent node, and a slow rollout together.
const SETTLES_WITHIN: Duration = Duration::from_secs(3_600);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_secs(10);
/// How long nothing may be written after that.
const REST: Duration = Duration::from_secs(3_600);
/// What is settled may still have something to tell: events are told together, statuses a moment later.
const AFTERMATH: Duration = Duration::from_secs(600);
/// How many wishes a user has in one run.
const WISHES: u64 = 30;
/// How many machines there are in the beginning.
const MACHINES: usize = 3;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which run.
    pub seed: u64,
    /// The promise that was broken, if one was.
    pub broken: Option<String>,
    /// What the components said about it.
    pub reasons: Vec<String>,
    /// Everything that happened.
    pub trace: Vec<String>,
}

/// Runs one seed, on a thread and a runtime of its own. A loud run prints what happens as it happens.
pub fn run(seed: u64, is_loud: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread can be made");
    let outcome = runtime.block_on(async {
        let env = Env::simulated(START, seed);
        let trace = Trace::new(env.clock.clone(), is_loud);
        let hearing = tracing::Dispatch::new(Hearing::new(trace.clone()));
        let _heard = tracing::dispatcher::set_default(&hearing);
        let weather = Weather::draw(&env.entropy.child("weather"));
        trace.say(format_args!("seed {seed}: {weather:?}"));
        let world = World::start(env, trace, weather).await;
        live(&world).await;
        world.end();
        let broken = world.trace.verdict();
        let reasons = broken.as_deref().map(|broken| explain(&world, broken)).unwrap_or_default();
        Outcome { seed, broken, reasons, trace: world.trace.take() }
    });
    runtime.shutdown_background();
    outcome
}

/// Trouble, then peace, then rest.
async fn live(world: &Arc<World>) {
    let mut user = User::new(world);
    user.prepare(MACHINES).await;
    user.wish(WISHES).await;
    if world.trace.verdict().is_some() {
        return;
    }
    user.tidy().await;
    settle(world, &user).await;
    if world.trace.verdict().is_none() {
        rest(world).await;
    }
}

/// Waits until everything declared is real.
async fn settle(world: &Arc<World>, user: &User) {
    let deadline = world.trace.now() + SETTLES_WITHIN;
    loop {
        world.trace.wait(LOOK).await;
        if world.trace.verdict().is_some() {
            return;
        }
        let open = world.ledger.look(settled::unsettled);
        if open.is_empty() {
            world.trace.say(format_args!("everything is settled"));
            return;
        }
        if world.trace.now() > deadline {
            return world.trace.broken(&format!("not settled: {}", open.join("; ")));
        }
        user.nudge().await;
    }
}

/// Sees that nothing more is written.
async fn rest(world: &Arc<World>) {
    world.trace.wait(AFTERMATH).await;
    let before = world.ledger.commits();
    world.trace.say(format_args!("nothing may be written from here on"));
    world.trace.wait(REST).await;
    let written = world.ledger.commits() - before;
    if written > 0 {
        world.trace.broken(&format!("{written} writes though nothing happened"));
    }
}

/// The names that a broken promise mentions.
fn names(broken: &str) -> Vec<&str> {
    let is_between = |letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '/' | '.');
    let words = broken.split(is_between).map(|word| word.trim_end_matches('.'));
    let mut names: Vec<&str> = words.filter(|word| word.contains('/') || word.contains('-')).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What the controllers decided last about the objects that a broken promise names.
fn explain(world: &World, broken: &str) -> Vec<String> {
    names(broken).into_iter().flat_map(|name| world.reasons(name)).collect()
}

impl Outcome {
    /// The lines that are about what the broken promise names, or about what belongs to it, and those about the
    /// cluster's processes and machines.
    pub fn story(&self) -> impl Iterator<Item = &String> {
        let families: Vec<String> = names(self.broken.as_deref().unwrap_or_default())
            .into_iter()
            .map(|name| name.split('-').take(2).collect::<Vec<_>>().join("-"))
            .collect();
        let is_news = |line: &str| {
            ["begins", "ended", "will end", "cut off", "is there", "lost power", "time of day", "BROKEN"]
                .iter()
                .any(|what| line.contains(what))
        };
        self.trace.iter().filter(move |line| is_news(line) || families.iter().any(|name| line.contains(name)))
    }
}

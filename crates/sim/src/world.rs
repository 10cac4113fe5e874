//! A cluster whose processes come and go: server, controllers, scheduler and kubelets, each started again when it
//! ends, on a store and machines that last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apiserver::Identity;
use client::Client;
use controllers::Controllers;
use env::{Entropy, Env};
use store::memory::Memory;

use crate::checks;
use crate::gateway::Gateway;
use crate::kubelet::Kubelet;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::machine::{Identities, Machine};
use crate::road::{Cable, Roads};
use crate::trace::Trace;
use crate::weather::Weather;

/// The processes that are one of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The API server.
    Server,
    /// All controllers.
    Controllers,
    /// The scheduler.
    Scheduler,
}

/// The longest a process stays away.
const AWAY: Duration = Duration::from_secs(10);

/// A machine with its kubelet and its cable.
#[derive(Clone, Debug)]
pub struct Node {
    /// The machine.
    pub machine: Arc<Machine>,
    /// Its cable.
    pub cable: Cable,
    /// Its kubelet, while it runs.
    pub kubelet: Option<Life>,
}

/// A cluster.
pub struct World {
    /// Its clock and its randomness.
    pub env: Env,
    /// What happens in it.
    pub trace: Trace,
    /// What is true in it.
    pub ledger: Arc<Ledger>,
    /// What goes wrong in it.
    pub roads: Roads,
    identities: Identities,
    entropy: Entropy,
    parts: Mutex<BTreeMap<Part, Life>>,
    nodes: Mutex<BTreeMap<String, Node>>,
    controllers: Mutex<Option<Controllers>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn masters(name: &str) -> Identity {
    Identity::new(name, &["system:masters"])
}

impl World {
    /// Starts one in which this goes wrong, and waits until its first server is ready.
    pub async fn start(env: Env, trace: Trace, weather: Weather) -> Arc<World> {
        let store = Memory::new(store::Options::default(), env.child("store"));
        let ledger = Arc::new(Ledger::new(store, trace.clone(), checks::all()));
        let gateway = Arc::new(Gateway::new(ledger.clone()));
        let roads = Roads { gateway, ledger: ledger.clone(), weather, trace: trace.clone() };
        let world = Arc::new(World {
            entropy: env.entropy.child("world"),
            identities: Identities::new(trace.clone()),
            env,
            trace,
            ledger,
            roads,
            parts: Mutex::default(),
            nodes: Mutex::default(),
            controllers: Mutex::default(),
        });
        let first = world.begin(Part::Server, 0).await;
        world.roads.gateway.ready().await;
        world.env.tasks.spawn("server", world.clone().keep(Part::Server, first));
        for part in [Part::Controllers, Part::Scheduler] {
            let first = world.begin(part, 0).await;
            world.env.tasks.spawn("part", world.clone().keep(part, first));
        }
        world
    }

    /// Starts a part whenever it has ended.
    async fn keep(self: Arc<World>, part: Part, first: Life) {
        let mut life = first;
        for number in 1.. {
            life.over().await;
            self.trace.say(format_args!("{part:?} ended"));
            self.env.clock.sleep(AWAY.mul_f64(self.entropy.fraction())).await;
            life = self.begin(part, number).await;
            self.trace.say(format_args!("{part:?} begins again"));
        }
    }

    async fn begin(&self, part: Part, number: u64) -> Life {
        let name = format!("{part:?} {number}");
        let life = match part {
            Part::Server => self.roads.gateway.start(&self.env, &name).await,
            Part::Controllers => self.begin_controllers(&name),
            Part::Scheduler => {
                let life = Life::begin(&self.env, &name);
                let road = self.roads.road(masters("system:kube-scheduler"), &life, &Cable::default());
                scheduler::start(road, life.env.clone());
                life
            }
        };
        lock(&self.parts).insert(part, life.clone());
        life
    }

    fn begin_controllers(&self, name: &str) -> Life {
        let life = Life::begin(&self.env, name);
        let settings = controllers::Config {
            pod_cidrs: vec!["10.244.0.0/16".to_owned()],
            ..controllers::Config::default()
        };
        let (roads, own) = (self.roads.clone(), life.clone());
        let transport_for = move |name: &str| -> client::SharedTransport {
            let account = match name {
                "kube-controller-manager" => "system:kube-controller-manager".to_owned(),
                name => format!("system:serviceaccount:kube-system:{name}"),
            };
            roads.road(masters(&account), &own, &Cable::default())
        };
        let running = controllers::start(transport_for, settings, life.env.clone());
        *lock(&self.controllers) = Some(running);
        life
    }

    /// The process that is this part now.
    pub fn part(&self, part: Part) -> Option<Life> {
        lock(&self.parts).get(&part).cloned()
    }

    /// The API as somebody to whom nothing goes wrong but that the server is away.
    pub fn client(&self, name: &str) -> Client {
        let roads = Roads { weather: Weather::calm(), ..self.roads.clone() };
        let life = Life::begin(&self.env, name);
        Client::new(roads.road(masters(name), &life, &Cable::default()))
    }

    /// What the controllers decided last about an object, in words.
    pub fn reasons(&self, key: &str) -> Vec<String> {
        let Some(controllers) = lock(&self.controllers).clone() else { return Vec::new() };
        let decisions = controllers.decisions().into_iter();
        let found = decisions.filter_map(|(name, decisions)| Some((name, decisions.of(key)?)));
        found.map(|(name, decision)| format!("{name} on {key}: {}", decision.reasons.join("; "))).collect()
    }

    /// All nodes.
    pub fn nodes(&self) -> BTreeMap<String, Node> {
        lock(&self.nodes).clone()
    }

    /// Adds a machine.
    pub fn add_node(&self, name: &str) {
        let machine = Arc::new(Machine::new(name, self.identities.clone()));
        let node = Node { machine, cable: Cable::default(), kubelet: None };
        lock(&self.nodes).insert(name.to_owned(), node);
        self.start_kubelet(name);
    }

    /// Takes a machine away for ever; it must be without power.
    pub fn remove_node(&self, name: &str) {
        lock(&self.nodes).remove(name);
    }

    /// Starts the kubelet of a machine, if it does not run.
    pub fn start_kubelet(&self, name: &str) {
        let mut nodes = lock(&self.nodes);
        let Some(node) = nodes.get_mut(name).filter(|node| node.kubelet.is_none()) else { return };
        let life = Life::begin(&self.env, &format!("kubelet {name} at {:?}", self.trace.now()));
        let identity = masters(&format!("system:node:{name}"));
        let road = self.roads.road(identity, &life, &node.cable);
        Kubelet::start(node.machine.clone(), road, &life);
        node.kubelet = Some(life);
        self.trace.say(format_args!("kubelet {name} begins"));
    }

    /// Ends the kubelet of a machine; its containers run on.
    pub fn stop_kubelet(&self, name: &str) {
        let life = lock(&self.nodes).get_mut(name).and_then(|node| node.kubelet.take());
        if let Some(life) = life {
            life.end();
            self.trace.say(format_args!("kubelet {name} ended"));
        }
    }

    /// Ends the kubelet of a machine and everything that runs there.
    pub fn power_off(&self, name: &str) {
        self.stop_kubelet(name);
        if let Some(node) = self.nodes().get(name) {
            node.machine.lose_power();
            self.trace.say(format_args!("{name} lost power"));
        }
    }

    /// Everything that can be mended is.
    pub fn mend(&self) {
        self.roads.weather.clear_up();
        for (name, node) in self.nodes() {
            node.cable.cut(false);
            self.start_kubelet(&name);
        }
        for life in lock(&self.parts).values() {
            life.spare();
        }
        self.trace.say(format_args!("from now on nothing goes wrong"));
    }

    /// Ends everything.
    pub fn end(&self) {
        self.env.tasks.cancel();
        lock(&self.parts).values().for_each(Life::end);
        let nodes = lock(&self.nodes);
        nodes.values().filter_map(|node| node.kubelet.as_ref()).for_each(Life::end);
    }
}

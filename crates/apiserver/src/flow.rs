//! Priority and fairness: which requests may be carried out now, which wait, and which are sent away.
//!
//! Flow schemas say to which priority level a request belongs and what flow of it. Each level has its share of what the
//! server carries out at a time; beyond it requests wait in queues, so that a flow with many requests delays itself and
//! hardly anybody else. A request costs one short lock of its level.

mod dealer;
mod level;
mod schema;
mod share;
mod status;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use env::Env;
use http::{HeaderMap, HeaderValue};

use self::level::{Level, Settings, Start, Taken};
use self::schema::{Asked, Schema};
use crate::cache::{Caches, Collection};
use crate::core::Core;
use crate::identity::Identity;
use crate::query::Query;
use crate::route::Route;

const SCHEMAS: &str = "flowcontrol.apiserver.k8s.io/flowschemas";
const LEVELS: &str = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";
/// How often levels lend each other what they do not need.
const LEND_EVERY: Duration = Duration::from_secs(10);
/// So many objects of a list cost as much as a request for one object.
const OBJECTS_PER_SEAT: usize = 100;
/// No request costs more, however much it lists.
const MOST_SEATS: usize = 10;
/// A request waits for this part of the time it has in all.
pub const WAITING_PART: u32 = 4;

/// Decides when requests are carried out.
#[derive(Debug)]
pub struct FlowControl {
    schemas: Option<Arc<Collection>>,
    levels: Option<Arc<Collection>>,
    /// What the server carries out at a time, in all.
    seats: u32,
    current: ArcSwap<Current>,
    /// Held while what holds is worked out anew.
    renewing: Mutex<()>,
}

/// What the objects said when they were last looked at.
#[derive(Debug, Default)]
struct Current {
    /// The revisions of both collections.
    seen: (u64, u64),
    /// In the order in which they are asked.
    schemas: Vec<Schema>,
    levels: BTreeMap<String, Arc<Level>>,
}

/// A place among the requests that are carried out; who drops it makes room.
#[derive(Debug)]
pub struct Seat {
    /// Tells the client by which schema and level it was let in.
    pub headers: Headers,
    _taken: Option<Taken>,
}

/// By which schema and level a request was judged: their identities.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    schema: Option<HeaderValue>,
    level: Option<HeaderValue>,
}

impl Headers {
    /// Adds them to an answer.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if let (Some(schema), Some(level)) = (&self.schema, &self.level) {
            headers.insert("x-kubernetes-pf-flowschema-uid", schema.clone());
            headers.insert("x-kubernetes-pf-prioritylevel-uid", level.clone());
        }
    }
}

impl FlowControl {
    /// On these caches; `seats` requests are carried out at a time.
    pub fn new(caches: &Caches, seats: u32) -> FlowControl {
        FlowControl {
            schemas: caches.collection(SCHEMAS),
            levels: caches.collection(LEVELS),
            seats,
            current: ArcSwap::default(),
            renewing: Mutex::default(),
        }
    }

    fn revisions(&self) -> (u64, u64) {
        let newest = |collection: &Option<Arc<Collection>>| collection.as_ref().map_or(0, |one| one.newest());
        (newest(&self.schemas), newest(&self.levels))
    }

    /// What holds now. The objects are read again only when one of them changed.
    fn current(&self) -> Arc<Current> {
        let seen = self.revisions();
        let current = self.current.load_full();
        if current.seen == seen {
            return current;
        }
        let _renewing = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        let seen = self.revisions();
        if current.seen != seen {
            self.current.store(Arc::new(self.renewed(seen, &current)));
        }
        self.current.load_full()
    }

    fn renewed(&self, seen: (u64, u64), before: &Current) -> Current {
        let read = |collection: &Option<Arc<Collection>>| -> Vec<machinery::Value> {
            let Some(collection) = collection else { return Vec::new() };
            let snapshot = collection.snapshot();
            snapshot.starting_at("").filter_map(|entry| entry.object().to_value().ok()).collect()
        };
        let settings: Vec<Settings> = read(&self.levels).iter().map(Settings::read).collect();
        let shares: u64 = settings.iter().map(|settings| u64::from(settings.shares)).sum();
        let mut levels = BTreeMap::new();
        for settings in settings {
            let nominal = share::nominal(self.seats, settings.shares, shares);
            let name = settings.name.clone();
            let level = before.levels.get(&name).cloned().unwrap_or_default();
            level.configure(settings, nominal);
            levels.insert(name, level);
        }
        let mut schemas: Vec<Schema> =
            read(&self.schemas).iter().filter_map(|document| Schema::read(document, &levels)).collect();
        schemas.sort_by(|one, other| one.order().cmp(&other.order()));
        Current { seen, schemas, levels }
    }

    /// Lets a request in, now or when it is its turn.
    pub async fn enter(
        &self,
        core: &Core,
        identity: &Identity,
        (route, query): (&Route, &Query),
        patience: Duration,
    ) -> Result<Seat, Headers> {
        let current = self.current();
        let asked = Asked { identity, route };
        let Some(schema) = current.schemas.iter().find(|schema| schema.matches(asked)) else {
            // Only before the objects that every cluster has are made.
            return Ok(Seat { headers: Headers::default(), _taken: None });
        };
        let headers = schema.headers.clone();
        let most = schema.level.most_seats(MOST_SEATS);
        let width = width(core, route, query).clamp(1, most);
        let started = schema.level.start(width, flow_of(schema, asked));
        let entered = match started {
            Start::Exempt => return Ok(schema.counted(Seat { headers, _taken: None })),
            Start::Now(taken) => Some(taken),
            Start::Refused => None,
            Start::Wait(waiting) => core.env.clock.timeout(patience, waiting.turn()).await.flatten(),
        };
        match entered {
            Some(taken) => Ok(schema.counted(Seat { headers, _taken: Some(taken) })),
            None => {
                schema.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Err(headers)
            }
        }
    }

    /// Lends and takes back between levels, for ever.
    pub async fn lend(self: Arc<Self>, env: Env) {
        loop {
            env.clock.sleep(LEND_EVERY).await;
            let current = self.current();
            let levels: Vec<&Arc<Level>> =
                current.levels.values().filter(|level| !level.is_exempt()).collect();
            let wanted: Vec<share::Wanted> = levels.iter().map(|level| level.wanted(self.seats)).collect();
            for (level, limit) in levels.iter().zip(share::allocate(self.seats, &wanted)) {
                level.limit_to(limit);
            }
        }
    }

    /// What was counted, in Prometheus' text format.
    pub fn metrics(&self, text: &mut String) {
        let current = self.current();
        let mut family = |name: &str, kind: &str, help: &str, lines: &mut dyn Iterator<Item = String>| {
            // Writing to memory does not fail.
            let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
            for line in lines {
                let _ = writeln!(text, "{name}{line}");
            }
        };
        let schemas = || current.schemas.iter();
        let labels = |schema: &Schema| {
            format!("flow_schema=\"{}\",priority_level=\"{}\"", schema.name, schema.level_name)
        };
        let count =
            |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        family(
            "apiserver_flowcontrol_dispatched_requests_total",
            "counter",
            "Number of requests executed by API Priority and Fairness subsystem",
            &mut schemas().map(|schema| format!("{{{}}} {}", labels(schema), count(&schema.entered))),
        );
        family(
            "apiserver_flowcontrol_rejected_requests_total",
            "counter",
            "Number of requests rejected by API Priority and Fairness subsystem",
            &mut schemas()
                .filter(|schema| count(&schema.refused) > 0)
                .map(|schema| format!("{{{}}} {}", labels(schema), count(&schema.refused))),
        );
        let limits: Vec<(&String, u32, u32)> = current
            .levels
            .iter()
            .map(|(name, level)| {
                let (nominal, limit) = level.limits();
                (name, nominal, limit)
            })
            .collect();
        family(
            "apiserver_flowcontrol_nominal_limit_seats",
            "gauge",
            "Nominal number of execution seats configured for each priority level",
            &mut limits.iter().map(|(name, nominal, _)| format!("{{priority_level=\"{name}\"}} {nominal}")),
        );
        family(
            "apiserver_flowcontrol_current_limit_seats",
            "gauge",
            "current derived number of execution seats available to each priority level",
            &mut limits.iter().map(|(name, _, limit)| format!("{{priority_level=\"{name}\"}} {limit}")),
        );
    }
}

/// Starts what goes on beside requests: lending, and telling how schemas are.
pub fn start(core: &Arc<Core>) {
    let tasks = &core.env.tasks;
    tasks.spawn("lending between priority levels", core.flow.clone().lend(core.env.clone()));
    tasks.spawn("flow schema status", status::keep(core.clone()));
}

/// Which flow a request belongs to.
fn flow_of(schema: &Schema, asked: Asked<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.name.hash(&mut hasher);
    schema.distinguisher(asked).hash(&mut hasher);
    hasher.finish()
}

/// What a request costs. Writes cost one seat whoever watches: a watcher here costs a write nothing.
fn width(core: &Core, route: &Route, query: &Query) -> usize {
    if route.verb != "list" || !route.is_resource {
        return 1;
    }
    let registry = core.registry.load();
    let served = registry.find(&route.group, &route.version, &route.resource);
    let there = served.and_then(|served| served.collection().ok()).map_or(0, |collection| collection.len());
    let limit = query.text("limit").parse::<usize>().ok().filter(|limit| *limit > 0);
    let selects = !query.text("labelSelector").is_empty() || !query.text("fieldSelector").is_empty();
    let looked_at = match limit {
        Some(limit) if !selects => limit.min(there),
        _ => there,
    };
    looked_at.div_ceil(OBJECTS_PER_SEAT)
}

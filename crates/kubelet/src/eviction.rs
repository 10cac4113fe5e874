//! What to do when the node runs short: which thresholds are crossed, what the node says of itself, and which pod goes.
//! All of it is decided here, from what was measured; [`watch`] measures and acts.

pub(crate) mod limits;
pub(crate) mod rank;
pub(crate) mod signals;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use env::WallTime;

pub(crate) use rank::{Member, Usage, rank};

/// After a threshold is no longer crossed the node says for so long that it is: upstream's five minutes.
const TRANSITION: Duration = Duration::from_secs(300);

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Memory that is free or can be taken back.
    MemoryAvailable,
    /// Bytes of the file system that pods' files, logs and images are on.
    NodefsAvailable,
    /// Files that can be made on it.
    NodefsInodesFree,
    /// Processes that can be started.
    PidAvailable,
}

impl Signal {
    /// What it is called in messages.
    fn resource(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory",
            Signal::NodefsAvailable => "ephemeral-storage",
            Signal::NodefsInodesFree => "inodes",
            Signal::PidAvailable => "pids",
        }
    }

    /// What the node says of itself then.
    fn condition(self) -> Pressure {
        match self {
            Signal::MemoryAvailable => Pressure::Memory,
            Signal::NodefsAvailable | Signal::NodefsInodesFree => Pressure::Disk,
            Signal::PidAvailable => Pressure::Pid,
        }
    }

    /// Whether removing images helps.
    fn is_of_disk(self) -> bool {
        self.condition() == Pressure::Disk
    }
}

/// What a node can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// `MemoryPressure`
    Memory,
    /// `DiskPressure`
    Disk,
    /// `PIDPressure`
    Pid,
}

impl Pressure {
    /// The condition's type.
    pub fn as_str(self) -> &'static str {
        match self {
            Pressure::Memory => "MemoryPressure",
            Pressure::Disk => "DiskPressure",
            Pressure::Pid => "PIDPressure",
        }
    }
}

/// How little is too little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// So many (bytes, files, processes).
    Amount(i64),
    /// So many hundredths of what there is.
    Percent(f64),
    /// So many hundredths, but never more than that amount.
    PercentAtMost(f64, i64),
}

/// A bound below which the node does something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Of what.
    pub signal: Signal,
    /// The bound.
    pub least: Least,
    /// How long it may be crossed before pods are evicted; `None`: not at all.
    pub grace: Option<Duration>,
}

impl Threshold {
    /// When nothing else is said: upstream's, but a disk that is shared with all else on a machine is not short because
    /// little of it is left in hundredths.
    pub fn defaults() -> Vec<Threshold> {
        let hard = |signal, least| Threshold { signal, least, grace: None };
        vec![
            hard(Signal::MemoryAvailable, Least::Amount(100 << 20)),
            hard(Signal::NodefsAvailable, Least::PercentAtMost(10.0, 1 << 30)),
            hard(Signal::NodefsInodesFree, Least::Percent(5.0)),
        ]
    }

    fn bound(&self, capacity: i64) -> i64 {
        let share = |percent: f64| (capacity as f64 * percent / 100.0) as i64;
        match self.least {
            Least::Amount(amount) => amount,
            Least::Percent(percent) => share(percent),
            Least::PercentAtMost(percent, most) => share(percent).min(most),
        }
    }

    fn is_crossed(&self, readings: &Readings) -> bool {
        readings.get(&self.signal).is_some_and(|reading| reading.available < self.bound(reading.capacity))
    }
}

/// What was measured of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub available: i64,
    pub capacity: i64,
}

/// All that was measured.
pub(crate) type Readings = BTreeMap<Signal, Reading>;

/// What is remembered between looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// Since when thresholds are crossed, by their position.
    since: BTreeMap<usize, WallTime>,
    /// When the node was last short of something.
    last: BTreeMap<Pressure, WallTime>,
}

/// A threshold that is crossed for long enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shortage {
    pub signal: Signal,
    /// The bound and what there is, for the message.
    pub bound: i64,
    pub available: i64,
}

impl Watched {
    /// Takes in what was measured. Answers what the node is short of.
    pub fn take(
        &mut self,
        thresholds: &[Threshold],
        readings: &Readings,
        now: WallTime,
    ) -> BTreeSet<Pressure> {
        for (position, threshold) in thresholds.iter().enumerate() {
            if threshold.is_crossed(readings) {
                self.since.entry(position).or_insert(now);
                self.last.insert(threshold.signal.condition(), now);
            } else {
                self.since.remove(&position);
            }
        }
        self.last.retain(|_, last| now.since(*last) < TRANSITION);
        self.last.keys().copied().collect()
    }

    /// What must be done something about, the most urgent first: memory cannot wait.
    pub fn shortages(&self, thresholds: &[Threshold], readings: &Readings, now: WallTime) -> Vec<Shortage> {
        let mut shortages: Vec<Shortage> = Vec::new();
        for (position, since) in &self.since {
            let Some(threshold) = thresholds.get(*position) else { continue };
            let Some(reading) = readings.get(&threshold.signal) else { continue };
            let patient = threshold.grace.is_some_and(|grace| now.since(*since) < grace);
            if !patient && !shortages.iter().any(|other| other.signal == threshold.signal) {
                shortages.push(Shortage {
                    signal: threshold.signal,
                    bound: threshold.bound(reading.capacity),
                    available: reading.available,
                });
            }
        }
        shortages.sort_by_key(|shortage| shortage.signal);
        shortages
    }
}

/// A pod that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// Which.
    pub uid: String,
    /// Why: `Evicted`, `Terminated`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Seconds that its containers get.
    pub grace_secs: u32,
    /// Whether the node is to blame, and not the pod.
    pub disrupted: bool,
}

impl Eviction {
    /// Of a pod that uses more than it may, or more than there is. The node cannot wait.
    fn of_greedy(uid: String, message: String, disrupted: bool) -> Eviction {
        Eviction { uid, reason: "Evicted", message, grace_secs: 1, disrupted }
    }
}

/// The pod that goes first for a shortage, if any may.
pub(crate) fn choose(shortage: &Shortage, mut pods: Vec<Usage>) -> Option<Eviction> {
    rank(shortage.signal, &mut pods);
    let first = pods.into_iter().find(|pod| !pod.critical)?;
    let signal = shortage.signal;
    let resource = signal.resource();
    let mut message = format!("The node was low on resource: {resource}. ");
    let shown = |amount: i64| match signal {
        Signal::MemoryAvailable | Signal::NodefsAvailable => crate::amounts::from_bytes(amount).0,
        Signal::NodefsInodesFree | Signal::PidAvailable => amount.to_string(),
    };
    message.push_str(&format!(
        "Threshold quantity: {}, available: {}. ",
        shown(shortage.bound),
        shown(shortage.available)
    ));
    for member in &first.members {
        let (used, asked) = member.of(signal);
        if used > asked && signal != Signal::PidAvailable && signal != Signal::NodefsInodesFree {
            message.push_str(&format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                member.name,
                shown(used),
                shown(asked)
            ));
        }
    }
    Some(Eviction::of_greedy(first.uid, message, true))
}

/// Why a pod may not come while the node is short of something, if it may not.
pub(crate) fn refuse(pressures: &BTreeSet<Pressure>, pod: &crate::pod::PodView) -> Option<String> {
    if pressures.is_empty() || rank::is_critical(pod) {
        return None;
    }
    let only_memory = pressures.iter().all(|pressure| *pressure == Pressure::Memory);
    let tolerates = pod.spec().tolerations.iter().flatten().any(|toleration| {
        toleration.operator.as_deref() == Some("Exists")
            && toleration
                .key
                .as_deref()
                .is_none_or(|key| key.is_empty() || key == "node.kubernetes.io/memory-pressure")
            && toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == "NoSchedule")
    });
    if only_memory && (crate::qos::class(pod) != crate::qos::Class::BestEffort || tolerates) {
        return None;
    }
    let names: Vec<&str> = pressures.iter().map(|pressure| pressure.as_str()).collect();
    Some(format!("The node had condition: [{}]. ", names.join(" ")))
}

//! One priority level: its seats, and the queues of those who wait for one.
//!
//! Queues are served by start-time fair queuing: each request has a virtual finish time, which lies behind that of the
//! request before it in its queue by what it costs; whoever finishes first goes first. A flow that sends a lot is far
//! ahead of virtual time and waits; one that sends little is served at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machinery::Value;
use tokio::sync::oneshot;

use super::dealer::deal;
use super::share::Wanted;

/// No request takes more than this part of its level's seats.
const MOST_OF_LEVEL: f64 = 0.15;
/// Of what was needed before, this much counts in what is needed now.
const MEMORY: f64 = 0.9;

/// What a level's object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Whether its requests never wait.
    pub exempt: bool,
    /// Its part of all seats.
    pub shares: u32,
    /// The percentage of its seats that others may have.
    pub lendable: u32,
    /// The percentage of its seats that it may have of others; `None` for any number.
    pub borrowing: Option<u32>,
    /// Queues; none if requests beyond the seats are refused.
    pub queues: usize,
    /// Requests that wait in one queue.
    pub queue_length: usize,
    /// Queues of one flow.
    pub hand: usize,
}

/// A level.
#[derive(Debug, Default)]
pub struct Level {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    nominal: u32,
    limit: u32,
    taken: u32,
    /// Seats that those need who wait.
    awaited: u32,
    queues: Vec<Queue>,
    /// The virtual time: the start of the request that was let in last.
    now: u64,
    next_waiter: u64,
    /// The most that was taken and awaited since it was last asked, and what that was before.
    peak: u32,
    needed: f64,
}

#[derive(Debug, Default)]
struct Queue {
    waiters: VecDeque<Waiter>,
    /// When its last request finishes, in virtual time.
    finish: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    width: u32,
    start: u64,
    finish: u64,
    go: oneshot::Sender<()>,
}

/// How a request starts.
#[derive(Debug)]
pub enum Start {
    /// Nobody counts it.
    Exempt,
    /// At once.
    Now(Taken),
    /// When it is its turn.
    Wait(Waiting),
    /// Not at all.
    Refused,
}

/// Seats that are taken until this is dropped.
#[derive(Debug)]
pub struct Taken {
    level: Arc<Level>,
    width: u32,
}

/// A place in a queue. Who drops it gives it up.
#[derive(Debug)]
pub struct Waiting {
    level: Arc<Level>,
    number: u64,
    width: u32,
    turn: oneshot::Receiver<()>,
    entered: bool,
}

impl Settings {
    /// From a `PriorityLevelConfiguration`.
    pub fn read(document: &Value) -> Settings {
        let spec = document.get("spec");
        let exempt = spec.get("type").as_str() == Some("Exempt");
        let own = spec.get(if exempt { "exempt" } else { "limited" });
        let number = |value: &Value| value.as_int().and_then(|number| u32::try_from(number).ok());
        let queuing = own.at(&["limitResponse", "queuing"]);
        let queues = own.at(&["limitResponse", "type"]).as_str() == Some("Queue");
        let size = |field: &str| number(queuing.get(field)).unwrap_or(0) as usize;
        Settings {
            name: document.at(&["metadata", "name"]).str_or_empty().to_owned(),
            uid: document.at(&["metadata", "uid"]).str_or_empty().to_owned(),
            exempt,
            shares: number(own.get("nominalConcurrencyShares")).unwrap_or(if exempt { 0 } else { 30 }),
            lendable: number(own.get("lendablePercent")).unwrap_or(0).min(100),
            borrowing: number(own.get("borrowingLimitPercent")),
            queues: if queues { size("queues") } else { 0 },
            queue_length: size("queueLengthLimit"),
            hand: size("handSize"),
        }
    }
}

impl Level {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what its object says. Those who wait in queues that are gone wait in the first.
    pub fn configure(&self, settings: Settings, nominal: u32) {
        let mut state = self.state();
        if state.nominal != nominal || state.settings != settings {
            state.limit = nominal;
        }
        state.nominal = nominal;
        let queues = settings.queues;
        if queues < state.queues.len() {
            let homeless: Vec<Waiter> =
                state.queues.drain(queues..).flat_map(|queue| queue.waiters).collect();
            if queues == 0 {
                // Without queues nobody waits: whose turn never comes is refused when the sender is dropped.
                state.awaited = 0;
            } else {
                state.queues[0].waiters.extend(homeless);
            }
        } else {
            state.queues.resize_with(queues, Queue::default);
        }
        state.settings = settings;
        state.serve();
    }

    /// The identity of its object.
    pub fn uid(&self) -> String {
        self.state().settings.uid.clone()
    }

    /// Whether its requests never wait.
    pub fn is_exempt(&self) -> bool {
        self.state().settings.exempt
    }

    /// The most that one request may cost.
    pub fn most_seats(&self, most: usize) -> usize {
        // Small and not negative.
        let part = (f64::from(self.state().nominal) * MOST_OF_LEVEL).ceil() as usize;
        part.clamp(1, most)
    }

    /// Its nominal and its present number of seats.
    pub fn limits(&self) -> (u32, u32) {
        let state = self.state();
        (state.nominal, state.limit)
    }

    /// What it could do with, of `all` seats.
    pub fn wanted(&self, all: u32) -> Wanted {
        let mut state = self.state();
        let present = state.taken + state.awaited;
        let peak = f64::from(std::mem::replace(&mut state.peak, present));
        // What is needed more counts at once, what is needed less only by and by.
        state.needed = peak.max(state.needed * MEMORY + peak * (1.0 - MEMORY));
        let nominal = f64::from(state.nominal);
        let part = |percent: u32| nominal * f64::from(percent) / 100.0;
        let kept = nominal - part(state.settings.lendable);
        let most = state.settings.borrowing.map_or(f64::from(all), |percent| nominal + part(percent));
        let least = kept.max(nominal.min(state.needed));
        Wanted { least, most, target: least.max(state.needed) }
    }

    /// Gives it so many seats.
    pub fn limit_to(&self, seats: u32) {
        let mut state = self.state();
        state.limit = seats;
        state.serve();
    }

    /// A request of a flow wants to start.
    pub fn start(self: &Arc<Self>, width: usize, flow: u64) -> Start {
        let width = u32::try_from(width).unwrap_or(u32::MAX);
        let mut state = self.state();
        if state.settings.exempt {
            return Start::Exempt;
        }
        let queue = state.queue_of(flow);
        state.peak = state.peak.max(state.taken + state.awaited + width);
        if state.awaited == 0 && state.has_room(width) {
            if let Some(queue) = queue {
                let (start, _) = state.stamp(queue, width);
                state.now = state.now.max(start);
            }
            state.taken += width;
            return Start::Now(Taken { level: self.clone(), width });
        }
        let length = state.settings.queue_length;
        let Some(queue) = queue.filter(|queue| state.queues[*queue].waiters.len() < length) else {
            return Start::Refused;
        };
        let (start, finish) = state.stamp(queue, width);
        let number = state.next_waiter;
        state.next_waiter += 1;
        let (go, turn) = oneshot::channel();
        state.queues[queue].waiters.push_back(Waiter { number, width, start, finish, go });
        state.awaited += width;
        state.serve();
        Start::Wait(Waiting { level: self.clone(), number, width, turn, entered: false })
    }
}

impl State {
    /// Whether so many seats are free. What is wider than the level runs alone.
    fn has_room(&self, width: u32) -> bool {
        self.taken == 0 || self.taken + width <= self.limit
    }

    /// Of the flow's queues the one with the least before it.
    fn queue_of(&self, flow: u64) -> Option<usize> {
        let hand = deal(flow, self.queues.len(), self.settings.hand.max(1));
        let weight = |queue: &usize| {
            let waiters = &self.queues[*queue].waiters;
            (waiters.iter().map(|waiter| waiter.width).sum::<u32>(), self.queues[*queue].finish)
        };
        hand.into_iter().min_by_key(weight)
    }

    /// When a request of a queue starts and finishes, in virtual time.
    fn stamp(&mut self, queue: usize, width: u32) -> (u64, u64) {
        let start = self.queues[queue].finish.max(self.now);
        let finish = start + u64::from(width);
        self.queues[queue].finish = finish;
        (start, finish)
    }

    /// Lets in whose turn it is.
    fn serve(&mut self) {
        while self.awaited > 0 {
            let first = self.queues.iter().enumerate().filter_map(|(queue, waiting)| {
                waiting.waiters.front().map(|waiter| (waiter.finish, queue, waiter.width))
            });
            let Some((_, queue, width)) = first.min() else {
                self.awaited = 0;
                return;
            };
            if !self.has_room(width) {
                return;
            }
            let Some(waiter) = self.queues[queue].waiters.pop_front() else { return };
            self.awaited = self.awaited.saturating_sub(width);
            self.now = self.now.max(waiter.start);
            // Who no longer waits takes no seat.
            if waiter.go.send(()).is_ok() {
                self.taken += width;
            }
        }
    }
}

impl Waiting {
    /// Waits for its turn; `None` if it never comes.
    pub async fn turn(mut self) -> Option<Taken> {
        (&mut self.turn).await.ok()?;
        self.entered = true;
        Some(Taken { level: self.level.clone(), width: self.width })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.entered {
            return;
        }
        let mut state = self.level.state();
        // It may stand in another queue by now, if the level has fewer.
        let place = state.queues.iter().enumerate().find_map(|(queue, waiting)| {
            let at = waiting.waiters.iter().position(|waiter| waiter.number == self.number)?;
            Some((queue, at))
        });
        if let Some((queue, at)) = place {
            state.queues[queue].waiters.remove(at);
            state.awaited = state.awaited.saturating_sub(self.width);
        } else if self.turn.try_recv().is_ok() {
            // Its turn came just now, and nobody is there to take it.
            state.taken = state.taken.saturating_sub(self.width);
        }
        state.serve();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.level.state();
        state.taken = state.taken.saturating_sub(self.width);
        state.serve();
    }
}

#[cfg(test)]
mod tests;

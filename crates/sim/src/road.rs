//! The way of one process to the API, on which everything goes wrong that can.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apiserver::Identity;
use client::transport::BoxFuture;
use client::{Call, Key, ListAnswer, Resource, SharedTransport, Transport, WatchEvent, WatchStream, Write};
use env::Entropy;
use machinery::status::GroupName;
use machinery::{Object, Reason, Status};
use smol_str::SmolStr;

use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::life::{Life, Moment};
use crate::trace::Trace;
use crate::weather::{Omen, Turn, Weather};

/// How long a call takes to find out that nobody answers.
const NO_ANSWER: Duration = Duration::from_secs(1);

/// The cable of a node: cut, nothing goes through.
#[derive(Clone, Debug, Default)]
pub struct Cable {
    is_cut: Arc<AtomicBool>,
}

impl Cable {
    /// Cuts it, or mends it.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }
}

/// Where all roads lead, and what is on them.
#[derive(Clone, Debug)]
pub struct Roads {
    /// To the server.
    pub gateway: Arc<Gateway>,
    /// Told of deletions before they happen.
    pub ledger: Arc<Ledger>,
    /// What goes wrong.
    pub weather: Weather,
    /// What is said about it.
    pub trace: Trace,
}

impl Roads {
    /// The way of a process, as somebody.
    pub fn road(&self, identity: Identity, life: &Life, cable: &Cable) -> Arc<Road> {
        let label = format!("road of {}", identity.name);
        Arc::new(Road {
            roads: self.clone(),
            entropy: life.env.entropy.child(&label),
            identity,
            life: life.clone(),
            cable: cable.clone(),
        })
    }
}

/// The way of one process to the API.
pub struct Road {
    roads: Roads,
    identity: Identity,
    life: Life,
    cable: Cable,
    entropy: Entropy,
}

impl fmt::Debug for Road {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Road(of {} in {:?})", self.identity.name, self.life)
    }
}

fn no_answer() -> Status {
    Status::new(503, Reason::ServiceUnavailable, "the connection broke off")
}

fn verb(write: &Write) -> &'static str {
    match write {
        Write::Create(_) => "create",
        Write::Update(_) => "update",
        Write::MergePatch(_) | Write::StrategicPatch(_) | Write::JsonPatch(_) => "patch",
        Write::Apply(_) => "apply",
        Write::Delete(_) => "delete",
    }
}

/// What a write was about, with the name it was given.
fn subject(resource: Resource, call: &Call, answer: Option<&Object>) -> String {
    let subresource =
        if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
    let given = answer.map(|object| object.header().name.as_str()).filter(|_| call.name.is_empty());
    let name = given.unwrap_or(&call.name);
    format!("{}{subresource} {}", resource.plural, Key::new(&call.namespace, name))
}

impl Road {
    async fn sleep(&self, duration: Duration) {
        if !duration.is_zero() {
            self.life.env.clock.sleep(duration).await;
        }
    }

    fn say(&self, what: fmt::Arguments<'_>) {
        let who = self.identity.name.rsplit(':').next().unwrap_or_default();
        self.roads.trace.say(format_args!("{who} {what}"));
    }

    /// What becomes of a call before it reaches the server.
    async fn set_out(&self, omen: Omen) -> Result<(), Status> {
        self.sleep(self.roads.weather.delay(&self.entropy)).await;
        if self.cable.is_cut() {
            self.sleep(NO_ANSWER).await;
            return Err(no_answer());
        }
        match omen {
            Omen::Refused => Err(no_answer()),
            Omen::Throttled => {
                let status = Status::new(429, Reason::TooManyRequests, "Too many requests");
                Err(status.retry_after(1))
            }
            Omen::Fair | Omen::Conflicting | Omen::Lost => Ok(()),
        }
    }

    /// Carries out a call, unless there is no server, or it ends meanwhile.
    async fn arrive<T, F: Future<Output = Result<T, Status>> + Send>(
        &self,
        carry_out: impl FnOnce(SharedTransport) -> F + Send,
    ) -> Result<T, Status> {
        let Some((transport, server)) = self.roads.gateway.reach(&self.identity) else {
            self.sleep(NO_ANSWER).await;
            return Err(no_answer());
        };
        tokio::select! {
            biased;
            () = server.over() => Err(no_answer()),
            answer = carry_out(transport) => answer,
        }
    }

    async fn read<T, F: Future<Output = Result<T, Status>> + Send>(
        &self,
        carry_out: impl FnOnce(SharedTransport) -> F + Send,
    ) -> Result<T, Status> {
        self.life.passes(Moment::Before).await;
        self.set_out(self.roads.weather.of_read(&self.entropy)).await?;
        let answer = self.arrive(carry_out).await;
        self.sleep(self.roads.weather.delay(&self.entropy)).await;
        self.life.passes(Moment::After).await;
        answer
    }

    async fn change(&self, resource: Resource, call: Call, write: Write) -> Result<Object, Status> {
        self.life.passes(Moment::Before).await;
        let mut omen = self.roads.weather.of_write(&self.entropy);
        if matches!(write, Write::Create(_) | Write::Delete(_)) && omen == Omen::Conflicting {
            omen = Omen::Fair;
        }
        let answer = self.attempt(resource, &call, write.clone(), omen).await;
        self.sleep(self.roads.weather.delay(&self.entropy)).await;
        self.life.passes(Moment::After).await;
        let about = subject(resource, &call, answer.as_ref().ok());
        let outcome = match &answer {
            Ok(_) => "ok".to_owned(),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        if resource.plural != "leases" && resource.plural != "events" {
            self.say(format_args!("{} {about}: {outcome}", verb(&write)));
        }
        answer
    }

    async fn attempt(
        &self,
        resource: Resource,
        call: &Call,
        write: Write,
        omen: Omen,
    ) -> Result<Object, Status> {
        self.set_out(omen).await?;
        if omen == Omen::Conflicting {
            let subject = GroupName { group: resource.group, name: resource.plural };
            return Err(Status::conflict(subject, &call.name, "somebody was said to be faster"));
        }
        let name = (SmolStr::new(resource.kind), Key::new(&call.namespace, &call.name));
        let is_deletion = matches!(write, Write::Delete(_)) || call.subresource == "eviction";
        let call = call.clone();
        let deleting = is_deletion.then(|| self.roads.ledger.deleting(name, &self.identity.name));
        let answer =
            self.arrive(|transport| async move { transport.write(resource, call, write).await }).await;
        drop(deleting);
        if omen == Omen::Lost && answer.is_ok() {
            return Err(no_answer());
        }
        answer
    }

    async fn follow(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> Result<Box<dyn WatchStream>, Status> {
        let Some((_, server)) = self.roads.gateway.reach(&self.identity) else {
            self.sleep(NO_ANSWER).await;
            return Err(no_answer());
        };
        let inner = self
            .read(move |transport| async move { transport.watch(resource, call, revision).await })
            .await?;
        Ok(Box::new(Stream {
            inner,
            server,
            life: self.life.clone(),
            cable: self.cable.clone(),
            weather: self.roads.weather.clone(),
            entropy: self.entropy.child(&format!("{} at {revision}", resource.plural)),
            is_over: false,
            moves_until: Duration::ZERO,
        }))
    }
}

impl Transport for Road {
    fn get(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(self.read(move |transport| async move { transport.get(resource, call).await }))
    }

    fn list(&self, resource: Resource, call: Call) -> BoxFuture<'_, Result<ListAnswer, Status>> {
        Box::pin(self.read(move |transport| async move { transport.list(resource, call).await }))
    }

    fn watch(
        &self,
        resource: Resource,
        call: Call,
        revision: u64,
    ) -> BoxFuture<'_, Result<Box<dyn WatchStream>, Status>> {
        Box::pin(self.follow(resource, call, revision))
    }

    fn write(&self, resource: Resource, call: Call, write: Write) -> BoxFuture<'_, Result<Object, Status>> {
        Box::pin(self.change(resource, call, write))
    }
}

/// A watch on which everything goes wrong that can.
struct Stream {
    inner: Box<dyn WatchStream>,
    server: Life,
    life: Life,
    cable: Cable,
    weather: Weather,
    entropy: Entropy,
    is_over: bool,
    /// It does not stand still again before then: what it tells is late, but not ever later.
    moves_until: Duration,
}

/// How long a watch moves after it stood still.
const MOVES: Duration = Duration::from_secs(60);

impl Stream {
    async fn advance(&mut self) -> Result<Option<WatchEvent>, Status> {
        if self.is_over {
            return Ok(None);
        }
        let event = tokio::select! {
            biased;
            () = self.server.over() => Err(no_answer()),
            event = self.inner.next() => event,
        };
        self.life.passes(Moment::Before).await;
        while self.cable.is_cut() {
            self.life.env.clock.sleep(NO_ANSWER).await;
            self.is_over = true;
        }
        if self.is_over {
            return Err(no_answer());
        }
        let turn = self.weather.of_watch(&self.entropy);
        self.is_over = matches!(turn, Turn::Ends | Turn::Breaks | Turn::Forgotten);
        match turn {
            Turn::Fair => event,
            Turn::Ends => Ok(None),
            Turn::Breaks => Err(no_answer()),
            Turn::Forgotten => Err(Status::expired("too old resource version")),
            Turn::Stalls(duration) => {
                let clock = &self.life.env.clock;
                if clock.monotonic() >= self.moves_until {
                    clock.sleep(duration).await;
                    self.moves_until = clock.monotonic() + MOVES;
                }
                event
            }
        }
    }
}

impl WatchStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<WatchEvent>, Status>> {
        Box::pin(self.advance())
    }
}

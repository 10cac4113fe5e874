//! The one way of a write: who, what and how; and how it is brought into the store and seen in the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use machinery::field::{Error, Path};
use machinery::status::GroupName;
use machinery::{Status, Value};
use store::{Guard, Outcome as StoreOutcome, Txn, Write};

use crate::admission::{Operation, Review};
use crate::audit::Record;
use crate::cache::{Claim, Entry};
use crate::core::{Core, store_failed};
use crate::document::Validation;
use crate::identity::Identity;
use crate::query::Query;
use crate::registry::Served;

/// A write: by whom, of what, where and how.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The server.
    pub core: &'a Arc<Core>,
    /// Who writes.
    pub identity: &'a Identity,
    /// Which resource.
    pub served: &'a Arc<Served>,
    /// In which namespace; empty for what belongs to the cluster.
    pub namespace: &'a str,
    /// Which object; empty for creates.
    pub name: &'a str,
    /// Through which subresource; empty for the object itself.
    pub subresource: &'a str,
    /// How.
    pub options: &'a Options,
}

/// The options of a create, an update or a patch.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `dryRun=All`: everything but the writing.
    pub dry_run: bool,
    /// Who is recorded as the manager of what changes.
    pub manager: String,
    /// Whether the request itself names the manager.
    pub manager_named: bool,
    /// What to do about unknown fields.
    pub validation: Validation,
    /// Whether an apply takes fields from others.
    pub force: Option<bool>,
    /// What is written down of the request.
    pub record: Option<Arc<Record>>,
    /// What the writer is told even if the write fails.
    pub told: Told,
}

/// What a client is told beside the answer, whatever that is: shared by all who have something to tell.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// The warnings so far, to look at or to add to.
    pub fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a write led to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The object as it is now.
    pub entry: Arc<Entry>,
    /// Whether it is new.
    pub created: bool,
    /// What the writer should be told.
    pub warnings: Vec<String>,
}

/// How many bytes of a client's name become a manager's.
const MANAGER_MAX: usize = 128;

impl Options {
    /// Reads the options of a request; `kind` is what they are called in errors: `CreateOptions`.
    pub fn read(query: &Query, user_agent: &str, kind: &str) -> Result<Options, Status> {
        let mut errors = Vec::new();
        let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        check_dry_run(&dry_run, &mut errors);
        let manager = query.text("fieldManager");
        let path = Path::new("fieldManager");
        if manager.len() > MANAGER_MAX {
            errors.push(Error::too_long(&path, MANAGER_MAX));
        }
        if let Some(letter) = manager.chars().find(|letter| letter.is_control()) {
            let why = format!("should only contain printable characters (found {letter:?})");
            errors.push(Error::invalid(&path, manager, why));
        }
        let validation = match query.text("fieldValidation") {
            "" | "Warn" => Validation::Warn,
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(Error::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                Validation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(GroupName { group: "meta.k8s.io", name: kind }, "", &errors));
        }
        let manager_named = !manager.is_empty();
        let manager = if manager.is_empty() { manager_of_agent(user_agent) } else { manager.to_owned() };
        let force = query.option_flag("force");
        let dry_run = !dry_run.is_empty();
        Ok(Options {
            dry_run,
            manager,
            manager_named,
            validation,
            force,
            record: None,
            told: Told::default(),
        })
    }
}

/// Adds what is wrong with the values of `dryRun`.
pub fn check_dry_run(values: &[&str], errors: &mut Vec<Error>) {
    if values.iter().any(|value| *value != "All") {
        let list = Value::from(values.iter().map(|value| Value::from(*value)).collect::<Vec<_>>());
        errors.push(Error::not_supported(&Path::new("dryRun"), &list, &["All"]));
    }
}

/// The manager that a client without one gets: its program's name.
fn manager_of_agent(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let printable: String = name.chars().filter(|letter| !letter.is_control()).collect();
    if printable.is_empty() { "unknown".to_owned() } else { printable.chars().take(MANAGER_MAX).collect() }
}

impl<'a> Request<'a> {
    /// What the object's key in the store is.
    pub fn store_key(&self, name: &str) -> Result<Bytes, Status> {
        let collection = self.served.collection()?;
        Ok(Bytes::from(format!("{}{}", collection.prefix(), self.served.key(self.namespace, name))))
    }

    /// The object as it is in the cache.
    pub async fn current(&self) -> Result<Arc<Entry>, Status> {
        let collection = self.served.collection()?;
        let entry = collection.get(&self.served.key(self.namespace, self.name));
        let entry = entry.ok_or_else(|| Status::not_found(self.served.resource(), self.name))?;
        self.shown(entry).await
    }

    /// What was written, as the version of the request shows it.
    pub async fn shown(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
        self.served.shown(&entry, self.core.surroundings()).await
    }

    /// The bytes to store for a finished document.
    pub async fn stored(&self, object: &Value) -> Result<Bytes, Status> {
        self.served.stored(object, self.core.surroundings()).await
    }

    /// 422 if anything is wrong.
    pub fn refuse_if(&self, errors: &[Error], name: &str) -> Result<(), Status> {
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(self.served.group_kind(), name, errors)) }
    }

    /// Starts the admission of a write.
    pub fn review(&self, operation: Operation, object: Value, old: &'a Value, name: &'a str) -> Review<'a> {
        Review {
            operation,
            identity: self.identity,
            served: self.served,
            subresource: self.subresource,
            namespace: self.namespace,
            name,
            object,
            old,
            is_dry_run: self.options.dry_run,
            warnings: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Lets admission change or refuse what was posted to a subresource; also what the poster is told beside the answer.
    pub async fn admit_posted(&self, posted: Value) -> Result<(Value, Vec<String>), Status> {
        let mut review = self.review(Operation::Create, posted, &Value::Null, self.name);
        self.admit(&mut review).await?;
        self.confirm(&mut review).await?;
        Ok((review.object, review.warnings))
    }

    /// Lets admission change a write.
    pub async fn admit(&self, review: &mut Review<'_>) -> Result<(), Status> {
        let outcome = self.core.admission.mutate(review, self.core.surroundings()).await;
        self.write_down(review);
        outcome
    }

    /// Lets admission refuse a write.
    pub async fn confirm(&self, review: &mut Review<'_>) -> Result<(), Status> {
        let outcome = self.core.admission.validate(review, self.core.surroundings()).await;
        self.write_down(review);
        outcome
    }

    /// What plugins noted belongs into the audit log, whether or not they let the write pass.
    fn write_down(&self, review: &mut Review<'_>) {
        if let Some(record) = &self.options.record {
            record.note_all(&mut review.annotations);
        }
    }

    /// Sees to it that the object is in the namespace the request names.
    pub fn check_namespace(&self, object: &mut Value) -> Result<(), Status> {
        let named = object.at(&["metadata", "namespace"]).str_or_empty();
        if named.is_empty() {
            if !self.namespace.is_empty() && self.served.namespaced {
                *object.at_mut(&["metadata", "namespace"]) = Value::from(self.namespace);
            }
            return Ok(());
        }
        if !self.served.namespaced {
            // What belongs to the cluster is in no namespace, whatever it says.
            object.entry("metadata").remove("namespace");
            return Ok(());
        }
        if named != self.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    /// Through which door the write comes in, as rules see it.
    pub fn door(&self) -> kinds::Door<'a> {
        if self.subresource.is_empty() { kinds::Door::Main } else { kinds::Door::Sub(self.subresource) }
    }

    /// Brings a finished document into canonical order.
    pub fn canonical(&self, object: &mut Value) {
        machinery::json::canonicalize(object, self.served.schema.root());
    }
}

/// What a transaction is to do.
#[derive(Debug)]
pub struct Commit {
    /// The object's key.
    pub key: Bytes,
    /// Its new value; `None` removes it.
    pub value: Option<Bytes>,
    /// Seconds after which the store removes it by itself.
    pub ttl_secs: Option<u32>,
    /// The revision it must have; `None` if it must not exist.
    pub expected: Option<u64>,
    /// Whatever else must hold and happen with it.
    pub also: Txn,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Committed {
    /// It happened, and the cache has seen it. For writes, the entry; for removals nothing.
    Done {
        /// The revision.
        revision: u64,
        /// The entry the write became.
        entry: Option<Arc<Entry>>,
    },
    /// The object was not as expected; the cache has caught up with what it is now.
    Changed,
    /// One of the other guards did not hold; the cache has caught up.
    Also,
}

impl Core {
    /// Brings a write into the store and waits until the cache has it.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, Status> {
        let own = match commit.expected {
            Some(revision) => Guard::ModifiedAt(commit.key.clone(), revision),
            None => Guard::Absent(commit.key.clone()),
        };
        let mut txn = commit.also;
        txn.guards.insert(0, own);
        let claim = commit.value.as_ref().map(|value| self.caches.claim(commit.key.clone(), value.clone()));
        txn.writes.insert(
            0,
            match commit.value {
                Some(value) => Write::Put { key: commit.key, value, ttl_secs: commit.ttl_secs },
                None => Write::Delete(commit.key),
            },
        );
        match self.caches.store().commit(txn).await.map_err(store_failed)? {
            StoreOutcome::Committed(revision) => {
                let entry = match claim {
                    Some(claim) => Some(self.claimed(claim, revision).await?),
                    None => {
                        self.caches.wait_for(revision).await;
                        None
                    }
                };
                Ok(Committed::Done { revision, entry })
            }
            StoreOutcome::Conflict { guard: 0, current } => {
                match current {
                    Some(current) => self.caches.wait_for(current.modified).await,
                    None => self.catch_up().await?,
                }
                Ok(Committed::Changed)
            }
            StoreOutcome::Conflict { .. } => {
                self.catch_up().await?;
                Ok(Committed::Also)
            }
        }
    }

    async fn claimed(&self, claim: Claim<'_>, revision: u64) -> Result<Arc<Entry>, Status> {
        let entry = claim.entry().await;
        entry.ok_or_else(|| Status::internal(format!("the write at revision {revision} was not seen again")))
    }
}

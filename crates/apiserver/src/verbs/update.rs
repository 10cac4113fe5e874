//! Changing objects: replacing them, and the one loop that every other change goes through.

use std::sync::Arc;

use machinery::{Reason, Status, Value};
use store::Txn;

use crate::admission::Operation;
use crate::cache::Entry;
use crate::verbs::delete;
use crate::write::{Commit, Committed, Outcome, Request};
use crate::{condition_times, managed, owners, query, quota, services, stored};

/// How often a change is tried again on a newer state before the client is told to.
const ATTEMPTS: usize = 100;

/// How a change comes about.
pub trait Change: Sync {
    /// The object as it is to be, from the object as it is. May be asked again when somebody else was faster.
    fn apply(&self, current: &Value) -> Result<Value, Status>;

    /// Whether the `metadata.uid` of the result must be that of the object (an update replaces one certain object).
    fn replaces(&self) -> bool {
        false
    }

    /// Whether the kind's rules look at the result. What the server itself made of an object needs no checking.
    fn is_ruled(&self) -> bool {
        true
    }

    /// Who is recorded for what changed.
    fn track(&self, request: Request<'_>, old: &Value, object: &mut Value) {
        managed::track_update(request, old, object);
    }
}

/// A replacement by a whole document.
#[derive(Debug)]
pub struct Replace(pub Value);

impl Change for Replace {
    fn apply(&self, _current: &Value) -> Result<Value, Status> {
        Ok(self.0.clone())
    }

    fn replaces(&self) -> bool {
        true
    }
}

/// A new status, made of the object as it is.
pub struct NewStatus<'a> {
    /// Makes it.
    pub make: &'a (dyn Fn(&Value) -> Value + Sync),
}

impl Change for NewStatus<'_> {
    fn apply(&self, current: &Value) -> Result<Value, Status> {
        let mut object = current.clone();
        object.set("status", (self.make)(current));
        Ok(object)
    }
}

/// Replaces an object; makes it where its kind allows that.
pub async fn update(request: Request<'_>, mut object: Value) -> Result<Outcome, Status> {
    check_name(request, &object)?;
    request.check_namespace(&mut object)?;
    request.served.rules.default(&mut object);
    let policy = request.served.rules.policy();
    if policy.create_on_update && request.subresource.is_empty() && request.current().await.is_err() {
        request.core.catch_up().await?;
        if request.current().await.is_err() {
            return super::create::create(request, object).await;
        }
    }
    change(request, &Replace(object)).await
}

/// 400 unless the document has the name that the path has.
pub fn check_name(request: Request<'_>, object: &Value) -> Result<(), Status> {
    let (own, path) = (object.at(&["metadata", "name"]).str_or_empty(), request.name);
    if own.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({path} based on URL) was undeterminable: name must be provided"
        )));
    }
    if own != path {
        return Err(Status::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({path})"
        )));
    }
    Ok(())
}

/// Carries a change out, on the newest state.
pub async fn change(request: Request<'_>, change: &dyn Change) -> Result<Outcome, Status> {
    let mut caught_up = false;
    for _ in 0..ATTEMPTS {
        let current = match request.current().await {
            Ok(current) => current,
            Err(_) if !caught_up => {
                request.core.catch_up().await?;
                caught_up = true;
                continue;
            }
            Err(status) => return Err(status),
        };
        let old = current.object().to_whole_value()?;
        let mut object = change.apply(&old)?;
        match check_preconditions(request, &object, &current, change.replaces())? {
            Basis::Current => {}
            Basis::Newer(revision) if !caught_up => {
                // What the client read may not have reached us yet.
                request.core.catch_up().await?;
                caught_up = true;
                if request.core.caches.applied() >= revision {
                    continue;
                }
                return Err(modified(request));
            }
            Basis::Newer(_) => return Err(modified(request)),
        }
        keep_what_is_ours(&mut object, &old);
        let (object, also, warnings) = prepare(request, change, object, &old).await?;
        match conclude(request, object, also, (&current, old)).await? {
            Some(entry) => return Ok(Outcome { entry, created: false, warnings }),
            None => caught_up = false,
        }
    }
    Err(modified(request))
}

/// Under which name upstream stores a resource: some have kept their first one.
fn upstream_folder(plural: &str) -> &str {
    match plural {
        "replicationcontrollers" => "controllers",
        "nodes" => "minions",
        "services" => "services/specs",
        "endpoints" => "services/endpoints",
        "ingresses" => "ingress",
        other => other,
    }
}

/// What a change is based on.
enum Basis {
    Current,
    /// A revision that the cache has not seen yet, or never will.
    Newer(u64),
}

fn check_preconditions(
    request: Request<'_>,
    object: &Value,
    current: &Entry,
    replaces: bool,
) -> Result<Basis, Status> {
    let metadata = object.get("metadata");
    let header = current.object().header();
    let uid = metadata.get("uid").str_or_empty();
    if replaces && !uid.is_empty() && uid != header.uid {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            upstream_folder(&request.served.plural),
            current.key(),
            header.uid
        );
        return Err(Status::conflict(request.served.resource(), request.name, &why));
    }
    let text = metadata.get("resourceVersion").str_or_empty();
    let based_on = match text {
        "" => 0,
        text => query::go_parse_uint(text).map_err(|why| Status::new(500, Reason::Unknown, why))?,
    };
    if based_on == 0 {
        if replaces && !request.served.rules.policy().unconditional_update {
            let path = machinery::field::Path::new("metadata").child("resourceVersion");
            let error = machinery::field::Error::invalid(&path, 0i64, "must be specified for an update");
            return Err(Status::invalid(request.served.resource(), request.name, &[error]));
        }
        return Ok(Basis::Current);
    }
    match based_on.cmp(&header.revision) {
        std::cmp::Ordering::Equal => Ok(Basis::Current),
        std::cmp::Ordering::Less => Err(modified(request)),
        std::cmp::Ordering::Greater => Ok(Basis::Newer(based_on)),
    }
}

fn modified(request: Request<'_>) -> Status {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Status::conflict(request.served.resource(), request.name, why)
}

/// Puts back what a client may leave out or may not change.
fn keep_what_is_ours(object: &mut Value, old: &Value) {
    let before = old.get("metadata");
    let metadata = object.entry("metadata");
    metadata.remove("selfLink");
    let keep = |metadata: &mut Value, name: &str| match before.get(name) {
        Value::Null => {
            metadata.remove(name);
        }
        kept => metadata.set(name, kept.clone()),
    };
    keep(metadata, "creationTimestamp");
    keep(metadata, "generation");
    for name in ["uid", "resourceVersion"] {
        if metadata.get(name).str_or_empty().is_empty() || name == "resourceVersion" {
            keep(metadata, name);
        }
    }
    if !before.get("deletionTimestamp").is_null() {
        keep(metadata, "deletionTimestamp");
    }
    if metadata.get("deletionGracePeriodSeconds").is_null() {
        keep(metadata, "deletionGracePeriodSeconds");
    }
}

async fn prepare(
    request: Request<'_>,
    change: &dyn Change,
    mut object: Value,
    old: &Value,
) -> Result<(Value, Txn, Vec<String>), Status> {
    let rules = &request.served.rules;
    request.canonical(&mut object);
    change.track(request, old, &mut object);
    let mut review = request.review(Operation::Update, object, old, request.name);
    // What was posted to a subresource was admitted as such.
    let is_admitted = change.is_ruled();
    if is_admitted {
        request.admit(&mut review).await?;
    }
    let mut object = std::mem::take(&mut review.object);
    rules.default(&mut object);
    let also = services::allocate(request, &mut object, Some(old))?;
    let mut warnings = Vec::new();
    if change.is_ruled() {
        let door = request.door();
        rules.prepare_update(&mut object, old, door);
        condition_times::stamp(request, &mut object, old);
        let mut errors = Vec::new();
        rules.validate_update(&object, old, door, &mut errors);
        request.refuse_if(&errors, request.name)?;
        warnings.extend(owners::dedup(&mut object));
        warnings.extend(rules.warnings(&object, Some(old)));
    }
    managed::settle(old, &mut object);
    request.canonical(&mut object);
    review.object = object;
    if is_admitted {
        request.confirm(&mut review).await?;
    }
    warnings.append(&mut review.warnings);
    Ok((review.object, also, warnings))
}

/// Whether the object is stored in a version that nothing should be stored in any more: then a write that changes
/// nothing changes that.
fn is_outdated(request: Request<'_>) -> Result<bool, Status> {
    let key = request.served.key(request.namespace, request.name);
    let stored = request.served.collection()?.get(&key);
    Ok(stored.is_some_and(|stored| request.served.is_outdated(&stored)))
}

/// Writes the result; `None` if somebody was faster.
async fn conclude(
    request: Request<'_>,
    object: Value,
    also: Txn,
    (current, old): (&Arc<Entry>, Value),
) -> Result<Option<Arc<Entry>>, Status> {
    let key = request.store_key(request.name)?;
    // What another key sealed, or what is stored in a version that is to go, is written again all the same.
    let is_to_be_rewritten = request.core.seals.is_stale(&key) || is_outdated(request)?;
    // Made once, where that costs nobody a call.
    let value = (!request.served.is_converted()).then(|| request.served.encode(&object));
    let is_same = match &value {
        Some(value) => current.object().is_stored_as(value),
        None => request.served.is_stored_alike(&object, &old),
    };
    if is_same && !is_to_be_rewritten {
        return Ok(Some(current.clone()));
    }
    let charge = quota::charge(request, request.name, &object, Some(&old)).await?;
    if request.options.dry_run {
        return stored::unwritten(&object, current.revision()).map(Some);
    }
    if delete::is_finished(request.served, &object) {
        // The last finalizer went: the object goes within the same request.
        let last = stored::unwritten(&object, current.revision())?;
        return Ok(delete::remove(request, current, &old).await?.map(|_| last));
    }
    let value = match value {
        Some(value) => value,
        None => request.stored(&object).await?,
    };
    // While the store works their trees would be in the way of the next request's.
    drop((object, old));
    let commit = Commit {
        key,
        value: Some(value),
        ttl_secs: request.served.ttl_secs(),
        expected: Some(current.revision()),
        also: charge.with(also),
    };
    match request.core.commit(commit).await? {
        Committed::Done { entry: Some(entry), .. } => request.shown(entry).await.map(Some),
        Committed::Done { entry: None, .. } | Committed::Changed | Committed::Also => Ok(None),
    }
}

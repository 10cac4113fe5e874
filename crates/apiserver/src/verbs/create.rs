//! Making objects.

use std::sync::Arc;

use machinery::field::{Error, Path};
use machinery::{Status, Value};
use store::Txn;

use crate::admission::Operation;
use crate::cache::Entry;
use crate::write::{Commit, Committed, Outcome, Request};
use crate::{managed, owners, quota, services, stored};

/// How often a generated name is drawn before the client is told to try again.
const NAME_ATTEMPTS: usize = 8;
/// How often a Service's addresses and ports are drawn anew because somebody else was faster.
const ALLOCATION_ATTEMPTS: usize = 32;
/// How often a write is charged anew because the quotas changed under it.
const CHARGE_ATTEMPTS: usize = 100;
/// Letters of a generated name's end.
const SUFFIX: usize = 5;
/// Letters a generated name may have in all.
const NAME_MAX: usize = 63;

/// Makes an object.
pub async fn create(request: Request<'_>, mut object: Value) -> Result<Outcome, Status> {
    request.check_namespace(&mut object)?;
    request.served.rules.default(&mut object);
    object.entry("metadata").remove("managedFields");
    make(request, object, true).await
}

/// Makes an object that knows already who manages its fields.
pub async fn create_managed(request: Request<'_>, object: Value) -> Result<Outcome, Status> {
    make(request, object, false).await
}

async fn make(request: Request<'_>, mut object: Value, track: bool) -> Result<Outcome, Status> {
    forget_what_is_ours(&mut object);
    if track {
        request.canonical(&mut object);
        managed::track_update(request, &Value::Null, &mut object);
    }
    request.options.told.lock().extend(owners::dedup(&mut object));
    let generated = generated_name(&object);
    let mut attempt = 1;
    loop {
        // Kept for the next attempt, where there can be one.
        let again = generated.is_some() || request.served.is("", "services");
        let mut fresh = if again { object.clone() } else { std::mem::take(&mut object) };
        if let Some(base) = &generated {
            let name = draw_name(request, base);
            *fresh.at_mut(&["metadata", "name"]) = Value::from(name);
        }
        match create_named(request, fresh).await {
            Ok(None) if attempt < ALLOCATION_ATTEMPTS => attempt += 1,
            Ok(None) => {
                return Err(Status::internal("addresses and ports were taken faster than they could be had"));
            }
            Ok(Some(outcome)) => return Ok(outcome),
            Err(status) if generated.is_some() && status.is(machinery::Reason::AlreadyExists) => {
                if attempt >= NAME_ATTEMPTS {
                    return Err(status);
                }
                attempt += 1;
            }
            Err(status) => return Err(status),
        }
    }
}

/// The beginning of a name that is to be generated.
fn generated_name(object: &Value) -> Option<String> {
    let metadata = object.get("metadata");
    let base = metadata.get("generateName").str_or_empty();
    (metadata.get("name").str_or_empty().is_empty() && !base.is_empty()).then(|| base.to_owned())
}

fn draw_name(request: Request<'_>, base: &str) -> String {
    let kept: String = base.chars().take(NAME_MAX - SUFFIX).collect();
    format!("{kept}{}", request.core.env.entropy.name_suffix(SUFFIX))
}

/// Removes what only the server says about an object.
fn forget_what_is_ours(object: &mut Value) {
    let metadata = object.entry("metadata").make_object();
    for name in ["selfLink", "uid", "creationTimestamp", "generation"] {
        metadata.remove(name);
    }
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(name);
    }
}

/// `None` if something else that the object needs was taken in the meantime.
async fn create_named(request: Request<'_>, mut object: Value) -> Result<Option<Outcome>, Status> {
    let core = request.core;
    let name = object.at(&["metadata", "name"]).str_or_empty().to_owned();
    let created = machinery::time::Timestamp::from_secs(core.env.clock.now().secs()).to_rfc3339();
    let uid = core.env.entropy.uuid();
    let metadata = object.entry("metadata");
    metadata.set("uid", uid.as_str());
    metadata.set("creationTimestamp", created.as_str());
    let name = if name.is_empty() && request.served.is("", "limitranges") {
        // The one kind that names itself.
        let own = core.env.entropy.uuid().to_string();
        metadata.set("name", own.as_str());
        own
    } else {
        name
    };
    let mut review = request.review(Operation::Create, object, &Value::Null, &name);
    request.admit(&mut review).await?;
    let mut object = std::mem::take(&mut review.object);
    let rules = &request.served.rules;
    rules.default(&mut object);
    check_version(&object)?;
    let also = services::allocate(request, &mut object, None)?;
    rules.prepare_create(&mut object);
    sign(request, &mut object);
    let name = name.as_str();
    let mut errors = Vec::new();
    if name.is_empty() && generated_name(&object).is_none() {
        let path = Path::new("metadata").child("name");
        errors.push(Error::required(&path, "name or generateName is required"));
    }
    if errors.is_empty() {
        rules.validate_create(&object, &mut errors);
    }
    request.refuse_if(&errors, name)?;
    let mut warnings: Vec<String> = owners::dedup(&mut object).into_iter().collect();
    warnings.extend(rules.warnings(&object, None));
    request.canonical(&mut object);
    review.object = object;
    request.confirm(&mut review).await?;
    let object = std::mem::take(&mut review.object);
    warnings.append(&mut review.warnings);
    let entry = store_new(request, object, name, also).await?;
    Ok(entry.map(|entry| Outcome { entry, created: true, warnings }))
}

/// A signing request says who made it, and nobody may say it for them.
fn sign(request: Request<'_>, object: &mut Value) {
    if !request.served.is("certificates.k8s.io", "certificatesigningrequests") {
        return;
    }
    let identity = request.identity;
    let texts =
        |list: &[String]| Value::from(list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
    let spec = object.entry("spec");
    spec.set("username", identity.name.as_str());
    spec.set("uid", identity.uid.as_str());
    spec.set("groups", texts(&identity.groups));
    if identity.extra.is_empty() {
        spec.as_object_mut().map(|spec| spec.remove("extra"));
    } else {
        let extra = identity.extra.iter().map(|(key, values)| (key.as_str(), texts(values)));
        spec.set("extra", machinery::Map::from_entries(extra));
    }
}

fn check_version(object: &Value) -> Result<(), Status> {
    match object.at(&["metadata", "resourceVersion"]).str_or_empty() {
        "" | "0" => Ok(()),
        _ => Err(Status::new(
            500,
            machinery::Reason::Unknown,
            "resourceVersion should not be set on objects to be created",
        )),
    }
}

async fn store_new(
    request: Request<'_>,
    mut object: Value,
    name: &str,
    also: Txn,
) -> Result<Option<Arc<Entry>>, Status> {
    let key = request.store_key(name)?;
    let value = request.stored(&object).await?;
    for _ in 0..CHARGE_ATTEMPTS {
        let charge = quota::charge(request, name, &object, None).await?;
        if request.options.dry_run {
            // A name that is taken is taken, whether or not something is written.
            if request.served.collection()?.get(&request.served.key(request.namespace, name)).is_some() {
                return Err(taken(request, name));
            }
            return stored::unwritten(&object, 0).map(Some);
        }
        if charge.is_free() {
            // It is not charged anew. While the store works its tree would be in the way of the next request's.
            object = Value::Null;
        }
        let commit = Commit {
            key: key.clone(),
            value: Some(value.clone()),
            ttl_secs: request.served.ttl_secs(),
            expected: None,
            also: charge.with(also.clone()),
        };
        match request.core.commit(commit).await? {
            Committed::Done { entry: Some(entry), .. } => return request.shown(entry).await.map(Some),
            Committed::Done { entry: None, .. } => return Ok(None),
            Committed::Changed => return Err(taken(request, name)),
            Committed::Also if charge.is_stale(request) => {}
            // Somebody else took the address or the port that was to be this one's.
            Committed::Also => return Ok(None),
        }
    }
    let quotas = machinery::status::GroupName { group: "", name: "resourcequotas" };
    Err(Status::conflict(quotas, "", "they changed faster than they could be charged; please try again"))
}

/// 409: the name is taken, perhaps by something that is on its way out.
fn taken(request: Request<'_>, name: &str) -> Status {
    let mut status = Status::already_exists(request.served.resource(), name);
    let current = request.served.collection().ok();
    let current = current.and_then(|collection| collection.get(&request.served.key(request.namespace, name)));
    if current.is_some_and(|entry| entry.object().header().deleting) {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

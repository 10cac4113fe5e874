//! Removing objects: at once, in grace, or when the last finalizer is gone.

use std::sync::Arc;

use machinery::field::{Error, Path};
use machinery::schema::Schema;
use machinery::status::GroupName;
use machinery::time::Timestamp;
use machinery::{Status, Value};
use store::Txn;

use crate::admission::Operation;
use crate::cache::Entry;
use crate::http::accept::Media;
use crate::query::Query;
use crate::registry::Served;
use crate::write::{Commit, Committed, Request, check_dry_run};
use crate::{definitions, services, stored};

/// Dependents are to live on.
const ORPHAN: &str = "orphan";
/// Dependents go first.
const FOREGROUND: &str = "foregroundDeletion";
/// How often a deletion is tried again on a newer state.
const ATTEMPTS: usize = 100;

/// Kinds that answer a finished deletion with the object, not with a `Status`.
const ANSWERED_WITH_OBJECT: &[(&str, &str)] = &[
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

/// Kinds whose dependents live on unless the client says otherwise.
const ORPHANED_BY_DEFAULT: &[(&str, &str)] = &[("", "replicationcontrollers"), ("batch", "jobs")];

/// What happens to dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They live on.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// How an object is removed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Seconds it gets to end by itself.
    pub grace: Option<i64>,
    /// Only if this is its identity.
    pub uid: Option<String>,
    /// Only if this is its version.
    pub resource_version: Option<String>,
    /// `orphanDependents`: the old form of `propagation`.
    pub orphan: Option<bool>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// Everything but the deletion.
    pub dry_run: bool,
}

/// What a deletion led to.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is gone, and its kind answers with a `Status`: its identity.
    Gone(String),
    /// The object, on its way out or gone.
    Object(Arc<Entry>),
}

impl Options {
    /// Reads the options from the parameters of a request, or from its body where there is one.
    pub fn read(query: &Query, body: Option<&Value>) -> Result<Options, Status> {
        let from_query;
        let document = match body {
            Some(document) => document,
            None => {
                from_query = document_of(query)?;
                &from_query
            }
        };
        let mut errors = Vec::new();
        let path = Path::new("propagationPolicy");
        let orphan = document.get("orphanDependents").as_bool();
        let named = document.get("propagationPolicy").as_str();
        let propagation = match named {
            None => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(Error::not_supported(&path, other, &supported));
                None
            }
        };
        if let (Some(_), Some(named)) = (orphan, named) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors = vec![Error::invalid(&path, named, why)];
        }
        let dry_run: Vec<&str> = document.get("dryRun").items().iter().filter_map(Value::as_str).collect();
        check_dry_run(&dry_run, &mut errors);
        if !errors.is_empty() {
            let subject = GroupName { group: "meta.k8s.io", name: "DeleteOptions" };
            return Err(Status::invalid(subject, "", &errors));
        }
        let precondition = |name: &str| document.at(&["preconditions", name]).as_str().map(str::to_owned);
        Ok(Options {
            grace: document.get("gracePeriodSeconds").as_int(),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            orphan,
            propagation,
            dry_run: !dry_run.is_empty(),
        })
    }
}

fn document_of(query: &Query) -> Result<Value, Status> {
    let mut document = Value::object();
    if let Some(grace) = query.number("gracePeriodSeconds")? {
        document.set("gracePeriodSeconds", grace);
    }
    if let Some(policy) = query.get("propagationPolicy") {
        document.set("propagationPolicy", policy);
    }
    if let Some(orphan) = query.option_flag("orphanDependents") {
        document.set("orphanDependents", orphan);
    }
    let dry_run: Vec<Value> = query.all("dryRun").map(Value::from).collect();
    if !dry_run.is_empty() {
        document.set("dryRun", dry_run);
    }
    Ok(document)
}

/// Reads `DeleteOptions` as a client sends them.
pub fn decode(body: &[u8], media: Media, schema: &Schema) -> Result<Value, Status> {
    let from_yaml;
    let json = match media {
        Media::Yaml => {
            let document =
                machinery::yaml::decode(body).map_err(|error| Status::bad_request(error.to_string()))?;
            from_yaml = machinery::json::to_vec(&document);
            &from_yaml
        }
        Media::Protobuf => {
            let envelope = machinery::protobuf::open(body);
            let document = envelope.and_then(|envelope| {
                machinery::protobuf::decode(envelope.raw, &envelope.meta, schema.root())
            });
            return document.map_err(|error| Status::bad_request(error.to_string()));
        }
        Media::Json => body,
    };
    let mut report = machinery::json::Report::ignoring();
    let found = machinery::json::type_meta(json).map_err(|error| {
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    })?;
    if !found.kind.is_empty() && found.kind != "DeleteOptions" {
        let (kind, version) =
            (machinery::field::go_quote(&found.kind), machinery::field::go_quote(&found.api_version));
        return Err(Status::bad_request(format!(
            "no kind {kind} is registered for version {version} in scheme \
             \"pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    machinery::json::decode(json, schema.root(), &mut report)
        .map_err(|error| Status::bad_request(error.to_string()))
}

/// What somebody who deletes without saying what happens to dependents is told.
pub fn warning(served: &Served, options: &Options) -> Option<&'static str> {
    let unsaid = options.orphan.is_none() && options.propagation.is_none();
    (unsaid && served.is("batch", "jobs")).then_some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
         set propagationPolicy=Orphan to suppress this warning",
    )
}

/// Removes one object.
pub async fn delete(request: Request<'_>, options: &Options) -> Result<Deleted, Status> {
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
        admit(request, options, &old).await?;
        check_preconditions(request, options, &current)?;
        let step = plan(request, options, &old);
        if let Some(deleted) = carry_out(request, options, step, (&current, &old)).await? {
            return Ok(deleted);
        }
        caught_up = false;
    }
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Err(Status::conflict(request.served.resource(), request.name, why))
}

async fn admit(request: Request<'_>, options: &Options, old: &Value) -> Result<(), Status> {
    let mut review = request.review(Operation::Delete, Value::Null, old, request.name);
    review.is_dry_run = options.dry_run;
    request.admit(&mut review).await?;
    request.confirm(&mut review).await
}

/// 409 if the object is not the one, or not as, the caller says.
pub fn check_preconditions(request: Request<'_>, options: &Options, current: &Entry) -> Result<(), Status> {
    let header = current.object().header();
    let kind = request.served.group_kind();
    if let Some(uid) = &options.uid
        && *uid != header.uid
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            header.uid
        );
        return Err(Status::conflict(kind, request.name, &why));
    }
    if let Some(version) = &options.resource_version
        && *version != header.revision.to_string()
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            header.revision
        );
        return Err(Status::conflict(kind, request.name, &why));
    }
    Ok(())
}

/// What a deletion does next.
#[derive(Debug)]
enum Step {
    /// Nothing: it is on its way out already.
    Wait,
    /// The object is marked; somebody else removes it.
    Mark(Value),
    /// The object goes now; this is its last state.
    Remove(Value),
}

fn plan(request: Request<'_>, options: &Options, old: &Value) -> Step {
    let mut object = old.clone();
    let now = request.core.env.clock.now().secs();
    if definitions::is_definition(request.served) && old.at(&["metadata", "deletionTimestamp"]).is_null() {
        // Its objects go first; that is somebody else's work.
        definitions::mark_deleted(&mut object, now);
        return Step::Mark(object);
    }
    let finalizers = finalizers(request.served, options, old);
    let metadata = object.entry("metadata");
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.set("finalizers", finalizers.into_iter().map(Value::from).collect::<Vec<_>>());
    }
    let grace = grace(request.served, options, old);
    let already = old.at(&["metadata", "deletionGracePeriodSeconds"]).as_int();
    let marked = !old.at(&["metadata", "deletionTimestamp"]).is_null();
    match (marked, grace) {
        (false, grace) => mark(&mut object, now, grace),
        // Being deleted already: the time that is left may only become shorter.
        (true, grace) if already.is_some_and(|already| grace < already) => {
            let ends = Timestamp::parse(old.at(&["metadata", "deletionTimestamp"]).str_or_empty());
            let began = ends.map_or(now, |ends| ends.secs - already.unwrap_or(0));
            let metadata = object.entry("metadata");
            let ends = (began + grace).max(if grace == 0 { began } else { now });
            metadata.set("deletionTimestamp", Timestamp::from_secs(ends).to_rfc3339());
            metadata.set("deletionGracePeriodSeconds", grace);
        }
        // Marked by others than deletions: those of definitions and namespaces.
        (true, _) if already.is_none() => metadata.set("deletionGracePeriodSeconds", 0),
        (true, _) => {}
    }
    if request.served.is("", "namespaces") {
        object.entry("metadata").remove("deletionGracePeriodSeconds");
        object.entry("status").set("phase", "Terminating");
    }
    let changed = object != *old;
    if is_finished(request.served, &object) {
        Step::Remove(object)
    } else if changed {
        Step::Mark(object)
    } else {
        Step::Wait
    }
}

fn mark(object: &mut Value, now: i64, grace: i64) {
    let metadata = object.entry("metadata");
    metadata.set("deletionTimestamp", Timestamp::from_secs(now + grace).to_rfc3339());
    metadata.set("deletionGracePeriodSeconds", grace);
    if let Some(generation) = metadata.get("generation").as_int().filter(|generation| *generation > 0) {
        metadata.set("generation", generation + 1);
    }
}

/// Seconds the object gets to end by itself.
fn grace(served: &Served, options: &Options, old: &Value) -> i64 {
    if !served.rules.policy().graceful_deletion {
        return 0;
    }
    let wanted = options.grace.or(old.at(&["spec", "terminationGracePeriodSeconds"]).as_int()).unwrap_or(0);
    // What runs nowhere has nothing to end.
    let unbound = old.at(&["spec", "nodeName"]).str_or_empty().is_empty();
    let phase = old.at(&["status", "phase"]).str_or_empty();
    if unbound || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    if wanted < 0 { 1 } else { wanted }
}

fn finalizers(served: &Served, options: &Options, old: &Value) -> Vec<String> {
    let before: Vec<&str> =
        old.at(&["metadata", "finalizers"]).items().iter().filter_map(Value::as_str).collect();
    let default_orphan = ORPHANED_BY_DEFAULT.iter().any(|(group, plural)| served.is(group, plural));
    let (orphan, foreground) = match (options.orphan, options.propagation) {
        (Some(orphan), _) => (orphan, false),
        (None, Some(propagation)) => {
            (propagation == Propagation::Orphan, propagation == Propagation::Foreground)
        }
        (None, None) => {
            let has = |name: &str| before.contains(&name);
            (has(ORPHAN) || (default_orphan && !has(FOREGROUND)), has(FOREGROUND))
        }
    };
    let mut after: Vec<String> = before
        .iter()
        .filter(|name| **name != ORPHAN && **name != FOREGROUND)
        .map(|name| (*name).to_owned())
        .collect();
    if orphan {
        after.push(ORPHAN.to_owned());
    } else if foreground {
        after.push(FOREGROUND.to_owned());
    }
    after
}

/// Whether an object is to be deleted and nothing holds it any more.
pub fn is_finished(served: &Served, object: &Value) -> bool {
    let metadata = object.get("metadata");
    !metadata.get("deletionTimestamp").is_null()
        && metadata.get("finalizers").items().is_empty()
        && metadata.get("deletionGracePeriodSeconds").as_int().unwrap_or(0) == 0
        && (!served.is("", "namespaces") || object.at(&["spec", "finalizers"]).items().is_empty())
}

async fn carry_out(
    request: Request<'_>,
    options: &Options,
    step: Step,
    (current, old): (&Arc<Entry>, &Value),
) -> Result<Option<Deleted>, Status> {
    let mut object = match step {
        Step::Wait => return Ok(Some(Deleted::Object(current.clone()))),
        Step::Remove(object) | Step::Mark(object) if options.dry_run => {
            return answer(request, &object, current.revision()).map(Some);
        }
        Step::Remove(object) => {
            let Some(revision) = remove(request, current, old).await? else { return Ok(None) };
            // What gets no time to end is never marked: its last state is the one it had.
            let graceful = request.served.rules.policy().graceful_deletion;
            return answer(request, if graceful { &object } else { old }, revision).map(Some);
        }
        Step::Mark(object) => object,
    };
    request.canonical(&mut object);
    let commit = Commit {
        key: request.store_key(request.name)?,
        value: Some(request.stored(&object).await?),
        ttl_secs: request.served.ttl_secs(),
        expected: Some(current.revision()),
        also: Txn::default(),
    };
    match request.core.commit(commit).await? {
        Committed::Done { entry: Some(entry), .. } => Ok(Some(Deleted::Object(request.shown(entry).await?))),
        _ => Ok(None),
    }
}

fn answer(request: Request<'_>, object: &Value, revision: u64) -> Result<Deleted, Status> {
    let with_object = ANSWERED_WITH_OBJECT.iter().any(|(group, plural)| request.served.is(group, plural));
    if !with_object {
        return Ok(Deleted::Gone(object.at(&["metadata", "uid"]).str_or_empty().to_owned()));
    }
    let mut object = object.clone();
    request.canonical(&mut object);
    stored::unwritten(&object, revision).map(Deleted::Object)
}

/// Takes an object out of the store, if it is still as it was; the revision of its end.
pub async fn remove(request: Request<'_>, current: &Arc<Entry>, old: &Value) -> Result<Option<u64>, Status> {
    let commit = Commit {
        key: request.store_key(request.name)?,
        value: None,
        ttl_secs: None,
        expected: Some(current.revision()),
        also: services::release(request.served, old),
    };
    match request.core.commit(commit).await? {
        Committed::Done { revision, .. } => Ok(Some(revision)),
        Committed::Changed | Committed::Also => Ok(None),
    }
}

/// The `Status` that answers a finished deletion.
pub fn success(served: &Served, name: &str, uid: &str) -> Value {
    let mut details = Value::object();
    details.set("name", name);
    if !served.group.is_empty() {
        details.set("group", served.group.as_str());
    }
    details.set("kind", served.plural.as_str());
    details.set("uid", uid);
    Value::from([
        ("kind", Value::from("Status")),
        ("apiVersion", Value::from("v1")),
        ("metadata", Value::object()),
        ("status", Value::from("Success")),
        ("details", details),
    ])
}

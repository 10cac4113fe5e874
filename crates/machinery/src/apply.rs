//! Who manages which fields, and server-side apply.
//!
//! [`track_update`] answers the `managedFields` of an object after any write that is no apply: whoever changed a field
//! manages it from then on. [`apply`] merges what a client wants into an object: it removes what the client wanted before
//! and wants no more, and refuses to change what others manage unless it is forced to.
//!
//! Documents are canonical; a created object is compared with the empty one of its kind ([`empty`]). Both functions work on
//! built-in kinds and on custom resources, as their schema says.

mod compare;
mod created;
mod element;
mod form;
mod managers;
mod merge;
mod remove;
mod set;
mod steady;
mod unowned;
mod validate;

pub use managers::keep_times;
pub use set::{Node, Set};
pub use unowned::merge_unowned;

use self::compare::{Changes, compare};
use self::managers::{Entry, Managers, Operation};
use crate::schema::TypeRef;
use crate::status::{Cause, Reason};
use crate::{Status, Value, json};

/// How many managers that update an object are remembered one by one; older ones are folded into one.
const MAX_UPDATERS: usize = 10;

/// The manager that older updaters are folded into.
const ANCIENT: &str = "ancient-changes";

/// The manager of what an object had before its first apply, if nobody was known to manage anything.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Where `kubectl apply` of old remembers what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What nobody manages, because the server alone sets it.
const UNMANAGED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// A write, as far as managing fields is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The type of the object.
    pub ty: TypeRef<'a>,
    /// `fieldManager`, or what stands for it.
    pub manager: &'a str,
    /// The group and version that the object is written in.
    pub api_version: &'a str,
    /// The subresource that is written; empty for the object itself.
    pub subresource: &'a str,
    /// Now, as RFC 3339.
    pub time: &'a str,
    /// Fields that this door does not write (`status`, `metadata.labels`): nobody comes to manage them through it.
    pub ignored: &'a [&'a str],
}

/// What an apply makes of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object, to be read by its schema and defaulted as any body; `None` if the apply changes nothing in it.
    pub document: Option<Value>,
    /// Its `managedFields`; `Null` if there are none.
    pub managed_fields: Value,
}

/// The object that a created one is compared with.
pub fn empty(ty: TypeRef<'_>, api_version: &str, kind: &str) -> Value {
    let mut document = ty.zero();
    document.set("kind", kind);
    document.set("apiVersion", api_version);
    json::canonicalize(&mut document, ty);
    document
}

/// The `managedFields` of an object after an update. `live` is the object before (see [`empty`] for creates) and `new`
/// after it, both with the `managedFields` they came with. `Null` means that there are none.
pub fn track_update(live: &Value, new: &Value, write: Write<'_>) -> Value {
    if let Some(fields) = steady::track(live, new, write) {
        return fields;
    }
    let is_create = live.at(&["metadata", "uid"]).str_or_empty().is_empty();
    if is_create && let Some(fields) = created::track(live, new, write) {
        return fields;
    }
    let mut managers = Managers::of_update(live, new, !write.subresource.is_empty());
    // Once managing was switched off for an object, only an apply switches it on again.
    if managers.is_empty() && !is_create {
        return Value::Null;
    }
    update(&mut managers, live, new, write);
    managers.cap(MAX_UPDATERS, ANCIENT);
    managers.into_value()
}

/// Notes in `managers` who manages what after an update.
fn update(managers: &mut Managers, live: &Value, new: &Value, write: Write<'_>) {
    let changes = changes_of(live, new, write);
    if changes.is_none() {
        return;
    }
    managers.take_over(&changes, write.api_version, None);
    let mut own = changes.added;
    own.unite(&changes.modified);
    own.subtract(&unmanaged());
    if own.is_empty() {
        return;
    }
    let entry = managers.entry(Entry::new(write, Operation::Update));
    if entry.fields.is_empty() {
        entry.fields = own;
    } else {
        entry.fields.unite(&own);
    }
    entry.time = Some(write.time.into());
}

/// What differs between two states of an object, without `managedFields` and what the write does not touch.
fn changes_of(live: &Value, new: &Value, write: Write<'_>) -> Changes {
    let mut changes = compare(live, new, write.ty);
    let mut hidden = Set::default();
    hidden.insert(&["metadata", "managedFields"]);
    for path in write.ignored {
        hidden.insert(&path.split('.').collect::<Vec<_>>());
    }
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        set.subtract_deeply(&hidden);
    }
    changes
}

fn unmanaged() -> Set {
    let mut set = Set::default();
    for path in UNMANAGED {
        set.insert(path);
    }
    set
}

/// Applies what a client wants (`config`, as it came) to an object.
pub fn apply(live: &Value, config: &Value, force: bool, write: Write<'_>) -> Result<Applied, Status> {
    check_config(config, write)?;
    let mut managers = Managers::of_object(live);
    if managers.is_empty() {
        let kind = live.get("kind").str_or_empty();
        let before = Write { manager: BEFORE_FIRST_APPLY, ..write };
        update(&mut managers, &empty(write.ty, write.api_version, kind), live, before);
    }
    let last_applied = live.at(&["metadata", "annotations", LAST_APPLIED]).as_str();
    let migrates = write.manager == "kubectl";
    let applied = match merge_config(live, config, managers.clone(), (force, write)) {
        Err(Refusal::Conflicts(conflicts)) if migrates && last_applied.is_some() => {
            let allowed = owned_by_last_applied(live, last_applied.unwrap_or_default(), write);
            let rest = without(conflicts, &allowed);
            if !rest.is_empty() {
                return Err(conflict_status(&rest));
            }
            merge_config(live, config, managers, (true, write))
        }
        other => other,
    };
    let mut applied = applied.map_err(Refusal::into_status)?;
    if let (true, Some(_), Some(document)) = (migrates, last_applied, &mut applied.document) {
        *document.at_mut(&["metadata", "annotations", LAST_APPLIED]) = last_applied_of(config).into();
    }
    Ok(applied)
}

/// Why an apply is refused.
enum Refusal {
    Conflicts(Vec<Conflict>),
    Other(Status),
}

impl Refusal {
    fn into_status(self) -> Status {
        match self {
            Refusal::Conflicts(conflicts) => conflict_status(&conflicts),
            Refusal::Other(status) => status,
        }
    }
}

/// Fields that an apply would take from another manager.
struct Conflict {
    manager: String,
    fields: Set,
}

fn merge_config(
    live: &Value,
    config: &Value,
    mut managers: Managers,
    (force, write): (bool, Write<'_>),
) -> Result<Applied, Refusal> {
    validate::validate(config, write.ty, true).map_err(|errors| {
        let metadata = config.get("metadata");
        let object = format!(
            "{}/{}; {}",
            metadata.get("namespace").str_or_empty(),
            metadata.get("name").str_or_empty(),
            kind_text(config)
        );
        Refusal::Other(failure(format!("failed to create typed patch object ({object}): {errors}")))
    })?;
    let merged = merge::merge(live, config, write.ty);
    let mut wanted = compare::field_set(config, write.ty);
    let mut ignored = Set::default();
    for path in write.ignored {
        ignored.insert(&path.split('.').collect::<Vec<_>>());
    }
    wanted.subtract_deeply(&ignored);
    let own = Entry::new(write, Operation::Apply);
    let before = managers.get(&own).map(|entry| entry.fields.clone()).unwrap_or_default();
    let entry = managers.entry(own.clone());
    entry.fields = wanted;
    let document = if before.is_empty() {
        merged
    } else {
        remove::prune(merged, &before, &managers.all_fields(write.api_version), write.ty)
    };
    let changes = changes_of(live, &document, write);
    let conflicts = managers.conflicts(&changes, write.api_version, &own);
    if !force && !conflicts.is_empty() {
        return Err(Refusal::Conflicts(conflicts));
    }
    managers.take_over(&changes, write.api_version, Some(&own));
    let changed = !changes.is_none();
    let entry = managers.entry(own.clone());
    entry.fields.subtract(&unmanaged());
    if changed {
        entry.time = Some(write.time.into());
    }
    managers.drop_empty();
    managers.cap(MAX_UPDATERS, ANCIENT);
    Ok(Applied { document: changed.then_some(document), managed_fields: managers.into_value() })
}

fn check_config(config: &Value, write: Write<'_>) -> Result<(), Status> {
    if !config.at(&["metadata", "managedFields"]).is_empty() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let version = config.get("apiVersion").str_or_empty();
    if version != write.api_version {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            write.api_version
        )));
    }
    Ok(())
}

/// `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`
fn kind_text(document: &Value) -> String {
    let version = document.get("apiVersion").str_or_empty();
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={}", document.get("kind").str_or_empty())
}

/// What `kubectl apply` of old applied and the object still has.
fn owned_by_last_applied(live: &Value, annotation: &str, write: Write<'_>) -> Set {
    let Ok(last) = json::parse(annotation.as_bytes()) else { return Set::default() };
    if last.get("apiVersion").str_or_empty() != write.api_version
        || validate::validate(&last, write.ty, false).is_err()
    {
        return Set::default();
    }
    let changes = compare(&last, live, write.ty);
    let mut set = compare::field_set(&last, write.ty);
    for changed in [&changes.added, &changes.modified, &changes.removed] {
        set.subtract(changed);
    }
    set
}

/// What `kubectl apply` of old would remember of a configuration.
fn last_applied_of(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.entry("metadata").get_mut("annotations") {
        annotations.remove(LAST_APPLIED);
    }
    let mut text = json::to_string(&config);
    text.push('\n');
    text
}

fn without(conflicts: Vec<Conflict>, allowed: &Set) -> Vec<Conflict> {
    let rest = conflicts.into_iter().map(|mut conflict| {
        conflict.fields.subtract(allowed);
        conflict
    });
    rest.filter(|conflict| !conflict.fields.is_empty()).collect()
}

fn conflict_status(conflicts: &[Conflict]) -> Status {
    let mut causes = Vec::new();
    let mut groups = Vec::new();
    for conflict in conflicts {
        let paths = conflict.fields.paths();
        let lines: Vec<String> = paths.iter().map(|path| format!("- {path}")).collect();
        groups.push(format!("conflicts with {}:\n{}", conflict.manager, lines.join("\n")));
        causes.extend(paths.into_iter().map(|field| Cause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {}", conflict.manager),
            field,
        }));
    }
    let text = match causes.as_slice() {
        [only] => format!("1 conflict: {}: {}", only.message, only.field),
        many => format!("{} conflicts: {}", many.len(), groups.join("\n")),
    };
    let status = Status::new(409, Reason::Conflict, format!("Apply failed with {text}"));
    causes.into_iter().fold(status, Status::caused_by)
}

/// 500 with nothing but a message: upstream does not know these for the client's fault.
fn failure(message: String) -> Status {
    Status::new(500, Reason::Unknown, message)
}

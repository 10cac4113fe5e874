//! The columns of the tables of all kinds: what they are called and what is said of them.

use crate::Column;

pub(crate) mod access;
pub(crate) mod apps;
pub(crate) mod batch;
pub(crate) mod core;
pub(crate) mod networking;
pub(crate) mod storage;

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

const fn name(priority: i32) -> Column {
    Column { name: "Name", kind: "string", format: "name", description: NAME, priority }
}

const fn age() -> Column {
    plain("Age", "string", CREATED)
}

const fn plain(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 0 }
}

const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column { name, kind, format: "", description, priority: 1 }
}

/// The columns of a kind that has none of its own.
pub(crate) const DEFAULT: &[Column] = &[name(0), plain("Created At", "date", CREATED)];

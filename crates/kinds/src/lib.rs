//! The rules of each kind: defaults, what a write must look like, what an update may change, what a table shows.
//!
//! One file per kind, one line in [`registry::rules`]. Rules see documents that were already decoded and checked against
//! the kind's schema (names, types), in canonical order. They do no I/O and know no time but what they are handed.
//!
//! Defaults and preparations may add members at the end of their object: whoever calls them brings the document back
//! into canonical order before it is encoded.

use machinery::Value;
use machinery::field::Errors;
use machinery::json::Parts;

#[cfg(test)]
mod checks;
mod columns;
mod conditions;
pub mod diff;
mod domain_path;
pub mod internal;
pub mod label_selector;
pub mod metadata;
pub mod place;
pub mod pod_spec;
pub mod policy;
pub mod policy_group;
pub mod quota;
pub mod rbac;
pub mod registry;
pub mod resource;
pub mod review;
pub mod scheduling;
pub mod storage;
pub mod table;

pub mod admission;
pub mod apps;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod custom;
pub mod discovery;
pub mod extension;
pub mod flowcontrol;
pub mod networking;
pub mod node_group;

pub use place::Place;
pub use policy::{NameRule, Policy, SecondLook};
pub use registry::rules;

/// Through which door a write comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door<'a> {
    /// The object itself.
    Main,
    /// A subresource that writes a part of the object: `status`, `resize`, `approval`, …
    Sub(&'a str),
}

impl Door<'_> {
    /// Whether this is the `status` subresource.
    pub fn is_status(self) -> bool {
        self == Door::Sub("status")
    }
}

/// Everything that is particular about a kind. The defaults of the methods fit a kind without particulars.
pub trait Kind: Sync {
    /// How objects of the kind are named and written at large.
    fn policy(&self) -> Policy;

    /// Fills in what was left out. Runs on every document of the kind that comes in.
    fn default(&self, _object: &mut Value) {}

    /// Before a create is checked: removes what a client may not set (`status`), sets `metadata.generation` where the
    /// kind counts generations.
    fn prepare_create(&self, object: &mut Value) {
        policy::prepare_create(self.policy(), object);
    }

    /// What is wrong with a new object, beyond its metadata.
    fn check(&self, _object: Place<'_>) {}

    /// Before an update through `door` is checked: takes over from `old` what this door may not change, counts
    /// `metadata.generation` up if what it counts changed.
    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        policy::prepare_update(self.policy(), object, old, door);
    }

    /// What is wrong with an update, beyond its metadata. A kind that says nothing of its own checks the new object as
    /// it would be checked on create.
    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door == Door::Main {
            self.check(object);
        }
    }

    /// All that is wrong with a new object.
    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let policy = self.policy();
        place::inspect(object, errors, |root| {
            metadata::check(root.get("metadata"), &policy);
            self.check(root);
        });
    }

    /// All that is wrong with an update.
    fn validate_update(&self, object: &Value, old: &Value, door: Door<'_>, errors: &mut Errors) {
        let policy = self.policy();
        place::inspect(object, errors, |root| {
            let old_metadata = old.get("metadata");
            metadata::check_common_update(root.get("metadata"), old_metadata, &policy);
            if policy.second_look != SecondLook::No {
                metadata::check_update(root.get("metadata"), old_metadata, &policy);
            }
            if policy.second_look == SecondLook::All && door == Door::Main {
                metadata::check(root.get("metadata"), &policy);
            }
            self.check_update(root, old, door);
        });
    }

    /// What the writer should be told although the write is right.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Fields that may be selected on beside `metadata.name` and `metadata.namespace`: names and their values here.
    fn selectable(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The parts of an object that [`Kind::selectable`] looks at.
    fn selectable_parts(&self) -> Parts {
        Parts::All
    }

    /// The names that [`Kind::selectable`] answers for any object of the kind.
    fn selectable_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// The selectable field by which many ask for a few objects each, as every node does for its pods: those are found
    /// without looking at the others.
    fn lanes(&self) -> Option<&'static str> {
        None
    }

    /// The columns of its table.
    fn columns(&self) -> &'static [Column] {
        columns::DEFAULT
    }

    /// The cells of its row, one for each column.
    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        table::default_row(object)
    }

    /// The parts of an object that [`Kind::row`] looks at. Worth naming where tables are long and objects are large.
    fn row_parts(&self) -> Parts {
        Parts::All
    }
}

/// A column of a kind's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// OpenAPI format: `name` for names, else mostly empty.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0 is always shown, 1 only in wide output.
    pub priority: i32,
}

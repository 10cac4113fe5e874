//! Custom resources: the rules of a kind that a definition describes, in one of its versions.

mod embedded;
mod scale;

use std::sync::Arc;

use machinery::field::{self, Error, Errors, Path};
use machinery::structural::{Expressions, Structural};
use machinery::{Value, names};
use smol_str::SmolStr;

pub use scale::Scale;

use crate::place::{self, Place};
use crate::policy::{self, NameRule, Policy};
use crate::{Door, Kind, metadata};

/// A kind that a definition describes, in one version.
#[derive(Clone, Debug)]
pub struct Custom {
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` has a door of its own.
    pub status: bool,
    /// Where its scale stands, if it has one.
    pub scale: Option<Scale>,
    /// What its objects look like.
    pub schema: Structural,
    /// What expressions ask of them.
    pub rules: Option<Arc<Expressions>>,
}

impl Custom {
    /// Holds expressions against an object that is as the schema wants it.
    fn check_rules(&self, object: &Value, old: Option<&Value>, errors: &mut Errors) {
        let Some(rules) = &self.rules else { return };
        if errors.iter().any(|error| prevents_rules(error.kind)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                       errors to complete validation";
            errors.push(Error::invalid(&Path::new("<nil>"), &Value::Null, why));
        } else {
            errors.extend(rules.check(&self.schema, object, old).errors);
        }
    }

    fn check_document(&self, root: Place<'_>, old: Option<&Value>, door: Door<'_>) {
        for error in self.schema.check(&Path::root(), root.value(), old) {
            root.report(error);
        }
        if let Some(scale) = &self.scale {
            scale.check(root, !door.is_status());
        }
        embedded::check(root, &self.schema);
        let was_wrong = old.is_some_and(|old| !self.schema.check_lists(old).is_empty());
        if !was_wrong {
            for error in self.schema.check_lists(root.value()) {
                root.report(error);
            }
        }
    }
}

impl Kind for Custom {
    fn policy(&self) -> Policy {
        let policy = if self.namespaced {
            Policy::namespaced(NameRule::Subdomain)
        } else {
            Policy::cluster(NameRule::Subdomain)
        };
        let policy = policy.conditional_update().any_finalizer().generation();
        Policy { status: self.status, ..policy }
    }

    fn default(&self, object: &mut Value) {
        machinery::structural::drop_nulls(object, &self.schema);
        self.schema.fill(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return keep_all_but_status(object, old);
        }
        if self.status {
            policy::keep(object, old, "status");
        }
        policy::count_generation(object, old, |object, old| {
            old.members().chain(object.members()).all(|(name, _)| {
                name == "metadata" || name == "apiVersion" || object.get(name) == old.get(name)
            })
        });
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        let policy = self.policy();
        place::inspect(object, errors, |root| {
            metadata::check(root.get("metadata"), &policy);
            self.check_document(root, None, Door::Main);
        });
        self.check_rules(object, None, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, door: Door<'_>, errors: &mut Errors) {
        let policy = self.policy();
        place::inspect(object, errors, |root| {
            let old_metadata = old.get("metadata");
            metadata::check_common_update(root.get("metadata"), old_metadata, &policy);
            metadata::check_update(root.get("metadata"), old_metadata, &policy);
            self.check_document(root, Some(old), door);
        });
        self.check_rules(object, Some(old), errors);
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let finalizers = |object: &Value| -> Vec<SmolStr> {
            let list = object.at(&["metadata", "finalizers"]).items().iter();
            list.filter_map(Value::as_str).map(SmolStr::new).collect()
        };
        let before = old.map(finalizers).unwrap_or_default();
        let mut added = finalizers(object);
        added.retain(|name| !before.contains(name));
        added.sort();
        added.dedup();
        let mut warnings: Vec<String> = added.iter().filter_map(|name| bare_finalizer(name)).collect();
        if let (Some(rules), Some(old)) = (&self.rules, old) {
            warnings.extend(rules.check(&self.schema, object, Some(old)).warnings);
        }
        warnings
    }
}

/// Whether expressions would be asked about something that they do not expect.
fn prevents_rules(kind: field::Kind) -> bool {
    use field::Kind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// What is told of a finalizer that does not say whose it is.
fn bare_finalizer(name: &str) -> Option<String> {
    let known = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    (!name.contains('/') && !known && names::qualified_name(name).is_empty()).then(|| {
        format!(
            "metadata.finalizers: {}: prefer a domain-qualified finalizer name to avoid accidental conflicts with \
             other finalizer writers",
            machinery::field::go_quote(name)
        )
    })
}

/// Through the door of the status nothing else comes in, not even metadata.
fn keep_all_but_status(object: &mut Value, old: &Value) {
    let status = object.remove("status");
    let managed = object.entry("metadata").remove("managedFields");
    *object = old.clone();
    object.remove("status");
    if let Some(status) = status {
        object.set("status", status);
    }
    let metadata = object.entry("metadata");
    metadata.remove("managedFields");
    if let Some(managed) = managed {
        metadata.set("managedFields", managed);
    }
}

#[cfg(test)]
mod tests;

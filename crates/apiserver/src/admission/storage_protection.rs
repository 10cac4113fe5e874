//! `StorageObjectInUseProtection`: claims and volumes do not vanish while somebody uses them.

use machinery::Value;

use super::{Operation, Plugin, Review, Step, Surroundings};

#[derive(Debug)]
pub(super) struct StorageProtection;

/// The finalizer that a new object of the resource gets.
fn finalizer(review: &Review<'_>) -> Option<&'static str> {
    if review.served.is("", "persistentvolumeclaims") {
        Some("kubernetes.io/pvc-protection")
    } else if review.served.is("", "persistentvolumes") {
        Some("kubernetes.io/pv-protection")
    } else if review.served.is("storage.k8s.io", "volumeattributesclasses") {
        Some("kubernetes.io/vac-protection")
    } else {
        None
    }
}

impl Plugin for StorageProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Create && review.subresource.is_empty() && finalizer(review).is_some()
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        let finalizer = finalizer(review)?;
        let finalizers = review.object.entry("metadata").entry("finalizers");
        if !finalizers.items().iter().any(|held| held.as_str() == Some(finalizer)) {
            finalizers.make_array().push(Value::from(finalizer));
        }
        None
    }
}

//! `DefaultStorageClass` and `DefaultIngressClass`: who names no class gets the one that is marked as default.

use machinery::Value;

use super::{Operation, Plugin, Review, Step, Surroundings};

/// Classes of storage marked so are the default; the second is the mark's old name.
const STORAGE_MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const INGRESS_MARKS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];

#[derive(Debug)]
pub(super) struct DefaultStorageClass;

#[derive(Debug)]
pub(super) struct DefaultIngressClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "persistentvolumeclaims") && is_new(review)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let annotation = ["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"];
        let field = ["spec", "storageClassName"];
        set(&mut review.object, &annotation, &field, || {
            default_of(around, "storage.k8s.io/storageclasses", &STORAGE_MARKS)
        });
        None
    }
}

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("networking.k8s.io", "ingresses") && is_new(review)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let annotation = ["metadata", "annotations", "kubernetes.io/ingress.class"];
        let field = ["spec", "ingressClassName"];
        set(&mut review.object, &annotation, &field, || {
            default_of(around, "networking.k8s.io/ingressclasses", &INGRESS_MARKS)
        });
        None
    }
}

fn is_new(review: &Review<'_>) -> bool {
    review.operation == Operation::Create && review.subresource.is_empty()
}

fn set(object: &mut Value, annotation: &[&str], field: &[&str], default: impl FnOnce() -> Option<String>) {
    if object.at(annotation).is_null()
        && object.at(field).is_null()
        && let Some(class) = default()
    {
        *object.at_mut(field) = Value::from(class);
    }
}

/// The class with one of the marks: of several the newest, then the first by name.
fn default_of(around: Surroundings<'_>, collection: &str, marks: &[&str]) -> Option<String> {
    let classes = around.caches.collection(collection)?.snapshot();
    let marked = classes.starting_at("").filter_map(|entry| {
        let document = entry.object().to_value().ok()?;
        let annotations = document.at(&["metadata", "annotations"]);
        let is_marked = marks.iter().any(|mark| annotations.get(mark).str_or_empty() == "true");
        let created = document.at(&["metadata", "creationTimestamp"]).str_or_empty().to_owned();
        is_marked.then(|| (std::cmp::Reverse(created), entry.key().to_owned()))
    });
    marked.min().map(|(_, name)| name)
}

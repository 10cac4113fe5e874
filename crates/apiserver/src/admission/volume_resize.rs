//! `PersistentVolumeClaimResize`: a claim grows only where its class allows it.

use kinds::pod_spec::resources::amount;
use machinery::status::GroupName;
use machinery::{Status, Value};

use super::{Operation, Plugin, Review, Step, Surroundings};

/// The class a claim names by its old annotation.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

#[derive(Debug)]
pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "persistentvolumeclaims")
            && review.subresource.is_empty()
            && review.operation == Operation::Update
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let why = refusal(&review.object, review.old, |class| {
            let classes = around.caches.collection("storage.k8s.io/storageclasses");
            let found = classes.and_then(|classes| classes.get(class));
            let document = found.and_then(|entry| entry.object().to_value().ok());
            document.is_some_and(|class| class.get("allowVolumeExpansion").is_true())
        })?;
        let claims = GroupName { group: "", name: "persistentvolumeclaims" };
        Some(Box::pin(std::future::ready(Err(Status::forbidden(claims, review.name, why)))))
    }
}

fn class_of(claim: &Value) -> &str {
    let named = claim.at(&["metadata", "annotations", CLASS]).as_str();
    named.unwrap_or_else(|| claim.at(&["spec", "storageClassName"]).str_or_empty())
}

/// Why a claim may not become what it is to be.
fn refusal(new: &Value, old: &Value, expands: impl Fn(&str) -> bool) -> Option<&'static str> {
    let size = |claim: &Value| amount(claim.at(&["spec", "resources", "requests", "storage"]));
    if size(new) <= size(old) {
        return None;
    }
    if old.at(&["status", "phase"]).as_str() != Some("Bound") {
        return Some("Only bound persistent volume claims can be expanded");
    }
    let class = class_of(new);
    let allowed = !class.is_empty() && class == class_of(old) && expands(class);
    (!allowed).then_some(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_grow_where_their_class_allows_it() {
        let claim = |size: &str, class: &str, phase: &str| {
            let json = format!(
                r#"{{"spec":{{"storageClassName":"{class}","resources":{{"requests":{{"storage":"{size}"}}}}}},"status":{{"phase":"{phase}"}}}}"#
            );
            machinery::json::parse(json.as_bytes()).unwrap()
        };
        let expands = |class: &str| class == "fast";
        let cases = [
            ("1Gi", "slow", "Pending", None),
            ("2Gi", "fast", "Bound", None),
            ("2Gi", "fast", "Pending", Some("Only bound")),
            ("2Gi", "slow", "Bound", Some("only dynamically")),
            ("2Gi", "", "Bound", Some("only dynamically")),
        ];
        for (size, class, phase, expected) in cases {
            let found = refusal(&claim(size, class, phase), &claim("1Gi", class, phase), expands);
            assert_eq!(found.is_some(), expected.is_some(), "{size} {class} {phase}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        }
    }
}

//! `NamespaceLifecycle`: nothing is made in a namespace that does not exist or is going away, and the namespaces the
//! system lives in stay.

use machinery::Status;
use machinery::status::{Cause, GroupName};

use super::{Operation, Plugin, Review, Step, Surroundings};

/// Namespaces that cannot be deleted.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

#[derive(Debug)]
pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        let about_namespaces = review.served.group.is_empty() && review.served.plural == "namespaces";
        match review.operation {
            Operation::Delete => about_namespaces,
            Operation::Create => !about_namespaces && !review.namespace.is_empty(),
            Operation::Update | Operation::Connect => false,
        }
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        // Access reviews must work in namespaces that do not exist.
        if review.served.group == "authorization.k8s.io" {
            return None;
        }
        let outcome = match review.operation {
            Operation::Delete => may_be_deleted(review),
            _ => may_be_written_to(review, around),
        };
        match outcome {
            Ok(()) => None,
            Err(status) => Some(Box::pin(std::future::ready(Err(status)))),
        }
    }
}

fn may_be_deleted(review: &Review<'_>) -> Result<(), Status> {
    if PROTECTED.contains(&review.name) {
        let namespaces = GroupName { group: "", name: "namespaces" };
        return Err(Status::forbidden(namespaces, review.name, "this namespace may not be deleted"));
    }
    Ok(())
}

fn may_be_written_to(review: &Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let namespaces = around.caches.collection("core/namespaces");
    let Some(namespace) = namespaces.and_then(|namespaces| namespaces.get(review.namespace)) else {
        let resource = GroupName { group: "", name: "namespaces" };
        return Err(Status::not_found(resource, review.namespace));
    };
    if !namespace.object().header().deleting {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        review.namespace
    );
    let resource = GroupName { group: &review.served.group, name: &review.served.plural };
    Err(Status::forbidden(resource, review.name, &why).caused_by(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {} is being terminated", review.namespace),
        field: "metadata.namespace".to_owned(),
    }))
}

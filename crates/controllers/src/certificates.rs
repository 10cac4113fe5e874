//! Requests for certificates: those of nodes for themselves are approved, approved ones are signed by the cluster's own
//! authority, and old ones are removed.

pub mod authority;
pub mod der;
pub mod plan;
pub mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use client::driver::{Controller, Decisions};
use client::{Cache, Client, Key, resources};
use env::WallTime;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Status;
use serde_json::{Value, json};

use crate::context::{Context, enqueue_changed};
use authority::Authority;
use plan::View;
use request::Request;

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let requests = context.cache(resources::CERTIFICATE_SIGNING_REQUESTS);
    enqueue_changed(&requests, &queue);
    let name = "certificate-controller";
    let authority = (!context.config.root_key.0.is_empty())
        .then(|| Authority::open(&context.config.root_ca, &context.config.root_key.0));
    let authority = match authority.transpose() {
        Ok(authority) => authority.map(Arc::new),
        Err(problem) => {
            tracing::error!(problem, "requests for certificates are not signed");
            None
        }
    };
    let controller = Requests { requests: requests.clone(), authority, client: context.client(name) };
    context.driver(controller, &queue, name, name).sees(&requests).start()
}

struct Requests {
    requests: Cache,
    authority: Option<Arc<Authority>>,
    client: Client,
}

impl Requests {
    /// Why a request may be approved without asking anybody, if it may: it is a node's for itself, and whoever made it
    /// is allowed to have such.
    async fn approval(&self, request: &CertificateSigningRequest) -> Result<Option<&'static str>, Status> {
        let spec = &request.spec;
        // What cannot be read is told when it is to be signed.
        let Ok(asked) = Request::read(&spec.request.0) else { return Ok(None) };
        let usages: BTreeSet<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
        if !asked.is_node_client(&spec.signer_name, &usages) {
            return Ok(None);
        }
        let is_own = spec.username.as_deref() == Some(asked.common_name.as_str());
        let own =
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
        let any = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
        for (subresource, message) in [Some(own).filter(|_| is_own), Some(any)].into_iter().flatten() {
            if self.is_allowed(request, subresource).await? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn is_allowed(
        &self,
        request: &CertificateSigningRequest,
        subresource: &str,
    ) -> Result<bool, Status> {
        let spec = &request.spec;
        let review: Value = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
                "resourceAttributes": { "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
                    "verb": "create", "subresource": subresource, "version": "*" },
            },
        });
        let review: SubjectAccessReview = serde_json::from_value(review)
            .map_err(|error| Status::internal(format!("a review cannot be written: {error}")))?;
        let answer = self.client.create("", &review).await?;
        let answer = answer.view::<SubjectAccessReview>()?;
        Ok(answer.status.as_ref().is_some_and(|status| status.allowed))
    }
}

impl Controller for Requests {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "certificate-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.requests.get(key) else { return Ok(None) };
        let typed = entry.object.view::<CertificateSigningRequest>()?;
        let is_new =
            typed.status.as_ref().is_none_or(|status| status.conditions.as_ref().is_none_or(Vec::is_empty));
        let approval = if is_new { self.approval(&typed).await? } else { None };
        Ok(Some(View { object: entry.object.clone(), typed, approval, authority: self.authority.clone() }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}

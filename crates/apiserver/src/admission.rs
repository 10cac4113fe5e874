//! Admission: what the cluster's own rules change in a write, and what they refuse.
//!
//! Every plugin that changes objects runs before any that only checks them, as upstream's do.

mod certificates;
mod default_class;
mod escalation;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod pod_resize;
pub mod pod_security;
mod pod_topology;
mod policies;
mod priority;
mod rounds;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;
mod tolerations;
mod volume_resize;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use machinery::{Status, Value};

use self::rounds::Round;
use crate::authz::Union;
use crate::authz::rbac::Rbac;
use crate::cache::Caches;
use crate::identity::Identity;
use crate::registry::{Registry, Served};

/// What kind of write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a POST to a subresource.
    Create,
    /// A change.
    Update,
    /// A deletion.
    Delete,
    /// A stream to a container or a port.
    Connect,
}

impl Operation {
    /// Its name, as configuration and error texts know it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// A write that is to be admitted.
#[derive(Debug)]
pub struct Review<'a> {
    /// What kind.
    pub operation: Operation,
    /// By whom.
    pub identity: &'a Identity,
    /// Of which resource.
    pub served: &'a Arc<Served>,
    /// Through which subresource; empty for the object itself.
    pub subresource: &'a str,
    /// In which namespace; empty for what belongs to the cluster.
    pub namespace: &'a str,
    /// Its name; empty while it is still to be generated.
    pub name: &'a str,
    /// The object as it is to be; null for deletions.
    pub object: Value,
    /// The object as it is; null for creations.
    pub old: &'a Value,
    /// Whether nothing will be written.
    pub is_dry_run: bool,
    /// What the writer will be told beside the answer.
    pub warnings: Vec<String>,
    /// What the audit log will say of it.
    pub annotations: BTreeMap<String, String>,
}

impl Review<'_> {
    /// Whether the object is one of the resource, not what is posted to a subresource.
    pub fn is_of_resource(&self) -> bool {
        self.served.sub(self.subresource).is_none_or(|sub| sub.kind == self.served.kind)
    }

    /// Notes something for the audit log.
    pub fn note(&mut self, key: &str, text: impl Into<String>) {
        self.annotations.insert(key.to_owned(), text.into());
    }
}

/// What plugins may look at.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// All objects.
    pub caches: &'a Arc<Caches>,
    /// All resources.
    pub registry: &'a ArcSwap<Registry>,
    /// Random names and identifiers.
    pub entropy: &'a env::Entropy,
    /// Time and tasks.
    pub env: &'a env::Env,
    /// Who vouches for those who name no CA of their own, as PEM.
    pub system_roots: &'a [u8],
}

/// What an asynchronous step of a plugin returns.
pub type Step<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

/// One of the cluster's rules.
pub trait Plugin: Send + Sync + fmt::Debug + 'static {
    /// Its name, as configuration and error texts know it.
    fn name(&self) -> &'static str;

    /// Whether it has anything to do with such a write. Plugins without interest cost nothing.
    fn wants(&self, review: &Review<'_>) -> bool;

    /// Changes the object, or refuses it.
    fn mutate<'a>(&'a self, _review: &'a mut Review<'_>, _around: Surroundings<'a>) -> Option<Step<'a>> {
        None
    }

    /// Refuses the object, or lets it pass.
    fn validate<'a>(&'a self, _review: &'a mut Review<'_>, _around: Surroundings<'a>) -> Option<Step<'a>> {
        None
    }
}

/// Notes which plugin refused: its answer does not always say so.
fn told(plugin: &dyn Plugin, status: &Status) {
    tracing::debug!(plugin = plugin.name(), %status, "a write was refused at admission");
}

/// All plugins that are on, in upstream's order.
#[derive(Debug)]
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
    mutating: policies::MutatingPolicies,
    validating: policies::ValidatingPolicies,
    webhooks: webhooks::Webhooks,
}

impl Chain {
    /// Those that are on by default, and NodeRestriction, without which every node could do everything.
    pub fn new(roles: &Arc<Rbac>, authorizer: &Arc<Union>, pods: pod_security::Settings) -> Chain {
        let authorizer = || authorizer.clone();
        Chain {
            plugins: vec![
                Box::new(namespace_lifecycle::NamespaceLifecycle),
                Box::new(limit_ranger::LimitRanger),
                Box::new(service_account::ServiceAccount),
                Box::new(node_restriction::NodeRestriction { authorizer: authorizer() }),
                Box::new(taint_nodes::TaintNodes),
                Box::new(pod_security::PodSecurity::new(pods)),
                Box::new(priority::Priority),
                Box::new(tolerations::DefaultTolerations),
                Box::new(default_class::DefaultStorageClass),
                Box::new(storage_protection::StorageProtection),
                Box::new(volume_resize::PersistentVolumeClaimResize),
                Box::new(runtime_class::RuntimeClass),
                Box::new(certificates::CertificateApproval { authorizer: authorizer() }),
                Box::new(certificates::CertificateSigning { authorizer: authorizer() }),
                Box::new(certificates::CertificateSubjectRestriction),
                Box::new(default_class::DefaultIngressClass),
                Box::new(pod_topology::PodTopologyLabels),
                Box::new(pod_resize::NodeDeclaredFeatureValidator),
                Box::new(pod_resize::PodResizeValidator),
                Box::new(escalation::Escalation::new(roles)),
            ],
            mutating: policies::MutatingPolicies::new(&authorizer()),
            validating: policies::ValidatingPolicies::new(&authorizer()),
            webhooks: webhooks::Webhooks::new(&authorizer()),
        }
    }

    /// Lets every plugin, every policy and every webhook change the object. What policies and webhooks change, plugins
    /// see again, and those policies and webhooks that ask for it.
    pub async fn mutate(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        self.change(review, around).await?;
        let (mut policies, mut webhooks) = (Round::default(), Round::default());
        self.mutating.mutate(review, around, &mut policies).await?;
        self.webhooks.mutate(review, around, &mut webhooks).await?;
        if policies.wants_second() || webhooks.wants_second() {
            self.change(review, around).await?;
            let mut policies = policies.second(&review.object);
            self.mutating.mutate(review, around, &mut policies).await?;
            let mut webhooks = webhooks.second(&review.object);
            self.webhooks.mutate(review, around, &mut webhooks).await?;
        }
        Ok(())
    }

    async fn change(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.wants(review)
                && let Some(step) = plugin.mutate(review, around)
            {
                step.await.inspect_err(|status| told(plugin.as_ref(), status))?;
            }
        }
        Ok(())
    }

    /// Lets every plugin, every policy and every webhook refuse the object.
    pub async fn validate(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.wants(review)
                && let Some(step) = plugin.validate(review, around)
            {
                step.await.inspect_err(|status| told(plugin.as_ref(), status))?;
            }
        }
        self.validating.validate(review, around).await?;
        self.webhooks.validate(review, around).await
    }
}

#[cfg(test)]
pub(crate) mod tests;

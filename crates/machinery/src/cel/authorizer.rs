//! The port to whoever decides what may be done: expressions can ask it.

use std::sync::Arc;

/// Decides what may be done.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// May this be done?
    fn decide(&self, question: &Question) -> Decision;
}

/// What an expression asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The namespace and name of the service account that is asked about; else it is whoever makes the request.
    pub service_account: Option<(String, String)>,
    /// `get`, `create`, …
    pub verb: String,
    /// The path, for what is no resource.
    pub path: String,
    /// The API group.
    pub group: String,
    /// The plural; empty for what is no resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Which objects by their fields.
    pub field_selector: String,
    /// Which objects by their labels.
    pub label_selector: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// Why nobody knows; empty if somebody does.
    pub error: String,
}

/// A question on its way, or its answer.
#[derive(Clone, Debug)]
pub enum Check {
    /// Nothing is asked yet.
    Start(Arc<dyn Authorizer>, Question),
    /// About a path.
    Path(Arc<dyn Authorizer>, Question),
    /// About a group of resources.
    Group(Arc<dyn Authorizer>, Question),
    /// About a resource.
    Resource(Arc<dyn Authorizer>, Question),
    /// The answer.
    Decision(Decision),
}

impl Check {
    /// The type of the variable `authorizer`.
    pub const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
    /// The type of the variable `authorizer.requestResource`.
    pub const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Check::Start(..) => Check::AUTHORIZER,
            Check::Path(..) => "kubernetes.authorization.PathCheck",
            Check::Group(..) => "kubernetes.authorization.GroupCheck",
            Check::Resource(..) => Check::RESOURCE,
            Check::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

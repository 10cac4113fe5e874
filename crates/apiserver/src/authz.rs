//! Authorization: may they?

pub(crate) mod bootstrap;
pub mod config;
pub(crate) mod node;
pub(crate) mod rbac;
pub(crate) mod rules;
pub mod webhook;

use std::sync::Arc;

use env::Env;
use machinery::selector::{FieldSelector, LabelSelector};
use machinery::status::GroupName;
use machinery::{Reason, Status};

use self::rbac::Granted;
use self::webhook::Webhook;
use crate::cache::Caches;
use crate::identity::{Identity, MASTERS};
use crate::remote::Remote;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// `get`, `list`, …
    pub verb: &'a str,
    /// Whether it is about a resource, not about a path.
    pub is_resource: bool,
    /// The path, for what is no resource.
    pub path: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// What a list, a watch or a mass deletion is narrowed to.
    pub selectors: Option<&'a Selectors>,
}

/// Which objects of a collection somebody means. What is malformed narrows nothing.
#[derive(Clone, Debug)]
pub struct Selectors {
    /// By their fields.
    pub fields: FieldSelector,
    /// By their labels.
    pub labels: LabelSelector,
}

impl Selectors {
    /// From the texts of a request; `None` if they are empty.
    pub fn read(fields: &str, labels: &str) -> Option<Selectors> {
        if fields.is_empty() && labels.is_empty() {
            return None;
        }
        Some(Selectors {
            fields: FieldSelector::parse(fields).unwrap_or_default(),
            labels: LabelSelector::parse(labels).unwrap_or_else(|_| LabelSelector::everything()),
        })
    }
}

impl<'a> Attributes<'a> {
    /// Something done to a resource of the cluster: whatever else is known of it is set afterwards.
    pub fn of_resource(identity: &'a Identity, verb: &'a str, resource: GroupName<'a>) -> Attributes<'a> {
        Attributes {
            identity,
            verb,
            is_resource: true,
            path: "",
            group: resource.group,
            resource: resource.name,
            subresource: "",
            namespace: "",
            name: "",
            selectors: None,
        }
    }
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes; the reason may be empty.
    Allow(String),
    /// No, whatever others say; the reason may be empty.
    Deny(String),
    /// Not mine to decide; the reason may be empty.
    NoOpinion(String),
}

/// Decides what requests may be made.
pub trait Authorizer: Send + Sync + std::fmt::Debug + 'static {
    /// May this be done?
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision;

    /// All rules it knows of that hold for somebody in a namespace.
    fn rules_for(&self, _identity: &Identity, _namespace: &str) -> Granted {
        Granted::default()
    }
}

/// Lets members of `system:masters` do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masters;

impl Authorizer for Masters {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.identity.is_in(MASTERS) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}

/// Several authorizers: the first with an opinion decides, and without any the answer is no.
#[derive(Debug, Default)]
pub struct Union {
    /// In order.
    pub members: Vec<Member>,
}

/// One of several authorizers.
#[derive(Debug)]
pub enum Member {
    /// It knows by itself.
    Here(Box<dyn Authorizer>),
    /// Somebody else is asked.
    Webhook(Box<Webhook>),
}

/// Says yes or no to everything.
#[derive(Debug)]
struct Always(bool);

impl Authorizer for Always {
    fn authorize(&self, _: &Attributes<'_>) -> Decision {
        if self.0 {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion("Everything is forbidden.".to_owned())
        }
    }
}

impl Union {
    /// Masters, and then those that are configured.
    pub fn new(
        caches: &Caches,
        roles: &Arc<rbac::Rbac>,
        (kinds, env): (&[config::Kind], &Env),
    ) -> Result<Union, String> {
        let mut members = vec![Member::Here(Box::new(Masters) as Box<dyn Authorizer>)];
        for kind in kinds {
            members.push(match kind {
                config::Kind::Node => Member::Here(Box::new(node::Nodes::new(caches))),
                config::Kind::Rbac => Member::Here(Box::new(roles.clone())),
                config::Kind::AlwaysAllow => Member::Here(Box::new(Always(true))),
                config::Kind::AlwaysDeny => Member::Here(Box::new(Always(false))),
                config::Kind::Webhook(settings) => {
                    let remote = Remote::new(env, settings.target.server.clone(), settings.timeout)?;
                    Member::Webhook(Box::new(Webhook::new(remote, (**settings).clone(), env.clock.clone())))
                }
            });
        }
        Ok(Union { members })
    }

    /// May this be done?
    pub async fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut reasons = Vec::new();
        for member in &self.members {
            let decision = match member {
                Member::Here(member) => member.authorize(attributes),
                // In a box: most clusters have none, and every request would have room for it.
                Member::Webhook(webhook) => Box::pin(webhook.authorize(attributes)).await,
            };
            if let Some(decided) = opinion(decision, &mut reasons) {
                return decided;
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// May this be done, as far as that is known without asking anybody? Expressions ask so: they cannot wait.
    pub fn authorize_here(&self, attributes: &Attributes<'_>) -> Decision {
        let mut reasons = Vec::new();
        for member in &self.members {
            let decision = match member {
                Member::Here(member) => member.authorize(attributes),
                Member::Webhook(webhook) => match webhook.remembered(attributes) {
                    Some(decision) => decision,
                    // It may say no, so nobody after it can say yes.
                    None => return Decision::NoOpinion("a webhook would have to be asked".to_owned()),
                },
            };
            if let Some(decided) = opinion(decision, &mut reasons) {
                return decided;
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// Asks, and says no in upstream's words.
    pub async fn check(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        match self.authorize(attributes).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(attributes, &reason)),
        }
    }

    /// All rules that members know of and that hold for somebody in a namespace.
    pub fn rules_for(&self, identity: &Identity, namespace: &str) -> Granted {
        let mut all = Granted::default();
        for member in &self.members {
            match member {
                Member::Here(member) => {
                    let granted = member.rules_for(identity, namespace);
                    all.rules.extend(granted.rules);
                    all.errors.extend(granted.errors);
                }
                Member::Webhook(_) => {
                    all.errors.push("webhook authorizer does not support user rule resolution".to_owned());
                }
            }
        }
        all
    }
}

/// A decision that settles the question; the reason of one that does not is kept.
fn opinion(decision: Decision, reasons: &mut Vec<String>) -> Option<Decision> {
    let Decision::NoOpinion(reason) = decision else { return Some(decision) };
    if !reason.is_empty() {
        reasons.push(reason);
    }
    None
}

impl<T: Authorizer> Authorizer for Arc<T> {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        (**self).authorize(attributes)
    }

    fn rules_for(&self, identity: &Identity, namespace: &str) -> Granted {
        (**self).rules_for(identity, namespace)
    }
}

/// 403, with who may not do what.
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let mut message = sentence(attributes);
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
    let resource = GroupName { group: attributes.group, name: attributes.resource };
    if attributes.is_resource {
        Status::forbidden(resource, attributes.name, &message)
    } else {
        let mut status = Status::new(403, Reason::Forbidden, format!("forbidden: {message}"));
        status.details = Some(Box::default());
        status
    }
}

fn sentence(attributes: &Attributes<'_>) -> String {
    let user = machinery::field::go_quote(&attributes.identity.name);
    if !attributes.is_resource {
        let path = machinery::field::go_quote(attributes.path);
        return format!("User {user} cannot {} path {path}", attributes.verb);
    }
    let resource = if attributes.subresource.is_empty() {
        attributes.resource.to_owned()
    } else {
        format!("{}/{}", attributes.resource, attributes.subresource)
    };
    let scope = if attributes.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {}", machinery::field::go_quote(attributes.namespace))
    };
    format!(
        "User {user} cannot {} resource {} in API group {} {scope}",
        attributes.verb,
        machinery::field::go_quote(&resource),
        machinery::field::go_quote(attributes.group),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use env::WallTime;
    use store::memory::Memory;
    use store::{Options, Store, Txn, Write};

    use super::*;

    /// Caches over a store in memory, and a way to put objects there.
    pub(crate) struct World {
        pub(crate) caches: Arc<Caches>,
        pub(crate) env: Env,
        store: Arc<Memory>,
    }

    impl World {
        pub(crate) async fn new() -> World {
            let env = Env::simulated(WallTime::from_secs(1_800_000_000), 1);
            let store = Memory::new(Options::default(), env.clone());
            let names: Vec<String> = [
                "core/pods",
                "core/nodes",
                "core/secrets",
                "core/namespaces",
                "core/serviceaccounts",
                "core/persistentvolumeclaims",
                "scheduling.k8s.io/priorityclasses",
                "storage.k8s.io/storageclasses",
                "networking.k8s.io/ingressclasses",
                "core/configmaps",
                "admissionregistration.k8s.io/validatingadmissionpolicies",
                "admissionregistration.k8s.io/validatingadmissionpolicybindings",
                "admissionregistration.k8s.io/mutatingadmissionpolicies",
                "admissionregistration.k8s.io/mutatingadmissionpolicybindings",
                "admissionregistration.k8s.io/mutatingwebhookconfigurations",
                "admissionregistration.k8s.io/validatingwebhookconfigurations",
                "core/services",
                "discovery.k8s.io/endpointslices",
                "resource.k8s.io/resourceslices",
                "core/limitranges",
                "rbac.authorization.k8s.io/clusterroles",
                "rbac.authorization.k8s.io/roles",
                "rbac.authorization.k8s.io/clusterrolebindings",
                "rbac.authorization.k8s.io/rolebindings",
            ]
            .map(str::to_owned)
            .to_vec();
            let caches = Caches::open(&env, store.clone(), &names).await.expect("the store is in memory");
            World { caches, env, store }
        }

        pub(crate) async fn put(&self, collection: &str, key: &str, json: &str) {
            let value = Bytes::copy_from_slice(json.as_bytes());
            let key = Bytes::from(format!("/registry/{collection}/{key}"));
            self.write(Write::Put { key, value, ttl_secs: None }).await;
        }

        pub(crate) async fn delete(&self, collection: &str, key: &str) {
            self.write(Write::Delete(Bytes::from(format!("/registry/{collection}/{key}")))).await;
        }

        async fn write(&self, write: Write) {
            self.store
                .commit(Txn { writes: vec![write], ..Txn::default() })
                .await
                .expect("the store is in memory");
            let caught_up = self.env.clock.timeout(Duration::from_secs(10), self.caches.catch_up()).await;
            caught_up.expect("the cache follows the store").expect("the store is in memory");
        }
    }

    fn attributes<'a>(identity: &'a Identity) -> Attributes<'a> {
        Attributes {
            identity,
            verb: "list",
            is_resource: true,
            path: "/apis/apps/v1/deployments",
            group: "apps",
            resource: "deployments",
            subresource: "",
            namespace: "",
            name: "",
            selectors: None,
        }
    }

    /// Masters and nobody else.
    pub(crate) fn masters() -> Union {
        Union { members: vec![Member::Here(Box::new(Masters))] }
    }

    #[tokio::test]
    async fn who_may_not_is_told_so_in_upstreams_words() {
        let nobody = Identity::new("nobody", &[]);
        let status = masters().check(&attributes(&nobody)).await.unwrap_err();
        assert_eq!(
            status.message,
            "deployments.apps is forbidden: User \"nobody\" cannot list resource \"deployments\" in API group \
             \"apps\" at the cluster scope"
        );
        let path = Attributes { is_resource: false, verb: "get", path: "/metrics", ..attributes(&nobody) };
        let status = masters().check(&path).await.unwrap_err();
        assert_eq!(status.message, "forbidden: User \"nobody\" cannot get path \"/metrics\"");
    }

    /// Refuses everybody.
    #[derive(Debug)]
    struct Refuses;

    impl Authorizer for Refuses {
        fn authorize(&self, _: &Attributes<'_>) -> Decision {
            Decision::Deny("closed today".to_owned())
        }
    }

    #[tokio::test]
    async fn the_first_opinion_counts() {
        let admin = Identity::new("admin", &[MASTERS]);
        assert!(masters().check(&attributes(&admin)).await.is_ok());
        assert!(Union::default().check(&attributes(&admin)).await.is_err());
        let mut closed = masters();
        closed.members.insert(0, Member::Here(Box::new(Refuses)));
        let status = closed.check(&attributes(&admin)).await.unwrap_err();
        assert!(status.message.ends_with("at the cluster scope: closed today"), "{}", status.message);
    }
}

//! Role-based access control, on a policy that follows the cache.
//!
//! Roles and bindings are read once, when they change, into tables by subject: a decision looks at what binds the user
//! and the groups it is in, and at nothing else.

mod policy;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use machinery::field::go_quote;

use self::policy::{Binding, Followed, Policy, Source};
use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::cache::Caches;
use crate::identity::Identity;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Decides by roles and bindings.
#[derive(Debug)]
pub struct Rbac {
    policy: RwLock<Policy>,
    followed: Mutex<Vec<Followed>>,
}

/// All rules that hold for somebody in a namespace.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    /// The rules, those of the whole cluster first.
    pub rules: Vec<Rule>,
    /// Roles that are bound but do not exist.
    pub errors: Vec<String>,
}

impl Rbac {
    /// On these caches.
    pub fn new(caches: &Caches) -> Arc<Rbac> {
        let followed = [Source::ClusterRoles, Source::Roles, Source::ClusterBindings, Source::Bindings]
            .into_iter()
            .filter_map(|source| Some(Followed::new(source, caches.collection(source.collection())?)))
            .collect();
        Arc::new(Rbac { policy: RwLock::default(), followed: Mutex::new(followed) })
    }

    /// The policy, with everything in it that is in the cache.
    fn policy(&self) -> RwLockReadGuard<'_, Policy> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for followed in followed.iter_mut() {
            if followed.is_behind() {
                let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
                followed.catch_up(&mut policy);
            }
        }
        drop(followed);
        self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything somebody may do in a namespace (empty: in the cluster).
    pub fn granted(&self, identity: &Identity, namespace: &str) -> Granted {
        let mut granted = Granted::default();
        let policy = self.policy();
        policy.visit(identity, namespace, |binding, _| {
            match policy.rules(binding) {
                Ok(rules) => granted.rules.extend(rules.iter().flat_map(|rules| rules.iter().cloned())),
                Err(error) => granted.errors.push(error),
            }
            false
        });
        granted
    }

    /// The rules of a role, as a binding in `namespace` (empty: of the cluster) would give them.
    pub fn rules_of(&self, kind: &str, name: &str, namespace: &str) -> Result<Vec<Rule>, String> {
        let policy = self.policy();
        let rules = policy.role(kind, name, namespace)?;
        Ok(rules.iter().flat_map(|rules| rules.iter().cloned()).collect())
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let policy = self.policy();
        let (mut allowed, mut errors) = (None, BTreeSet::new());
        policy.visit(attributes.identity, attributes.namespace, |binding, subject| {
            match policy.rules(binding) {
                Ok(rules) => {
                    if rules.iter().flat_map(|rules| rules.iter()).any(|rule| rule.allows(attributes)) {
                        allowed = Some(reason(binding, subject));
                    }
                }
                Err(error) => {
                    errors.insert(error);
                }
            }
            allowed.is_some()
        });
        match allowed {
            Some(reason) => Decision::Allow(reason),
            None if errors.is_empty() => Decision::NoOpinion(String::new()),
            None => Decision::NoOpinion(format!("RBAC: {}", aggregate(&errors))),
        }
    }

    fn rules_for(&self, identity: &Identity, namespace: &str) -> Granted {
        self.granted(identity, namespace)
    }
}

/// Several errors as one.
fn aggregate(errors: &BTreeSet<String>) -> String {
    let joined = errors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if errors.len() == 1 { joined } else { format!("[{joined}]") }
}

fn reason(binding: &Binding, subject: &str) -> String {
    let (kind, name) = if binding.namespace.is_empty() {
        ("ClusterRoleBinding", binding.name.clone())
    } else {
        ("RoleBinding", format!("{}/{}", binding.name, binding.namespace))
    };
    format!(
        "RBAC: allowed by {kind} {} of {} {} to {subject}",
        go_quote(&name),
        binding.role_kind,
        go_quote(&binding.role)
    )
}

#[cfg(test)]
mod tests;

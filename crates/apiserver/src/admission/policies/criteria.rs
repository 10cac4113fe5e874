//! Which writes a policy, a binding or a webhook is a matter of.

use std::sync::Arc;

use machinery::selector::LabelSelector;
use machinery::status::GroupName;
use machinery::{Status, Value};

use super::super::{Review, Surroundings};
use crate::registry::{Registry, Served};

/// `matchConstraints` of a policy, or `matchResources` of a binding.
#[derive(Debug)]
pub(in super::super) struct Criteria {
    namespaces: LabelSelector,
    objects: LabelSelector,
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// There are no rules, which means everything.
    is_for_all: bool,
    /// Other versions and groups of what a rule names are meant too.
    is_equivalent: bool,
}

/// One rule: operations on resources.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

impl Criteria {
    /// Reads what a policy or a binding says; an absent document matches everything.
    pub fn read(document: &Value) -> Result<Criteria, String> {
        Criteria::with_rules(document, "resourceRules")
    }

    /// Reads what a webhook says.
    pub fn of_webhook(document: &Value) -> Result<Criteria, String> {
        let criteria = Criteria::with_rules(document, "rules")?;
        // Without rules a webhook is asked about nothing.
        Ok(Criteria { is_for_all: false, ..criteria })
    }

    fn with_rules(document: &Value, list: &str) -> Result<Criteria, String> {
        let selector = |name: &str| match document.get(name) {
            Value::Null => Ok(LabelSelector::everything()),
            selector => LabelSelector::from_document(selector),
        };
        let rules = |name: &str| document.get(name).items().iter().map(Rule::read).collect();
        Ok(Criteria {
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
            rules: rules(list),
            is_for_all: document.get(list).is_empty(),
            excluded: rules("excludeResourceRules"),
            is_equivalent: document.get("matchPolicy").str_or_empty() != "Exact",
        })
    }

    /// The resource as which a write is a matter of this; `None` if it is not.
    pub fn find(&self, review: &Review<'_>, around: Surroundings<'_>) -> Result<Option<Arc<Served>>, Status> {
        let in_namespace = self.has_namespace(review, around);
        if matches!(in_namespace, Ok(false)) || !self.has_object(review) {
            return Ok(None);
        }
        let registry = around.registry.load();
        if self.matched(&self.excluded, review, &registry).is_some() {
            return Ok(None);
        }
        let found = if self.is_for_all {
            Some(review.served.clone())
        } else {
            self.matched(&self.rules, review, &registry)
        };
        // Only now it matters that nobody knows the namespace.
        match (found, in_namespace) {
            (None, _) => Ok(None),
            (Some(found), in_namespace) => in_namespace.map(|_| Some(found)),
        }
    }

    fn has_namespace(&self, review: &Review<'_>, around: Surroundings<'_>) -> Result<bool, Status> {
        if self.namespaces.is_everything() {
            return Ok(true);
        }
        if review.served.is("", "namespaces") && review.subresource.is_empty() {
            let object = if review.object.is_null() { review.old } else { &review.object };
            return Ok(self.namespaces.matches_map(object.at(&["metadata", "labels"])));
        }
        if review.namespace.is_empty() {
            return Ok(true);
        }
        let namespaces = around.caches.collection("core/namespaces");
        let namespace = namespaces.and_then(|namespaces| namespaces.get(review.namespace));
        match namespace {
            Some(namespace) => Ok(self.namespaces.matches(|key| namespace.object().header().label(key))),
            None => Err(Status::not_found(GroupName { group: "", name: "namespaces" }, review.namespace)),
        }
    }

    fn has_object(&self, review: &Review<'_>) -> bool {
        let matches = |object: &Value| {
            !object.is_null() && self.objects.matches_map(object.at(&["metadata", "labels"]))
        };
        self.objects.is_everything() || matches(&review.object) || matches(review.old)
    }

    fn matched(&self, rules: &[Rule], review: &Review<'_>, registry: &Registry) -> Option<Arc<Served>> {
        if rules.iter().any(|rule| rule.matches(review, review.served)) {
            return Some(review.served.clone());
        }
        if !self.is_equivalent {
            return None;
        }
        let others = equivalents(review.served, registry);
        others.into_iter().find(|other| rules.iter().any(|rule| rule.matches(review, other)))
    }
}

/// Other versions of a resource, in whatever group.
fn equivalents(served: &Arc<Served>, registry: &Registry) -> Vec<Arc<Served>> {
    let Ok(own) = served.collection() else { return Vec::new() };
    let is_other = |other: &&Arc<Served>| {
        other.api_version != served.api_version
            && other.collection().is_ok_and(|collection| Arc::ptr_eq(&collection, &own))
    };
    registry.all().iter().filter(is_other).cloned().collect()
}

impl Rule {
    fn read(document: &Value) -> Rule {
        let texts = |name: &str| {
            let items = document.get(name).items().iter();
            items.map(|item| item.str_or_empty().to_owned()).collect()
        };
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            scope: document.get("scope").str_or_empty().to_owned(),
        }
    }

    fn matches(&self, review: &Review<'_>, served: &Served) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let is_namespace = review.served.is("", "namespaces");
        let in_namespace = !is_namespace && !review.namespace.is_empty();
        let in_scope = match self.scope.as_str() {
            "Namespaced" => in_namespace,
            "Cluster" => !in_namespace,
            _ => true,
        };
        let is_resource = |resource: &String| {
            let (name, sub) = resource.split_once('/').unwrap_or((resource, ""));
            (name == "*" || name == served.plural) && (sub == "*" || sub == review.subresource)
        };
        in_scope
            && has(&self.operations, review.operation.name())
            && has(&self.groups, &served.group)
            && has(&self.versions, &served.version)
            && self.resources.iter().any(is_resource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == review.name))
    }
}

//! Nobody grants what he does not have: checks of those who write roles and bindings.

use std::sync::Arc;

use machinery::Status;
use machinery::field::go_quote;
use machinery::status::GroupName;

use super::{Operation, Plugin, Review, Step, Surroundings};
use crate::authz::rbac::{GROUP, Rbac};
use crate::authz::rules::{self, Rule};
use crate::authz::{Attributes, Authorizer, Decision};
use crate::identity::MASTERS;

#[derive(Debug)]
pub(super) struct Escalation {
    roles: Arc<Rbac>,
}

impl Escalation {
    pub(super) fn new(roles: &Arc<Rbac>) -> Escalation {
        Escalation { roles: roles.clone() }
    }

    fn check(&self, review: &Review<'_>) -> Result<(), Status> {
        if review.served.plural.ends_with("bindings") {
            self.check_binding(review)
        } else {
            self.check_role(review)
        }
    }

    fn check_role(&self, review: &Review<'_>) -> Result<(), Status> {
        if self.may(review, "escalate", (&review.served.plural, object_name(review))) {
            return Ok(());
        }
        let aggregation = review.object.get("aggregationRule");
        if !aggregation.is_null() && aggregation != review.old.get("aggregationRule") {
            let everything = everything();
            let granted = self.roles.granted(review.identity, "");
            if !rules::missing(&granted.rules, &everything).is_empty() {
                let why = "must have cluster-admin privileges to use an aggregationRule";
                return Err(forbidden(review, why));
            }
        }
        let unchanged =
            review.operation == Operation::Update && review.object.get("rules") == review.old.get("rules");
        if unchanged { Ok(()) } else { self.confirm(review, &Rule::all_of(review.object.get("rules"))) }
    }

    fn check_binding(&self, review: &Review<'_>) -> Result<(), Status> {
        let object = &review.object;
        let same = |field: &str| object.get(field) == review.old.get(field);
        if review.operation == Operation::Update && same("roleRef") && same("subjects") {
            return Ok(());
        }
        let kind = object.at(&["roleRef", "kind"]).str_or_empty();
        let role = object.at(&["roleRef", "name"]).str_or_empty();
        let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
        if self.may(review, "bind", (plural, role)) {
            return Ok(());
        }
        match self.roles.rules_of(kind, role, review.namespace) {
            Ok(rules) => self.confirm(review, &rules),
            // That the role is missing is told as upstream tells it: of the binding's resource.
            Err(_) => Err(Status::not_found(GroupName { group: GROUP, name: &review.served.plural }, role)),
        }
    }

    /// Whether the writer may do what he otherwise could not by a permission of its own.
    fn may(&self, review: &Review<'_>, verb: &str, (resource, name): (&str, &str)) -> bool {
        let asked = Attributes {
            identity: review.identity,
            verb,
            is_resource: true,
            path: "",
            group: GROUP,
            resource,
            subresource: "",
            namespace: review.namespace,
            name,
            selectors: None,
        };
        matches!(self.roles.authorize(&asked), Decision::Allow(_))
    }

    fn confirm(&self, review: &Review<'_>, wanted: &[Rule]) -> Result<(), Status> {
        let granted = self.roles.granted(review.identity, review.namespace);
        let missing = rules::missing(&granted.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = review.identity.groups.iter().map(|group| go_quote(group)).collect();
        let missing: Vec<String> = missing.iter().map(rules::describe).collect();
        let mut why = format!(
            "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            go_quote(&review.identity.name),
            groups.join(" "),
            missing.join("\n")
        );
        if !granted.errors.is_empty() {
            why.push_str(&format!("; resolution errors: [{}]", granted.errors.join(", ")));
        }
        Err(forbidden(review, &why))
    }
}

impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.group == GROUP
            && review.subresource.is_empty()
            && matches!(review.operation, Operation::Create | Operation::Update)
            && !review.identity.is_in(MASTERS)
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        let refused = self.check(review).err()?;
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

fn object_name<'a>(review: &'a Review<'_>) -> &'a str {
    review.object.at(&["metadata", "name"]).as_str().unwrap_or(review.name)
}

fn forbidden(review: &Review<'_>, why: &str) -> Status {
    Status::forbidden(GroupName { group: GROUP, name: &review.served.plural }, object_name(review), why)
}

/// What an administrator of the cluster has.
fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), paths: all(), ..Rule::default() },
    ]
}

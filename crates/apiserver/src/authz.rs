//! Authorization: may they?

use machinery::status::GroupName;
use machinery::{Reason, Status};

use crate::identity::{Identity, MASTERS};

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
    /// The version.
    pub version: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, whatever others say.
    Deny(String),
    /// Not mine to decide; the reason may be empty.
    NoOpinion(String),
}

/// Decides what requests may be made.
pub trait Authorizer: Send + Sync + std::fmt::Debug + 'static {
    /// May this be done?
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision;
}

/// Lets members of `system:masters` do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masters;

impl Authorizer for Masters {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.identity.is_in(MASTERS) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }
}

/// Several authorizers: the first with an opinion decides, and without any the answer is no.
#[derive(Debug, Default)]
pub struct Union {
    /// In order.
    pub members: Vec<Box<dyn Authorizer>>,
}

impl Authorizer for Union {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut reasons: Vec<String> = Vec::new();
        for member in &self.members {
            match member.authorize(attributes) {
                Decision::NoOpinion(reason) => {
                    if !reason.is_empty() {
                        reasons.push(reason);
                    }
                }
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
}

/// Asks, and says no in upstream's words.
pub fn check(authorizer: &dyn Authorizer, attributes: &Attributes<'_>) -> Result<(), Status> {
    let reason = match authorizer.authorize(attributes) {
        Decision::Allow => return Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
    };
    Err(forbidden(attributes, &reason))
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
mod tests {
    use super::*;

    fn attributes<'a>(identity: &'a Identity) -> Attributes<'a> {
        Attributes {
            identity,
            verb: "list",
            is_resource: true,
            path: "/apis/apps/v1/deployments",
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "",
            namespace: "",
            name: "",
        }
    }

    #[test]
    fn who_may_not_is_told_so_in_upstreams_words() {
        let nobody = Identity::new("nobody", &[]);
        let status = check(&Masters, &attributes(&nobody)).unwrap_err();
        assert_eq!(
            status.message,
            "deployments.apps is forbidden: User \"nobody\" cannot list resource \"deployments\" in API group \
             \"apps\" at the cluster scope"
        );
        let path = Attributes { is_resource: false, verb: "get", path: "/metrics", ..attributes(&nobody) };
        let status = check(&Masters, &path).unwrap_err();
        assert_eq!(status.message, "forbidden: User \"nobody\" cannot get path \"/metrics\"");
    }

    #[test]
    fn the_first_opinion_counts() {
        let admin = Identity::new("admin", &[MASTERS]);
        let union = Union { members: vec![Box::new(Masters)] };
        assert!(check(&union, &attributes(&admin)).is_ok());
        assert!(check(&Union::default(), &attributes(&admin)).is_err());
    }
}

//! Groups that belong to Kubernetes itself: whoever defines a resource in one says who approved it.

use machinery::Value;
use machinery::field::go_quote;

use crate::place::Place;

/// The annotation that says so.
const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What a definition says about its approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Its group needs none.
    NotNeeded,
    /// It says where it was approved.
    Approved(String),
    /// It says that it was not, and why.
    Bypassed(String),
    /// It says something else.
    Invalid(String),
    /// It says nothing.
    Missing,
}

impl Approval {
    /// Of a definition.
    pub fn of(definition: &Value) -> Approval {
        let group = definition.at(&["spec", "group"]).str_or_empty();
        let is_ours = ["k8s.io", "kubernetes.io"]
            .iter()
            .any(|ours| group.strip_suffix(ours).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
        if !is_ours {
            return Approval::NotNeeded;
        }
        let text = definition.at(&["metadata", "annotations", ANNOTATION]).str_or_empty().to_owned();
        let is_address = text.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.split('/').next().unwrap_or_default().is_empty()
        });
        match text.as_str() {
            "" => Approval::Missing,
            bypassed if bypassed.starts_with("unapproved") => Approval::Bypassed(text),
            _ if is_address => Approval::Approved(text),
            _ => Approval::Invalid(text),
        }
    }

    /// The condition of a definition: status, reason and message. `None` where no approval is needed.
    pub fn condition(&self) -> Option<(&'static str, &'static str, String)> {
        Some(match self {
            Approval::NotNeeded => return None,
            Approval::Approved(place) => ("True", "ApprovedAnnotation", format!("approved in {place}")),
            Approval::Bypassed(why) => {
                ("False", "UnapprovedAnnotation", format!("not approved: {}", go_quote(why)))
            }
            Approval::Invalid(_) => ("False", "InvalidAnnotation", invalid()),
            Approval::Missing => ("False", "MissingAnnotation", missing()),
        })
    }
}

fn missing() -> String {
    format!("protected groups must have approval annotation {}, {SEE}", go_quote(ANNOTATION))
}

fn invalid() -> String {
    format!(
        "protected groups must have approval annotation {} with either a URL or a reason starting with \
         \"unapproved\", {SEE}",
        go_quote(ANNOTATION)
    )
}

/// What is wrong with the approval of a definition. What was wrong before an update may stay so.
pub(super) fn check(object: Place<'_>, old: &Value) {
    let approval = Approval::of(object.value());
    if !old.is_null() && Approval::of(old) == approval {
        return;
    }
    let metadata = object.get("metadata");
    let annotations = metadata.get("annotations");
    let place = annotations.at_key(ANNOTATION);
    match approval {
        Approval::Invalid(text) => place.invalid_as(&text, invalid()),
        Approval::Missing => place.required(&missing()),
        Approval::NotNeeded | Approval::Approved(_) | Approval::Bypassed(_) => {}
    }
}

//! Addresses of resources and objects.

use std::fmt::Write as _;

use crate::{Call, Resource};

/// The path of a call, without a query.
pub(super) fn path(resource: Resource, call: &Call) -> String {
    let mut path = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let mut add = |segment: &str| {
        path.push('/');
        escape(segment, &mut path);
    };
    if resource.namespaced && !call.namespace.is_empty() {
        add("namespaces");
        add(&call.namespace);
    }
    add(resource.plural);
    if !call.name.is_empty() {
        add(&call.name);
    }
    if !call.subresource.is_empty() {
        add(call.subresource);
    }
    path
}

/// The selectors of a call, as a query.
pub(super) fn selectors(call: &Call) -> Vec<(&'static str, String)> {
    [("labelSelector", &call.labels), ("fieldSelector", &call.fields)]
        .into_iter()
        .filter(|(_, selector)| !selector.is_empty())
        .map(|(name, selector)| (name, selector.clone()))
        .collect()
}

/// A path with a query.
pub(super) fn with_query(mut path: String, query: &[(&'static str, String)]) -> String {
    for (number, (name, value)) in query.iter().enumerate() {
        path.push(if number == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        escape(value, &mut path);
    }
    path
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    #[test]
    fn calls_have_their_addresses() {
        let cases = [
            (resources::PODS, Call::all(""), "/api/v1/pods"),
            (resources::PODS, Call::all("shop"), "/api/v1/namespaces/shop/pods"),
            (resources::NODES, Call::object("", "n1"), "/api/v1/nodes/n1"),
            (
                resources::DEPLOYMENTS,
                Call::object("shop", "web").subresource("status"),
                "/apis/apps/v1/namespaces/shop/deployments/web/status",
            ),
            (
                resources::CLUSTER_ROLES,
                Call::object("", "system:node"),
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            ),
        ];
        for (resource, call, expected) in cases {
            assert_eq!(path(resource, &call), expected);
        }
    }

    #[test]
    fn selectors_are_escaped() {
        let call = Call::all("").with_labels("a in (b, c)").with_fields("spec.nodeName=n");
        let address = with_query("/x".to_owned(), &selectors(&call));
        assert_eq!(address, "/x?labelSelector=a%20in%20%28b%2C%20c%29&fieldSelector=spec.nodeName%3Dn");
    }
}

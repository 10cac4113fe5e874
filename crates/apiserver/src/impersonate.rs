//! Acting as somebody else, for those who may.

use std::sync::Arc;

use http::HeaderMap;
use machinery::Status;
use machinery::status::GroupName;

use crate::authz::{Attributes, Decision, Union};
use crate::identity::{AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::query::percent_decode;
use crate::route::Route;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// The user names of service accounts begin so.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The identity that a request acts with: its own, or the one its headers ask for.
pub async fn impersonate(
    authorizer: &Union,
    own: Arc<Identity>,
    (headers, route): (&HeaderMap, &Route),
) -> Result<Arc<Identity>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(own);
    }
    let wanted = wanted(headers)?;
    if constrained(authorizer, (&own, &wanted), route).await {
        return Ok(Arc::new(complete(wanted)));
    }
    let attributes = Attributes {
        identity: &own,
        verb: "impersonate",
        is_resource: true,
        path: "",
        group: "",
        resource: "users",
        subresource: "",
        namespace: "",
        name: &wanted.name,
        selectors: None,
    };
    match service_account(&wanted.name) {
        Some((namespace, name)) => {
            let account = Attributes { resource: "serviceaccounts", namespace, name, ..attributes };
            authorizer.check(&account).await?;
        }
        None => authorizer.check(&attributes).await?,
    }
    for group in &wanted.groups {
        authorizer.check(&Attributes { resource: "groups", name: group, ..attributes }).await?;
    }
    let authentication = Attributes { group: "authentication.k8s.io", ..attributes };
    for (key, values) in &wanted.extra {
        for value in values {
            let extra =
                Attributes { resource: "userextras", subresource: key, name: value, ..authentication };
            authorizer.check(&extra).await?;
        }
    }
    if !wanted.uid.is_empty() {
        let uid = Attributes { resource: "uids", name: &wanted.uid, ..authentication };
        authorizer.check(&uid).await?;
    }
    Ok(Arc::new(complete(wanted)))
}

/// Where constrained permissions are looked for.
const AUTHENTICATION: &str = "authentication.k8s.io";
/// What the users of nodes are called: this, and the node's name.
const NODE: &str = "system:node:";
/// What a pod's token says of its node.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Whether somebody may act as another in what he asks for now, though perhaps in nothing else: he needs the permission
/// to act as such a user, and the one to do this on behalf of such users.
async fn constrained(authorizer: &Union, (own, wanted): (&Identity, &Identity), route: &Route) -> bool {
    for mode in modes(own, wanted) {
        if may_act_as(authorizer, (own, wanted), mode).await
            && may_do_for(authorizer, own, (mode, route)).await
        {
            return true;
        }
    }
    false
}

/// The kinds of user that somebody is, narrowest first.
fn modes(own: &Identity, wanted: &Identity) -> Vec<&'static str> {
    let is_plain = wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty();
    match wanted.name.strip_prefix(NODE) {
        Some(node) if is_plain => {
            let associated = own.extra.get(NODE_NAME).is_some_and(|names| names.as_slice() == [node]);
            if associated { vec!["associated-node", "arbitrary-node"] } else { vec!["arbitrary-node"] }
        }
        None if is_plain && service_account(&wanted.name).is_some() => vec!["serviceaccount"],
        None if service_account(&wanted.name).is_none() => vec!["user-info"],
        _ => Vec::new(),
    }
}

async fn may_act_as(authorizer: &Union, (own, wanted): (&Identity, &Identity), mode: &str) -> bool {
    let verb = format!("impersonate:{mode}");
    let resource = |name| GroupName { group: AUTHENTICATION, name };
    let asked = |name| Attributes::of_resource(own, &verb, resource(name));
    let node = wanted.name.strip_prefix(NODE).unwrap_or_default();
    let mut needed: Vec<Attributes<'_>> = Vec::new();
    match mode {
        "associated-node" => needed.push(Attributes { name: "*", ..asked("nodes") }),
        "arbitrary-node" => needed.push(Attributes { name: node, ..asked("nodes") }),
        "serviceaccount" => {
            let (namespace, name) = service_account(&wanted.name).unwrap_or_default();
            needed.push(Attributes { namespace, name, ..asked("serviceaccounts") });
        }
        _ => {
            needed.push(Attributes { name: &wanted.name, ..asked("users") });
            needed.extend(wanted.groups.iter().map(|name| Attributes { name, ..asked("groups") }));
            if !wanted.uid.is_empty() {
                needed.push(Attributes { name: &wanted.uid, ..asked("uids") });
            }
            for (key, values) in &wanted.extra {
                let each = values.iter();
                needed.extend(each.map(|name| Attributes { subresource: key, name, ..asked("userextras") }));
            }
        }
    }
    all_allowed(authorizer, &needed).await
}

async fn may_do_for(authorizer: &Union, own: &Identity, (mode, route): (&str, &Route)) -> bool {
    let verb = format!("impersonate-on:{mode}:{}", route.verb);
    let asked = Attributes {
        identity: own,
        verb: &verb,
        is_resource: route.is_resource,
        path: &route.path,
        group: &route.group,
        resource: &route.resource,
        subresource: &route.subresource,
        namespace: &route.namespace,
        name: &route.name,
        selectors: None,
    };
    all_allowed(authorizer, &[asked]).await
}

async fn all_allowed(authorizer: &Union, needed: &[Attributes<'_>]) -> bool {
    for asked in needed {
        if !matches!(authorizer.authorize(asked).await, Decision::Allow(_)) {
            return false;
        }
    }
    true
}

fn wanted(headers: &HeaderMap) -> Result<Identity, Status> {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut identity = Identity { name: text(USER), uid: text(UID), ..Identity::default() };
    for value in headers.get_all(GROUP) {
        identity.groups.extend(value.to_str().map(str::to_owned));
    }
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            let key = percent_decode(key, false).unwrap_or_else(|| key.to_owned());
            identity.extra.entry(key).or_default().push(value.to_owned());
        }
    }
    if identity.name.is_empty() {
        return Err(nameless(&identity));
    }
    Ok(identity)
}

/// 400, in the words of Go's printer.
fn nameless(identity: &Identity) -> Status {
    let quote = machinery::field::go_quote;
    let list = |values: &[String]| {
        if values.is_empty() {
            return "[]string(nil)".to_owned();
        }
        let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let extra = if identity.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let pairs: Vec<String> =
            identity.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), list(values))).collect();
        format!("map[string][]string{{{}}}", pairs.join(", "))
    };
    Status::bad_request(format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:{extra}}} without impersonating a user name",
        quote(&identity.uid),
        list(&identity.groups)
    ))
}

fn complete(mut identity: Identity) -> Identity {
    if identity.groups.is_empty()
        && let Some((namespace, _)) = service_account(&identity.name)
    {
        identity.groups =
            vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let anonymous = identity.name == crate::identity::ANONYMOUS;
    let implied = if anonymous { UNAUTHENTICATED } else { AUTHENTICATED };
    if !identity.is_in(AUTHENTICATED) && !identity.is_in(UNAUTHENTICATED) {
        identity.groups.push(implied.to_owned());
    }
    identity
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::authz::tests::masters;
    use crate::identity::MASTERS;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn who_may_acts_as_another() {
        let admin = Arc::new(Identity::new("admin", &[MASTERS]));
        let asked =
            headers(&[(USER, "alice"), (GROUP, "g1"), (GROUP, "g2"), ("impersonate-extra-a%2fb", "x")]);
        let alice = impersonate(&masters(), admin.clone(), (&asked, &Route::default())).await.unwrap();
        assert_eq!(alice.name, "alice");
        assert_eq!(alice.groups, ["g1", "g2", AUTHENTICATED]);
        assert_eq!(alice.extra["a/b"], ["x"]);
        let other = headers(&[(USER, "system:serviceaccount:n:s")]);
        let account = impersonate(&masters(), admin.clone(), (&other, &Route::default())).await.unwrap();
        assert!(account.is_in("system:serviceaccounts:n"));
        let nothing = (&HeaderMap::new(), &Route::default());
        assert_eq!(impersonate(&masters(), admin.clone(), nothing).await.unwrap(), admin);
    }

    #[tokio::test]
    async fn who_may_not_is_refused() {
        let nobody = Arc::new(Identity::new("nobody", &[]));
        let status = impersonate(&masters(), nobody, (&headers(&[(USER, "alice")]), &Route::default()))
            .await
            .unwrap_err();
        assert_eq!(
            status.message,
            "users \"alice\" is forbidden: User \"nobody\" cannot impersonate resource \"users\" in API group \"\" at \
             the cluster scope"
        );
        let admin = Arc::new(Identity::new("admin", &[MASTERS]));
        assert_eq!(
            impersonate(&masters(), admin, (&headers(&[(GROUP, "g")]), &Route::default()))
                .await
                .unwrap_err()
                .code,
            400
        );
    }

    /// Allows the pairs of verb and resource that it knows.
    #[derive(Debug)]
    struct Allows(&'static [(&'static str, &'static str)]);

    impl crate::authz::Authorizer for Allows {
        fn authorize(&self, asked: &Attributes<'_>) -> Decision {
            let known = self.0.contains(&(asked.verb, asked.resource));
            if known { Decision::Allow(String::new()) } else { Decision::NoOpinion(String::new()) }
        }
    }

    #[tokio::test]
    async fn who_may_act_as_another_in_some_things_may_do_only_those() {
        let mut agent = Identity::new("agent", &[]);
        agent.extra.insert(NODE_NAME.to_owned(), vec!["one".to_owned()]);
        let agent = Arc::new(agent);
        let pods =
            Route { verb: "list".into(), is_resource: true, resource: "pods".into(), ..Route::default() };
        let secrets = Route { resource: "secrets".into(), ..pods.clone() };
        type Case<'a> = (&'static [(&'static str, &'static str)], &'a str, &'a Route, bool);
        let cases: [Case<'_>; 8] = [
            (
                &[("impersonate:user-info", "users"), ("impersonate-on:user-info:list", "pods")],
                "ann",
                &pods,
                true,
            ),
            (
                &[("impersonate:user-info", "users"), ("impersonate-on:user-info:list", "pods")],
                "ann",
                &secrets,
                false,
            ),
            (&[("impersonate:user-info", "users")], "ann", &pods, false),
            (&[("impersonate-on:user-info:list", "pods")], "ann", &pods, false),
            (
                &[("impersonate:associated-node", "nodes"), ("impersonate-on:associated-node:list", "pods")],
                "system:node:one",
                &pods,
                true,
            ),
            (
                &[("impersonate:associated-node", "nodes"), ("impersonate-on:associated-node:list", "pods")],
                "system:node:two",
                &pods,
                false,
            ),
            (
                &[
                    ("impersonate:serviceaccount", "serviceaccounts"),
                    ("impersonate-on:serviceaccount:list", "pods"),
                ],
                "system:serviceaccount:n:s",
                &pods,
                true,
            ),
            (&[("impersonate", "users")], "ann", &secrets, true),
        ];
        for (allows, name, route, expected) in cases {
            let member = crate::authz::Member::Here(Box::new(Allows(allows)));
            let union = Union { members: vec![member] };
            let asked = headers(&[(USER, name)]);
            let outcome = impersonate(&union, agent.clone(), (&asked, route)).await;
            assert_eq!(outcome.is_ok(), expected, "{name} {} {allows:?}", route.resource);
        }
    }
}

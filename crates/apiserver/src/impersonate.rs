//! Acting as somebody else, for those who may.

use std::sync::Arc;

use http::HeaderMap;
use machinery::Status;

use crate::authz::{Attributes, Union};
use crate::identity::{AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::query::percent_decode;

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
    headers: &HeaderMap,
) -> Result<Arc<Identity>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(own);
    }
    let wanted = wanted(headers)?;
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
        let alice = impersonate(&masters(), admin.clone(), &asked).await.unwrap();
        assert_eq!(alice.name, "alice");
        assert_eq!(alice.groups, ["g1", "g2", AUTHENTICATED]);
        assert_eq!(alice.extra["a/b"], ["x"]);
        let account =
            impersonate(&masters(), admin.clone(), &headers(&[(USER, "system:serviceaccount:n:s")]))
                .await
                .unwrap();
        assert!(account.is_in("system:serviceaccounts:n"));
        assert_eq!(impersonate(&masters(), admin.clone(), &HeaderMap::new()).await.unwrap(), admin);
    }

    #[tokio::test]
    async fn who_may_not_is_refused() {
        let nobody = Arc::new(Identity::new("nobody", &[]));
        let status = impersonate(&masters(), nobody, &headers(&[(USER, "alice")])).await.unwrap_err();
        assert_eq!(
            status.message,
            "users \"alice\" is forbidden: User \"nobody\" cannot impersonate resource \"users\" in API group \"\" at \
             the cluster scope"
        );
        let admin = Arc::new(Identity::new("admin", &[MASTERS]));
        assert_eq!(impersonate(&masters(), admin, &headers(&[(GROUP, "g")])).await.unwrap_err().code, 400);
    }
}

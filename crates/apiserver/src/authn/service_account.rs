//! Service-account tokens: who a pod is, for as long as what the token is bound to lives.

use machinery::Value;

use super::Refused;
use crate::core::Core;
use crate::identity::Identity;
use crate::tokens::TokenError;

/// Seconds that clocks may differ.
const LEEWAY: i64 = 60;

/// The identity a token proves, to somebody who is one of `audiences`; `None` if it is no token of ours.
pub fn identify(core: &Core, token: &str, audiences: &[&str]) -> Result<Option<Identity>, Refused> {
    let claims = match core.tokens.verify(token, &core.config.issuer) {
        Ok(claims) => claims,
        Err(TokenError::Foreign) => return Ok(None),
        Err(error) => return Err(Refused::Token(error)),
    };
    let now = core.env.clock.now().secs();
    let seconds = |name: &str| claims.get(name).as_int();
    if seconds("exp").is_none_or(|end| now > end + LEEWAY) {
        return Err(Refused::Expired);
    }
    if seconds("nbf").is_some_and(|start| now + LEEWAY < start) {
        return Err(Refused::Expired);
    }
    let meant_for = claims.get("aud").items().iter().filter_map(Value::as_str);
    if !meant_for.into_iter().any(|audience| audiences.contains(&audience)) {
        return Err(Refused::Audience);
    }
    bound_identity(core, &claims).map(Some)
}

fn bound_identity(core: &Core, claims: &Value) -> Result<Identity, Refused> {
    let private = claims.get("kubernetes.io");
    let namespace = private.get("namespace").str_or_empty();
    let account = private.get("serviceaccount");
    alive(core, "core/serviceaccounts", namespace, account)?;
    let mut extra = std::collections::BTreeMap::new();
    let mut tell = |key: &str, value: &str| {
        extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    tell("credential-id", &format!("JTI={}", claims.get("jti").str_or_empty()));
    let node = private.get("node");
    if !node.is_null() {
        tell("node-name", node.get("name").str_or_empty());
        tell("node-uid", node.get("uid").str_or_empty());
    }
    let pod = private.get("pod");
    if !pod.is_null() {
        alive(core, "core/pods", namespace, pod)?;
        tell("pod-name", pod.get("name").str_or_empty());
        tell("pod-uid", pod.get("uid").str_or_empty());
    } else if !private.get("secret").is_null() {
        alive(core, "core/secrets", namespace, private.get("secret"))?;
    } else if !node.is_null() {
        alive(core, "core/nodes", "", node)?;
    }
    let name = account.get("name").str_or_empty();
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut identity = Identity::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups);
    identity.uid = account.get("uid").str_or_empty().to_owned();
    identity.extra = extra;
    Ok(identity)
}

/// Refuses a token whose object is gone, or another one by the same name.
fn alive(core: &Core, collection: &str, namespace: &str, reference: &Value) -> Result<(), Refused> {
    let name = reference.get("name").str_or_empty();
    let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    let found = core.caches.collection(collection).and_then(|objects| objects.get(&key));
    match found {
        Some(entry) if entry.object().header().uid == reference.get("uid").str_or_empty() => Ok(()),
        _ => Err(Refused::Gone),
    }
}

//! `ServiceAccount`: every pod runs as somebody, and gets a token for it.

use machinery::field::go_quote;
use machinery::status::GroupName;
use machinery::{Object, Status, Value};

use super::{Operation, Plugin, Review, Step, Surroundings};

/// Where containers find the token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume's name begins with.
const VOLUME: &str = "kube-api-access-";
/// How long tokens live: an hour, and a little more so that clients that count in hours are never too late.
const TOKEN_SECONDS: i64 = 3607;
/// Letters of the volume name's end.
const SUFFIX: usize = 5;
/// Says that a pod of the account may only use the secrets that the account lists.
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
/// Marks the image of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug)]
pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods") && review.operation == Operation::Create && review.subresource.is_empty()
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        Some(Box::pin(async move {
            if !review.object.at(&["metadata", "annotations", MIRROR]).is_null() {
                return mirror(review);
            }
            let spec = review.object.entry("spec");
            if spec.get("serviceAccountName").str_or_empty().is_empty() {
                spec.set("serviceAccountName", "default");
            }
            let name = spec.get("serviceAccountName").str_or_empty().to_owned();
            spec.set("serviceAccount", name.as_str());
            let account = find(review, around, &name).await?.to_value()?;
            check_secrets(review, &account)?;
            let wanted = |document: &Value| document.get("automountServiceAccountToken").as_bool();
            let spec = review.object.entry("spec");
            if wanted(spec).or_else(|| wanted(&account)).unwrap_or(true) {
                mount_token(spec, &format!("{VOLUME}{}", around.entropy.name_suffix(SUFFIX)));
            }
            let pull = account.get("imagePullSecrets");
            if spec.get("imagePullSecrets").items().is_empty() && !pull.items().is_empty() {
                spec.set("imagePullSecrets", pull.clone());
            }
            Ok(())
        }))
    }
}

fn forbidden(review: &Review<'_>, why: &str) -> Status {
    Status::forbidden(GroupName { group: "", name: "pods" }, review.name, why)
}

/// The image of a static pod cannot use what only the API gives out.
fn mirror(review: &Review<'_>) -> Result<(), Status> {
    let spec = review.object.get("spec");
    if !spec.get("serviceAccountName").str_or_empty().is_empty() {
        return Err(forbidden(review, "a mirror pod may not reference service accounts"));
    }
    if !secrets(spec).is_empty() {
        return Err(forbidden(review, "a mirror pod may not reference secrets"));
    }
    let token = |source: &Value| !source.get("serviceAccountToken").is_null();
    let volumes = spec.get("volumes").items();
    if volumes.iter().any(|volume| volume.at(&["projected", "sources"]).items().iter().any(token)) {
        return Err(forbidden(review, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

async fn find(review: &Review<'_>, around: Surroundings<'_>, name: &str) -> Result<Object, Status> {
    let key = format!("{}/{name}", review.namespace);
    let look = || Some(around.caches.collection("core/serviceaccounts")?.get(&key)?.object().clone());
    if let Some(account) = look() {
        return Ok(account);
    }
    // It may have been made a moment ago, through another server.
    around.caches.catch_up().await.map_err(crate::core::store_failed)?;
    look().ok_or_else(|| {
        let why =
            format!("error looking up service account {key}: serviceaccount {} not found", go_quote(name));
        forbidden(review, &why)
    })
}

/// Names of the secrets that a pod uses, and where.
fn secrets(spec: &Value) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for volume in spec.get("volumes").items() {
        if let Some(secret) = volume.at(&["secret", "secretName"]).as_str() {
            found.push((secret, "volume with".to_owned()));
        }
    }
    for (list, what) in [("initContainers", "init container"), ("containers", "container")] {
        for container in spec.get(list).items() {
            let name = container.get("name").str_or_empty();
            for variable in container.get("env").items() {
                if let Some(secret) = variable.at(&["valueFrom", "secretKeyRef", "name"]).as_str() {
                    let variable = variable.get("name").str_or_empty();
                    found.push((secret, format!("{what} {name} with envVar {variable} referencing")));
                }
            }
            for source in container.get("envFrom").items() {
                if let Some(secret) = source.at(&["secretRef", "name"]).as_str() {
                    found.push((secret, format!("{what} {name} with envFrom referencing")));
                }
            }
        }
    }
    found
}

/// If the account says so, the pod uses only secrets that the account lists.
fn check_secrets(review: &Review<'_>, account: &Value) -> Result<(), Status> {
    let enforced = account.at(&["metadata", "annotations", ENFORCE_SECRETS]).str_or_empty();
    if !matches!(enforced, "1" | "t" | "T" | "true" | "TRUE" | "True") {
        return Ok(());
    }
    let because = format!(
        "is not allowed because service account {}",
        account.at(&["metadata", "name"]).str_or_empty()
    );
    let listed = |list: &str, secret: &str| {
        account.get(list).items().iter().any(|item| item.get("name").str_or_empty() == secret)
    };
    let spec = review.object.get("spec");
    for (secret, place) in secrets(spec) {
        if !listed("secrets", secret) {
            let secret = go_quote(secret);
            let why = format!("{place} secret.secretName={secret} {because} does not reference that secret");
            return Err(forbidden(review, &why));
        }
    }
    for (at, secret) in spec.get("imagePullSecrets").items().iter().enumerate() {
        let secret = secret.get("name").str_or_empty();
        if !listed("imagePullSecrets", secret) {
            let secret = go_quote(secret);
            let why = format!(
                "imagePullSecrets[{at}].name={secret} {because} does not reference that imagePullSecret"
            );
            return Err(forbidden(review, &why));
        }
    }
    Ok(())
}

/// Mounts the token into each container that has nothing else in its place.
fn mount_token(spec: &mut Value, fresh: &str) {
    let present = spec.get("volumes").items().iter().map(|volume| volume.get("name").str_or_empty());
    let present = present.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let volume = present.clone().unwrap_or_else(|| fresh.to_owned());
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.get_mut(list) else { continue };
        for container in containers.items_mut() {
            let mounts = container.get("volumeMounts").items();
            if mounts.iter().any(|mount| mount.get("mountPath").str_or_empty() == MOUNT_PATH) {
                continue;
            }
            needed = true;
            container.entry("volumeMounts").make_array().push(Value::from([
                ("name", Value::from(volume.as_str())),
                ("readOnly", Value::from(true)),
                ("mountPath", Value::from(MOUNT_PATH)),
            ]));
        }
    }
    if needed && present.is_none() {
        spec.entry("volumes").make_array().push(token_volume(&volume));
    }
}

fn token_volume(name: &str) -> Value {
    let item = |key: &str, path: &str| Value::from([("key", Value::from(key)), ("path", Value::from(path))]);
    let token =
        Value::from([("expirationSeconds", Value::from(TOKEN_SECONDS)), ("path", Value::from("token"))]);
    let authority = Value::from([
        ("name", Value::from("kube-root-ca.crt")),
        ("items", Value::from(vec![item("ca.crt", "ca.crt")])),
    ]);
    let field =
        Value::from([("apiVersion", Value::from("v1")), ("fieldPath", Value::from("metadata.namespace"))]);
    let namespace = Value::from([("path", Value::from("namespace")), ("fieldRef", field)]);
    let sources = vec![
        Value::from([("serviceAccountToken", token)]),
        Value::from([("configMap", authority)]),
        Value::from([("downwardAPI", Value::from([("items", Value::from(vec![namespace]))]))]),
    ];
    // 0644, as everything that only some readers of a volume may see is guarded by the volume itself.
    let projected = Value::from([("sources", Value::from(sources)), ("defaultMode", Value::from(0o644i64))]);
    Value::from([("name", Value::from(name)), ("projected", projected)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Value {
        machinery::json::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn every_container_gets_the_token_once() {
        let mut spec =
            pod(r#"{"initContainers":[{"name":"i"}],"containers":[{"name":"a"},{"name":"b","volumeMounts":
            [{"name":"own","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}"#);
        mount_token(&mut spec, "kube-api-access-abcde");
        let mounts = |list: &str, at: usize| spec.get(list).items()[at].get("volumeMounts").items().to_vec();
        assert_eq!(mounts("initContainers", 0)[0].get("name").str_or_empty(), "kube-api-access-abcde");
        assert_eq!(mounts("containers", 0).len(), 1);
        assert_eq!(mounts("containers", 1)[0].get("name").str_or_empty(), "own");
        assert_eq!(spec.get("volumes").items().len(), 1);
        let before = spec.clone();
        mount_token(&mut spec, "kube-api-access-fghij");
        assert_eq!(spec, before);
    }

    #[test]
    fn a_volume_that_nobody_needs_is_not_added() {
        let mut spec = pod(r#"{"containers":[{"name":"b","volumeMounts":
            [{"name":"own","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}"#);
        mount_token(&mut spec, "kube-api-access-abcde");
        assert!(spec.get("volumes").is_null());
    }
}

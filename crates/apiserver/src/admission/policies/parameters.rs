//! The parameters of a binding: objects that expressions see as `params`.

use std::sync::Arc;

use machinery::Value;
use machinery::selector::LabelSelector;

use super::super::{Review, Surroundings};
use super::catalog::{Binding, Policy};
use crate::cache::{Collection, Entry};
use crate::registry::Served;

/// The parameters with which a policy is evaluated for a binding, once for each: `null` where the policy has none, and
/// nothing at all if the binding is not about this write.
pub(super) async fn for_binding(
    policy: &Policy,
    binding: &Binding,
    review: &Review<'_>,
    around: Surroundings<'_>,
) -> Result<Vec<Value>, String> {
    let criteria = binding.criteria.as_ref().map_err(String::clone)?;
    match criteria.find(review, around) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(_)) => collect(policy, binding, review.namespace, around).await,
        Err(status) => Err(status.message),
    }
}

async fn collect(
    policy: &Policy,
    binding: &Binding,
    namespace: &str,
    around: Surroundings<'_>,
) -> Result<Vec<Value>, String> {
    let (kind, reference) = (policy.spec.get("paramKind"), binding.spec.get("paramRef"));
    if kind.is_null() || reference.is_null() {
        return Ok(vec![Value::Null]);
    }
    let (served, collection) = find(kind, around)?;
    let own = reference.get("namespace").str_or_empty();
    let place = match (served.namespaced, own) {
        (false, "") => String::new(),
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
        (true, "") if namespace.is_empty() => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "") => format!("{namespace}/"),
        (true, own) => format!("{own}/"),
    };
    let found = match reference.get("name").str_or_empty() {
        "" => select(&collection, &place, reference.get("selector"))?,
        name => collection.get(&format!("{place}{name}")).into_iter().collect(),
    };
    if found.is_empty() && reference.get("parameterNotFoundAction").str_or_empty() == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    let shown = served.all_shown(&found, around).await.map_err(|status| status.to_string())?;
    let document = |entry: &Arc<Entry>| entry.object().to_whole_value();
    shown.iter().map(document).collect::<Result<_, _>>().map_err(|status| status.to_string())
}

/// The resource of a kind, and its objects.
fn find(kind: &Value, around: Surroundings<'_>) -> Result<(Arc<Served>, Arc<Collection>), String> {
    let (version, name) = (kind.get("apiVersion").str_or_empty(), kind.get("kind").str_or_empty());
    let registry = around.registry.load();
    let served = registry.all().iter().find(|served| served.api_version == version && served.kind == name);
    let found = served.and_then(|served| Some((served.clone(), served.collection().ok()?)));
    found.ok_or_else(|| {
        format!("failed to configure policy: failed to find resource referenced by paramKind: '{version}, Kind={name}'")
    })
}

fn select(collection: &Collection, place: &str, selector: &Value) -> Result<Vec<Arc<Entry>>, String> {
    let selector = LabelSelector::from_document(selector)?;
    let snapshot = collection.snapshot();
    let entries = snapshot.starting_at(place).take_while(|entry| entry.key().starts_with(place));
    Ok(entries.filter(|entry| selector.matches(|key| entry.object().header().label(key))).collect())
}

//! What follows from the definitions: which are served, and what each says of itself.

use std::collections::BTreeMap;

use kinds::extension::approval::Approval;
use machinery::Value;
use machinery::time::Timestamp;
use smol_str::SmolStr;

use super::names::{self, Taken};

/// What holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// What is to be done about one definition.
#[derive(Debug)]
pub struct Plan {
    /// Its name.
    pub name: SmolStr,
    /// The group of what it defines.
    pub group: SmolStr,
    /// The names it has.
    pub accepted: Value,
    /// Whether what it defines is served.
    pub serve: bool,
    /// What it is to say of itself, if that is news.
    pub status: Option<Value>,
    /// Whether its objects are to go, and it after them.
    pub remove_objects: bool,
}

/// Plans for all definitions, which come by name.
pub fn plan(definitions: &[Value], now_secs: i64) -> Vec<Plan> {
    let mut taken: BTreeMap<&str, Taken> = BTreeMap::new();
    let group_of =
        |definition: &'_ Value| -> SmolStr { definition.at(&["spec", "group"]).str_or_empty().into() };
    for definition in definitions {
        let group = definition.at(&["spec", "group"]).str_or_empty();
        taken.entry(group).or_default().add(definition.at(&["status", "acceptedNames"]));
    }
    let mut plans = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let group = definition.at(&["spec", "group"]).str_or_empty();
        let taken = taken.entry(group).or_default();
        let plan = plan_one(definition, taken, now_secs);
        // Who comes later finds these names taken.
        taken.add(&plan.accepted);
        debug_assert_eq!(plan.group, group_of(definition));
        plans.push(plan);
    }
    plans
}

fn plan_one(definition: &Value, taken: &Taken, now_secs: i64) -> Plan {
    let status = definition.get("status");
    let asked = definition.at(&["spec", "names"]);
    let accepted = names::accept(asked, status.get("acceptedNames"), taken);
    let mut new = status.clone();
    let was_established = condition(status, "Established") == Some("True");
    let is_established = was_established || accepted.conflict.is_none();
    let (state, reason, message) = match &accepted.conflict {
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        Some((reason, why)) => ("False", *reason, why.clone()),
    };
    set_condition(&mut new, "NamesAccepted", (state, reason, &message), now_secs);
    if !was_established {
        let established = if is_established {
            ("True", "InitialNamesAccepted", "the initial names have been accepted")
        } else {
            ("False", "NotAccepted", "not all names are accepted")
        };
        set_condition(&mut new, "Established", established, now_secs);
    }
    if let Some((state, reason, message)) = Approval::of(definition).condition() {
        set_condition(&mut new, "KubernetesAPIApprovalPolicyConformant", (state, reason, &message), now_secs);
    }
    new.set("acceptedNames", accepted.names.clone());
    let finalizers = definition.at(&["metadata", "finalizers"]).items();
    let deleting = !definition.at(&["metadata", "deletionTimestamp"]).is_null();
    let held = finalizers.iter().any(|finalizer| finalizer.as_str() == Some(FINALIZER));
    Plan {
        name: definition.at(&["metadata", "name"]).str_or_empty().into(),
        group: definition.at(&["spec", "group"]).str_or_empty().into(),
        serve: is_established,
        status: (new != *status).then_some(new),
        accepted: accepted.names,
        remove_objects: deleting && held,
    }
}

/// Marks a definition that is to go: its objects go first.
pub fn mark_deleted(definition: &mut Value, now_secs: i64) {
    let metadata = definition.entry("metadata");
    metadata.set("deletionTimestamp", Timestamp::from_secs(now_secs).to_rfc3339());
    let generation = metadata.get("generation").as_int().unwrap_or(0);
    metadata.set("generation", generation + 1);
    let finalizers = metadata.entry("finalizers").make_array();
    if !finalizers.iter().any(|finalizer| finalizer.as_str() == Some(FINALIZER)) {
        finalizers.push(Value::from(FINALIZER));
    }
    let why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    let terminating = ("True", "InstanceDeletionPending", why);
    set_condition(definition.entry("status"), "Terminating", terminating, now_secs);
}

/// The state of a condition.
fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = status.get("conditions").items();
    let found = conditions.iter().find(|condition| condition.get("type").as_str() == Some(kind))?;
    found.get("status").as_str()
}

/// Sets a condition: its state, reason and message. Its time is that of its last change of state.
pub fn set_condition(
    status: &mut Value,
    kind: &str,
    (state, reason, message): (&str, &str, &str),
    now_secs: i64,
) {
    let conditions = status.entry("conditions").make_array();
    let position = conditions.iter().position(|condition| condition.get("type").as_str() == Some(kind));
    let now = Value::from(Timestamp::from_secs(now_secs).to_rfc3339());
    let since = position
        .map(|position| &conditions[position])
        .filter(|condition| condition.get("status").as_str() == Some(state))
        .map_or(now, |condition| condition.get("lastTransitionTime").clone());
    let condition = Value::from([
        ("type", Value::from(kind)),
        ("status", Value::from(state)),
        ("lastTransitionTime", since),
        ("reason", Value::from(reason)),
        ("message", Value::from(message)),
    ]);
    match position {
        Some(position) => {
            // What a condition has beside these stays.
            for (name, value) in condition.members() {
                conditions[position].set(name, value.clone());
            }
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    fn definition(plural: &str, kind: &str) -> Value {
        parse(&format!(
            r#"{{"metadata":{{"name":"{plural}.g.example.com","generation":1}},
                "spec":{{"group":"g.example.com","names":{{"plural":"{plural}","singular":"s{plural}","kind":"{kind}","listKind":"{kind}List"}}}},
                "status":{{"storedVersions":["v1"]}}}}"#
        ))
    }

    fn conditions(status: &Value) -> Vec<(String, String, String)> {
        let text = |condition: &Value, name: &str| condition.get(name).str_or_empty().to_owned();
        let conditions = status.get("conditions").items().iter();
        conditions
            .map(|condition| (text(condition, "type"), text(condition, "status"), text(condition, "reason")))
            .collect()
    }

    #[test]
    fn free_names_are_accepted_and_served() {
        let plans = plan(&[definition("things", "Thing")], 60);
        let status = plans[0].status.as_ref().expect("there is news");
        let told =
            |kind: &str, state: &str, reason: &str| (kind.to_owned(), state.to_owned(), reason.to_owned());
        assert_eq!(
            conditions(status),
            [
                told("NamesAccepted", "True", "NoConflicts"),
                told("Established", "True", "InitialNamesAccepted")
            ]
        );
        assert!(plans[0].serve);
        let mut settled = definition("things", "Thing");
        settled.set("status", status.clone());
        assert!(plan(&[settled], 90)[0].status.is_none(), "what is settled stays as it is");
    }

    #[test]
    fn the_second_with_a_name_waits_for_the_first_to_go() {
        let both = [definition("as", "Thing"), definition("bs", "Thing")];
        let plans = plan(&both, 60);
        assert_eq!((plans[0].serve, plans[1].serve), (true, false));
        let status = plans[1].status.as_ref().expect("there is news");
        assert_eq!(conditions(status)[0].2, "ListKindConflict");
        assert_eq!(conditions(status)[1].2, "NotAccepted");
        let mut second = definition("bs", "Thing");
        second.set("status", status.clone());
        let plans = plan(&[second], 90);
        assert!(plans[0].serve, "the name is free again");
    }

    #[test]
    fn a_definition_that_goes_takes_its_objects_along() {
        let mut going = definition("things", "Thing");
        mark_deleted(&mut going, 60);
        assert_eq!(going.at(&["metadata", "generation"]).as_int(), Some(2));
        let plans = plan(&[going], 60);
        assert!(plans[0].remove_objects && plans[0].serve);
    }

    #[test]
    fn groups_of_kubernetes_say_who_approved() {
        let mut ours = definition("things", "Thing");
        *ours.at_mut(&["spec", "group"]) = Value::from("x.k8s.io");
        let status = plan(&[ours], 60)[0].status.clone().expect("there is news");
        assert_eq!(conditions(&status)[2].2, "MissingAnnotation");
    }
}

//! What definitions of custom resources say of them, as far as the controllers need it that look at objects of every
//! kind.

use client::cache::Facts;
use client::{Resource, resources};
use machinery::{Object, Status, Value};

/// What is asked of definitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefinitionFacts {
    /// Its names are its own, so that it is served.
    pub is_established: bool,
    /// Every version that is served, that of storage first.
    pub resources: Vec<Resource>,
}

impl Facts for DefinitionFacts {
    fn of(object: &Object) -> Result<DefinitionFacts, Status> {
        let document = object.to_value().map_err(|error| Status::internal(error.to_string()))?;
        Ok(facts(&document))
    }
}

fn facts(document: &Value) -> DefinitionFacts {
    let names = document.at(&["status", "acceptedNames"]);
    let conditions = document.at(&["status", "conditions"]);
    let is_established = conditions.items().iter().any(|condition| {
        condition.get("type").str_or_empty() == "Established"
            && condition.get("status").str_or_empty() == "True"
    });
    let spec = document.get("spec");
    let resource = |version: &Value| {
        let parts = [spec.get("group"), version.get("name"), names.get("plural"), names.get("kind")];
        resources::custom(parts.map(Value::str_or_empty), spec.get("scope").str_or_empty() == "Namespaced")
    };
    let mut served: Vec<&Value> =
        spec.get("versions").items().iter().filter(|version| version.get("served").is_true()).collect();
    // What is stored can be read without being converted.
    served.sort_by_key(|version| !version.get("storage").is_true());
    DefinitionFacts { is_established, resources: served.into_iter().map(resource).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_says_what_is_served_once_it_is_established() {
        for (conditions, expected) in [
            ("[]", false),
            (r#"[{"type":"Established","status":"False"}]"#, false),
            (r#"[{"type":"NamesAccepted","status":"True"}]"#, false),
            (r#"[{"type":"NamesAccepted","status":"True"},{"type":"Established","status":"True"}]"#, true),
        ] {
            let text = format!(
                r#"{{"spec":{{"group":"stable.example.com","scope":"Namespaced","versions":[
                    {{"name":"v2","served":false}},{{"name":"v1beta1","served":true}},
                    {{"name":"v1","served":true,"storage":true}}]}},
                    "status":{{"acceptedNames":{{"plural":"crontabs","kind":"CronTab"}},
                    "conditions":{conditions}}}}}"#
            );
            let facts = facts(&machinery::json::parse(text.as_bytes()).unwrap());
            assert_eq!(facts.is_established, expected, "{conditions}");
            let versions: Vec<_> = facts.resources.iter().map(Resource::api_version).collect();
            assert_eq!(versions, ["stable.example.com/v1", "stable.example.com/v1beta1"]);
            assert!(
                facts.resources.iter().all(|resource| resource.namespaced && resource.plural == "crontabs")
            );
            assert!(facts.resources.iter().all(|resource| resource.kind == "CronTab"));
        }
    }
}

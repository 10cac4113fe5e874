//! What follows from `APIService` objects and what is behind their Services, before anybody is asked anything.

use std::collections::BTreeSet;

use machinery::Value;

/// How important the groups of custom resources are, as upstream registers them.
const CUSTOM_PRIORITY: (i64, i64) = (1_000, 100);
/// Marks objects that are made and removed with what they stand for.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// A condition: its state, its reason and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub state: &'static str,
    pub reason: &'static str,
    pub message: String,
}

impl Finding {
    fn unavailable(reason: &'static str, message: String) -> Finding {
        Finding { state: "False", reason, message }
    }

    /// It answered.
    pub fn passed() -> Finding {
        Finding { state: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    /// It did not.
    pub fn silent(why: String) -> Finding {
        Finding::unavailable("FailedDiscoveryCheck", why)
    }
}

/// Whether a server was found to answer.
pub(super) fn is_available(document: &Value) -> bool {
    let mut conditions = document.at(&["status", "conditions"]).items().iter();
    conditions.any(|condition| {
        condition.get("type").str_or_empty() == "Available"
            && condition.get("status").str_or_empty() == "True"
    })
}

/// Why a server behind a Service cannot even be asked; `None` if it can.
pub(super) fn obstacle(
    (namespace, name): (&str, &str),
    port: u16,
    service: Option<&Value>,
    slices: &[Value],
) -> Option<Finding> {
    let Some(service) = service else {
        let why = format!("service/{name} in \"{namespace}\" is not present");
        return Some(Finding::unavailable("ServiceNotFound", why));
    };
    let spec = service.get("spec");
    if !matches!(spec.get("type").str_or_empty(), "" | "ClusterIP") {
        return None;
    }
    let ports = spec.get("ports").items();
    let Some(own) = ports.iter().find(|own| own.get("port").as_int() == Some(i64::from(port))) else {
        let why = format!("service/{name} in \"{namespace}\" is not listening on port {port}");
        return Some(Finding::unavailable("ServicePortError", why));
    };
    if slices.is_empty() {
        let why = format!("cannot find endpointslices for service/{name} in \"{namespace}\"");
        return Some(Finding::unavailable("EndpointsNotFound", why));
    }
    let port_name = own.get("name").str_or_empty();
    if slices.iter().any(|slice| has_ready_endpoint(slice, port_name)) {
        return None;
    }
    let why = format!(
        "endpointslices for service/{name} in \"{namespace}\" have no addresses with port name \"{port_name}\""
    );
    Some(Finding::unavailable("MissingEndpoints", why))
}

fn has_ready_endpoint(slice: &Value, port_name: &str) -> bool {
    let endpoints = slice.get("endpoints").items();
    let ready = endpoints.iter().any(|own| own.at(&["conditions", "ready"]).as_bool() != Some(false));
    let ports = slice.get("ports").items();
    ready && ports.iter().any(|own| own.get("name").str_or_empty() == port_name && !own.get("port").is_null())
}

/// The groups and versions that definitions serve.
pub(super) fn defined(definitions: &[Value]) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for definition in definitions {
        let group = definition.at(&["spec", "group"]).str_or_empty();
        let versions = definition.at(&["spec", "versions"]).items().iter();
        for version in versions.filter(|version| version.get("served").is_true()) {
            all.insert((group.to_owned(), version.get("name").str_or_empty().to_owned()));
        }
    }
    all
}

/// What is to be made and to be removed so that there is an `APIService` for each group and version that is defined.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    pub make: Vec<(String, String)>,
    pub remove: Vec<String>,
}

/// Plans that. Whoever made an object with such a name by hand keeps it.
pub(super) fn register(services: &[Value], defined: &BTreeSet<(String, String)>) -> Registration {
    let name_of = |(group, version): &(String, String)| format!("{version}.{group}");
    let names: BTreeSet<String> = defined.iter().map(name_of).collect();
    let name = |service: &Value| service.at(&["metadata", "name"]).str_or_empty().to_owned();
    let known: BTreeSet<String> = services.iter().map(name).collect();
    let is_ours = |service: &&Value| service.at(&["metadata", "labels", MANAGED]).as_str() == Some("true");
    let gone = services.iter().filter(is_ours).map(name).filter(|name| !names.contains(name));
    Registration {
        make: defined.iter().filter(|own| !known.contains(&name_of(own))).cloned().collect(),
        remove: gone.collect(),
    }
}

/// The object that stands for a group and version of custom resources.
pub(super) fn registered(group: &str, version: &str) -> Value {
    Value::from([
        ("kind", Value::from("APIService")),
        ("apiVersion", Value::from("apiregistration.k8s.io/v1")),
        (
            "metadata",
            Value::from([
                ("name", Value::from(format!("{version}.{group}"))),
                ("labels", Value::from([(MANAGED, Value::from("true"))])),
            ]),
        ),
        (
            "spec",
            Value::from([
                ("group", Value::from(group)),
                ("version", Value::from(version)),
                ("groupPriorityMinimum", Value::from(CUSTOM_PRIORITY.0)),
                ("versionPriority", Value::from(CUSTOM_PRIORITY.1)),
            ]),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_cannot_be_asked_is_told_in_upstreams_words() {
        let service = r#"{"spec":{"type":"ClusterIP","ports":[{"name":"web","port":443}]}}"#;
        let slice = |ready: bool, port: &str| {
            format!(
                r#"{{"endpoints":[{{"addresses":["10.0.0.1"],"conditions":{{"ready":{ready}}}}}],
                    "ports":[{{"name":"{port}","port":8443}}]}}"#
            )
        };
        type Case<'a> = (Option<&'a str>, u16, Vec<String>, Option<(&'a str, &'a str)>);
        let cases: [Case<'_>; 7] = [
            (None, 443, vec![], Some(("ServiceNotFound", "service/s in \"n\" is not present"))),
            (
                Some(service),
                444,
                vec![],
                Some(("ServicePortError", "service/s in \"n\" is not listening on port 444")),
            ),
            (
                Some(service),
                443,
                vec![],
                Some(("EndpointsNotFound", "cannot find endpointslices for service/s in \"n\"")),
            ),
            (
                Some(service),
                443,
                vec![slice(false, "web"), slice(true, "other")],
                Some((
                    "MissingEndpoints",
                    "endpointslices for service/s in \"n\" have no addresses with port name \"web\"",
                )),
            ),
            (Some(service), 443, vec![slice(false, "web"), slice(true, "web")], None),
            (Some(r#"{"spec":{"type":"ExternalName","externalName":"x"}}"#), 443, vec![], None),
            (Some(r#"{"spec":{"type":"NodePort"}}"#), 443, vec![], None),
        ];
        for (service, port, slices, expected) in cases {
            let service = service.map(parse);
            let slices: Vec<Value> = slices.iter().map(|slice| parse(slice)).collect();
            let found = obstacle(("n", "s"), port, service.as_ref(), &slices);
            let found = found.as_ref().map(|found| (found.reason, found.message.as_str()));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_defined_is_registered_and_unregistered() {
        let definition = parse(
            r#"{"spec":{"group":"g","versions":[{"name":"v1","served":true},{"name":"v2","served":false},
                {"name":"v3","served":true}]}}"#,
        );
        let ours = |version: &str, group: &str| registered(group, version);
        let by_hand = parse(r#"{"metadata":{"name":"v9.g"},"spec":{}}"#);
        let services = [ours("v1", "g"), ours("v1", "gone"), by_hand];
        let plan = register(&services, &defined(&[definition]));
        assert_eq!(plan.make, [("g".to_owned(), "v3".to_owned())]);
        assert_eq!(plan.remove, ["v1.gone"]);
    }

    #[test]
    fn who_is_available_says_so() {
        for (conditions, expected) in [
            (r#"[]"#, false),
            (r#"[{"type":"Available","status":"False"}]"#, false),
            (r#"[{"type":"Other","status":"True"},{"type":"Available","status":"True"}]"#, true),
        ] {
            let document = parse(&format!(r#"{{"status":{{"conditions":{conditions}}}}}"#));
            assert_eq!(is_available(&document), expected, "{conditions}");
        }
    }
}

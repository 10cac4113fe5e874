//! APIService.

use machinery::{Value, names};

use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ApiService;

impl Kind for ApiService {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment).bare_status().any_finalizer()
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec")
            && let Some(service) = spec.get_mut("service")
        {
            or(service, "port", 443i64);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        // What is served here needs nobody to say that it is there.
        if object.at(&["spec", "service"]).is_null() {
            let condition = Value::from([
                ("type", Value::from("Available")),
                ("status", Value::from("True")),
                ("lastTransitionTime", object.at(&["metadata", "creationTimestamp"]).clone()),
                ("reason", Value::from("Local")),
                ("message", Value::from("Local APIServices are always available")),
            ]);
            object.entry("status").set("conditions", vec![condition]);
        }
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let (group, version) = (spec.get("group"), spec.get("version"));
        let metadata = object.get("metadata");
        let name = metadata.get("name");
        let required = format!("{}.{}", version.text(), group.text());
        if name.text() != required && !name.text().is_empty() {
            name.invalid(format!("must be `spec.version+\".\"+spec.group`: \"{required}\""));
        }
        if group.text().is_empty() && version.text() != "v1" {
            group.required("only v1 may have an empty group and it better be legacy kube");
        }
        if !group.text().is_empty() {
            group.faults(names::dns1123_subdomain(group.text()));
        }
        version.faults(names::dns1035_label(version.text()));
        let priority = spec.get("groupPriorityMinimum");
        if !(1..=20_000).contains(&priority.int()) {
            priority.invalid_number("must be positive and less than 20000");
        }
        let priority = spec.get("versionPriority");
        if !(1..=1_000).contains(&priority.int()) {
            priority.invalid_number("must be positive and less than 1000");
        }
        let (service, insecure) = (spec.get("service"), spec.get("insecureSkipTLSVerify"));
        if !service.is_set() {
            if !spec.get("caBundle").is_empty() {
                spec.get("caBundle").invalid_as(
                    &format!("{} bytes", decoded_length(spec.get("caBundle").text())),
                    "local APIServices may not have a caBundle",
                );
            }
            if insecure.is_true() {
                insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
            }
            return;
        }
        for member in ["namespace", "name"] {
            if service.get(member).text().is_empty() {
                service.get(member).required("");
            }
        }
        let port = service.get("port");
        if !names::port_number(port.int()).is_empty() {
            port.invalid_as(port.int(), "port is not valid: must be between 1 and 65535, inclusive");
        }
        if insecure.is_true() && !spec.get("caBundle").is_empty() {
            insecure.invalid("may not be true if caBundle is present");
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door == Door::Main {
            return self.check(object);
        }
        let status = object.get("status");
        for condition in status.get("conditions").items() {
            condition.get("status").one_of(&["True", "False", "Unknown"]);
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::API_SERVICE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let service = object.at(&["spec", "service"]);
        let shown = match service {
            Value::Null => "Local".to_owned(),
            service => {
                format!("{}/{}", service.get("namespace").str_or_empty(), service.get("name").str_or_empty())
            }
        };
        let conditions = object.at(&["status", "conditions"]).items();
        let available =
            conditions.iter().find(|condition| condition.get("type").str_or_empty() == "Available");
        let available = match available {
            None => "Unknown".to_owned(),
            Some(condition) => match condition.get("status").str_or_empty() {
                "True" => "True".to_owned(),
                status => format!("{status} ({})", condition.get("reason").str_or_empty()),
            },
        };
        vec![table::name(object), Value::from(shown), Value::from(available), table::age(object, now_secs)]
    }
}

/// How many bytes a text in base64 stands for.
fn decoded_length(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

//! Priority and fairness as every cluster has it at first: the levels, and which requests belong to which.

use machinery::Value;

use super::{Wanted, condition};

const EVERYONE: &[Subject] =
    &[Subject::Group("system:unauthenticated"), Subject::Group("system:authenticated")];

/// Levels: shares of the concurrency, queues and hand size (zero: refuse at once), and the percentage they lend.
const LEVELS: &[(&str, i64, i64, i64, i64)] = &[
    ("catch-all", 5, 0, 0, 0),
    ("global-default", 20, 128, 6, 50),
    ("leader-election", 10, 16, 4, 0),
    ("node-high", 40, 64, 6, 25),
    ("system", 30, 64, 6, 33),
    ("workload-high", 40, 128, 6, 50),
    ("workload-low", 100, 128, 6, 90),
];
/// The level whose requests never wait.
const EXEMPT: &str = "exempt";
/// Requests that may wait in one queue.
const QUEUE_LENGTH: i64 = 50;

/// Who a rule is about.
#[derive(Clone, Copy)]
enum Subject {
    User(&'static str),
    Group(&'static str),
    /// All service accounts of a namespace.
    ServiceAccounts(&'static str),
}

/// Which requests a rule is about.
#[derive(Clone, Copy)]
enum Requests {
    All,
    /// Verbs, group, resources, and whether objects of the cluster are meant too.
    Some(&'static [&'static str], &'static str, &'static [&'static str], bool),
    /// GETs of these paths.
    Paths(&'static [&'static str]),
}

/// Which requests belong to a level.
struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    /// `ByUser`, `ByNamespace`; empty for neither.
    flows: &'static str,
    subjects: &'static [Subject],
    requests: &'static [Requests],
}

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "exempt",
        level: EXEMPT,
        precedence: 1,
        flows: "",
        subjects: &[Subject::Group("system:masters")],
        requests: &[Requests::All],
    },
    Schema {
        name: "probes",
        level: EXEMPT,
        precedence: 2,
        flows: "",
        subjects: EVERYONE,
        requests: &[Requests::Paths(&["/healthz", "/readyz", "/livez"])],
    },
    Schema {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        flows: "ByUser",
        subjects: &[
            Subject::User("system:kube-controller-manager"),
            Subject::User("system:kube-scheduler"),
            Subject::ServiceAccounts("kube-system"),
        ],
        requests: &[Requests::Some(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)],
    },
    Schema {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        flows: "ByUser",
        subjects: &[Subject::Group("system:nodes")],
        requests: &[
            Requests::Some(&["*"], "", &["nodes", "nodes/status"], true),
            Requests::Some(&["*"], "coordination.k8s.io", &["leases"], false),
        ],
    },
    Schema {
        name: "system-nodes",
        level: "system",
        precedence: 500,
        flows: "ByUser",
        subjects: &[Subject::Group("system:nodes")],
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-controller-manager",
        level: "workload-high",
        precedence: 800,
        flows: "ByNamespace",
        subjects: &[Subject::User("system:kube-controller-manager")],
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-scheduler",
        level: "workload-high",
        precedence: 800,
        flows: "ByNamespace",
        subjects: &[Subject::User("system:kube-scheduler")],
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-system-service-accounts",
        level: "workload-high",
        precedence: 900,
        flows: "ByNamespace",
        subjects: &[Subject::ServiceAccounts("kube-system")],
        requests: &[Requests::All],
    },
    Schema {
        name: "service-accounts",
        level: "workload-low",
        precedence: 9_000,
        flows: "ByUser",
        subjects: &[Subject::Group("system:serviceaccounts")],
        requests: &[Requests::All],
    },
    Schema {
        name: "global-default",
        level: "global-default",
        precedence: 9_900,
        flows: "ByUser",
        subjects: EVERYONE,
        requests: &[Requests::All],
    },
    Schema {
        name: "catch-all",
        level: "catch-all",
        precedence: 10_000,
        flows: "ByUser",
        subjects: EVERYONE,
        requests: &[Requests::All],
    },
];

/// The levels.
pub(super) fn priority_levels() -> Vec<Wanted> {
    let mut levels = vec![wanted("prioritylevelconfigurations", EXEMPT, exempt(), Value::Null)];
    for (name, shares, queues, hand, lends) in LEVELS {
        let response = if *queues == 0 {
            Value::from([("type", Value::from("Reject"))])
        } else {
            let queuing = Value::from([
                ("queues", Value::from(*queues)),
                ("handSize", Value::from(*hand)),
                ("queueLengthLimit", Value::from(QUEUE_LENGTH)),
            ]);
            Value::from([("type", Value::from("Queue")), ("queuing", queuing)])
        };
        let limited = Value::from([
            ("nominalConcurrencyShares", Value::from(*shares)),
            ("limitResponse", response),
            ("lendablePercent", Value::from(*lends)),
        ]);
        let spec = Value::from([("type", Value::from("Limited")), ("limited", limited)]);
        levels.push(wanted("prioritylevelconfigurations", name, spec, Value::Null));
    }
    levels
}

fn exempt() -> Value {
    let shares = Value::from([
        ("nominalConcurrencyShares", Value::from(0i64)),
        ("lendablePercent", Value::from(0i64)),
    ]);
    Value::from([("type", Value::from("Exempt")), ("exempt", shares)])
}

/// Which requests belong to which level.
pub(super) fn schemas(now: i64) -> Vec<Wanted> {
    let made = SCHEMAS.iter().map(|schema| {
        let level = Value::from([("name", Value::from(schema.level))]);
        let mut spec = Value::from([
            ("priorityLevelConfiguration", level),
            ("matchingPrecedence", Value::from(schema.precedence)),
        ]);
        if !schema.flows.is_empty() {
            spec.set("distinguisherMethod", Value::from([("type", Value::from(schema.flows))]));
        }
        spec.set("rules", vec![rule(schema)]);
        let found = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named \"{}\" and it exists",
            schema.level
        );
        let status = condition(now, ("Dangling", "False"), ("Found", &found));
        wanted("flowschemas", schema.name, spec, status)
    });
    made.collect()
}

fn wanted(plural: &'static str, name: &str, spec: Value, status: Value) -> Wanted {
    let annotations = Value::from([("apf.kubernetes.io/autoupdate-spec", "true".into())]);
    let metadata = Value::from([("annotations", annotations)]);
    Wanted {
        group: "flowcontrol.apiserver.k8s.io",
        version: "v1",
        plural,
        namespace: "",
        name: name.to_owned(),
        document: Value::from([("metadata", metadata), ("spec", spec)]),
        status,
        keep: false,
    }
}

fn rule(schema: &Schema) -> Value {
    let subjects: Vec<Value> = schema.subjects.iter().map(|subject| subject.to_value()).collect();
    let mut rule = Value::from([("subjects", Value::from(subjects))]);
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    for requests in schema.requests {
        match *requests {
            Requests::All => {
                resources.push(resource_rule(&["*"], "*", &["*"], true));
                paths.push(path_rule("*", &["*"]));
            }
            Requests::Some(verbs, group, plurals, cluster) => {
                resources.push(resource_rule(verbs, group, plurals, cluster));
            }
            Requests::Paths(list) => paths.push(path_rule("get", list)),
        }
    }
    if !resources.is_empty() {
        rule.set("resourceRules", resources);
    }
    if !paths.is_empty() {
        rule.set("nonResourceRules", paths);
    }
    rule
}

impl Subject {
    fn to_value(self) -> Value {
        let named = |name: &str| Value::from([("name", Value::from(name))]);
        match self {
            Subject::User(name) => Value::from([("kind", Value::from("User")), ("user", named(name))]),
            Subject::Group(name) => Value::from([("kind", Value::from("Group")), ("group", named(name))]),
            Subject::ServiceAccounts(namespace) => {
                let accounts =
                    Value::from([("namespace", Value::from(namespace)), ("name", Value::from("*"))]);
                Value::from([("kind", Value::from("ServiceAccount")), ("serviceAccount", accounts)])
            }
        }
    }
}

fn texts(list: &[&str]) -> Value {
    Value::from(list.iter().map(|text| Value::from(*text)).collect::<Vec<_>>())
}

fn resource_rule(verbs: &[&str], group: &str, plurals: &[&str], cluster: bool) -> Value {
    let mut rule =
        Value::from([("verbs", texts(verbs)), ("apiGroups", texts(&[group])), ("resources", texts(plurals))]);
    if cluster {
        rule.set("clusterScope", true);
    }
    rule.set("namespaces", texts(&["*"]));
    rule
}

fn path_rule(verb: &str, paths: &[&str]) -> Value {
    Value::from([("verbs", texts(&[verb])), ("nonResourceURLs", texts(paths))])
}

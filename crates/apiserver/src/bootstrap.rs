//! The objects that every cluster has from the start: made if they are missing, left alone otherwise.

use std::net::IpAddr;
use std::sync::Arc;

use machinery::{Map, Reason, Status, Value};

use crate::core::Core;
use crate::identity::Identity;
use crate::verbs::create;
use crate::verbs::update::{self, Replace};
use crate::write::{Options, Request};

/// The namespaces the system lives in.
const NAMESPACES: [&str; 4] = ["kube-system", "default", "kube-public", "kube-node-lease"];

/// An object that is to be there.
struct Wanted {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    namespace: &'static str,
    name: String,
    /// Everything but kind, version and name.
    document: Value,
    /// Whether it follows the configuration: then it is brought back to what it should be.
    keep: bool,
}

/// Makes what is missing.
pub async fn run(core: &Arc<Core>) -> Result<(), Status> {
    for wanted in all(core) {
        ensure(core, wanted).await?;
    }
    crate::authz::bootstrap::run(core).await?;
    set_range_ready(core).await
}

fn all(core: &Core) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = NAMESPACES
        .iter()
        .map(|name| Wanted {
            group: "",
            version: "v1",
            plural: "namespaces",
            namespace: "",
            name: (*name).to_owned(),
            document: Value::object(),
            keep: false,
        })
        .collect();
    all.push(service_range(core));
    all.push(service(core));
    // Endpoints on the loopback would lead every pod to itself.
    if !core.config.advertise.is_loopback() {
        all.push(endpoints(core));
        all.push(endpoint_slice(core));
    }
    all.extend(priority_classes());
    all
}

async fn ensure(core: &Arc<Core>, wanted: Wanted) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let Some(served) = registry.find(wanted.group, wanted.version, wanted.plural) else { return Ok(()) };
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = Request {
        core,
        identity: &identity,
        served,
        namespace: wanted.namespace,
        name: &wanted.name,
        subresource: "",
        options: &options,
    };
    let mut document = wanted.document;
    document.entry("metadata").set("name", wanted.name.as_str());
    document.set("kind", served.kind.as_str());
    document.set("apiVersion", served.api_version.as_str());
    request.canonical(&mut document);
    if let Ok(current) = request.current() {
        if !wanted.keep {
            return Ok(());
        }
        let mut merged = current.object().to_whole_value()?;
        for (name, value) in document.members().filter(|(name, _)| *name != "metadata") {
            merged.set(name, value.clone());
        }
        return update::change(request, &Replace(merged)).await.map(|_| ());
    }
    match create::create(Request { name: "", ..request }, document).await {
        Ok(_) => Ok(()),
        // Another server was faster.
        Err(status) if status.is(Reason::AlreadyExists) => Ok(()),
        Err(status) => Err(status),
    }
}

fn labels(pairs: &[(&str, &str)]) -> Value {
    let entries = pairs.iter().map(|(key, value)| ((*key).into(), Value::from(*value))).collect();
    Value::from([("labels", Value::Object(Map::from_entries(entries)))])
}

fn service_range(core: &Core) -> Wanted {
    let ranges: Vec<Value> =
        core.config.service_cidrs.iter().map(|range| Value::from(range.trunc().to_string())).collect();
    Wanted {
        group: "networking.k8s.io",
        version: "v1",
        plural: "servicecidrs",
        namespace: "",
        name: "kubernetes".to_owned(),
        document: Value::from([("spec", Value::from([("cidrs", Value::from(ranges))]))]),
        keep: false,
    }
}

/// The range of Service addresses is told to be ready.
async fn set_range_ready(core: &Arc<Core>) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let Some(served) = registry.find("networking.k8s.io", "v1", "servicecidrs") else { return Ok(()) };
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = Request {
        core,
        identity: &identity,
        served,
        namespace: "",
        name: "kubernetes",
        subresource: "status",
        options: &options,
    };
    let mut range = request.current()?.object().to_whole_value()?;
    if !range.at(&["status", "conditions"]).items().is_empty() {
        return Ok(());
    }
    let now = machinery::time::Timestamp::from_secs(core.env.clock.now().secs()).to_rfc3339();
    let ready = Value::from([
        ("type", Value::from("Ready")),
        ("status", Value::from("True")),
        ("lastTransitionTime", Value::from(now)),
        ("reason", Value::from("")),
        ("message", Value::from("Kubernetes default Service CIDR is ready")),
    ]);
    range.entry("status").set("conditions", vec![ready]);
    update::change(request, &Replace(range)).await.map(|_| ())
}

/// The Service under which pods reach this server: the first address of the range.
fn service(core: &Core) -> Wanted {
    let first = core.config.service_cidrs.first().and_then(|range| range.hosts().next());
    let port = Value::from([
        ("name", Value::from("https")),
        ("protocol", Value::from("TCP")),
        ("port", Value::from(443i64)),
        ("targetPort", Value::from(i64::from(core.port()))),
    ]);
    let mut spec = Value::from([("ports", Value::from(vec![port]))]);
    if let Some(first) = first {
        spec.set("clusterIP", first.to_string());
    }
    spec.set("type", "ClusterIP");
    spec.set("sessionAffinity", "None");
    spec.set("ipFamilyPolicy", "SingleStack");
    Wanted {
        group: "",
        version: "v1",
        plural: "services",
        namespace: "default",
        name: "kubernetes".to_owned(),
        document: Value::from([
            ("metadata", labels(&[("component", "apiserver"), ("provider", "kubernetes")])),
            ("spec", spec),
        ]),
        keep: false,
    }
}

fn endpoints(core: &Core) -> Wanted {
    let address = Value::from([("ip", Value::from(core.config.advertise.to_string()))]);
    let port = Value::from([
        ("name", Value::from("https")),
        ("port", Value::from(i64::from(core.port()))),
        ("protocol", Value::from("TCP")),
    ]);
    let subset = Value::from([("addresses", Value::from(vec![address])), ("ports", Value::from(vec![port]))]);
    Wanted {
        group: "",
        version: "v1",
        plural: "endpoints",
        namespace: "default",
        name: "kubernetes".to_owned(),
        document: Value::from([
            ("metadata", labels(&[("endpointslice.kubernetes.io/skip-mirror", "true")])),
            ("subsets", Value::from(vec![subset])),
        ]),
        keep: true,
    }
}

fn endpoint_slice(core: &Core) -> Wanted {
    let address = core.config.advertise;
    let endpoint = Value::from([
        ("addresses", Value::from(vec![Value::from(address.to_string())])),
        ("conditions", Value::from([("ready", Value::from(true))])),
    ]);
    let port = Value::from([
        ("name", Value::from("https")),
        ("protocol", Value::from("TCP")),
        ("port", Value::from(i64::from(core.port()))),
    ]);
    let family = match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    Wanted {
        group: "discovery.k8s.io",
        version: "v1",
        plural: "endpointslices",
        namespace: "default",
        name: "kubernetes".to_owned(),
        document: Value::from([
            ("metadata", labels(&[("kubernetes.io/service-name", "kubernetes")])),
            ("addressType", Value::from(family)),
            ("endpoints", Value::from(vec![endpoint])),
            ("ports", Value::from(vec![port])),
        ]),
        keep: true,
    }
}

fn priority_classes() -> [Wanted; 2] {
    let class = |name: &str, value: i64, description: &str| Wanted {
        group: "scheduling.k8s.io",
        version: "v1",
        plural: "priorityclasses",
        namespace: "",
        name: name.to_owned(),
        document: Value::from([
            ("value", Value::from(value)),
            ("description", Value::from(description)),
            ("preemptionPolicy", Value::from("PreemptLowerPriority")),
        ]),
        keep: false,
    };
    [
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
}

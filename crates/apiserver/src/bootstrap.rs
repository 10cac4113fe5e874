//! The objects that every cluster has from the start: made if they are missing, left alone otherwise.

mod flow;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use machinery::time::Timestamp;
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
    /// Everything but kind, version, name and status.
    document: Value,
    /// What its status is to be; null for what has none, or has one that others write.
    status: Value,
    /// Whether it follows the configuration: then it is brought back to what it should be.
    keep: bool,
}

/// How many objects are made at once.
const AT_ONCE: usize = 32;

/// Makes what is missing.
pub async fn run(core: &Arc<Core>) -> Result<(), Status> {
    side_by_side(namespaces().map(|wanted| ensure(core, wanted))).await?;
    ensure(core, service_range(core)).await?;
    let (rest, roles) = tokio::join!(ensure_rest(core), crate::authz::bootstrap::run(core));
    rest.and(roles)
}

/// All that needs the namespaces and the range of the Services.
async fn ensure_rest(core: &Arc<Core>) -> Result<(), Status> {
    // One after the other: whoever sees where the Service leads is to find the Service.
    let way_here = async {
        for wanted in way_here(core) {
            ensure(core, wanted).await?;
        }
        Ok(())
    };
    let others = others(core).into_iter().map(|wanted| ensure(core, wanted));
    let (way_here, others) = tokio::join!(way_here, side_by_side(others));
    way_here.and(others)
}

/// Makes many objects at once: the store makes them durable together.
pub async fn side_by_side<W>(writes: impl IntoIterator<Item = W>) -> Result<(), Status>
where
    W: Future<Output = Result<(), Status>>,
{
    stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
}

/// Makes again what must not be missing for long, should somebody have removed or changed it: the system's namespaces,
/// and the way to this server.
pub async fn repair(core: &Arc<Core>) -> Result<(), Status> {
    for wanted in namespaces().into_iter().chain(way_here(core)) {
        ensure(core, wanted).await?;
    }
    Ok(())
}

fn namespaces() -> [Wanted; 4] {
    NAMESPACES.map(|name| Wanted {
        group: "",
        version: "v1",
        plural: "namespaces",
        namespace: "",
        name: name.to_owned(),
        document: Value::object(),
        status: Value::Null,
        keep: false,
    })
}

/// The Service by which pods reach this server, and where it leads.
fn way_here(core: &Core) -> Vec<Wanted> {
    let mut all = vec![service(core)];
    // Endpoints on the loopback would lead every pod to itself.
    if !core.config.advertise.is_loopback() {
        all.push(endpoints(core));
        all.push(endpoint_slice(core));
    }
    all
}

fn others(core: &Core) -> Vec<Wanted> {
    let mut all = Vec::from(priority_classes());
    all.push(authentication(core));
    all.extend(flow::priority_levels());
    all.extend(flow::schemas(core.env.clock.now().secs()));
    all.extend(api_services(core));
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
    if let Ok(current) = request.current().await {
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
        Ok(_) if wanted.status.is_null() => Ok(()),
        Ok(created) => {
            let mut object = created.entry.object().to_whole_value()?;
            object.set("status", wanted.status);
            let request = Request { subresource: "status", ..request };
            update::change(request, &Replace(object)).await.map(|_| ())
        }
        // Another server was faster.
        Err(status) if status.is(Reason::AlreadyExists) => Ok(()),
        Err(status) => Err(status),
    }
}

/// A status that holds one condition: its type and status, its reason and message.
fn condition(now: i64, (kind, status): (&str, &str), (reason, message): (&str, &str)) -> Value {
    let condition = Value::from([
        ("type", Value::from(kind)),
        ("status", Value::from(status)),
        ("lastTransitionTime", Value::from(Timestamp::from_secs(now).to_rfc3339())),
        ("reason", Value::from(reason)),
        ("message", Value::from(message)),
    ]);
    Value::from([("conditions", Value::from(vec![condition]))])
}

fn labels(pairs: &[(&str, &str)]) -> Value {
    let entries = pairs.iter().map(|(key, value)| (*key, Value::from(*value)));
    Value::from([("labels", Map::from_entries(entries).into())])
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
        status: condition(
            core.env.clock.now().secs(),
            ("Ready", "True"),
            ("", "Kubernetes default Service CIDR is ready"),
        ),
        keep: false,
    }
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
        status: Value::Null,
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
        status: Value::Null,
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
        status: Value::Null,
        keep: true,
    }
}

/// What servers behind this one need to know to trust those it has authenticated.
fn authentication(core: &Core) -> Wanted {
    let authority = String::from_utf8_lossy(&core.config.client_ca).into_owned();
    let mut data = Value::object();
    if !authority.is_empty() {
        data.set("client-ca-file", authority);
    }
    let proxies = &core.config.front_proxy;
    if !proxies.ca.is_empty() {
        let names: Vec<&str> = proxies.names.iter().map(String::as_str).collect();
        for (key, texts) in [
            ("requestheader-allowed-names", names.as_slice()),
            ("requestheader-extra-headers-prefix", &["X-Remote-Extra-"]),
            ("requestheader-group-headers", &["X-Remote-Group"]),
            ("requestheader-uid-headers", &["X-Remote-Uid"]),
            ("requestheader-username-headers", &["X-Remote-User"]),
        ] {
            let list = Value::from(texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>());
            data.set(key, machinery::json::to_string(&list));
        }
        data.set("requestheader-client-ca-file", String::from_utf8_lossy(&proxies.ca).into_owned());
    }
    Wanted {
        group: "",
        version: "v1",
        plural: "configmaps",
        namespace: "kube-system",
        name: "extension-apiserver-authentication".to_owned(),
        document: Value::from([("data", data)]),
        status: Value::Null,
        keep: true,
    }
}

/// One object for each group and version that this server serves itself.
fn api_services(core: &Core) -> Vec<Wanted> {
    let registry = core.registry.load();
    let now = core.env.clock.now().secs();
    let versions = registry.table().group_versions().iter();
    let versions = versions.map(|known| {
        let mut spec = Value::object();
        if !known.group.is_empty() {
            spec.set("group", known.group);
        }
        spec.set("version", known.version);
        spec.set("groupPriorityMinimum", i64::from(known.group_priority));
        spec.set("versionPriority", i64::from(known.version_priority));
        Wanted {
            group: "apiregistration.k8s.io",
            version: "v1",
            plural: "apiservices",
            namespace: "",
            name: format!("{}.{}", known.version, known.group),
            document: Value::from([
                ("metadata", labels(&[("kube-aggregator.kubernetes.io/automanaged", "onstart")])),
                ("spec", spec),
            ]),
            status: condition(
                now,
                ("Available", "True"),
                ("Local", "Local APIServices are always available"),
            ),
            keep: false,
        }
    });
    versions.collect()
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
        status: Value::Null,
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

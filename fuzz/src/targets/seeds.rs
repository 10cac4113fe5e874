//! Documents to begin with: some written by hand, and one of every kind.

use api::Table;
use machinery::Value;
use machinery::json::{self, Report};
use machinery::schema::TypeRef;

use crate::choices::Choices;
use crate::draw;

/// A pod with a bit of everything that patches and apply treat in ways of its own.
pub const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b","c":"d"},"finalizers":["x","y"],"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u"}]},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"}],"ports":[{"containerPort":80},{"containerPort":81,"protocol":"UDP"}],"resources":{"limits":{"cpu":"1500m"}},"volumeMounts":[{"name":"v","mountPath":"/v"}]},{"name":"d"}],"nodeSelector":{"k":"v"},"tolerations":[{"key":"k","operator":"Exists"}],"volumes":[{"name":"v","emptyDir":{}}]},"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;

/// A service, whose ports strategic patches and apply tell apart by different keys.
pub const SERVICE: &str = r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"s","annotations":{"a":"b"}},"spec":{"type":"NodePort","selector":{"app":"x"},"ports":[{"name":"a","port":80,"targetPort":"http","nodePort":30080},{"name":"b","port":80,"protocol":"UDP"}]}}"#;

/// A deployment, whose strategy retains keys.
pub const DEPLOYMENT: &str = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d","creationTimestamp":"2024-01-01T00:00:00Z"},"spec":{"replicas":3,"selector":{"matchLabels":{"a":"b"}},"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":1}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","livenessProbe":{"httpGet":{"path":"/","port":80}}}]}}}}"#;

/// A definition, whose schema holds schemas.
pub const DEFINITION: &str = r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"as.x.io"},"spec":{"group":"x.io","scope":"Namespaced","names":{"plural":"as","kind":"A"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","additionalProperties":{"type":"string"},"default":{"a":"b"}}}}}}]}}"#;

/// Others, small.
const OTHERS: &[&str] = &[
    r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"a":"aGk="},"type":"Opaque"}"#,
    r#"{"kind":"Event","apiVersion":"events.k8s.io/v1","eventTime":"2024-01-01T00:00:00.000001Z","reason":"R"}"#,
    r#"{"kind":"List","apiVersion":"v1","metadata":{},"items":[{"kind":"Pod","apiVersion":"v1"},{"a":[1,2.5,-0.0,1e300]}]}"#,
    r#"{"kind":"WatchEvent","apiVersion":"v1","type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}}"#,
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"NotFound","details":{"name":"p","kind":"pods","causes":[{"reason":"R","field":"a.b"}]},"code":404}"#,
    r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"preconditions":{"uid":"u"},"propagationPolicy":"Foreground"}"#,
    r#"{"kind":"ResourceQuota","apiVersion":"v1","metadata":{"name":"q"},"spec":{"hard":{"cpu":"1500m","memory":"1Gi","pods":10}}}"#,
    r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[],"rows":[{"cells":["a",1,null,{"b":[]}],"object":{"kind":"Pod"}}]}"#,
    r#"{"unknown":1,"unknown":2,"a":"\u003c\ud83d\ude00","b":[[],{},null,true]}"#,
];

/// Documents by hand.
pub fn by_hand() -> impl Iterator<Item = &'static str> {
    [POD, SERVICE, DEPLOYMENT, DEFINITION].into_iter().chain(OTHERS.iter().copied())
}

/// Bytes that decide how documents are drawn, the same ones each time.
pub fn decisions(seed: u64, length: usize) -> Vec<u8> {
    let entropy = env::Entropy::from_seed(seed);
    (0..length.div_ceil(8)).flat_map(|_| entropy.next_u64().to_le_bytes()).take(length).collect()
}

/// A document of every kind, canonical.
pub fn of_every_kind(table: &Table) -> Vec<Value> {
    let kinds = table.kinds().iter().enumerate();
    kinds
        .filter_map(|(position, kind)| {
            let ty = table.type_of(kind);
            let decisions = decisions(position as u64, 600);
            let names = (&*kind.api_version(), kind.kind);
            let drawn = draw::object(ty, names, &mut Choices::new(&decisions));
            json::decode(&json::to_vec(&drawn), ty, &mut Report::ignoring()).ok()
        })
        .collect()
}

/// The type that a document says it is of; pods for those that say nothing.
pub fn type_of<'t>(table: &'t Table, body: &[u8]) -> TypeRef<'t> {
    let meta = json::type_meta(body).unwrap_or_default();
    let named = table.kind_of(&meta.api_version, &meta.kind).map(|kind| table.type_of(kind));
    named.unwrap_or_else(|| pod(table))
}

/// The type of pods.
pub fn pod(table: &Table) -> TypeRef<'_> {
    table.type_of(table.kind("", "v1", "Pod").expect("the table has pods"))
}

/// A negative zero with a fraction is written without one and then read as zero, upstream as here.
pub fn has_negative_zero(value: &Value) -> bool {
    match value {
        Value::Float(number) => *number == 0.0,
        Value::Array(items) => items.iter().any(has_negative_zero),
        Value::Object(map) => map.iter().any(|(_, member)| has_negative_zero(member)),
        _ => false,
    }
}

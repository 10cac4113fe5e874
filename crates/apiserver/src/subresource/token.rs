//! `token`: a service account's token, for a time, for an audience, for as long as some object lives.

use machinery::apply::{self, Write};
use machinery::field::{Error, Path};
use machinery::status::GroupName;
use machinery::time::Timestamp;
use machinery::{Status, Value};

use crate::answer;
use crate::document::Expected;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::Response;
use crate::managed;
use crate::registry::no_such_resource;
use crate::verbs::get;
use crate::write::Request;

/// What the request and its answer are written in.
const API_VERSION: &str = "authentication.k8s.io/v1";
/// How long a token lives if nobody says how long.
const DEFAULT_SECS: i64 = 3_600;
/// No token lives shorter.
const MIN_SECS: i64 = 600;
/// What kubelets ask for: such tokens live longer, so that clients that never reload them go on; they are told.
const BOUND_SECS: i64 = 3_607;
/// How long such tokens live.
const EXTENDED_SECS: i64 = 365 * 24 * 3_600;
/// No token lives longer: 2^32 seconds.
const MAX_SECS: i64 = 1 << 32;

/// Gives out a token.
pub(super) async fn answer(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    let form = call.form(&request)?;
    let options = call.write_options(&request, "CreateOptions")?;
    let table = call.registry.table();
    let kind = table.kind("authentication.k8s.io", "v1", "TokenRequest").ok_or_else(no_such_resource)?;
    let schema = table.schema_of(kind);
    let expected = Expected {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        schema: &schema,
        custom: None,
        aliases: &[],
    };
    let (route, mut wanted) = call.read(request, expected, &options).await?;
    let own = call.request(&route, &options);
    machinery::json::canonicalize(&mut wanted, schema.root());
    let (time, nothing) = (managed::now(own), apply::empty(schema.root(), API_VERSION, "TokenRequest"));
    let write = Write { ty: schema.root(), api_version: API_VERSION, ..managed::write(own, &time) };
    let fields = apply::track_update(&nothing, &wanted, write);
    let (mut answered, warnings) = create(own, wanted).await?;
    managed::set(&mut answered, fields);
    call.warnings().extend(warnings);
    machinery::json::canonicalize(&mut answered, schema.root());
    Ok(answer::document(table, 201, &answered, form))
}

/// Answers a `TokenRequest`; also what the asker is told beside the answer.
pub(crate) async fn create(request: Request<'_>, wanted: Value) -> Result<(Value, Vec<String>), Status> {
    let core = request.core;
    let account = get::get(core, request.served, (request.namespace, request.name), "").await?;
    let account = account.object().to_value()?;
    check_name(request, &wanted)?;
    let spec = wanted.get("spec");
    let seconds = spec.get("expirationSeconds").as_int().unwrap_or(DEFAULT_SECS);
    check_life(request, seconds)?;
    let (wanted, warnings) = request.admit_posted(wanted).await?;
    let spec = wanted.get("spec");
    let mut audiences = spec.get("audiences").clone();
    let default_audience = audiences.items().is_empty();
    if default_audience {
        audiences = Value::from(vec![Value::from(core.config.issuer.as_str())]);
    }
    let reference = spec.get("boundObjectRef");
    let (bound, reference) = bound_to(request, reference).await?;
    let now = core.env.clock.now().secs();
    let extended = seconds == BOUND_SECS && default_audience && bound.get("pod") != &Value::Null;
    let lives = if extended { EXTENDED_SECS } else { seconds };
    let mut private = Value::from([("namespace", Value::from(request.namespace))]);
    for (name, value) in bound.members() {
        private.set(name, value.clone());
    }
    private.set("serviceaccount", identity_of(&account));
    if extended {
        private.set("warnafter", now + seconds);
    }
    let claims = Value::from([
        ("aud", audiences.clone()),
        ("exp", Value::from(now + lives)),
        ("iat", Value::from(now)),
        ("iss", Value::from(core.config.issuer.as_str())),
        ("jti", Value::from(core.env.entropy.uuid())),
        ("kubernetes.io", private),
        ("nbf", Value::from(now)),
        ("sub", Value::from(format!("system:serviceaccount:{}:{}", request.namespace, request.name))),
    ]);
    let token = core
        .tokens
        .sign(&claims)
        .ok_or_else(|| Status::internal("no key that signs service-account tokens is configured"))?;
    let mut answer_spec =
        Value::from([("audiences", audiences), ("expirationSeconds", Value::from(seconds))]);
    answer_spec.set("boundObjectRef", reference);
    let created = Timestamp::from_secs(now).to_rfc3339();
    let metadata = Value::from([
        ("name", Value::from(request.name)),
        ("namespace", Value::from(request.namespace)),
        ("uid", account.at(&["metadata", "uid"]).clone()),
        ("creationTimestamp", Value::from(created)),
    ]);
    let status = Value::from([
        ("token", Value::from(token)),
        ("expirationTimestamp", Value::from(Timestamp::from_secs(now + lives).to_rfc3339())),
    ]);
    let answer = Value::from([
        ("kind", Value::from("TokenRequest")),
        ("apiVersion", Value::from(API_VERSION)),
        ("metadata", metadata),
        ("spec", answer_spec),
        ("status", status),
    ]);
    Ok((answer, warnings))
}

fn check_name(request: Request<'_>, wanted: &Value) -> Result<(), Status> {
    let own = wanted.at(&["metadata", "name"]).str_or_empty();
    if !own.is_empty() && own != request.name {
        return Err(Status::bad_request(format!(
            "metadata.name: Invalid value: {}: must match the service account name if specified",
            machinery::field::go_quote(own)
        )));
    }
    Ok(())
}

fn check_life(request: Request<'_>, seconds: i64) -> Result<(), Status> {
    let path = Path::new("spec").child("expirationSeconds");
    let error = if seconds < MIN_SECS {
        Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes")
    } else if seconds > MAX_SECS {
        Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds")
    } else {
        return Ok(());
    };
    let subject = GroupName { group: "authentication.k8s.io", name: "TokenRequest" };
    Err(Status::invalid(subject, request.name, &[error]))
}

fn identity_of(object: &Value) -> Value {
    let metadata = object.get("metadata");
    Value::from([("name", metadata.get("name").clone()), ("uid", metadata.get("uid").clone())])
}

/// What the token's life hangs on: its claims, and the reference with all that is known of it.
async fn bound_to(request: Request<'_>, reference: &Value) -> Result<(Value, Value), Status> {
    if reference.is_null() {
        return Ok((Value::object(), Value::Null));
    }
    let kind = reference.get("kind").str_or_empty();
    let api_version = reference.get("apiVersion").str_or_empty();
    let (plural, claim, namespace) = match (api_version, kind) {
        ("v1", "Pod") => ("pods", "pod", request.namespace),
        ("v1", "Secret") => ("secrets", "secret", request.namespace),
        ("v1", "Node") => ("nodes", "node", ""),
        _ => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let of = format!("{group}/{version}, Kind={kind}");
            return Err(Status::bad_request(format!("cannot bind token to object of type {of}")));
        }
    };
    let core = request.core;
    let registry = core.registry.load_full();
    let served = registry.find("", "v1", plural).ok_or_else(no_such_resource)?;
    let name = reference.get("name").str_or_empty();
    let object = get::get(core, served, (namespace, name), "").await?.object().to_value()?;
    let uid = object.at(&["metadata", "uid"]).str_or_empty();
    let wanted = reference.get("uid").str_or_empty();
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(GroupName { group: "", name: kind }, name, &why));
    }
    let mut claims = Value::object();
    if claim == "pod" {
        let account = object.at(&["spec", "serviceAccountName"]).str_or_empty();
        if account != request.name {
            let account = machinery::field::go_quote(account);
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {} to pod running with different serviceaccount name {account}",
                machinery::field::go_quote(request.name)
            )));
        }
        if let Some(node) = node_of(request, &object) {
            claims.set("node", node);
        }
    }
    claims.set(claim, identity_of(&object));
    let known = Value::from([
        ("kind", Value::from(kind)),
        ("apiVersion", Value::from(api_version)),
        ("name", Value::from(name)),
        ("uid", Value::from(uid)),
    ]);
    Ok((claims, known))
}

/// The node a pod runs on, as the token tells it.
fn node_of(request: Request<'_>, pod: &Value) -> Option<Value> {
    let name = pod.at(&["spec", "nodeName"]).str_or_empty();
    let node = request.core.caches.collection("core/nodes")?.get(name)?;
    let uid = node.object().header().uid.as_str();
    Some(Value::from([("name", Value::from(name)), ("uid", Value::from(uid))]))
}

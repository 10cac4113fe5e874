//! `log`, `exec`, `attach`, `portforward`: what a kubelet answers, passed on.

use std::collections::BTreeMap;

use machinery::field::{Error, Path};
use machinery::status::GroupName;
use machinery::{Status, Value};

use crate::admission::{Operation, Review};
use crate::answer::respond;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::{Body, Response, websocket};
use crate::kubelet::{self, Passed};
use crate::query::Query;

/// Parameters of a log request that the kubelet knows.
const LOG: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// Answers with a container's log.
pub(super) async fn log(call: &Call<'_>, mut request: Arrived) -> Result<Response, Status> {
    check_log(&request.query, &request.route.name)?;
    let pod = pod(call, &request).await?;
    let container = container_of(&pod, &request)?;
    if pod.at(&["spec", "nodeName"]).str_or_empty().is_empty() {
        let mut nothing = respond(204, "text/plain", Body::empty());
        nothing.headers_mut().remove(http::header::CONTENT_TYPE);
        return Ok(nothing);
    }
    let path = format!("/containerLogs/{}/{container}", place(&request));
    if !websocket::is_wanted(&request.headers) {
        return pass(call, &pod, request, &path, &LOG).await;
    }
    let (headers, upgrade) = (request.headers.clone(), request.upgrade.take());
    request.headers = websocket::without_upgrade(request.headers);
    let answer = pass(call, &pod, request, &path, &LOG).await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    websocket::switch(&call.core.env, &headers, upgrade, answer)
}

/// Opens a stream to a container.
pub(super) async fn container(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    admit(call, &request).await?;
    let pod = pod(call, &request).await?;
    let container = container_of(&pod, &request)?;
    check_host(&pod)?;
    let path = format!("/{}/{}/{container}", request.route.subresource, place(&request));
    pass(call, &pod, request, &path, &["stdin", "stdout", "stderr", "tty", "command"]).await
}

/// Opens streams to ports of a pod.
pub(super) async fn ports(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    admit(call, &request).await?;
    let pod = pod(call, &request).await?;
    check_host(&pod)?;
    let path = format!("/portForward/{}", place(&request));
    pass(call, &pod, request, &path, &["ports"]).await
}

/// Lets admission refuse a stream. It sees the parameters as options of the stream's kind.
async fn admit(call: &Call<'_>, request: &Arrived) -> Result<(), Status> {
    let mut review = Review {
        operation: Operation::Connect,
        identity: call.identity,
        served: call.served,
        subresource: &request.route.subresource,
        namespace: &request.route.namespace,
        name: &request.route.name,
        object: options(call, request),
        old: &Value::Null,
        is_dry_run: false,
        warnings: Vec::new(),
        annotations: BTreeMap::new(),
    };
    let around = call.core.surroundings();
    call.core.admission.mutate(&mut review, around).await?;
    call.core.admission.validate(&mut review, around).await
}

/// `PodExecOptions`, `PodAttachOptions`, `PodPortForwardOptions`: the parameters of a stream as a document.
fn options(call: &Call<'_>, request: &Arrived) -> Value {
    let mut options = Value::object();
    if let Some(sub) = call.served.sub(&request.route.subresource) {
        options.set("kind", sub.kind.as_str());
        options.set("apiVersion", sub.version.as_str());
    }
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if request.query.flag(flag) {
            options.set(flag, true);
        }
    }
    if let Some(container) = request.query.get("container") {
        options.set("container", container);
    }
    let command: Vec<Value> = request.query.all("command").map(Value::from).collect();
    if !command.is_empty() {
        options.set("command", command);
    }
    let ports: Vec<Value> =
        request.query.all("ports").filter_map(|port| port.parse().ok().map(Value::Int)).collect();
    if !ports.is_empty() {
        options.set("ports", ports);
    }
    options
}

async fn pod(call: &Call<'_>, request: &Arrived) -> Result<Value, Status> {
    let key = (request.route.namespace.as_str(), request.route.name.as_str());
    crate::verbs::get::get(call.core, call.served, key, "").await?.object().to_value()
}

fn place(request: &Arrived) -> String {
    format!("{}/{}", request.route.namespace, request.route.name)
}

fn check_host(pod: &Value) -> Result<(), Status> {
    if pod.at(&["spec", "nodeName"]).str_or_empty().is_empty() {
        let name = pod.at(&["metadata", "name"]).str_or_empty();
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    Ok(())
}

fn check_log(query: &Query, name: &str) -> Result<(), Status> {
    let mut errors = Vec::new();
    let mut number = |field: &str, least: i64, why: &str| -> Result<(), Status> {
        if let Some(value) = query.number(field)?.filter(|value| *value < least) {
            errors.push(Error::invalid(&Path::new(field), value, why));
        }
        Ok(())
    };
    number("tailLines", 0, "must be greater than or equal to 0")?;
    number("limitBytes", 1, "must be greater than 0")?;
    number("sinceSeconds", 1, "must be greater than 0")?;
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(Error::forbidden(&Path::root(), why));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(GroupName { group: "", name: "PodLogOptions" }, name, &errors))
}

/// The container a request is about: the one it names, or the only one.
fn container_of(pod: &Value, request: &Arrived) -> Result<String, Status> {
    let pod_name = &request.route.name;
    let names = |list: &str| -> Vec<String> {
        let items = pod.at(&["spec", list]).items().iter();
        items.map(|container| container.get("name").str_or_empty().to_owned()).collect()
    };
    let (main, initial, ephemeral) =
        (names("containers"), names("initContainers"), names("ephemeralContainers"));
    let wanted = request.query.text("container");
    if !wanted.is_empty() {
        let known = main.iter().chain(&initial).chain(&ephemeral).any(|name| name == wanted);
        return if known {
            Ok(wanted.to_owned())
        } else {
            Err(Status::bad_request(format!("container {wanted} is not valid for pod {pod_name}")))
        };
    }
    if let [only] = main.as_slice() {
        return Ok(only.clone());
    }
    let mut message =
        format!("a container name must be specified for pod {pod_name}, choose one of: [{}]", main.join(" "));
    if !initial.is_empty() {
        message.push_str(&format!(" or one of the init containers: [{}]", initial.join(" ")));
    }
    Err(Status::bad_request(message))
}

async fn pass(
    call: &Call<'_>,
    pod: &Value,
    request: Arrived,
    path: &str,
    parameters: &[&str],
) -> Result<Response, Status> {
    let node = kubelet::node_of(call.core, pod)?;
    let mut target = path.to_owned();
    let mut separator = '?';
    for (name, value) in request.query.pairs().iter().filter(|(name, _)| parameters.contains(&name.as_str()))
    {
        target.push(separator);
        separator = '&';
        let (name, value) = (kubelet_name(name, &request.route.subresource), value.as_str());
        target.push_str(&format!("{name}={}", percent_encode(kubelet_value(name, value))));
    }
    let head = http::Request::builder().method(request.method).uri(target);
    let passed = Passed { head, headers: request.headers, body: request.body, upgrade: request.upgrade };
    kubelet::pass(call.core, &node, passed).await
}

/// Kubelets call the streams of a container differently than the API does.
fn kubelet_name<'a>(name: &'a str, subresource: &str) -> &'a str {
    match (subresource, name) {
        ("exec" | "attach", "stdin") => "input",
        ("exec" | "attach", "stdout") => "output",
        ("exec" | "attach", "stderr") => "error",
        ("portforward", "ports") => "port",
        (_, other) => other,
    }
}

fn kubelet_value<'a>(name: &str, value: &'a str) -> &'a str {
    match (name, value) {
        ("input" | "output" | "error" | "tty", "true") => "1",
        ("input" | "output" | "error" | "tty", "false") => "0",
        (_, other) => other,
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

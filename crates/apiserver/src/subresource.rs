//! What hangs below objects.

mod binding;
mod eviction;
mod scale;
mod stream;
mod token;

use api::Verb;
use bytes::Bytes;
use machinery::{Status, Value};

use crate::answer::objects;
use crate::handler::Arrived;
use crate::handler::objects::Call;
use crate::http::Response;
use crate::registry::{method_not_allowed, no_such_resource};
use crate::verbs::get;
use crate::write::Request;

pub(crate) use scale::{patch_scale, scale_of};

/// A POST to a subresource by somebody in the same process; the body is JSON.
pub(crate) async fn create(request: Request<'_>, body: &Bytes) -> Result<Value, Status> {
    let body = machinery::json::parse(body).map_err(|error| Status::bad_request(error.to_string()))?;
    match request.subresource {
        "binding" => binding::bind(request, body).await.map(|_| binding::created()),
        "eviction" => eviction::evict(request, body).await.map(|_| binding::created()),
        "token" => token::create(request, body).await.map(|(token, _)| token),
        _ => Err(method_not_allowed()),
    }
}

/// Answers a request about a subresource.
pub(crate) async fn answer(call: &Call<'_>, request: Arrived) -> Result<Response, Status> {
    let name = request.route.subresource.clone();
    let sub = call.served.sub(&name).ok_or_else(|| match &call.served.custom {
        Some(_) => Status::not_found(call.served.resource(), &request.route.name),
        None => no_such_resource(),
    })?;
    if name == "proxy" {
        return crate::proxy::answer(call, request).await;
    }
    let verb = match request.method.as_str() {
        "GET" | "HEAD" => Verb::Get,
        "POST" => Verb::Create,
        "PUT" => Verb::Update,
        "PATCH" => Verb::Patch,
        "DELETE" => Verb::Delete,
        _ => return Err(method_not_allowed()),
    };
    if !sub.verbs.contains(&verb) {
        return Err(method_not_allowed());
    }
    match (name.as_str(), verb) {
        ("scale", _) => scale::answer(call, request, verb).await,
        ("binding", Verb::Create) => binding::answer(call, request).await,
        ("token", Verb::Create) => token::answer(call, request).await,
        ("log", _) => stream::log(call, request).await,
        ("exec" | "attach", _) => stream::container(call, request).await,
        ("portforward", _) => stream::ports(call, request).await,
        ("eviction", Verb::Create) => eviction::answer(call, request).await,
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", Verb::Get) => {
            let look = call.look(&request)?;
            let route = &request.route;
            let key = (route.namespace.as_str(), route.name.as_str());
            let version = request.query.text("resourceVersion");
            let entry = get::get(call.core, call.served, key, version).await?;
            objects::object(200, call.served, &entry, look)
        }
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", Verb::Update) => {
            call.update(request).await
        }
        ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", Verb::Patch) => {
            call.patch(request).await
        }
        _ => Err(no_such_resource()),
    }
}

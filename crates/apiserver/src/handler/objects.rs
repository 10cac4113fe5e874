//! Requests about objects: from the route to the verb, and from its outcome to the answer.

use std::sync::{Arc, MutexGuard};

use api::Verb;
use http::Method;
use http::header::{CONTENT_TYPE, USER_AGENT};
use machinery::{Reason, Status, Value};

use super::{Arrived, read_body};
use crate::answer::objects::{self, Look};
use crate::answer::{self, lists, table, watches};
use crate::audit::Record;
use crate::core::Core;
use crate::document::{self, Expected};
use crate::http::Response;
use crate::http::accept::{self, DOCUMENTS, Form, Media, OBJECTS, Shape};
use crate::identity::Identity;
use crate::managed;
use crate::registry::{Registry, Served, method_not_allowed, no_such_resource};
use crate::reviews;
use crate::route::Route;
use crate::verbs::{self, delete, deletecollection, get, list, watch};
use crate::write::{self, Outcome, Request, Told};

/// Whether the answer is a stream that ends when one side wants it to.
pub(super) fn is_stream(route: &Route) -> bool {
    matches!(route.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// Answers a request about objects; `plain` is the form of failures.
pub(super) async fn answer(
    core: &Arc<Core>,
    identity: &Arc<Identity>,
    request: Arrived,
    plain: Form,
) -> Response {
    let registry = core.registry.load_full();
    let route = &request.route;
    let Some(served) = registry.find(&route.group, &route.version, &route.resource) else {
        return if registry.is_custom_group(&route.group) {
            answer::page_not_found()
        } else if crate::discovery::is_known_version(&registry, &route.group, &route.version) {
            answer::failure(registry.table(), &no_such_resource(), plain)
        } else {
            crate::discovery::nowhere(&registry, &route.group, plain)
        };
    };
    let record = request.record.clone();
    let call = Call { core, identity, registry: &registry, served, record, told: Told::default() };
    if served.custom.is_some() && !leads_to_custom(served, route) {
        return answer::page_not_found();
    }
    call.warnings().extend(served.deprecation().map(str::to_owned));
    let verb = request.route.verb.clone();
    let sub = served.sub(&request.route.subresource);
    let outcome = call.answer(request).await;
    let mut response = outcome.unwrap_or_else(|status| answer::failure(registry.table(), &status, plain));
    answer::warn(&mut response, &call.warnings());
    let counters = sub.map_or(&served.counters, |sub| &sub.counters);
    counters.count(&verb, response.status().as_u16());
    response
}

/// Whether a path leads to custom resources: below a namespace if that is where they live, and only lists and watches
/// go across namespaces.
fn leads_to_custom(served: &Served, route: &Route) -> bool {
    match (served.namespaced, route.namespace.is_empty()) {
        (false, in_cluster) => in_cluster,
        (true, false) => true,
        (true, true) => matches!(route.verb.as_str(), "list" | "watch"),
    }
}

/// A resource of the cluster has no path below a namespace, but for namespaces themselves.
fn of_cluster(served: &Served, route: &Route) -> bool {
    route.namespace.is_empty() || served.is("", "namespaces")
}

/// A request on its way: who asks what of which resource.
pub(crate) struct Call<'a> {
    pub core: &'a Arc<Core>,
    pub identity: &'a Arc<Identity>,
    pub registry: &'a Registry,
    pub served: &'a Arc<Served>,
    /// What is written down of it.
    record: Option<Arc<Record>>,
    told: Told,
}

impl Call<'_> {
    /// What the client is told beside the answer, whatever that is.
    pub fn warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.told.lock()
    }

    async fn answer(&self, request: Arrived) -> Result<Response, Status> {
        let route = &request.route;
        if !route.rest.is_empty() && !is_stream(route)
            || (!self.served.namespaced && !of_cluster(self.served, route))
        {
            return Err(no_such_resource());
        }
        if !route.subresource.is_empty() {
            return Box::pin(crate::subresource::answer(self, request)).await;
        }
        let verb = self.verb(&request.method, route)?;
        if verb == Verb::Create && self.served.namespaced && route.namespace.is_empty() {
            return Err(method_not_allowed());
        }
        // Writes have large states, which reads should not have to make room for: each is in a box of its own.
        match verb {
            Verb::Get => self.get(&request).await,
            Verb::List => Box::pin(self.list(&request)).await,
            Verb::Watch => Box::pin(self.watch(&request)).await,
            Verb::Create => Box::pin(self.create(request)).await,
            Verb::Update => Box::pin(self.update(request)).await,
            Verb::Patch => Box::pin(self.patch(request)).await,
            Verb::Delete => Box::pin(self.delete(request)).await,
            Verb::DeleteCollection => Box::pin(self.delete_collection(request)).await,
        }
    }

    fn verb(&self, method: &Method, route: &Route) -> Result<Verb, Status> {
        let named = route.named_by_path;
        let verb = match (method.as_str(), named) {
            ("GET" | "HEAD", _) if route.verb == "watch" => Verb::Watch,
            ("GET" | "HEAD", true) => Verb::Get,
            ("GET" | "HEAD", false) => Verb::List,
            ("POST", false) => Verb::Create,
            ("PUT", true) => Verb::Update,
            ("PATCH", true) => Verb::Patch,
            ("DELETE", true) => Verb::Delete,
            ("DELETE", false) => Verb::DeleteCollection,
            _ => return Err(method_not_allowed()),
        };
        if self.served.verbs.contains(&verb) { Ok(verb) } else { Err(method_not_allowed()) }
    }

    /// How the answer is to be shown.
    pub fn look(&self, request: &Arrived) -> Result<Look<'_>, Status> {
        let rows = table::Rows {
            now_secs: self.core.env.clock.now().secs(),
            include: table::Include::read(&request.query)?,
        };
        Ok(Look { table: self.registry.table(), form: self.form(request)?, rows })
    }

    /// The form of an answer that is no object of the resource.
    pub fn form(&self, request: &Arrived) -> Result<Form, Status> {
        let streams = matches!(request.route.verb.as_str(), "list" | "watch");
        if self.served.custom.is_some() && request.route.subresource != "scale" {
            return accept::negotiate_custom(&request.headers, &request.query, streams);
        }
        accept::check_route(&request.headers, streams)?;
        let offer = if self.has_no_table(&request.route) { DOCUMENTS } else { OBJECTS };
        accept::negotiate(&request.headers, &request.query, offer)
    }

    /// Whether there are no tables of what is asked for: what is created here is an answer that nobody keeps, or upstream
    /// has none.
    fn has_no_table(&self, route: &Route) -> bool {
        reviews::is_review(self.served)
            || matches!(route.subresource.as_str(), "binding" | "eviction" | "token")
            || (route.subresource == "status" && self.served.is("resource.k8s.io", "resourceclaims"))
    }

    async fn get(&self, request: &Arrived) -> Result<Response, Status> {
        let look = self.look(request)?;
        let route = &request.route;
        let key = (route.namespace.as_str(), route.name.as_str());
        let entry = get::get(self.core, self.served, key, request.query.text("resourceVersion")).await?;
        objects::object(200, self.served, &entry, look)
    }

    async fn list(&self, request: &Arrived) -> Result<Response, Status> {
        let look = self.look(request)?;
        let options = list::Options::read(&request.query, false)?;
        let listing = list::list(self.core, self.served, &request.route.namespace, &options).await?;
        lists::list(self.served, listing, look)
    }

    async fn watch(&self, request: &Arrived) -> Result<Response, Status> {
        let look = Look { form: self.watch_form(request)?, ..self.look(request)? };
        let mut options = list::Options::read(&request.query, true)?;
        if request.route.old_watch && request.route.named_by_path {
            options.fields = format!("metadata.name={}", request.route.name);
        }
        let watcher = watch::watch(self.core, self.served, &request.route.namespace, &options).await?;
        Ok(watches::watch(self.served, watcher.through_doors(), look))
    }

    fn watch_form(&self, request: &Arrived) -> Result<Form, Status> {
        let form = self.form(request)?;
        if form.media == Media::Yaml {
            let streams = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
            let message = format!("only the following media types are accepted: {streams}");
            return Err(Status::new(406, Reason::NotAcceptable, message));
        }
        Ok(form)
    }

    /// The parts of a write that come from the request.
    pub fn request<'b>(&'b self, route: &'b Route, options: &'b write::Options) -> Request<'b> {
        Request {
            core: self.core,
            identity: self.identity,
            served: self.served,
            namespace: &route.namespace,
            name: &route.name,
            subresource: &route.subresource,
            options,
        }
    }

    pub fn write_options(&self, request: &Arrived, kind: &str) -> Result<write::Options, Status> {
        let options = write::Options::read(&request.query, request.header(USER_AGENT), kind)?;
        Ok(write::Options { record: self.record.clone(), told: self.told.clone(), ..options })
    }

    /// Writes down what was sent.
    fn sent(&self, document: impl FnOnce() -> Option<Value>) {
        if let Some(record) = &self.record {
            record.set_request(document);
        }
    }

    async fn create(&self, request: Arrived) -> Result<Response, Status> {
        let look = self.look(&request)?;
        if let Some(custom) = &self.served.custom {
            custom.check_not_terminating(self.served.resource(), "create")?;
        }
        let options = self.write_options(&request, "CreateOptions")?;
        let (route, mut document) = self.read(request, Expected::object(self.served), &options).await?;
        if reviews::is_review(self.served) {
            let request = self.request(&route, &options);
            request.canonical(&mut document);
            managed::track_update(request, &Value::Null, &mut document);
            let asker =
                reviews::Asker { core: self.core, identity: self.identity, namespace: &route.namespace };
            let answered = reviews::answer(asker, self.served, document).await?;
            return Ok(answer::document(look.table, 201, &answered, look.form));
        }
        let outcome = verbs::create::create(self.request(&route, &options), document).await?;
        self.written(outcome, look)
    }

    pub async fn update(&self, request: Arrived) -> Result<Response, Status> {
        let look = self.look(&request)?;
        let options = self.write_options(&request, "UpdateOptions")?;
        let (route, document) = self.read(request, Expected::object(self.served), &options).await?;
        let outcome = verbs::update::update(self.request(&route, &options), document).await?;
        self.written(outcome, look)
    }

    pub async fn patch(&self, request: Arrived) -> Result<Response, Status> {
        let look = self.look(&request)?;
        let content_type = request.header(CONTENT_TYPE).to_owned();
        let options = self.write_options(&request, "PatchOptions")?;
        let Arrived { route, body, .. } = request;
        let patch = verbs::patch::Patch::for_resource(self.served, &content_type)?;
        let body = read_body(body, self.core.config.limits.body).await?;
        self.sent(|| machinery::yaml::decode(&body).ok());
        let outcome = verbs::patch::patch(self.request(&route, &options), patch, body).await?;
        self.written(outcome, look)
    }

    /// Reads the body of a write; what was found wrong with it and is no reason to refuse it becomes warnings.
    pub async fn read(
        &self,
        request: Arrived,
        expected: Expected<'_>,
        options: &write::Options,
    ) -> Result<(Route, Value), Status> {
        let media = document::media_of(Some(request.header(CONTENT_TYPE)))?;
        if media == Media::Protobuf && expected.custom.is_some() {
            return Err(document::unsupported(&["application/json", "application/yaml"]));
        }
        let Arrived { route, body, .. } = request;
        let body = read_body(body, self.core.config.limits.body).await?;
        let document = document::read(self.registry, &body, media, expected, options.validation)?;
        self.sent(|| Some(document.value.clone()));
        self.warnings().extend(document.findings);
        Ok((route, document.value))
    }

    /// Answers a write.
    fn written(&self, outcome: Outcome, look: Look<'_>) -> Result<Response, Status> {
        let code = if outcome.created { 201 } else { 200 };
        self.warnings().extend(outcome.warnings);
        objects::object(code, self.served, &outcome.entry, look)
    }

    async fn delete(&self, request: Arrived) -> Result<Response, Status> {
        let look = self.look(&request)?;
        let (route, options) = self.delete_options(request).await?;
        self.warnings().extend(delete::warning(self.served, &options).map(str::to_owned));
        let record = self.record.clone();
        let writing = write::Options { dry_run: options.dry_run, record, ..write::Options::default() };
        match delete::delete(self.request(&route, &writing), &options).await? {
            delete::Deleted::Gone(uid) => {
                let plain = Form { shape: Shape::Whole, ..look.form };
                Ok(answer::document(look.table, 200, &delete::success(self.served, &route.name, &uid), plain))
            }
            delete::Deleted::Object(entry) => objects::object(200, self.served, &entry, look),
        }
    }

    async fn delete_collection(&self, request: Arrived) -> Result<Response, Status> {
        let look = self.look(&request)?;
        let selection = list::Options::read(&request.query, false)?;
        let (route, options) = self.delete_options(request).await?;
        let record = self.record.clone();
        let writing = write::Options { dry_run: options.dry_run, record, ..write::Options::default() };
        let request = Request { name: "", ..self.request(&route, &writing) };
        let listing = deletecollection::delete_collection(request, &selection, &options).await?;
        lists::list(self.served, listing, look)
    }

    async fn delete_options(&self, request: Arrived) -> Result<(Route, delete::Options), Status> {
        let content_type = request.header(CONTENT_TYPE).to_owned();
        let Arrived { route, body, query, .. } = request;
        let body = read_body(body, self.core.config.limits.body).await?;
        if body.is_empty() {
            return Ok((route, delete::Options::read(&query, None)?));
        }
        let media = document::media_of(Some(&content_type))?;
        let table = self.registry.table();
        let kind = table
            .kind("", "v1", "DeleteOptions")
            .ok_or_else(|| Status::internal("the table of kinds has no DeleteOptions"))?;
        let document = delete::decode(&body, media, &table.schema_of(kind))?;
        self.sent(|| Some(document.clone()));
        Ok((route, delete::Options::read(&query, Some(&document))?))
    }
}

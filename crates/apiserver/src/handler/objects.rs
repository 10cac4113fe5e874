//! Requests about objects: from the route to the verb, and from its outcome to the answer.

use std::sync::Arc;

use api::Verb;
use http::Method;
use http::header::{CONTENT_TYPE, USER_AGENT};
use machinery::{Reason, Status, Value};

use super::{Arrived, read_body};
use crate::answer::{self, lists, objects, table, watches};
use crate::cache::Entry;
use crate::core::Core;
use crate::document::{self, Expected};
use crate::http::Response;
use crate::http::accept::{self, Form, Media, OBJECTS, Shape};
use crate::identity::Identity;
use crate::registry::{Served, method_not_allowed, no_such_resource};
use crate::route::Route;
use crate::verbs::{self, delete, deletecollection, get, list, watch};
use crate::write::{self, Outcome, Request};

/// Whether the answer is a stream that ends when one side wants it to.
pub(super) fn is_stream(route: &Route) -> bool {
    matches!(route.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// Answers a request about objects.
pub(super) async fn answer(
    core: &Arc<Core>,
    identity: &Arc<Identity>,
    request: Arrived,
) -> Result<Response, Status> {
    let registry = core.registry.load_full();
    let route = &request.route;
    let served = registry.find(&route.group, &route.version, &route.resource).ok_or_else(no_such_resource)?;
    let call = Call { core, identity, served };
    let serves_name = route.named_by_path || !served.namespaced || !route.namespace.is_empty();
    if !route.rest.is_empty() && !is_stream(route) || (!served.namespaced && !of_cluster(served, route)) {
        return Err(no_such_resource());
    }
    if !route.subresource.is_empty() {
        return crate::subresource::answer(&call, request).await;
    }
    let verb = call.verb(&request.method, route)?;
    if verb == Verb::Create && !serves_name {
        return Err(method_not_allowed());
    }
    match verb {
        Verb::Get => call.get(&request).await,
        Verb::List => call.list(&request).await,
        Verb::Watch => call.watch(&request).await,
        Verb::Create => call.create(request).await,
        Verb::Update => call.update(request).await,
        Verb::Patch => call.patch(request).await,
        Verb::Delete => call.delete(request).await,
        Verb::DeleteCollection => call.delete_collection(request).await,
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
    pub served: &'a Arc<Served>,
}

impl Call<'_> {
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

    pub fn rows(&self, request: &Arrived) -> Result<table::Rows, Status> {
        Ok(table::Rows {
            now_secs: self.core.env.clock.now().secs(),
            include: table::Include::read(&request.query)?,
        })
    }

    pub fn form(&self, request: &Arrived) -> Result<Form, Status> {
        accept::negotiate(&request.headers, &request.query, OBJECTS)
    }

    async fn get(&self, request: &Arrived) -> Result<Response, Status> {
        let (form, rows) = (self.form(request)?, self.rows(request)?);
        let route = &request.route;
        let key = (route.namespace.as_str(), route.name.as_str());
        let entry = get::get(self.core, self.served, key, request.query.text("resourceVersion")).await?;
        objects::object(200, self.served, &entry, form, rows)
    }

    async fn list(&self, request: &Arrived) -> Result<Response, Status> {
        let (form, rows) = (self.form(request)?, self.rows(request)?);
        let options = list::Options::read(&request.query, false)?;
        let listing = list::list(self.core, self.served, &request.route.namespace, &options).await?;
        lists::list(self.served, listing, form, rows)
    }

    async fn watch(&self, request: &Arrived) -> Result<Response, Status> {
        let form = self.watch_form(request)?;
        let rows = self.rows(request)?;
        let mut options = list::Options::read(&request.query, true)?;
        if request.route.old_watch && request.route.named_by_path {
            options.fields = format!("metadata.name={}", request.route.name);
        }
        let watcher = watch::watch(self.core, self.served, &request.route.namespace, &options).await?;
        Ok(watches::watch(self.served, watcher, form, rows))
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
        write::Options::read(&request.query, request.header(USER_AGENT), kind)
    }

    async fn create(&self, request: Arrived) -> Result<Response, Status> {
        let form = self.form(&request)?;
        let rows = self.rows(&request)?;
        let options = self.write_options(&request, "CreateOptions")?;
        let (route, document, found) = self.read(request, Expected::object(self.served), &options).await?;
        let outcome = verbs::create::create(self.request(&route, &options), document).await?;
        self.written(outcome, found, form, rows)
    }

    pub async fn update(&self, request: Arrived) -> Result<Response, Status> {
        let form = self.form(&request)?;
        let rows = self.rows(&request)?;
        let options = self.write_options(&request, "UpdateOptions")?;
        let (route, document, found) = self.read(request, Expected::object(self.served), &options).await?;
        let outcome = verbs::update::update(self.request(&route, &options), document).await?;
        self.written(outcome, found, form, rows)
    }

    pub async fn patch(&self, request: Arrived) -> Result<Response, Status> {
        let form = self.form(&request)?;
        let rows = self.rows(&request)?;
        let content_type = request.header(CONTENT_TYPE).to_owned();
        let options = self.write_options(&request, "PatchOptions")?;
        let Arrived { route, body, .. } = request;
        let patch = verbs::patch::Patch::of(&content_type)?;
        let body = read_body(body, self.core.config.limits.body).await?;
        let outcome = verbs::patch::patch(self.request(&route, &options), patch, body).await?;
        self.written(outcome, Vec::new(), form, rows)
    }

    /// Reads the body of a write; what was found wrong with it and is no reason to refuse it comes along.
    pub async fn read(
        &self,
        request: Arrived,
        expected: Expected<'_>,
        options: &write::Options,
    ) -> Result<(Route, Value, Vec<String>), Status> {
        let media = document::media_of(Some(request.header(CONTENT_TYPE)))?;
        let Arrived { route, body, .. } = request;
        let body = read_body(body, self.core.config.limits.body).await?;
        let registry = self.core.registry.load();
        let document = document::read(&registry, &body, media, expected, options.validation)?;
        Ok((route, document.value, document.findings))
    }

    /// Answers a write.
    pub fn written(
        &self,
        outcome: Outcome,
        mut found: Vec<String>,
        form: Form,
        rows: table::Rows,
    ) -> Result<Response, Status> {
        let code = if outcome.created { 201 } else { 200 };
        let mut response = objects::object(code, self.served, &outcome.entry, form, rows)?;
        found.extend(outcome.warnings);
        answer::warn(&mut response, &found);
        Ok(response)
    }

    async fn delete(&self, request: Arrived) -> Result<Response, Status> {
        let form = self.form(&request)?;
        let rows = self.rows(&request)?;
        let (route, options) = self.delete_options(request).await?;
        let writing = write::Options { dry_run: options.dry_run, ..write::Options::default() };
        match delete::delete(self.request(&route, &writing), &options).await? {
            delete::Deleted::Gone(uid) => {
                let plain = Form { shape: Shape::Whole, ..form };
                Ok(answer::document(200, &delete::success(self.served, &route.name, &uid), plain))
            }
            delete::Deleted::Object(entry) => self.deleted(&entry, form, rows),
        }
    }

    fn deleted(&self, entry: &Arc<Entry>, form: Form, rows: table::Rows) -> Result<Response, Status> {
        objects::object(200, self.served, entry, form, rows)
    }

    async fn delete_collection(&self, request: Arrived) -> Result<Response, Status> {
        let form = self.form(&request)?;
        let rows = self.rows(&request)?;
        let selection = list::Options::read(&request.query, false)?;
        let (route, options) = self.delete_options(request).await?;
        let writing = write::Options { dry_run: options.dry_run, ..write::Options::default() };
        let request = Request { name: "", ..self.request(&route, &writing) };
        let listing = deletecollection::delete_collection(request, &selection, &options).await?;
        lists::list(self.served, listing, form, rows)
    }

    async fn delete_options(&self, request: Arrived) -> Result<(Route, delete::Options), Status> {
        let content_type = request.header(CONTENT_TYPE).to_owned();
        let Arrived { route, body, query, .. } = request;
        let body = read_body(body, self.core.config.limits.body).await?;
        if body.is_empty() {
            return Ok((route, delete::Options::read(&query, None)?));
        }
        document::media_of(Some(&content_type))?;
        let registry = self.core.registry.load();
        let table = registry.table();
        let kind = table
            .kind("", "v1", "DeleteOptions")
            .ok_or_else(|| Status::internal("the table of kinds has no DeleteOptions"))?;
        let document = delete::decode(&body, &table.schema_of(kind))?;
        Ok((route, delete::Options::read(&query, Some(&document))?))
    }
}

//! `kubectl apply`: objects as files describe them, made or changed, on this side or on the server's.

use http::Method;
use machinery::Value;

use crate::args::{DryRun, Files};
use crate::printers::output::Output;
use crate::resource::Served;
use crate::session::{Change, Session};
use crate::{Failure, manifest, threeway};

/// Where what was applied last is kept.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Who changes fields by a client-side apply.
const MANAGER: &str = "kubectl-client-side-apply";

/// Flags of `apply`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// Let the server merge, and keep who set which field
    #[arg(long)]
    pub server_side: bool,
    /// Take fields over from others
    #[arg(long)]
    pub force_conflicts: bool,
    /// Who sets the fields
    #[arg(long, default_value = "kubectl")]
    pub field_manager: String,
    /// yaml, json, name, …
    #[arg(long, short = 'o', value_name = "FORM")]
    pub output: Option<String>,
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// Applies every document.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    if args.files.filenames.is_empty() {
        return Err(Failure::client("must specify one of -f and -k"));
    }
    let output = Output::parse(args.output.as_deref())?;
    let table = api::Table::load();
    let mut failures = Vec::new();
    for document in manifest::read(&args.files)? {
        match apply(session, args, &table, document).await {
            Ok(done) => done.tell(args, &output)?,
            Err(failure) => failures.push(failure),
        }
    }
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => {
            let last = failures.remove(failures.len() - 1);
            failures.iter().for_each(|failure| eprintln!("{failure}"));
            Err(last)
        }
    }
}

/// What became of a document.
struct Done {
    name: String,
    word: &'static str,
    object: Value,
}

impl Done {
    fn tell(&self, args: &Args, output: &Output) -> Result<(), Failure> {
        if output.is_table() {
            println!("{} {}{}", self.name, self.word, args.dry_run.suffix());
        } else {
            print!("{}", output.document(&self.object, &self.name)?);
        }
        Ok(())
    }
}

/// A document on its way.
struct Item<'a> {
    session: &'a Session,
    args: &'a Args,
    served: Served,
    namespace: String,
    name: String,
}

async fn apply(session: &Session, args: &Args, table: &api::Table, document: Value) -> Result<Done, Failure> {
    let text = |path: &[&str]| document.at(path).str_or_empty().to_owned();
    let served = session.discovery().await?.of_kind(&text(&["apiVersion"]), &text(&["kind"]))?;
    let (named, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
    let namespace = if named.is_empty() { session.namespace().to_owned() } else { named };
    if name.is_empty() {
        return Err(Failure::client("resource name may not be empty"));
    }
    let item = Item { session, args, served, namespace, name };
    if args.server_side {
        item.on_the_server(document).await
    } else {
        item.on_this_side(table, document).await
    }
}

impl Item<'_> {
    fn path(&self) -> String {
        self.served.path(&self.namespace, &self.name, "")
    }

    fn query(&self, manager: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![("fieldManager", manager.to_owned()), ("fieldValidation", "Strict".to_owned())];
        query.extend(self.args.dry_run.query().iter().map(|(name, value)| (*name, (*value).to_owned())));
        query
    }

    fn done(&self, word: &'static str, object: Value) -> Done {
        Done { name: self.served.result_name(&self.name), word, object }
    }

    async fn on_the_server(&self, document: Value) -> Result<Done, Failure> {
        let mut query = self.query(&self.args.field_manager);
        if self.args.force_conflicts {
            query.push(("force", "true".to_owned()));
        }
        let mut body = Vec::new();
        machinery::json::encode(&document, &mut body);
        let content_type = "application/apply-patch+yaml";
        let change = Change { method: Method::PATCH, path: &self.path(), query: &query, content_type, body };
        let object = self.session.change(change).await?;
        Ok(self.done("serverside-applied", object))
    }

    async fn on_this_side(&self, table: &api::Table, mut document: Value) -> Result<Done, Failure> {
        let current = match self.session.get(&self.path(), &[]).await {
            Ok(current) => current,
            Err(failure) if failure.is_not_found() => return self.create(document).await,
            Err(failure) => return Err(failure),
        };
        let annotations = current.at(&["metadata", "annotations"]);
        let last = match annotations.get(LAST_APPLIED).as_str() {
            Some(text) => machinery::json::parse(text.as_bytes()).map_err(|error| {
                Failure::client(format!("the annotation {LAST_APPLIED} cannot be read: {error}"))
            })?,
            None => {
                eprintln!(
                    "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. \
                     kubectl apply should only be used on resources created declaratively by either kubectl create \
                     --save-config or kubectl apply. The missing annotation will be patched automatically.",
                    format_args!("{}/{}", self.served.plural, self.name)
                );
                Value::Null
            }
        };
        annotate(&mut document, self.served.namespaced.then_some(&self.namespace));
        let kind = table.kind(&self.served.group, &self.served.version, &self.served.kind);
        let schema = kind.map(|kind| table.type_of(kind));
        let (patch, content_type) = match schema {
            Some(schema) => (
                threeway::strategic_patch(schema, &last, &document, &current),
                "application/strategic-merge-patch+json",
            ),
            None => (threeway::merge_patch(&last, &document, &current), "application/merge-patch+json"),
        };
        if patch.is_empty() {
            return Ok(self.done("unchanged", current));
        }
        if self.args.dry_run.client() {
            return Ok(self.done("configured", document));
        }
        let mut body = Vec::new();
        machinery::json::encode(&patch, &mut body);
        let query = self.query(MANAGER);
        let change = Change { method: Method::PATCH, path: &self.path(), query: &query, content_type, body };
        let object = self.session.change(change).await?;
        let same =
            object.at(&["metadata", "resourceVersion"]) == current.at(&["metadata", "resourceVersion"]);
        Ok(self.done(if same { "unchanged" } else { "configured" }, object))
    }

    async fn create(&self, mut document: Value) -> Result<Done, Failure> {
        annotate(&mut document, self.served.namespaced.then_some(&self.namespace));
        if self.args.dry_run.client() {
            return Ok(self.done("created", document));
        }
        let mut body = Vec::new();
        machinery::json::encode(&document, &mut body);
        let path = self.served.path(&self.namespace, "", "");
        let query = self.query(MANAGER);
        let content_type = "application/json";
        let change = Change { method: Method::POST, path: &path, query: &query, content_type, body };
        let object = self.session.change(change).await?;
        Ok(self.done("created", object))
    }
}

/// Notes in the document what is being applied: sorted, with the namespace, and without the note itself.
fn annotate(document: &mut Value, namespace: Option<&str>) {
    let metadata = document.at_mut(&["metadata"]);
    if let Some(namespace) = namespace {
        metadata.set("namespace", namespace);
    }
    metadata.entry("annotations").make_object().remove(LAST_APPLIED);
    let mut sorted = document.clone();
    sort(&mut sorted);
    let noted = format!("{}\n", machinery::json::to_string(&sorted));
    document.at_mut(&["metadata", "annotations"]).set(LAST_APPLIED, noted);
}

/// Orders the members of every object by name, as Go prints maps.
fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Object(map) => {
            map.sort_by_key(str::to_owned);
            map.iter_mut().for_each(|(_, member)| sort(member));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_holds_what_was_applied_and_not_itself() {
        let mut document = Value::from([("data", Value::from([("a", Value::from("1"))]))]);
        annotate(&mut document, Some("shop"));
        let first = document.at(&["metadata", "annotations", LAST_APPLIED]).str_or_empty().to_owned();
        let expected = "{\"data\":{\"a\":\"1\"},\"metadata\":{\"annotations\":{},\"namespace\":\"shop\"}}\n";
        assert_eq!(first, expected);
        annotate(&mut document, Some("shop"));
        let second = document.at(&["metadata", "annotations", LAST_APPLIED]).str_or_empty();
        assert_eq!(second, expected);
    }
}

//! `kubectl get`: objects as tables, or in whatever form is asked for; once, or as they change.

use machinery::Value;

use crate::args::{Files, Selection};
use crate::printers::output::Output;
use crate::printers::table::{Show, Table};
use crate::resource::{Target, targets};
use crate::session::{Session, Watched};
use crate::{Failure, manifest};

/// Flags of `get`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// What to show: pods, pod/web, pods,services, …
    pub words: Vec<String>,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub files: Files,
    /// wide, yaml, json, name, jsonpath=…, custom-columns=…
    #[arg(long, short = 'o', value_name = "FORM")]
    pub output: Option<String>,
    /// Go on showing what changes
    #[arg(long, short = 'w')]
    pub watch: bool,
    /// Show only what changes from now on
    #[arg(long)]
    pub watch_only: bool,
    /// Leave the headings out
    #[arg(long)]
    pub no_headers: bool,
    /// All labels as a last column
    #[arg(long)]
    pub show_labels: bool,
    /// These labels as columns
    #[arg(long, short = 'L', value_name = "LABELS", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// `pod/` before names
    #[arg(long)]
    pub show_kind: bool,
    /// What does not exist is no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Keep managedFields in YAML and JSON
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Sort by what a JSONPath finds
    #[arg(long, value_name = "JSONPATH")]
    pub sort_by: Option<String>,
}

/// Shows what was asked for.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let output = Output::parse(args.output.as_deref())?;
    let wanted = wanted(session, args).await?;
    if args.watch || args.watch_only {
        return watch(session, args, &output, &wanted).await;
    }
    if output.is_table() {
        tables(session, args, &output, &wanted).await
    } else {
        documents(session, args, &output, &wanted).await
    }
}

async fn wanted(session: &Session, args: &Args) -> Result<Vec<Target>, Failure> {
    let discovery = session.discovery().await?;
    if args.files.filenames.is_empty() {
        return targets(discovery, &args.words);
    }
    manifest::read(&args.files)?
        .iter()
        .map(|document| {
            let text = |name: &str| document.get(name).str_or_empty();
            let served = discovery.of_kind(text("apiVersion"), text("kind"))?;
            Ok(Target { served, name: document.at(&["metadata", "name"]).str_or_empty().to_owned() })
        })
        .collect()
}

/// Where a target is: its path and the query that selects.
fn address(session: &Session, args: &Args, target: &Target) -> (String, Vec<(&'static str, String)>) {
    let namespace = if args.selection.all_namespaces { "" } else { session.namespace() };
    let mut query = Vec::new();
    if let Some(selector) = &args.selection.selector {
        query.push(("labelSelector", selector.clone()));
    }
    if let Some(selector) = &args.selection.field_selector {
        query.push(("fieldSelector", selector.clone()));
    }
    (target.served.path(namespace, &target.name, ""), query)
}

async fn tables(session: &Session, args: &Args, output: &Output, wanted: &[Target]) -> Result<(), Failure> {
    let many = kinds(wanted) > 1;
    let mut failures = Vec::new();
    let mut shown = 0;
    for group in by_kind(wanted) {
        let mut whole = Value::Null;
        for target in group {
            let (path, query) = address(session, args, target);
            match session.table(&path, &query).await {
                Ok(table) => append_rows(&mut whole, table),
                Err(failure) if failure.is_not_found() && args.ignore_not_found => {}
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(path) = &args.sort_by {
            sort_rows(&mut whole, path)?;
        }
        let served = &group[0].served;
        let prefix = if many || args.show_kind { format!("{}/", served.qualified()) } else { String::new() };
        let show = Show {
            wide: *output == Output::Wide,
            namespace: args.selection.all_namespaces && served.namespaced,
            labels: args.show_labels,
            label_columns: &args.label_columns,
            prefix: &prefix,
        };
        let table = Table::from_server(&whole, show);
        if !table.is_empty() {
            print!("{}{}", if shown > 0 { "\n" } else { "" }, table.print(!args.no_headers));
            shown += 1;
        }
    }
    match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => {
            if shown == 0 && !args.ignore_not_found {
                say_nothing_found(session, args, wanted);
            }
            Ok(())
        }
    }
}

fn say_nothing_found(session: &Session, args: &Args, wanted: &[Target]) {
    if args.selection.all_namespaces || !wanted.iter().any(|target| target.served.namespaced) {
        eprintln!("No resources found");
    } else {
        eprintln!("No resources found in {} namespace.", session.namespace());
    }
}

fn kinds(wanted: &[Target]) -> usize {
    by_kind(wanted).count()
}

/// Neighbours of one resource, together.
fn by_kind(wanted: &[Target]) -> impl Iterator<Item = &[Target]> {
    wanted.chunk_by(|one, other| one.served == other.served)
}

fn append_rows(whole: &mut Value, table: Value) {
    if whole.is_null() {
        *whole = table;
        return;
    }
    let rows = table.get("rows").items().to_vec();
    whole.entry("rows").make_array().extend(rows);
}

fn sort_rows(table: &mut Value, path: &str) -> Result<(), Failure> {
    let template = machinery::jsonpath::Template::parse(path).map_err(Failure::client)?;
    let key = |row: &Value| {
        let found =
            template.find(row.get("object")).first().map(|value| (*value).clone()).unwrap_or_default();
        (found.as_int().unwrap_or(i64::MIN), found.str_or_empty().to_owned())
    };
    if let Some(rows) = table.get_mut("rows") {
        rows.make_array().sort_by_key(key);
    }
    Ok(())
}

async fn documents(
    session: &Session,
    args: &Args,
    output: &Output,
    wanted: &[Target],
) -> Result<(), Failure> {
    let mut items = Vec::new();
    let mut names = Vec::new();
    for target in wanted {
        let (path, query) = address(session, args, target);
        let document = match session.get(&path, &query).await {
            Err(failure) if failure.is_not_found() && args.ignore_not_found => continue,
            answer => answer?,
        };
        let found = if target.name.is_empty() { list_items(&document) } else { vec![document] };
        for mut item in found {
            if !args.show_managed_fields
                && let Some(metadata) = item.get_mut("metadata")
            {
                metadata.remove("managedFields");
            }
            names.push(target.served.result_name(item.at(&["metadata", "name"]).str_or_empty()));
            items.push(item);
        }
    }
    if *output == Output::Name {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let single = wanted.len() == 1 && !wanted[0].name.is_empty();
    let document = match items.len() {
        0 if single => return Ok(()),
        1 if single => items.remove(0),
        _ => Value::from([
            ("apiVersion", Value::from("v1")),
            ("items", Value::from(items)),
            ("kind", Value::from("List")),
            ("metadata", Value::from([("resourceVersion", Value::from(""))])),
        ]),
    };
    print!("{}", output.document(&document, "")?);
    Ok(())
}

/// A list's items, each with the kind that the list's items leave out.
pub fn list_items(list: &Value) -> Vec<Value> {
    let kind = list.get("kind").str_or_empty().trim_end_matches("List");
    let typed = |item: &Value| {
        if !item.get("kind").is_null() {
            return item.clone();
        }
        let mut whole =
            Value::from([("apiVersion", list.get("apiVersion").clone()), ("kind", Value::from(kind))]);
        for (name, member) in item.members() {
            whole.set(name, member.clone());
        }
        whole
    };
    list.get("items").items().iter().map(typed).collect()
}

async fn watch(session: &Session, args: &Args, output: &Output, wanted: &[Target]) -> Result<(), Failure> {
    let [target] = wanted else {
        return Err(Failure::client("you may only specify a single resource type"));
    };
    let (path, mut query) = address(session, args, target);
    let path = if target.name.is_empty() {
        path
    } else {
        query.push(("fieldSelector", format!("metadata.name={}", target.name)));
        target.served.path(if args.selection.all_namespaces { "" } else { session.namespace() }, "", "")
    };
    let list = if output.is_table() {
        session.table(&path, &query).await?
    } else {
        session.get(&path, &query).await?
    };
    let revision = list.at(&["metadata", "resourceVersion"]).str_or_empty().to_owned();
    let mut headings = !args.no_headers;
    let mut print = |document: &Value| -> Result<(), Failure> {
        if !output.is_table() {
            let name = target.served.result_name(document.at(&["metadata", "name"]).str_or_empty());
            print!(
                "{}{}",
                if *output == Output::Yaml { "---\n" } else { "" },
                output.document(document, &name)?
            );
            return Ok(());
        }
        let show = Show {
            wide: *output == Output::Wide,
            namespace: args.selection.all_namespaces,
            labels: args.show_labels,
            label_columns: &args.label_columns,
            prefix: "",
        };
        let table = Table::from_server(document, show);
        if !table.is_empty() {
            print!("{}", table.print(std::mem::take(&mut headings)));
        }
        Ok(())
    };
    if !args.watch_only {
        if output.is_table() {
            print(&list)?;
        } else {
            list_items(&list).iter().try_for_each(&mut print)?;
        }
    }
    let form = if output.is_table() { Watched::Tables } else { Watched::Objects };
    let mut columns = list.get("columnDefinitions").clone();
    session
        .watch((&path, &query), &revision, form, |event| {
            let mut object = event.get("object").clone();
            // Only a watch's first table says what its columns are.
            if object.get("columnDefinitions").is_null() {
                object.set("columnDefinitions", columns.clone());
            } else {
                columns = object.get("columnDefinitions").clone();
            }
            print(&object).map(|()| true)
        })
        .await
}

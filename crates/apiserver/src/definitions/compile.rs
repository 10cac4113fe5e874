//! From a definition to what is served: one resource for each of its versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Table;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinds::custom::{Custom as Rules, Scale};
use machinery::Value;
use machinery::schema::Schema;
use machinery::structural::{Expressions, FieldPath, Structural};
use smol_str::SmolStr;

use crate::cache::Collection;
use crate::custom::{Column, Custom, SUB_VERBS, VERBS, Versions, Webhook};
use crate::metrics::Counters;
use crate::registry::{Parts, Served, Sub};

/// What a definition is made into a resource from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The definition.
    pub document: &'a Value,
    /// The names it has.
    pub accepted: &'a Value,
    /// Where its objects are.
    pub collection: &'a Arc<Collection>,
}

/// The resources of a definition, one for each version that is served, numbered from `first` on.
pub fn compile(table: &Table, source: Source<'_>, first: u64) -> Vec<Served> {
    let spec = source.document.get("spec");
    let all = spec.get("versions").items();
    let name_of = |version: &Value| SmolStr::new(version.get("name").str_or_empty());
    let schemas: BTreeMap<SmolStr, Arc<Structural>> = all
        .iter()
        .map(|version| {
            let schema = Structural::compile(version.at(&["schema", "openAPIV3Schema"]));
            (name_of(version), Arc::new(schema))
        })
        .collect();
    let storage =
        all.iter().find(|version| version.get("storage").is_true()).map(name_of).unwrap_or_default();
    let group = SmolStr::new(spec.get("group").str_or_empty());
    let webhook = Webhook::read(spec.get("conversion"));
    let Some(metadata) = metadata_schema(table) else { return Vec::new() };
    let form = |(name, schema): (&SmolStr, &Arc<Structural>)| (name.clone(), schema.schema(metadata.root()));
    let forms = schemas.iter().map(form).collect();
    let versions = Arc::new(Versions { group, storage, schemas, forms, webhook });
    let served = all.iter().filter(|version| version.get("served").is_true());
    served
        .zip(first..)
        .map(|(version, number)| {
            let versions = versions.clone();
            one(source, version, Shared { versions, metadata: metadata.clone(), number })
        })
        .collect()
}

/// The type of the metadata of every object.
fn metadata_schema(table: &Table) -> Option<Schema> {
    let ty = table.types().named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?;
    Some(Schema::new(table.types().clone(), ty.id()))
}

/// What the versions of a definition have in common.
struct Shared {
    versions: Arc<Versions>,
    metadata: Schema,
    number: u64,
}

fn one(source: Source<'_>, version: &Value, shared: Shared) -> Served {
    let Source { document, accepted, collection } = source;
    let Shared { versions, metadata, number } = shared;
    let name = SmolStr::new(version.get("name").str_or_empty());
    let namespaced = document.at(&["spec", "scope"]).as_str() != Some("Cluster");
    let subresources = version.get("subresources");
    let form = versions.forms.get(&name).cloned().unwrap_or_else(|| metadata.clone());
    let schema = versions.schemas.get(&name).map(|schema| schema.as_ref().clone()).unwrap_or_default();
    let rules = Arc::new(Rules {
        namespaced,
        status: !subresources.get("status").is_null(),
        scale: Scale::read(subresources.get("scale")),
        rules: Expressions::compile(&schema).map(Arc::new),
        schema,
    });
    let text = |name: &str| SmolStr::new(accepted.get(name).str_or_empty());
    let texts = |name: &str| -> Vec<SmolStr> {
        accepted.get(name).items().iter().filter_map(Value::as_str).map(SmolStr::new).collect()
    };
    let kind = text("kind");
    let group = versions.group.clone();
    let custom = Custom {
        definition: (
            document.at(&["metadata", "name"]).str_or_empty().into(),
            document.at(&["metadata", "uid"]).str_or_empty().into(),
        ),
        columns: Column::all(version.get("additionalPrinterColumns")),
        selectable: selectable(version),
        terminating: !document.at(&["metadata", "deletionTimestamp"]).is_null(),
        deprecation: deprecation(version, &group, &kind),
        published: version.at(&["schema", "openAPIV3Schema"]).clone(),
        kind: rules.clone(),
        versions: versions.clone(),
        metadata: metadata.clone(),
    };
    Served::custom(Parts {
        schema: form,
        subresources: subs(&rules, &group, &name, &kind),
        storage_hash: storage_hash(&group, &versions.storage, &kind),
        plural: text("plural"),
        singular: text("singular"),
        list_kind: text("listKind"),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        collection: collection.clone(),
        version: name,
        verbs: VERBS.to_vec(),
        group,
        kind,
        namespaced,
        custom,
        number,
    })
}

fn selectable(version: &Value) -> Vec<(SmolStr, FieldPath)> {
    let paths = version.get("selectableFields").items().iter();
    paths
        .filter_map(|field| field.get("jsonPath").as_str())
        .map(|path| (SmolStr::new(path.trim_start_matches('.')), FieldPath::plain(path)))
        .collect()
}

fn deprecation(version: &Value, group: &str, kind: &str) -> Option<String> {
    version.get("deprecated").is_true().then(|| match version.get("deprecationWarning").as_str() {
        Some(warning) => warning.to_owned(),
        None => format!("{group}/{} {kind} is deprecated", version.get("name").str_or_empty()),
    })
}

fn subs(rules: &Rules, group: &SmolStr, version: &SmolStr, kind: &SmolStr) -> Vec<Sub> {
    let sub = |name: &str, (group, version, kind): (&str, &str, &str)| Sub {
        name: name.into(),
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        verbs: SUB_VERBS.to_vec(),
        counters: Counters::default(),
    };
    let mut subs = Vec::new();
    if rules.status {
        subs.push(sub("status", (group, version, kind)));
    }
    if rules.scale.is_some() {
        subs.push(sub("scale", ("autoscaling", "v1", "Scale")));
    }
    subs
}

/// Tells clients whether the stored version changed: a part of the hash of what is stored.
fn storage_hash(group: &str, version: &str, kind: &str) -> SmolStr {
    let text = format!("{group}/{version}/{kind}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    SmolStr::from(STANDARD.encode(&digest.as_ref()[..8]))
}

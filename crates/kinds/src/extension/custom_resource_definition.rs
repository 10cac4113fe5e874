//! CustomResourceDefinition. Expressions in schemas are compiled where there is an evaluator.

use std::collections::BTreeSet;

use machinery::structural::Structural;
use machinery::{Value, names};

use super::{approval, schema};
use crate::admission::webhook::check_client;
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{or, or_text};
use crate::policy::{self, NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CustomResourceDefinition;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];

impl Kind for CustomResourceDefinition {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().bare_status().any_finalizer().conditional_update()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or_text(spec, "scope", "Namespaced");
        let kind = spec.at(&["names", "kind"]).str_or_empty().to_owned();
        let own = spec.entry("names");
        if !kind.is_empty() {
            or_text(own, "singular", &kind.to_lowercase());
            or_text(own, "listKind", &format!("{kind}List"));
        }
        let conversion = spec.entry("conversion");
        or_text(conversion, "strategy", "None");
        if let Some(webhook) = conversion.get_mut("webhook")
            && let Some(config) = webhook.get_mut("clientConfig")
            && let Some(service) = config.get_mut("service")
        {
            or(service, "port", 443i64);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.entry("metadata").set("generation", 1i64);
        let stored: Vec<Value> = object
            .at(&["spec", "versions"])
            .items()
            .iter()
            .filter(|version| version.get("storage").is_true())
            .map(|version| version.get("name").clone())
            .take(1)
            .collect();
        object.set("status", Value::from([("storedVersions", Value::Array(stored))]));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        policy::prepare_update(self.policy(), object, old, door);
        if door == Door::Main {
            note_storage(object);
        }
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_name(object);
        check_spec(spec);
        check_preserving(spec);
        check_stored(object);
        approval::check(object, &Value::Null);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_stored(object);
        }
        let spec = object.get("spec");
        check_spec(spec);
        if !old.at(&["spec", "preserveUnknownFields"]).is_true() {
            check_preserving(spec);
        }
        let established = old.at(&["status", "conditions"]).items().iter().any(|condition| {
            condition.get("type").str_or_empty() == "Established"
                && condition.get("status").str_or_empty() == "True"
        });
        let names = spec.get("names");
        if established {
            spec.get("scope").immutable(old.at(&["spec", "scope"]));
            names.get("kind").immutable(old.at(&["spec", "names", "kind"]));
        }
        spec.get("group").immutable(old.at(&["spec", "group"]));
        names.get("plural").immutable(old.at(&["spec", "names", "plural"]));
        check_stored(object);
        approval::check(object, old);
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let versions = object.at(&["spec", "versions"]).items();
        let unknown: BTreeSet<String> = versions
            .iter()
            .flat_map(|version| schema::unknown_formats(version.at(&["schema", "openAPIV3Schema"])))
            .collect();
        let quoted = unknown.iter().map(|format| machinery::field::go_quote(format));
        quoted.map(|format| format!("unrecognized format {format}")).collect()
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::CREATED_AT
    }

    fn row(&self, object: &Value, _now_secs: i64) -> Vec<Value> {
        table::default_row(object)
    }
}

/// Unknown fields are kept where a schema says so, no longer everywhere.
fn check_preserving(spec: Place<'_>) {
    let preserving = spec.get("preserveUnknownFields");
    if preserving.is_true() {
        preserving.invalid(
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        );
    }
}

/// Objects may come to be stored in the version that is the stored one from now on.
fn note_storage(object: &mut Value) {
    let versions = object.at(&["spec", "versions"]).items().iter();
    let Some(storage) = versions
        .filter(|version| version.get("storage").is_true())
        .map(|version| version.get("name").str_or_empty().to_owned())
        .next()
    else {
        return;
    };
    let stored = object.at_mut(&["status", "storedVersions"]).make_array();
    if !stored.iter().any(|name| name.as_str() == Some(&storage)) {
        stored.push(Value::from(storage));
    }
}

fn check_name(object: Place<'_>) {
    let spec = object.value().get("spec");
    let required =
        format!("{}.{}", spec.at(&["names", "plural"]).str_or_empty(), spec.get("group").str_or_empty());
    let metadata = object.get("metadata");
    let name = metadata.get("name");
    if name.text() != required && !name.text().is_empty() {
        name.invalid_as(name.text(), "must be spec.names.plural+\".\"+spec.group");
    }
}

fn check_spec(spec: Place<'_>) {
    let group = spec.get("group");
    if group.text().is_empty() {
        group.required("");
    } else {
        group.faults(names::dns1123_subdomain(group.text()));
        if group.text().split('.').count() < 2 {
            group.invalid("should be a domain with at least one dot");
        }
    }
    spec.get("scope").required_one_of(&["Cluster", "Namespaced"]);
    check_versions(spec);
    check_names(spec.get("names"));
    check_conversion(spec.get("conversion"));
}

fn check_versions(spec: Place<'_>) {
    let versions = spec.get("versions");
    let list = versions.value().items();
    let common = common_parts(list);
    let shown = || {
        if list.is_empty() {
            return Raw("[]".to_owned());
        }
        let mut bare = versions.value().clone();
        for version in bare.items_mut() {
            for part in &common {
                version.remove(part);
            }
        }
        Raw(internal::show_list("CustomResourceDefinitionVersion", &bare))
    };
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for version in versions.items() {
        let name = version.get("name");
        unique &= seen.insert(name.key());
        name.faults(names::dns1035_label(name.text()));
        let warning = version.get("deprecationWarning");
        if warning.is_set() && !version.get("deprecated").is_true() {
            warning.invalid("can only be set for deprecated versions");
        }
        check_version(version, &common);
    }
    if let Some(first) = list.first() {
        for part in &common {
            let hoisted = if *part == "schema" { "validation" } else { part };
            check_part(part, spec.with(first.get(part)).at(hoisted), first);
        }
    }
    if !unique {
        versions.invalid_as(shown(), "must contain unique version names");
    }
    if list.iter().filter(|version| version.get("storage").is_true()).count() != 1 {
        versions.invalid_as(shown(), "must have exactly one version marked as storage version");
    }
    let first = list.first().map_or("", |version| version.get("name").str_or_empty());
    if !first.is_empty() && !names::dns1035_label(first).is_empty() {
        for fault in names::dns1035_label(first) {
            spec.at("version").invalid_as(first, fault);
        }
    }
}

fn check_version(version: Place<'_>, common: &[&str]) {
    let validation = version.get("schema");
    if !validation.get("openAPIV3Schema").is_set() {
        validation.get("openAPIV3Schema").required("");
    }
    for part in PARTS.into_iter().filter(|part| !common.contains(part)) {
        check_part(part, version.get(part), version.value());
    }
}

/// What a version has that all versions may have in common.
const PARTS: [&str; 4] = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];

/// The parts that are the same in all versions. What is wrong with them is told of the definition, not of a version.
fn common_parts(versions: &[Value]) -> Vec<&'static str> {
    let alike = |part: &&str| {
        let first = versions.first().map(|version| version.get(part));
        first.is_some_and(|first| versions.iter().all(|version| same(version.get(part), first)))
    };
    PARTS.into_iter().filter(alike).collect()
}

fn check_part(part: &str, place: Place<'_>, version: &Value) {
    match part {
        "schema" => {
            if place.get("openAPIV3Schema").is_set() {
                let status = version.at(&["subresources", "status"]);
                schema::check(place.get("openAPIV3Schema"), !status.is_null());
            }
        }
        "subresources" => check_subresources(place),
        "additionalPrinterColumns" => place.items().for_each(|column| check_column(column)),
        _ => {
            let schema = Structural::compile(version.at(&["schema", "openAPIV3Schema"]));
            check_selectable(place, &schema);
        }
    }
}

/// How many fields of a version may be selected on.
const SELECTABLE_MAX: usize = 8;

fn check_selectable(fields: Place<'_>, schema: &Structural) {
    let mut seen = BTreeSet::new();
    for field in fields.items() {
        let path = field.get("jsonPath");
        if path.text().is_empty() {
            path.required("");
            continue;
        }
        match schema::selectable(schema, path.text()) {
            Err(why) => path.invalid(why),
            Ok(found) => {
                if !seen.insert(found) {
                    path.duplicate();
                }
            }
        }
    }
    if seen.len() > SELECTABLE_MAX {
        fields.too_many(seen.len(), SELECTABLE_MAX);
    }
}

fn check_column(column: Place<'_>) {
    let (name, kind, path) = (column.get("name"), column.get("type"), column.get("jsonPath"));
    if name.text().is_empty() {
        name.required("");
    }
    if kind.text().is_empty() {
        kind.required(&format!("must be one of {}", COLUMN_TYPES.join(",")));
    } else if !COLUMN_TYPES.contains(&kind.text()) {
        kind.invalid(format!("must be one of {}", COLUMN_TYPES.join(",")));
    }
    let place = column.with(path.value());
    let place = place.at("JSONPath");
    if path.text().is_empty() {
        place.required("");
    } else if !path.text().starts_with('.') {
        place.invalid("must be a simple json path starting with .");
    }
}

fn check_subresources(subresources: Place<'_>) {
    let scale = subresources.get("scale");
    if !scale.is_set() {
        return;
    }
    for (member, root) in
        [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status."), ("labelSelectorPath", "")]
    {
        let path = scale.get(member);
        if path.text().is_empty() {
            if member != "labelSelectorPath" {
                path.required("");
            }
            continue;
        }
        if !path.text().starts_with('.') {
            path.invalid("must be a simple json path starting with .");
        } else if !root.is_empty() && !path.text().starts_with(root) {
            path.invalid(format!("should be a json path under {}", root.trim_end_matches('.')));
        } else if root.is_empty()
            && !path.text().starts_with(".spec.")
            && !path.text().starts_with(".status.")
        {
            path.invalid("should be a json path under either .spec or .status");
        }
    }
}

fn check_names(own: Place<'_>) {
    let label = |member: &'static str, needed: bool| {
        let place = own.get(member);
        if place.text().is_empty() {
            if needed {
                place.required("");
            }
            return;
        }
        place.faults(names::dns1035_label(&place.text().to_lowercase()));
    };
    label("plural", true);
    label("singular", false);
    label("kind", true);
    label("listKind", true);
    for list in ["shortNames", "categories"] {
        let items = own.get(list);
        for item in items.items() {
            item.faults(names::dns1035_label(item.text()));
        }
    }
    if own.get("kind").text() == own.get("listKind").text() && !own.get("kind").text().is_empty() {
        own.get("listKind").invalid("kind and listKind may not be the same");
    }
}

fn check_conversion(conversion: Place<'_>) {
    let strategy = conversion.get("strategy");
    match strategy.text() {
        "" => strategy.required(""),
        "None" => {
            if conversion.get("webhook").is_set() {
                conversion
                    .at("webhookClientConfig")
                    .forbidden("should not be set when strategy is not set to Webhook");
            }
        }
        "Webhook" => {
            let webhook = conversion.get("webhook");
            let config = conversion.with(webhook.value().get("clientConfig"));
            let config = config.at("webhookClientConfig");
            if config.is_set() {
                check_client(config);
            } else {
                config.required("required when strategy is set to Webhook");
            }
            let versions = conversion.with(webhook.value().get("conversionReviewVersions"));
            let versions = versions.at("conversionReviewVersions");
            if versions.is_empty() {
                versions.required("");
            } else if !versions
                .value()
                .items()
                .iter()
                .any(|version| matches!(version.str_or_empty(), "v1" | "v1beta1"))
            {
                versions.invalid("must include at least one of v1, v1beta1");
            }
        }
        _ => strategy.unsupported(&["None", "Webhook"]),
    }
}

fn check_stored(object: Place<'_>) {
    let versions = object.value().at(&["spec", "versions"]).items();
    let status = object.get("status");
    let stored = status.get("storedVersions");
    if stored.is_empty() {
        return stored.invalid_as(&Value::Null, "must have at least one stored version");
    }
    let mut left: Vec<(usize, &str)> =
        stored.value().items().iter().map(Value::str_or_empty).enumerate().collect();
    for version in versions {
        // A name that comes twice is found once.
        let name = version.get("name").str_or_empty();
        let found = left.iter().position(|(_, stored)| *stored == name);
        if version.get("storage").is_true() && found.is_none() {
            stored.invalid(format!("must have the storage version {name}"));
        }
        if let Some(found) = found {
            left.remove(found);
        }
    }
    for (position, name) in left {
        let why = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
             until a storage migration ensures no data remains persisted in {name} and removes {name} from \
             status.storedVersions"
        );
        stored.at_index(position).invalid_as(name, why);
    }
}

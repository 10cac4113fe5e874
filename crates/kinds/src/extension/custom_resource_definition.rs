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
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

impl Kind for CustomResourceDefinition {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().bare_status().any_finalizer().conditional_update()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        let kind = spec.at(&["names", "kind"]).str_or_empty().to_owned();
        let own = spec.entry("names");
        if !kind.is_empty() {
            or_text(own, "singular", &kind.to_lowercase());
            or_text(own, "listKind", &format!("{kind}List"));
        }
        let conversion = spec.entry("conversion");
        if conversion.is_null() {
            conversion.set("strategy", "None");
        }
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
        object.set("status", Value::from([("storedVersions", Value::from(stored))]));
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
            let status = object.get("status");
            return check_name_forms(status.get("acceptedNames"));
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
    } else if !names::dns1123_subdomain(group.text()).is_empty() {
        all_faults(group, "", names::dns1123_subdomain(group.text()));
    } else if !group.text().contains('.') {
        group.invalid("should be a domain with at least one dot");
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
    for version in versions.items() {
        let validation = version.get("schema");
        if !validation.get("openAPIV3Schema").is_set() {
            validation.get("openAPIV3Schema").required("");
        }
    }
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for version in versions.items() {
        let name = version.get("name");
        unique &= seen.insert(name.key());
        all_faults(name, "", names::dns1035_label(name.text()));
        let warning = version.get("deprecationWarning");
        if warning.is_set() && !version.get("deprecated").is_true() {
            warning.invalid("can only be set for deprecated versions");
        }
        for part in PARTS.into_iter().filter(|part| !common.contains(part)) {
            check_part(part, version.get(part), version.value());
        }
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
        spec.at("version").invalid_as(first, names::dns1035_label(first).join(","));
    }
}

/// What is wrong with a name, told at once.
fn all_faults(name: Place<'_>, before: &str, faults: names::Faults) {
    if !faults.is_empty() {
        name.invalid_as(name.text(), format!("{before}{}", faults.join(",")));
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
        _ if place.is_empty() => {}
        _ if version.at(&["schema", "openAPIV3Schema"]).is_null() => {
            place.invalid_as("", "may only be set when `version.schema.openAPIV3Schema` is not included");
        }
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
    let format = column.get("format");
    if !format.text().is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
        format.invalid(format!("must be one of {}", COLUMN_FORMATS.join(",")));
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
    for member in ["plural", "singular", "kind", "listKind"] {
        if own.get(member).text().is_empty() {
            own.get(member).required("");
        }
    }
    check_name_forms(own);
}

/// What is wrong with the names that are there.
fn check_name_forms(own: Place<'_>) {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    for member in ["plural", "singular"].map(|member| own.get(member)) {
        if !member.text().is_empty() {
            all_faults(member, "", names::dns1035_label(member.text()));
        }
    }
    for member in ["kind", "listKind"].map(|member| own.get(member)) {
        if !member.text().is_empty() {
            all_faults(member, MIXED, names::dns1035_label(&member.text().to_lowercase()));
        }
    }
    let check_list = |list: Place<'_>| {
        list.items().for_each(|item| all_faults(item, "", names::dns1035_label(item.text())));
    };
    check_list(own.get("shortNames"));
    if own.get("kind").text() == own.get("listKind").text() && !own.get("kind").text().is_empty() {
        own.get("listKind").invalid("kind and listKind may not be the same");
    }
    check_list(own.get("categories"));
}

fn check_conversion(conversion: Place<'_>) {
    let strategy = conversion.get("strategy");
    strategy.required_one_of(&["None", "Webhook"]);
    let webhook = conversion.value().get("webhook");
    let config = conversion.with(webhook.get("clientConfig"));
    let config = config.at("webhookClientConfig");
    let versions = conversion.with(webhook.get("conversionReviewVersions"));
    let versions = versions.at("conversionReviewVersions");
    if strategy.text() == "Webhook" {
        if config.is_set() {
            check_client(config);
        } else {
            config.required("required when strategy is set to Webhook");
        }
        check_review_versions(versions);
        return;
    }
    for unused in [config, versions] {
        if unused.is_set() && (unused.value().as_object().is_some() || !unused.is_empty()) {
            unused.forbidden("should not be set when strategy is not set to Webhook");
        }
    }
}

fn check_review_versions(versions: Place<'_>) {
    if versions.is_empty() {
        return versions.required("");
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        if seen.insert(version.key()) {
            version.faults(names::dns1035_label(version.text()));
        } else {
            version.invalid("duplicate version");
        }
    }
    if !seen.contains("v1") && !seen.contains("v1beta1") {
        versions.invalid("must include at least one of v1, v1beta1");
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

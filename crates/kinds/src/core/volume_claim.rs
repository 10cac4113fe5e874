//! PersistentVolumeClaim, and the claims that pods and StatefulSets hold templates of.

use machinery::{Value, names};

use crate::label_selector::{self, Values};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{amounts, or};
use crate::pod_spec::resources::{amount, is_native};
use crate::policy::{NameRule, Policy, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, diff, internal, table};

/// The kind.
pub struct PersistentVolumeClaim;

/// How a volume can be mounted.
pub(crate) const ACCESS_MODES: &[&str] =
    &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

impl Kind for PersistentVolumeClaim {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).status()
    }

    fn default(&self, object: &mut Value) {
        default_claim_spec(object.entry("spec"));
        let status = object.entry("status");
        crate::pod_spec::defaults::or_text(status, "phase", "Pending");
        if let Some(capacity) = status.get_mut("capacity") {
            amounts(capacity);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("phase", Value::from("Pending"))]));
        unite_sources(object.entry("spec"), &Value::Null);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"), &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        if door.is_status() {
            keep_all_but(object, old, &["status"]);
        } else {
            keep(object, old, "status");
            unite_sources(object.entry("spec"), old.get("spec"));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object);
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_spec(object.get("spec"), old.get("spec"));
        check_changes(object, old);
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::PERSISTENT_VOLUME_CLAIM
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let bound = !spec.get("volumeName").str_or_empty().is_empty();
        let phase = match object.at(&["metadata", "deletionTimestamp"]) {
            Value::Null => status.get("phase").str_or_empty(),
            _ => "Terminating",
        };
        let (capacity, modes) = if bound {
            (capacity(status.get("capacity")), short_modes(status.get("accessModes")))
        } else {
            (String::new(), String::new())
        };
        vec![
            table::name(object),
            Value::from(phase),
            table::text(spec.get("volumeName")),
            Value::from(capacity),
            Value::from(modes),
            table::text(storage_class(object)),
            table::text_or(spec.get("volumeAttributesClassName"), "<unset>"),
            table::age(object, now_secs),
            table::text_or(spec.get("volumeMode"), "<unset>"),
        ]
    }
}

/// The annotation that named the storage class before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The class a claim or a volume names.
pub(crate) fn storage_class(object: &Value) -> &Value {
    match object.at(&["metadata", "annotations", CLASS_ANNOTATION]) {
        Value::Null => object.at(&["spec", "storageClassName"]),
        named => named,
    }
}

pub(crate) fn capacity(list: &Value) -> String {
    match list.get("storage") {
        Value::Null => "0".to_owned(),
        value => amount(value).to_string(),
    }
}

/// Access modes in short: `RWO,ROX,RWX,RWOP`.
pub(crate) fn short_modes(modes: &Value) -> String {
    let has = |mode: &str| modes.items().iter().any(|known| known.str_or_empty() == mode);
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    short.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

/// Fills a claim's specification in.
pub(crate) fn default_claim_spec(spec: &mut Value) {
    or(spec, "volumeMode", "Filesystem");
    if spec.get("resources").is_null() {
        spec.set("resources", Value::object());
    }
    let resources = spec.entry("resources");
    for list in ["limits", "requests"] {
        if let Some(list) = resources.get_mut(list) {
            amounts(list);
        }
    }
}

/// `dataSource` and `dataSourceRef` say the same where either can. Sources in other namespaces are not there yet: one
/// falls away, unless the claim `old` had a source before.
fn unite_sources(spec: &mut Value, old: &Value) {
    let known = |source: &Value| {
        matches!(
            (source.get("apiGroup").str_or_empty(), source.get("kind").str_or_empty()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    };
    let elsewhere = !spec.at(&["dataSourceRef", "namespace"]).is_empty();
    if elsewhere && old.get("dataSourceRef").is_null() {
        spec.remove("dataSourceRef");
    }
    let had_source = !old.get("dataSource").is_null() || !old.get("dataSourceRef").is_null();
    if !had_source && spec.get("dataSourceRef").is_null() && !known(spec.get("dataSource")) {
        spec.remove("dataSource");
    }
    let (source, reference) = (spec.get("dataSource").clone(), spec.get("dataSourceRef").clone());
    if !source.is_null() && reference.is_null() {
        spec.set("dataSourceRef", source);
    } else if source.is_null() && !reference.is_null() && reference.get("namespace").str_or_empty().is_empty()
    {
        let mut plain = reference.clone();
        plain.remove("namespace");
        spec.set("dataSource", plain);
    }
}

/// What is wrong with a template of a claim.
pub(crate) fn check_claim_template(template: Place<'_>) {
    crate::metadata::check_template(template.get("metadata"));
    check_spec(template.get("spec"), &Value::Null);
}

/// What is wrong with a claim's specification; `old` is what it said before.
pub(crate) fn check_spec(spec: Place<'_>, old: &Value) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        modes.required("at least 1 access mode is required");
    }
    label_selector::check(spec.get("selector"), Values::Valid);
    check_access_modes(modes);
    let resources = spec.get("resources");
    let wanted = resources.value().at(&["requests", "storage"]);
    let place = resources.with(wanted);
    let place = place.at_key("storage");
    if wanted.is_null() {
        place.required("");
    } else if amount(wanted).signum() <= 0 {
        place.invalid_as(&amount(wanted).to_string(), "must be greater than zero");
    }
    let class = spec.get("storageClassName");
    if !class.text().is_empty() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    let mode = spec.get("volumeMode");
    if mode.is_set() {
        mode.one_of(&["Block", "Filesystem"]);
    }
    let class = spec.get("volumeAttributesClassName");
    if !class.text().is_empty() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    check_sources(spec, old);
}

/// What is wrong with access modes.
pub(crate) fn check_access_modes(modes: Place<'_>) {
    let (mut alone, mut others) = (false, false);
    for mode in modes.value().items() {
        let mode = mode.str_or_empty();
        match mode {
            "ReadWriteOncePod" => alone = true,
            mode if ACCESS_MODES.contains(&mode) => others = true,
            other => modes.unsupported_as(other, ACCESS_MODES),
        }
    }
    if alone && others {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

fn check_sources(spec: Place<'_>, old: &Value) {
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    let had_group =
        ["dataSource", "dataSourceRef"].iter().any(|member| !old.at(&[member, "apiGroup"]).is_null());
    for place in [source, reference] {
        if !place.is_set() {
            continue;
        }
        for member in ["name", "kind"] {
            if place.get(member).text().is_empty() {
                place.get(member).required("");
            }
        }
        let group = place.get("apiGroup");
        if group.text().is_empty() && place.get("kind").text() != "PersistentVolumeClaim" {
            place.invalid_as(
                place.get("kind").text(),
                "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            );
        }
        if !group.text().is_empty() && !had_group {
            group.faults(names::dns1123_subdomain(group.text()));
        }
    }
    let namespace = reference.get("namespace");
    if !namespace.text().is_empty() {
        namespace.faults(names::dns1123_label(namespace.text()));
    }
    if source.is_set() && reference.is_set() {
        let differ = ["apiGroup", "kind", "name"]
            .iter()
            .any(|member| source.get(member).text() != reference.get(member).text());
        if !reference.get("namespace").text().is_empty() {
            spec.invalid_as(
                Raw("{}".to_owned()),
                "may not be specified when dataSourceRef.namespace is specified",
            );
        } else if differ {
            spec.invalid_as(Raw("{}".to_owned()), "must match dataSourceRef");
        }
    }
}

const ATTRIBUTES: &str = "volumeAttributesClassName";
/// How far the growth of a volume can be.
const RESIZES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];
const ONLY_GROWS: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

fn check_changes(object: Place<'_>, old: &Value) {
    const STORAGE: &[&str] = &["resources", "requests", "storage"];
    let (spec, old_spec) = (object.get("spec"), old.get("spec"));
    let (mut new, mut before) = (spec.value().clone(), old_spec.clone());
    // The controller of volumes writes the name once.
    if old_spec.get("volumeName").str_or_empty().is_empty() {
        keep(&mut before, &new, "volumeName");
    }
    keep_class(object, old, &mut new);
    if object.value().at(&["status", "phase"]).str_or_empty() == "Bound" {
        if !new.at(&["resources", "requests"]).is_empty() {
            *new.at_mut(STORAGE) = old_spec.at(STORAGE).clone();
        }
        keep(&mut new, old_spec, ATTRIBUTES);
    }
    if !same(&new, &before) {
        let shown = |spec: &Value| internal::show_indented("PersistentVolumeClaimSpec", spec);
        let difference = diff::unified(&shown(&before), &shown(&new));
        spec.forbidden(format!("{ONLY_GROWS}\n{difference}"));
    }
    let (size, old_size) = (amount(spec.value().at(STORAGE)), amount(old_spec.at(STORAGE)));
    if size < old_size && size <= amount(old.at(&["status", "capacity", "storage"])) {
        let resources = spec.get("resources");
        let requests = resources.get("requests");
        requests.at("storage").forbidden("field can not be less than status.capacity");
    }
    // Told without saying that it is in the specification.
    let mode = object.with(spec.value().get("volumeMode"));
    mode.at("volumeMode").immutable(old_spec.get("volumeMode"));
    let attributes = spec.get(ATTRIBUTES);
    let is_current = !old.at(&["status", "currentVolumeAttributesClassName"]).is_null();
    if is_current && !same(attributes.value(), old_spec.get(ATTRIBUTES)) && attributes.is_empty() {
        let to = if attributes.is_set() { "empty string" } else { "nil" };
        attributes.forbidden(format!(
            "update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"
        ));
    }
}

/// The class may move from the annotation of old into its field, and may be set where there was none.
fn keep_class(object: Place<'_>, old: &Value, new: &mut Value) {
    const CLASS: &str = "storageClassName";
    let (old_class, class) = (old.at(&["spec", CLASS]), new.get(CLASS).clone());
    let annotation = |object: &Value| object.at(&["metadata", "annotations", CLASS_ANNOTATION]).clone();
    let (old_named, named) = (annotation(old), annotation(object.value()));
    let fits = !class.is_null() && class.as_str() == old_named.as_str();
    if old_class.is_null() && fits && (named.is_null() || named == old_named) {
        new.remove(CLASS);
        return;
    }
    if named.str_or_empty() != old_named.str_or_empty() {
        let metadata = object.get("metadata");
        let annotations = metadata.get("annotations");
        annotations.at(CLASS_ANNOTATION).invalid_as(named.str_or_empty(), "field is immutable");
    }
    if old_class.is_null() && !class.is_null() && (old_named.is_null() || fits) {
        new.remove(CLASS);
    }
}

fn check_status(object: Place<'_>) {
    let (status, spec) = (object.get("status"), object.value().get("spec"));
    if spec.get("accessModes").is_empty() {
        let spec = object.at("Spec");
        spec.at("accessModes").required("");
    }
    status.get("capacity").entries().for_each(|(_, place)| check_amount(place));
    let resizes = status.get("allocatedResourceStatuses");
    for (name, state) in resizes.entries() {
        check_resource(resizes, name);
        if !RESIZES.contains(&state.text()) {
            resizes.unsupported_as(name, RESIZES);
        }
    }
    let allocated = status.get("allocatedResources");
    for (name, place) in allocated.entries() {
        if check_resource(allocated, name) {
            check_amount(place);
        }
    }
}

fn check_amount(place: Place<'_>) {
    let held = amount(place.value()).value();
    if held < 0 {
        place.invalid_as(held, "must be a valid resource quantity");
    }
}

/// What is wrong with the name of something that a volume has more of after it grew.
fn check_resource(place: Place<'_>, name: &str) -> bool {
    let before = place.error_count();
    for fault in names::qualified_name(name) {
        place.invalid_as(name, fault);
    }
    if place.error_count() == before && is_native(name) && name != "storage" {
        place.unsupported_as(name, &["storage"]);
    }
    place.error_count() == before
}

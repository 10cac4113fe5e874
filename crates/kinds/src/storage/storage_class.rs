//! StorageClass.

use std::collections::{BTreeMap, BTreeSet};

use machinery::{Value, names};

use crate::place::{Place, same};
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct StorageClass;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_SIZE_MAX: usize = 256 * 1024;

impl Kind for StorageClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        or(object, "reclaimPolicy", "Delete");
        or(object, "volumeBindingMode", "Immediate");
    }

    fn check(&self, object: Place<'_>) {
        check_provisioner(object.get("provisioner"));
        check_parameters(object.get("parameters"));
        let policy = object.get("reclaimPolicy");
        if !policy.text().is_empty() {
            policy.one_of(&["Delete", "Retain"]);
        }
        let mode = object.get("volumeBindingMode");
        if mode.is_set() {
            mode.one_of(&["Immediate", "WaitForFirstConsumer"]);
        } else {
            mode.required("");
        }
        check_topologies(object.get("allowedTopologies"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        self.check(object);
        if !same(object.value().get("parameters"), old.get("parameters")) {
            object.get("parameters").invalid("field is immutable");
        }
        for member in ["provisioner", "reclaimPolicy", "volumeBindingMode"] {
            object.get(member).immutable(old.get(member));
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::STORAGE_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
        const WAS_DEFAULT: &str = "storageclass.beta.kubernetes.io/is-default-class";
        let annotated = |key: &str| object.at(&["metadata", "annotations", key]).str_or_empty() == "true";
        let name = object.at(&["metadata", "name"]).str_or_empty();
        let marked = annotated(IS_DEFAULT) || annotated(WAS_DEFAULT);
        vec![
            Value::from(if marked { format!("{name} (default)") } else { name.to_owned() }),
            table::text(object.get("provisioner")),
            table::text_or(object.get("reclaimPolicy"), "Delete"),
            table::text_or(object.get("volumeBindingMode"), "Immediate"),
            Value::from(object.get("allowVolumeExpansion").is_true()),
            table::age(object, now_secs),
        ]
    }
}

/// What is wrong with the name of who makes volumes.
pub(super) fn check_provisioner(provisioner: Place<'_>) {
    if provisioner.text().is_empty() {
        provisioner.required("");
    } else {
        provisioner.faults(names::qualified_name(&provisioner.text().to_lowercase()));
    }
}

/// What is wrong with the parameters of a class.
pub(super) fn check_parameters(parameters: Place<'_>) {
    if parameters.len() > PARAMETERS_MAX {
        parameters.report(machinery::field::Error::too_long(&parameters.path(), PARAMETERS_MAX));
        return;
    }
    let mut size = 0;
    for (key, value) in parameters.entries() {
        if key.is_empty() {
            parameters.invalid_as(key, "field can not be empty.");
        }
        size += key.len() + value.text().len();
    }
    if size > PARAMETERS_SIZE_MAX {
        parameters.too_long(PARAMETERS_SIZE_MAX);
    }
}

/// What a topology must be: a value of each key.
type Term = BTreeMap<String, BTreeSet<String>>;

fn check_topologies(topologies: Place<'_>) {
    // Upstream compares each with as many terms of nothing as there are terms, before those that it has seen.
    let mut seen: Vec<Term> = vec![Term::new(); topologies.len()];
    for term in topologies.items() {
        let expressions = term.get("matchLabelExpressions");
        let mut keys = BTreeSet::new();
        let mut own = Term::new();
        for expression in expressions.items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            let wanted = values.value().items().iter().map(|value| value.str_or_empty().to_owned());
            own.insert(key.text().to_owned(), wanted.collect());
            if values.is_empty() {
                values.required("");
            } else {
                let mut known = BTreeSet::new();
                for value in values.items() {
                    if !known.insert(value.key()) {
                        value.duplicate();
                    }
                }
            }
            crate::metadata::check_label_name(key, key.text());
            if !keys.insert(key.key()) {
                key.duplicate();
            }
        }
        for _ in seen.iter().filter(|known| **known == own) {
            expressions.duplicate_as("");
        }
        seen.push(own);
    }
}

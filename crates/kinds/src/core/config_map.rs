//! ConfigMap.

use machinery::{Value, names};

use crate::place::{Place, same};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// A ConfigMap or a Secret may not hold more than this.
pub(crate) const DATA_MAX: usize = 1024 * 1024;
/// What an immutable ConfigMap or Secret says of a change.
pub(crate) const FROZEN: &str = "field is immutable when `immutable` is set";

/// The kind.
pub struct ConfigMap;

impl Kind for ConfigMap {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain)
    }

    fn check(&self, object: Place<'_>) {
        let (data, binary) = (object.get("data"), object.get("binaryData"));
        let mut size = 0;
        for (key, value) in data.entries() {
            for fault in names::config_map_key(key) {
                value.invalid_as(key, fault);
            }
            if !binary.value().get(key).is_null() {
                value.invalid_as(key, "duplicate of key present in binaryData");
            }
            size += value.text().len();
        }
        for (key, value) in binary.entries() {
            for fault in names::config_map_key(key) {
                value.invalid_as(key, fault);
            }
            size += decoded_len(value.text());
        }
        if size > DATA_MAX {
            object.with(&Value::Null).at("").too_long(DATA_MAX);
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        if old.get("immutable").is_true() {
            check_frozen(object, old, &["data", "binaryData"]);
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::CONFIG_MAP
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let count = |member: &str| object.get(member).members().count();
        let count = count("data") + count("binaryData");
        vec![
            table::name(object),
            Value::from(i64::try_from(count).unwrap_or(i64::MAX)),
            table::age(object, now_secs),
        ]
    }
}

/// What is frozen must not change, and stays frozen.
pub(crate) fn check_frozen(object: Place<'_>, old: &Value, members: &[&str]) {
    if !object.get("immutable").is_true() {
        object.get("immutable").forbidden(FROZEN);
    }
    for member in members {
        if !same(object.value().get(member), old.get(member)) {
            object.get(member).forbidden(FROZEN);
        }
    }
}

/// How many bytes a base64 text stands for.
pub(crate) fn decoded_len(text: &str) -> usize {
    let digits = text.bytes().filter(|byte| !matches!(byte, b'=' | b'\n' | b'\r')).count();
    digits * 3 / 4
}

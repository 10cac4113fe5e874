//! Lists of bounded length: what is too long is told and not looked into.

use std::collections::BTreeSet;

use machinery::Value;

use crate::place::Place;

/// Checks each item, if there are not too many.
pub(super) fn each(list: Place<'_>, max: usize, check: impl Fn(Place<'_>)) -> bool {
    if list.len() > max {
        list.too_many(list.len(), max);
        return false;
    }
    list.items().for_each(check);
    true
}

/// Checks each item of a list whose items have keys of their own, if there are not too many; then tells of the keys that
/// come again.
pub(super) fn each_once(
    list: Place<'_>,
    max: usize,
    check: impl Fn(Place<'_>),
    key: impl Fn(&Value) -> &str,
) {
    if each(list, max, check) {
        once(list, key);
    }
}

/// Tells of the keys that come again.
pub(super) fn once(list: Place<'_>, key: impl Fn(&Value) -> &str) {
    let mut seen = BTreeSet::new();
    for item in list.items() {
        let key = key(item.value());
        if !seen.insert(key.to_owned()) {
            item.duplicate_as(key);
        }
    }
}

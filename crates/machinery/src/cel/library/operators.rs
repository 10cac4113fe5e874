//! Operators, and what macros become. `&&`, `||`, `?:` and whatever selects are evaluated elsewhere: only their
//! signatures are here.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::failure::{Failure, Outcome};
use super::super::value::{Entries, Key, List, Map, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("conditional", "_?_:_(bool, A, A) A", elsewhere),
    ("logical_and", "_&&_(bool, bool) bool", elsewhere),
    ("logical_or", "_||_(bool, bool) bool", elsewhere),
    ("logical_not", "!_(bool) bool", not),
    ("not_strictly_false", "@not_strictly_false(bool) bool", elsewhere),
    ("equals", "_==_(A, A) bool", equals),
    ("not_equals", "_!=_(A, A) bool", differs),
    ("index_list", "_[_](list(A), int) A", elsewhere),
    ("index_map", "_[_](map(A, B), A) B", elsewhere),
    ("optional_list_index_int", "_[_](optional(list(A)), int) optional(A)", elsewhere),
    ("optional_map_index_value", "_[_](optional(map(A, B)), A) optional(B)", elsewhere),
    ("list_optindex_optional_int", "_[?_](list(A), int) optional(A)", elsewhere),
    ("optional_list_optindex_optional_int", "_[?_](optional(list(A)), int) optional(A)", elsewhere),
    ("map_optindex_optional_value", "_[?_](map(A, B), A) optional(B)", elsewhere),
    ("optional_map_optindex_optional_value", "_[?_](optional(map(A, B)), A) optional(B)", elsewhere),
    ("select_optional_field", "_?._(dyn, string) optional(B)", elsewhere),
    ("in_list", "@in(A, list(A)) bool", in_list),
    ("in_map", "@in(A, map(A, B)) bool", in_map),
    ("less_bool", "_<_(bool, bool) bool", less),
    ("less_int64", "_<_(int, int) bool", less),
    ("less_int64_double", "_<_(int, double) bool", less),
    ("less_int64_uint64", "_<_(int, uint) bool", less),
    ("less_uint64", "_<_(uint, uint) bool", less),
    ("less_uint64_double", "_<_(uint, double) bool", less),
    ("less_uint64_int64", "_<_(uint, int) bool", less),
    ("less_double", "_<_(double, double) bool", less),
    ("less_double_int64", "_<_(double, int) bool", less),
    ("less_double_uint64", "_<_(double, uint) bool", less),
    ("less_string", "_<_(string, string) bool", less),
    ("less_bytes", "_<_(bytes, bytes) bool", less),
    ("less_timestamp", "_<_(timestamp, timestamp) bool", less),
    ("less_duration", "_<_(duration, duration) bool", less),
    ("less_equals_bool", "_<=_(bool, bool) bool", at_most),
    ("less_equals_int64", "_<=_(int, int) bool", at_most),
    ("less_equals_int64_double", "_<=_(int, double) bool", at_most),
    ("less_equals_int64_uint64", "_<=_(int, uint) bool", at_most),
    ("less_equals_uint64", "_<=_(uint, uint) bool", at_most),
    ("less_equals_uint64_double", "_<=_(uint, double) bool", at_most),
    ("less_equals_uint64_int64", "_<=_(uint, int) bool", at_most),
    ("less_equals_double", "_<=_(double, double) bool", at_most),
    ("less_equals_double_int64", "_<=_(double, int) bool", at_most),
    ("less_equals_double_uint64", "_<=_(double, uint) bool", at_most),
    ("less_equals_string", "_<=_(string, string) bool", at_most),
    ("less_equals_bytes", "_<=_(bytes, bytes) bool", at_most),
    ("less_equals_timestamp", "_<=_(timestamp, timestamp) bool", at_most),
    ("less_equals_duration", "_<=_(duration, duration) bool", at_most),
    ("greater_bool", "_>_(bool, bool) bool", greater),
    ("greater_int64", "_>_(int, int) bool", greater),
    ("greater_int64_double", "_>_(int, double) bool", greater),
    ("greater_int64_uint64", "_>_(int, uint) bool", greater),
    ("greater_uint64", "_>_(uint, uint) bool", greater),
    ("greater_uint64_double", "_>_(uint, double) bool", greater),
    ("greater_uint64_int64", "_>_(uint, int) bool", greater),
    ("greater_double", "_>_(double, double) bool", greater),
    ("greater_double_int64", "_>_(double, int) bool", greater),
    ("greater_double_uint64", "_>_(double, uint) bool", greater),
    ("greater_string", "_>_(string, string) bool", greater),
    ("greater_bytes", "_>_(bytes, bytes) bool", greater),
    ("greater_timestamp", "_>_(timestamp, timestamp) bool", greater),
    ("greater_duration", "_>_(duration, duration) bool", greater),
    ("greater_equals_bool", "_>=_(bool, bool) bool", at_least),
    ("greater_equals_int64", "_>=_(int, int) bool", at_least),
    ("greater_equals_int64_double", "_>=_(int, double) bool", at_least),
    ("greater_equals_int64_uint64", "_>=_(int, uint) bool", at_least),
    ("greater_equals_uint64", "_>=_(uint, uint) bool", at_least),
    ("greater_equals_uint64_double", "_>=_(uint, double) bool", at_least),
    ("greater_equals_uint64_int64", "_>=_(uint, int) bool", at_least),
    ("greater_equals_double", "_>=_(double, double) bool", at_least),
    ("greater_equals_double_int64", "_>=_(double, int) bool", at_least),
    ("greater_equals_double_uint64", "_>=_(double, uint) bool", at_least),
    ("greater_equals_string", "_>=_(string, string) bool", at_least),
    ("greater_equals_bytes", "_>=_(bytes, bytes) bool", at_least),
    ("greater_equals_timestamp", "_>=_(timestamp, timestamp) bool", at_least),
    ("greater_equals_duration", "_>=_(duration, duration) bool", at_least),
    ("map_insert_entry", "cel.@mapInsert(map(K, V), K, V) map(K, V)", insert),
    ("map_insert_map", "cel.@mapInsert(map(K, V), map(K, V)) map(K, V)", insert_all),
];

/// These are not called: which of their arguments are evaluated depends on the others.
fn elsewhere<'a>(_: &[Val<'a>]) -> Outcome<'a> {
    misfit()
}

fn not<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::Bool(value)] => Ok(Val::Bool(!value)),
        _ => misfit(),
    }
}

fn equals<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [a, b] => Ok(Val::Bool(a.same(b)?)),
        _ => misfit(),
    }
}

fn differs<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [a, b] => Ok(Val::Bool(!a.same(b)?)),
        _ => misfit(),
    }
}

fn ordered<'a>(arguments: &[Val<'a>], holds: impl Fn(Ordering) -> bool) -> Outcome<'a> {
    match arguments {
        [Val::Double(a), _] | [_, Val::Double(a)] if a.is_nan() => {
            Err(Failure::new("NaN values cannot be ordered"))
        }
        [a, b] => match a.order(b) {
            Some(order) => Ok(Val::Bool(holds(order))),
            None => misfit(),
        },
        _ => misfit(),
    }
}

fn less<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ordered(arguments, Ordering::is_lt)
}

fn at_most<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ordered(arguments, Ordering::is_le)
}

fn greater<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ordered(arguments, Ordering::is_gt)
}

fn at_least<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    ordered(arguments, Ordering::is_ge)
}

fn in_list<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [wanted, Val::List(list)] = arguments else { return misfit() };
    for item in list.items() {
        if item?.same(wanted)? {
            return Ok(Val::Bool(true));
        }
    }
    Ok(Val::Bool(false))
}

fn in_map<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [wanted, Val::Map(map)] = arguments else { return misfit() };
    match Key::of(wanted) {
        Some(key) => Ok(Val::Bool(map.get(&key)?.is_some())),
        None => Ok(Val::Bool(false)),
    }
}

fn insert<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Map(map), key, value] = arguments else { return misfit() };
    let mut entries = entries_of(map)?;
    add(Arc::make_mut(&mut entries), key, value.clone())?;
    Ok(Val::Map(Map::Entries(entries)))
}

fn insert_all<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Map(map), Val::Map(more)] = arguments else { return misfit() };
    let mut entries = entries_of(map)?;
    for key in more.keys() {
        if let Some(value) = more.get(&key)? {
            add(Arc::make_mut(&mut entries), &key.to_val(), value)?;
        }
    }
    Ok(Val::Map(Map::Entries(entries)))
}

fn entries_of<'a>(map: &Map<'a>) -> Result<Arc<Entries<'a>>, Failure> {
    if let Map::Entries(entries) = map {
        return Ok(entries.clone());
    }
    let mut entries = Entries::new();
    for key in map.keys() {
        if let Some(value) = map.get(&key)? {
            entries.insert(key, value);
        }
    }
    Ok(Arc::new(entries))
}

fn add<'a>(entries: &mut Entries<'a>, key: &Val<'a>, value: Val<'a>) -> Result<(), Failure> {
    let Some(key) = Key::of(key) else { return Err(Failure::new("unsupported key type")) };
    if entries.contains_key(&key) {
        let shown = super::substitute::show(&key.to_val());
        return Err(Failure::new(format!("insert failed: key {shown} already exists")));
    }
    entries.insert(key, value);
    Ok(())
}

/// Two lists, one behind the other. The first is not copied if nobody else holds it.
pub(in super::super) fn joined<'a>(first: List<'a>, second: &List<'a>) -> Outcome<'a> {
    first.join(second)
}

//! Lists.

use std::cmp::Ordering;

use super::super::failure::{Failure, Outcome};
use super::super::value::{List, Val};
use super::{Row, misfit, numbers};

pub(super) const ROWS: &[Row] = &[
    ("list_int_is_sorted_bool", "(list(int)).isSorted() bool", is_sorted),
    ("list_uint_is_sorted_bool", "(list(uint)).isSorted() bool", is_sorted),
    ("list_double_is_sorted_bool", "(list(double)).isSorted() bool", is_sorted),
    ("list_bool_is_sorted_bool", "(list(bool)).isSorted() bool", is_sorted),
    ("list_duration_is_sorted_bool", "(list(duration)).isSorted() bool", is_sorted),
    ("list_timestamp_is_sorted_bool", "(list(timestamp)).isSorted() bool", is_sorted),
    ("list_string_is_sorted_bool", "(list(string)).isSorted() bool", is_sorted),
    ("list_bytes_is_sorted_bool", "(list(bytes)).isSorted() bool", is_sorted),
    ("list_int_sum_int", "(list(int)).sum() int", |arguments| sum(arguments, Val::Int(0))),
    ("list_uint_sum_uint", "(list(uint)).sum() uint", |arguments| sum(arguments, Val::Uint(0))),
    ("list_double_sum_double", "(list(double)).sum() double", |arguments| sum(arguments, Val::Double(0.0))),
    ("list_duration_sum_duration", "(list(duration)).sum() duration", |arguments| {
        sum(arguments, Val::Duration(0))
    }),
    ("list_int_max_int", "(list(int)).max() int", max),
    ("list_uint_max_uint", "(list(uint)).max() uint", max),
    ("list_double_max_double", "(list(double)).max() double", max),
    ("list_bool_max_bool", "(list(bool)).max() bool", max),
    ("list_duration_max_duration", "(list(duration)).max() duration", max),
    ("list_timestamp_max_timestamp", "(list(timestamp)).max() timestamp", max),
    ("list_string_max_string", "(list(string)).max() string", max),
    ("list_bytes_max_bytes", "(list(bytes)).max() bytes", max),
    ("list_int_min_int", "(list(int)).min() int", min),
    ("list_uint_min_uint", "(list(uint)).min() uint", min),
    ("list_double_min_double", "(list(double)).min() double", min),
    ("list_bool_min_bool", "(list(bool)).min() bool", min),
    ("list_duration_min_duration", "(list(duration)).min() duration", min),
    ("list_timestamp_min_timestamp", "(list(timestamp)).min() timestamp", min),
    ("list_string_min_string", "(list(string)).min() string", min),
    ("list_bytes_min_bytes", "(list(bytes)).min() bytes", min),
    ("list_a_index_of_int", "(list(A)).indexOf(A) int", index_of),
    ("list_a_last_index_of_int", "(list(A)).lastIndexOf(A) int", last_index_of),
];

fn items<'a>(list: &List<'a>) -> Result<Vec<Val<'a>>, Failure> {
    list.items().collect()
}

fn order<'a>(a: &Val<'a>, b: &Val<'a>) -> Result<Ordering, Failure> {
    a.order(b).ok_or_else(Failure::no_such_overload)
}

fn is_sorted<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    for pair in items(list)?.windows(2) {
        if order(&pair[0], &pair[1])?.is_gt() {
            return Ok(Val::Bool(false));
        }
    }
    Ok(Val::Bool(true))
}

/// An empty list does not say of what it is; then the sum is that of the first kind that fits, which is 0.
fn sum<'a>(arguments: &[Val<'a>], zero: Val<'a>) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    let mut total: Option<Val<'a>> = None;
    for item in list.items() {
        let item = item?;
        total = Some(match total {
            Some(total) => numbers::add(&[total, item])?,
            None => item,
        });
    }
    Ok(total.unwrap_or(zero))
}

fn best<'a>(arguments: &[Val<'a>], name: &str, wanted: Ordering) -> Outcome<'a> {
    let [Val::List(list)] = arguments else { return misfit() };
    let mut best: Option<Val<'a>> = None;
    for item in list.items() {
        let item = item?;
        let is_better = match &best {
            Some(best) => order(&item, best)? == wanted,
            None => true,
        };
        if is_better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| Failure::new(format!("{name} called on empty list")))
}

fn max<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    best(arguments, "max", Ordering::Greater)
}

fn min<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    best(arguments, "min", Ordering::Less)
}

fn position<'a>(positions: impl Iterator<Item = usize>, list: &List<'a>, wanted: &Val<'a>) -> Outcome<'a> {
    for position in positions {
        if list.item(position)?.same(wanted)? {
            return Ok(Val::Int(position as i64));
        }
    }
    Ok(Val::Int(-1))
}

fn index_of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list), wanted] = arguments else { return misfit() };
    position(0..list.len(), list, wanted)
}

fn last_index_of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list), wanted] = arguments else { return misfit() };
    position((0..list.len()).rev(), list, wanted)
}

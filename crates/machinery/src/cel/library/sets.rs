//! Lists taken as sets.

use super::super::failure::{Failure, Outcome};
use super::super::value::{List, Val};
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("list_sets_contains_list", "sets.contains(list(T), list(T)) bool", contains),
    ("list_sets_equivalent_list", "sets.equivalent(list(T), list(T)) bool", equivalent),
    ("list_sets_intersects_list", "sets.intersects(list(T), list(T)) bool", intersects),
];

fn has<'a>(list: &List<'a>, wanted: &Val<'a>) -> Result<bool, Failure> {
    for item in list.items() {
        if item?.same(wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_all<'a>(list: &List<'a>, others: &List<'a>) -> Result<bool, Failure> {
    for other in others.items() {
        if !has(list, &other?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list), Val::List(others)] = arguments else { return misfit() };
    Ok(Val::Bool(has_all(list, others)?))
}

fn equivalent<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list), Val::List(others)] = arguments else { return misfit() };
    Ok(Val::Bool(has_all(list, others)? && has_all(others, list)?))
}

fn intersects<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::List(list), Val::List(others)] = arguments else { return misfit() };
    for other in others.items() {
        if has(list, &other?)? {
            return Ok(Val::Bool(true));
        }
    }
    Ok(Val::Bool(false))
}

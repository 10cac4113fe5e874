//! Which sandboxes and containers a question is about: by the beginning of an id, and by filters.

use std::collections::BTreeMap;

use cri::v1;
use cri::{Container, Result, Runtime, RuntimeError, Sandbox};

/// The one of them whose id is `id`, or begins with it.
fn find<'a, T>(all: &'a [T], id: &str, id_of: impl Fn(&T) -> &str, what: &'static str) -> Result<&'a T> {
    let missing = || RuntimeError::NotFound { what, id: id.to_owned() };
    if let Some(found) = all.iter().find(|one| id_of(one) == id) {
        return Ok(found);
    }
    let mut beginning = all.iter().filter(|one| !id.is_empty() && id_of(one).starts_with(id));
    match (beginning.next(), beginning.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(RuntimeError::Invalid(format!("the id {id:?} of a {what} is ambiguous"))),
        (None, _) => Err(missing()),
    }
}

/// A sandbox.
pub(super) async fn sandbox(runtime: &dyn Runtime, id: &str) -> Result<Sandbox> {
    find(&runtime.list_sandboxes().await?, id, |one| &one.id, "sandbox").cloned()
}

/// A container.
pub(super) async fn container(runtime: &dyn Runtime, id: &str) -> Result<Container> {
    find(&runtime.list_containers().await?, id, |one| &one.id, "container").cloned()
}

fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// Whether a filter lets a sandbox through.
pub(super) fn takes_sandbox(filter: &v1::PodSandboxFilter, sandbox: &v1::PodSandbox) -> bool {
    sandbox.id.starts_with(&filter.id)
        && filter.state.as_ref().is_none_or(|state| state.state == sandbox.state)
        && has_all(&sandbox.labels, &filter.label_selector)
}

/// Whether a filter lets a container through.
pub(super) fn takes_container(filter: &v1::ContainerFilter, container: &v1::Container) -> bool {
    container.id.starts_with(&filter.id)
        && container.pod_sandbox_id.starts_with(&filter.pod_sandbox_id)
        && filter.state.as_ref().is_none_or(|state| state.state == container.state)
        && has_all(&container.labels, &filter.label_selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_cut_short_as_long_as_they_are_clear() {
        let all = ["abc", "abd", "x", "xy"];
        let found = |id: &str| find(&all, id, |one| one, "container").copied();
        assert_eq!(found("abc"), Ok("abc"));
        assert_eq!(found("x"), Ok("x"), "whole ids are never ambiguous");
        assert_eq!(found("abd"), Ok("abd"));
        assert!(matches!(found("ab"), Err(RuntimeError::Invalid(_))));
        for missing in ["", "q", "abcd"] {
            assert!(matches!(found(missing), Err(RuntimeError::NotFound { .. })), "{missing:?}");
        }
    }

    #[test]
    fn filters_take_what_has_all_that_they_name() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let container = v1::Container {
            id: "c1".to_owned(),
            pod_sandbox_id: "s1".to_owned(),
            state: 1,
            labels: labels(&[("a", "1"), ("b", "2")]),
            ..v1::Container::default()
        };
        let state = |state| Some(v1::ContainerStateValue { state });
        let all = v1::ContainerFilter::default();
        for (filter, taken) in [
            (all.clone(), true),
            (v1::ContainerFilter { id: "c".to_owned(), ..all.clone() }, true),
            (v1::ContainerFilter { id: "d".to_owned(), ..all.clone() }, false),
            (v1::ContainerFilter { pod_sandbox_id: "s1".to_owned(), ..all.clone() }, true),
            (v1::ContainerFilter { pod_sandbox_id: "s2".to_owned(), ..all.clone() }, false),
            (v1::ContainerFilter { state: state(1), ..all.clone() }, true),
            (v1::ContainerFilter { state: state(0), ..all.clone() }, false),
            (v1::ContainerFilter { label_selector: labels(&[("a", "1")]), ..all.clone() }, true),
            (v1::ContainerFilter { label_selector: labels(&[("a", "1"), ("c", "3")]), ..all }, false),
        ] {
            assert_eq!(takes_container(&filter, &container), taken, "{filter:?}");
        }
    }
}

//! Where a pod's group is: below our root, where it is ours to limit and to sweep, or where another kubelet has put it.
//!
//! A path that begins with a slash is another's, and counted from the top of each hierarchy; all others begin at the root.

/// The group of a pod whose kubelet names this one (none: by its uid, below the root). `None` if the name leads elsewhere
/// than it says.
pub(crate) fn of_pod(root: &str, named: &str, uid: &str) -> Option<String> {
    let below_root = named.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let (begin, path) = match below_root {
        Some(rest) => ("", rest),
        None if named.starts_with('/') => ("/", named),
        None => ("", named),
    };
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| matches!(*name, "." | "..")) {
        return None;
    }
    Some(match names.as_slice() {
        [] => format!("pod{uid}"),
        names => format!("{begin}{}", names.join("/")),
    })
}

/// Whether a group is ours: one that another put where it is has its limits and its end from there.
pub(crate) fn is_ours(path: &str) -> bool {
    !path.starts_with('/')
}

/// A group's path from the top of its hierarchy, without slashes around it.
pub(super) fn from_top(root: &str, path: &str) -> String {
    let full = if is_ours(path) { format!("{root}/{path}") } else { path.to_owned() };
    full.trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_where_their_kubelet_says() {
        for (named, wanted, top) in [
            ("", Some("podu1"), "ironclad-x/podu1"),
            ("/", Some("podu1"), "ironclad-x/podu1"),
            ("/ironclad-x", Some("podu1"), "ironclad-x/podu1"),
            ("/ironclad-x/", Some("podu1"), "ironclad-x/podu1"),
            ("/ironclad-x/kubepods/pod7", Some("kubepods/pod7"), "ironclad-x/kubepods/pod7"),
            ("kubepods/pod7/", Some("kubepods/pod7"), "ironclad-x/kubepods/pod7"),
            ("/kubepods//pod7/", Some("/kubepods/pod7"), "kubepods/pod7"),
            ("/ironclad-xy/pod7", Some("/ironclad-xy/pod7"), "ironclad-xy/pod7"),
            ("/kubepods/../pod7", None, ""),
            ("/ironclad-x/../pod7", None, ""),
            ("../pod7", None, ""),
            ("./pod7", None, ""),
        ] {
            let place = of_pod("/ironclad-x", named, "u1");
            assert_eq!(place.as_deref(), wanted, "{named}");
            if let Some(place) = place {
                assert_eq!(from_top("/ironclad-x", &place), top, "{named}");
                assert_eq!(is_ours(&place), top.starts_with("ironclad-x/"), "{named}");
            }
        }
        assert_eq!(from_top("/ironclad-x", ""), "ironclad-x");
    }
}

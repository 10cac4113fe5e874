//! Which kinds an entry of the configuration may name, alone and beside others.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

/// What is stored and is no object.
const WITHOUT_API: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

/// A kind's plural and group, either of which may be `*`.
fn parts(kind: &str) -> (&str, &str) {
    kind.split_once('.').unwrap_or((kind, ""))
}

/// What is wrong with the kinds of one entry.
pub(super) fn check(kinds: &[String], document: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let pairs =
        kinds.iter().enumerate().flat_map(|(at, one)| kinds[at + 1..].iter().map(move |other| (one, other)));
    let (mut duplicate, mut overlap) = (false, false);
    for (one, other) in pairs {
        duplicate |= parts(one) == parts(other);
        overlap |= parts(one) != parts(other) && overlaps(parts(one), parts(other));
    }
    if duplicate {
        errors.push(Error::invalid(path, document, "the same resource cannot be specified multiple times"));
    }
    if overlap {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as \
                   they will be masked";
        errors.push(Error::invalid(path, document, why));
    }
    for (at, kind) in kinds.iter().enumerate() {
        if let Some(why) = fault(kind) {
            errors.push(Error::invalid(&path.index(at), kind, why));
        }
    }
    errors
}

fn overlaps(one: (&str, &str), other: (&str, &str)) -> bool {
    let everything = ("*", "*");
    one == everything || other == everything || one.1 == other.1 && (one.0 == "*" || other.0 == "*")
}

fn fault(kind: &str) -> Option<&'static str> {
    let (plural, group) = parts(kind);
    if kind.to_lowercase() != kind {
        return Some("resource name should not contain capital letters");
    }
    if kind == "*" {
        return Some(
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
        );
    }
    if WITHOUT_API.contains(&kind) {
        return Some("resources which do not have REST API/s cannot be encrypted");
    }
    match group {
        "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the \
             config file",
        ),
        "extensions" => Some("'extensions' group has been removed and cannot be used for encryption"),
        "*" if plural != "*" => Some("encrypting the same resource across groups is not supported"),
        _ => None,
    }
}

/// The first kind that an entry before its own takes away from it.
pub(super) fn masked<'a>(entries: impl Iterator<Item = &'a [String]>) -> Option<String> {
    let mut before: Vec<&str> = Vec::new();
    for kinds in entries {
        for kind in kinds {
            let group = parts(kind).1;
            let wider = |other: &&&str| [("*", group), ("*", "*")].contains(&parts(other));
            if let Some(mask) = before.iter().find(wider) {
                return Some(format!("resource {kind:?} is masked by earlier rule {mask:?}"));
            }
        }
        before.extend(kinds.iter().map(String::as_str));
    }
    None
}

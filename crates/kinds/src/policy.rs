//! What is decided once for a kind: how its objects are named, where they live, how they may be written.

use machinery::{Value, names};

use crate::Door;
use crate::place::same;

/// What the name of an object must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// An RFC 1123 subdomain: most kinds.
    Subdomain,
    /// An RFC 1123 label.
    Label,
    /// A DNS-1035 label.
    Label1035,
    /// Anything that may stand as one segment of a path.
    PathSegment,
    /// An IP address in its canonical form.
    Address,
}

impl NameRule {
    /// What is wrong with a name, or with the beginning of a name that will be generated.
    pub fn faults(self, name: &str, is_prefix: bool) -> names::Faults {
        let masked: String;
        let name = match name.strip_suffix('-') {
            Some(stem) if is_prefix && !stem.is_empty() && self != NameRule::PathSegment => {
                // The dash is followed by what is generated; stand in for it.
                let kept = stem.char_indices().next_back().map_or(0, |(at, _)| at);
                masked = format!("{}a", &stem[..kept]);
                masked.as_str()
            }
            _ => name,
        };
        match self {
            NameRule::Subdomain => names::dns1123_subdomain(name),
            NameRule::Label => names::dns1123_label(name),
            NameRule::Label1035 => names::dns1035_label(name),
            NameRule::PathSegment if is_prefix => names::path_segment(name)
                .into_iter()
                .filter(|fault| fault.starts_with("may not contain"))
                .collect(),
            NameRule::PathSegment => names::path_segment(name),
            NameRule::Address => address_faults(name),
        }
    }
}

fn address_faults(name: &str) -> names::Faults {
    let faults = names::ip(name);
    if !faults.is_empty() {
        return faults;
    }
    match names::parse_ip_sloppy(name).map(|address| address.to_string()) {
        Some(canonical) if canonical != name => {
            vec![format!("must be in canonical form ({})", machinery::field::go_quote(&canonical))]
        }
        _ => Vec::new(),
    }
}

/// What is decided once for a kind.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What its names look like.
    pub name: NameRule,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether an update of what does not exist creates it.
    pub create_on_update: bool,
    /// Whether an update may do without a resource version.
    pub unconditional_update: bool,
    /// Whether its objects are given time to end.
    pub graceful_deletion: bool,
    /// Whether `metadata.generation` counts changes.
    pub generation: bool,
    /// Whether `status` has a door of its own.
    pub status: bool,
    /// Whether a write of the status leaves labels, annotations and the like alone.
    pub status_keeps_metadata: bool,
    /// Whether a finalizer without a domain must be one of the known ones.
    pub known_finalizers: bool,
    /// How often its own rules look at the metadata of an update, which was looked at before: clients see each fault as
    /// often as it is found.
    pub second_look: SecondLook,
}

/// What a kind's own rules do with the metadata of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondLook {
    /// Nothing.
    No,
    /// They compare it with what it was.
    Changes,
    /// That, and they check it as that of a new object.
    All,
}

impl Policy {
    /// A kind whose objects live in namespaces.
    pub const fn namespaced(name: NameRule) -> Policy {
        Policy {
            name,
            namespaced: true,
            create_on_update: false,
            unconditional_update: true,
            graceful_deletion: false,
            generation: false,
            status: false,
            status_keeps_metadata: false,
            known_finalizers: true,
            second_look: SecondLook::Changes,
        }
    }

    /// A kind whose objects belong to the cluster.
    pub const fn cluster(name: NameRule) -> Policy {
        Policy { namespaced: false, ..Policy::namespaced(name) }
    }

    /// An update of what does not exist creates it.
    pub const fn create_on_update(self) -> Policy {
        Policy { create_on_update: true, ..self }
    }

    /// An update must say which version it is based on.
    pub const fn conditional_update(self) -> Policy {
        Policy { unconditional_update: false, ..self }
    }

    /// Objects are given time to end.
    pub const fn graceful_deletion(self) -> Policy {
        Policy { graceful_deletion: true, ..self }
    }

    /// Changes of anything but metadata and status are counted.
    pub const fn generation(self) -> Policy {
        Policy { generation: true, ..self }
    }

    /// `status` has a door of its own.
    pub const fn status(self) -> Policy {
        Policy { status: true, ..self }
    }

    /// `status` has a door of its own, through which no metadata comes in.
    pub const fn bare_status(self) -> Policy {
        Policy { status: true, status_keeps_metadata: true, ..self }
    }

    /// What its own rules do with the metadata of an update.
    pub const fn second_look(self, second_look: SecondLook) -> Policy {
        Policy { second_look, ..self }
    }

    /// Any qualified name is a finalizer.
    pub const fn any_finalizer(self) -> Policy {
        Policy { known_finalizers: false, ..self }
    }
}

/// What happens to a new object of most kinds: no status yet, first generation.
pub fn prepare_create(policy: Policy, object: &mut Value) {
    if policy.status {
        object.remove("status");
    }
    if policy.generation {
        object.entry("metadata").set("generation", 1i64);
    }
}

/// What happens to an update of most kinds: each door keeps what belongs to the other, and generations are counted.
pub fn prepare_update(policy: Policy, object: &mut Value, old: &Value, door: Door<'_>) {
    if door.is_status() {
        keep_all_but(object, old, &["status"]);
        if policy.status_keeps_metadata {
            for member in ["labels", "annotations", "finalizers", "ownerReferences"] {
                keep(object.entry("metadata"), old.get("metadata"), member);
            }
        }
    } else if policy.status {
        keep(object, old, "status");
    }
    if policy.generation {
        count_generation(object, old, |object, old| {
            old.members().chain(object.members()).all(|(name, _)| {
                matches!(name.as_str(), "metadata" | "status") || same(object.get(name), old.get(name))
            })
        });
    }
}

/// Takes one member over from the old object.
pub fn keep(object: &mut Value, old: &Value, name: &str) {
    match old.get(name) {
        Value::Null => {
            object.remove(name);
        }
        value => object.set(name, value.clone()),
    }
}

/// Takes everything over from the old object but metadata and what is named.
pub fn keep_all_but(object: &mut Value, old: &Value, own: &[&str]) {
    let kept = |name: &str| !own.contains(&name) && !matches!(name, "metadata" | "kind" | "apiVersion");
    if let Some(map) = object.as_object_mut() {
        map.retain(|name, _| !kept(name) || !old.get(name).is_null());
    }
    for (name, value) in old.members().filter(|(name, _)| kept(name)) {
        object.set(name, value.clone());
    }
}

/// Sets the generation to the old one, or one more unless `unchanged` says that nothing counts.
pub fn count_generation(object: &mut Value, old: &Value, unchanged: impl FnOnce(&Value, &Value) -> bool) {
    let generation = old.at(&["metadata", "generation"]).as_int().unwrap_or(0);
    let counted = if unchanged(object, old) { generation } else { generation + 1 };
    let metadata = object.entry("metadata");
    if counted == 0 {
        metadata.remove("generation");
    } else {
        metadata.set("generation", counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_may_end_in_a_dash() {
        for (rule, name, is_prefix, right) in [
            (NameRule::Subdomain, "web-", true, true),
            (NameRule::Subdomain, "web-", false, false),
            (NameRule::Subdomain, "Bad_", true, false),
            (NameRule::Label, "a.b", false, false),
            (NameRule::Label1035, "1a", false, false),
            (NameRule::PathSegment, "A:b", false, true),
            (NameRule::PathSegment, "..", false, false),
            (NameRule::PathSegment, "..", true, true),
            (NameRule::PathSegment, "a%", true, false),
            (NameRule::Address, "1.2.3.4", false, true),
            (NameRule::Address, "2001:db8::0", false, false),
            (NameRule::Address, "x", false, false),
        ] {
            assert_eq!(rule.faults(name, is_prefix).is_empty(), right, "{rule:?} {name}");
        }
    }

    #[test]
    fn each_door_keeps_what_belongs_to_the_other() {
        let policy = Policy::namespaced(NameRule::Subdomain).generation().status();
        let object = |spec: i64, status: i64| {
            Value::from([
                ("metadata", Value::from([("generation", Value::from(3i64))])),
                ("spec", Value::from(spec)),
                ("status", Value::from(status)),
            ])
        };
        for (door, expected, generation) in [(Door::Main, (2, 1), 4), (Door::Sub("status"), (1, 2), 3)] {
            let mut new = object(2, 2);
            prepare_update(policy, &mut new, &object(1, 1), door);
            assert_eq!(
                (new.get("spec").as_int(), new.get("status").as_int()),
                (Some(expected.0), Some(expected.1))
            );
            assert_eq!(new.at(&["metadata", "generation"]).as_int(), Some(generation));
        }
    }
}

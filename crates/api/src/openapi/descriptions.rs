//! What kinds and their fields are said to be, as the build collected it (`build.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;

static TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/descriptions.txt"));

/// A type that documents its own `kind` and `apiVersion`, as every kind would in the same words.
const SELF_DESCRIBING: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Descriptions by type.
pub(super) struct Descriptions {
    types: BTreeMap<&'static str, Type>,
}

#[derive(Default)]
struct Type {
    about: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

impl Descriptions {
    /// Reads what the build collected. It stays where it is; only where things are is noted.
    pub(super) fn load() -> Descriptions {
        let mut types: BTreeMap<&'static str, Type> = BTreeMap::new();
        let mut current = "";
        for line in TEXT.lines() {
            let Some((name, about)) = line.trim_start().split_once(' ') else { continue };
            if line.starts_with(' ') {
                types.entry(current).or_default().fields.push((name, about));
            } else {
                current = name;
                types.entry(name).or_default().about = about;
            }
        }
        Descriptions { types }
    }

    /// What a type is.
    pub(super) fn of_type(&self, name: &str) -> Option<String> {
        told(self.types.get(name)?.about)
    }

    /// What a field of a type is.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Option<String> {
        match self.find(name, field) {
            None if matches!(field, "kind" | "apiVersion") => told(self.find(SELF_DESCRIBING, field)?),
            found => told(found?),
        }
    }

    fn find(&self, name: &str, field: &str) -> Option<&'static str> {
        let fields = &self.types.get(name)?.fields;
        fields.iter().find(|(known, _)| *known == field).map(|(_, about)| *about)
    }
}

fn told(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let text: Cow<'_, str> = if text.contains('\\') {
        let parts = text.split("\\\\").map(|part| part.replace("\\n", "\n"));
        Cow::Owned(parts.collect::<Vec<_>>().join("\\"))
    } else {
        Cow::Borrowed(text)
    };
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_fields_are_described() {
        let descriptions = Descriptions::load();
        let known = [
            ("io.k8s.api.apps.v1.Deployment", "", "Deployment enables"),
            ("io.k8s.api.apps.v1.Deployment", "spec", "Specification"),
            ("io.k8s.api.apps.v1.Deployment", "kind", "Kind is a string"),
            ("io.k8s.api.core.v1.ServiceSpec", "clusterIPs", "ClusterIPs is a list"),
            ("io.k8s.api.core.v1.Container", "volumeMounts", "Pod volumes"),
        ];
        for (name, field, beginning) in known {
            let about = match field {
                "" => descriptions.of_type(name),
                field => descriptions.of_field(name, field),
            };
            assert!(
                about.as_deref().is_some_and(|about| about.starts_with(beginning)),
                "{name} {field}: {about:?}"
            );
        }
        assert_eq!(descriptions.of_field("io.k8s.api.apps.v1.Deployment", "none"), None);
    }

    #[test]
    fn line_feeds_and_backslashes_come_back() {
        assert_eq!(told(r"a\nb\\nc").as_deref(), Some("a\nb\\nc"));
        assert_eq!(told(""), None);
    }
}

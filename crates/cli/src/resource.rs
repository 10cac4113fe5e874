//! From words such as `deploy/web` or `pods,svc` to what the server serves, and to paths.

use machinery::Value;

use crate::Failure;

/// A resource as the server serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version the server prefers.
    pub version: String,
    /// `pods`
    pub plural: String,
    /// `pod`
    pub singular: String,
    /// `Pod`
    pub kind: String,
    /// `po`
    pub short_names: Vec<String>,
    /// `all`
    pub categories: Vec<String>,
    /// `get`, `list`, …
    pub verbs: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Served {
    /// `/api/v1/namespaces/x/pods/web/log`; empty parts are left out.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str(&format!("/namespaces/{}", encode(namespace)));
        }
        path.push_str(&format!("/{}", self.plural));
        for part in [name, subresource] {
            if !part.is_empty() {
                path.push_str(&format!("/{}", encode(part)));
            }
        }
        path
    }

    /// `deployment.apps/web`, as results name objects.
    pub fn result_name(&self, name: &str) -> String {
        format!("{}/{name}", self.qualified())
    }

    /// `deployment.apps`, `pod`
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.singular.clone()
        } else {
            format!("{}.{}", self.singular, self.group)
        }
    }

    fn answers_to(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').unwrap_or((word, ""));
        let name = name.to_lowercase();
        let is_named = name == self.plural
            || name == self.singular
            || name == self.kind.to_lowercase()
            || self.short_names.contains(&name);
        let in_group = group.is_empty()
            || group == self.group
            || group == self.version
            || group == format!("{}.{}", self.version, self.group);
        is_named && in_group
    }
}

/// Percent-encodes what does not belong into a path or query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// All that the server serves, in its own order of preference.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    resources: Vec<Served>,
}

impl Discovery {
    /// From the aggregated documents of `/api` and `/apis`.
    pub fn from_documents(documents: &[Value]) -> Discovery {
        let mut resources = Vec::new();
        for group in documents.iter().flat_map(|document| document.get("items").items()) {
            let group_name = group.at(&["metadata", "name"]).str_or_empty();
            for version in group.get("versions").items() {
                for resource in version.get("resources").items() {
                    let served = served(group_name, version.get("version").str_or_empty(), resource);
                    let known = |other: &Served| other.group == served.group && other.plural == served.plural;
                    if !resources.iter().any(known) {
                        resources.push(served);
                    }
                }
            }
        }
        Discovery { resources }
    }

    /// What a word names; several resources if it is a category such as `all`.
    pub fn find(&self, word: &str) -> Result<Vec<&Served>, Failure> {
        if let Some(served) = self.resources.iter().find(|served| served.answers_to(word)) {
            return Ok(vec![served]);
        }
        let members: Vec<&Served> = self
            .resources
            .iter()
            .filter(|served| served.categories.iter().any(|name| name == word))
            .collect();
        if members.is_empty() {
            return Err(Failure::client(format!("the server doesn't have a resource type \"{word}\"")));
        }
        Ok(members)
    }

    /// The resource of a document.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Result<Served, Failure> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self.resources.iter().find(|served| served.group == group && served.kind == kind);
        let served = found.ok_or_else(|| {
            Failure::client(format!(
                "resource mapping not found: no matches for kind \"{kind}\" in version \"{api_version}\"\n\
                 ensure CRDs are installed first"
            ))
        })?;
        Ok(Served { version: version.to_owned(), ..served.clone() })
    }
}

fn served(group: &str, version: &str, resource: &Value) -> Served {
    let text = |name: &str| resource.get(name).str_or_empty().to_owned();
    let list = |name: &str| -> Vec<String> {
        resource.get(name).items().iter().map(|item| item.str_or_empty().to_owned()).collect()
    };
    let kind = resource.at(&["responseKind", "kind"]).str_or_empty().to_owned();
    let singular = text("singularResource");
    Served {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: text("resource"),
        singular: if singular.is_empty() { kind.to_lowercase() } else { singular },
        kind,
        short_names: list("shortNames"),
        categories: list("categories"),
        verbs: list("verbs"),
        namespaced: resource.get("scope").as_str() == Some("Namespaced"),
    }
}

/// An object, or all objects of a resource if it has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its resource.
    pub served: Served,
    /// Its name; empty for all.
    pub name: String,
}

/// Reads `pods`, `pods a b`, `pod/a svc/b`, `pods,svc`.
pub fn targets(discovery: &Discovery, words: &[String]) -> Result<Vec<Target>, Failure> {
    let target = |served: &Served, name: &str| Target { served: served.clone(), name: name.to_owned() };
    let Some((first, names)) = words.split_first() else {
        return Err(Failure::client(
            "You must specify the type of resource to get. Use \"kubectl get --help\" for how.",
        ));
    };
    let mut found = Vec::new();
    if first.contains('/') {
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                return Err(Failure::client(
                    "there is no need to specify a resource type as a separate argument when passing arguments in \
                     resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource \
                     resource/<resource_name>'",
                ));
            };
            found.extend(discovery.find(kind)?.into_iter().map(|served| target(served, name)));
        }
        return Ok(found);
    }
    for kind in first.split(',') {
        for served in discovery.find(kind)? {
            if names.is_empty() {
                found.push(target(served, ""));
            }
            found.extend(names.iter().map(|name| target(served, name)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery() -> Discovery {
        let served = |group: &str, plural: &str, singular: &str, short: &str, namespaced| Served {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            singular: singular.into(),
            kind: singular.to_uppercase(),
            short_names: vec![short.into()],
            categories: if namespaced { vec!["all".into()] } else { Vec::new() },
            verbs: Vec::new(),
            namespaced,
        };
        Discovery {
            resources: vec![
                served("", "pods", "pod", "po", true),
                served("apps", "deployments", "deployment", "deploy", true),
                served("", "nodes", "node", "no", false),
            ],
        }
    }

    fn names(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        targets(&discovery(), &words)
            .expect("known resources")
            .into_iter()
            .map(|target| target.served.result_name(&target.name))
            .collect()
    }

    #[test]
    fn words_name_objects() {
        assert_eq!(names(&["po", "a", "b"]), ["pod/a", "pod/b"]);
        assert_eq!(names(&["deploy/a", "pods/b"]), ["deployment.apps/a", "pod/b"]);
        assert_eq!(names(&["pods,deployments.apps"]), ["pod/", "deployment.apps/"]);
        assert_eq!(names(&["all"]), ["pod/", "deployment.apps/"]);
        assert!(targets(&discovery(), &["nothing".to_owned()]).is_err());
    }

    #[test]
    fn paths_are_the_servers() {
        let pods = discovery().find("pod").expect("known")[0].clone();
        assert_eq!(pods.path("x y", "web", "log"), "/api/v1/namespaces/x%20y/pods/web/log");
        assert_eq!(pods.path("", "", ""), "/api/v1/pods");
        let nodes = discovery().find("no").expect("known")[0].clone();
        assert_eq!(nodes.path("x", "n", ""), "/api/v1/nodes/n");
    }
}

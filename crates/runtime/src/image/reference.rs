//! Names of images: `busybox` means `docker.io/library/busybox:latest`.

use std::fmt;

/// The registry that is meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";

/// A whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// `host[:port]`
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a name as people write it. The error is the part of a message that says why.
    pub fn parse(text: &str) -> Result<Reference, String> {
        let bad = |why: &str| Err(format!("couldn't parse image name {text:?}: {why}"));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        if digest.as_deref().is_some_and(|digest| super::document::hex_of(digest).is_none()) {
            return bad("invalid digest");
        }
        // A colon before a slash belongs to a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (name, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first.to_owned(), rest.to_owned())
            }
            _ => (DEFAULT_REGISTRY.to_owned(), name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if repository.chars().any(char::is_uppercase) {
            return bad("repository name must be lowercase");
        }
        let good_component = |part: &str| {
            let inner = |letter: u8| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"._-".contains(&letter)
            };
            !part.is_empty()
                && part.bytes().all(inner)
                && !part.starts_with(['.', '_', '-'])
                && !part.ends_with(['.', '_', '-'])
        };
        if repository.len() > 255 || !repository.trim_start_matches("library/").split('/').all(good_component)
        {
            return bad("invalid reference format");
        }
        let good_tag = |tag: &String| {
            let inner = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
            !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(inner) && !tag.starts_with(['.', '-'])
        };
        let good_host =
            registry.bytes().all(|letter| letter.is_ascii_alphanumeric() || b".-:[]".contains(&letter));
        if !good_host || tag.as_ref().is_some_and(|tag| !good_tag(tag)) {
            return bad("invalid reference format");
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Reference { registry, repository, tag, digest })
    }

    /// `registry/repository`
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What a registry is asked for: the digest if there is one.
    pub fn target(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name())?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(out, "@{digest}"),
            (None, Some(tag)) => write!(out, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_whole() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let table = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.35", "docker.io/library/busybox:1.35"),
            ("bitnami/redis", "docker.io/bitnami/redis:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:z", "localhost:5000/x/y:z"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("registry.k8s.io/e2e-test-images/agnhost:2.56", "registry.k8s.io/e2e-test-images/agnhost:2.56"),
            ("ironclad.local/hello", "ironclad.local/hello:latest"),
            ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
        ];
        for (text, whole) in table {
            assert_eq!(Reference::parse(text).unwrap().to_string(), whole, "{text}");
            assert_eq!(Reference::parse(whole).unwrap().to_string(), whole, "{whole}");
        }
        let both = Reference::parse(&format!("busybox:1@{digest}")).unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/busybox@{digest}"));
        assert_eq!(both.target(), digest);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            ":",
            "UPPER",
            "a//b",
            "a/",
            "-a",
            "a:",
            "a:ta g",
            "a@sha256:12",
            "a b",
            "localhost:5000/",
            "a/../b",
            "evil.com/$(id)",
            "a:-x",
            "http://x/y",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?} was taken");
        }
    }
}

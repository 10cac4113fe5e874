//! Names of images, as far as the default of the pull policy depends on them.

/// How long a repository's name may be, its registry included.
const NAME_MAX: usize = 255;
/// How long a tag may be.
const TAG_MAX: usize = 128;
/// Digits that a digest has at least.
const DIGEST_MIN: usize = 32;
/// So many hexadecimal digits alone are an image's id, not a name.
const ID_DIGITS: usize = 64;

/// Whether an image has the tag `latest`, said or not. What is no image's name has no tag.
pub(super) fn is_latest(image: &str) -> bool {
    if image.len() == ID_DIGITS && image.bytes().all(is_lower_hex) {
        return false;
    }
    let (image, digest) = match image.split_once('@') {
        Some((image, digest)) => (image, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    };
    if !is_name(name)
        || tag.is_some_and(|tag| !is_tag(tag))
        || digest.is_some_and(|digest| !is_digest(digest))
    {
        return false;
    }
    tag.map_or(digest.is_none(), |tag| tag == "latest")
}

fn is_name(name: &str) -> bool {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, name),
    };
    // A name without a registry, and one without a folder, get those of the public registry.
    let added = match registry {
        None if path.contains('/') => "docker.io/".len(),
        None => "docker.io/library/".len(),
        Some(_) => 0,
    };
    name.len() + added <= NAME_MAX && registry.is_none_or(is_domain) && path.split('/').all(is_component)
}

/// Whether the first part of a name is where the image is, rather than a part of what it is called.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => {
            !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        }
        None => host.split('.').all(is_label),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_host && port.is_none_or(is_port)
}

/// Small letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    component.starts_with(is_plain)
        && component.ends_with(is_plain)
        && component.split(is_plain).filter(|between| !between.is_empty()).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, digits)) = digest.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_part)
        && digits.len() >= DIGEST_MIN
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::is_latest;

    #[test]
    fn only_what_is_a_name_has_the_tag_latest() {
        let digest = "a".repeat(64);
        for (image, expected) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.25", false),
            ("library/nginx", true),
            ("localhost/a", true),
            ("localhost:5000/a", true),
            ("localhost:5000/a:b", false),
            ("[fd00::1]:5000/a", true),
            ("Registry/a", true),
            ("a__b/c.d/e---f", true),
            (&format!("a@sha256:{digest}"), false),
            (&format!("a:latest@sha256:{digest}"), true),
            ("a:latest@sha256:short", false),
            (&digest, false),
            ("", false),
            ("Nginx", false),
            ("bad_Value!", false),
            ("a/Upper", false),
            ("-a", false),
            ("a..b", false),
            ("a:", false),
            (" a", false),
            ("ü", false),
            (&"a".repeat(237), true),
            (&"a".repeat(238), false),
        ] {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }
}

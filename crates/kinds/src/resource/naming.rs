//! Names of the world of devices: drivers, pools, attributes, shares.

use machinery::field::go_quote;
use machinery::names;

use crate::place::Place;
use crate::pod_spec::volumes::check_csi_driver_name;

/// How long the name of a driver, and with it the domain of an attribute, may be.
const DRIVER_MAX: usize = 63;
/// How long the name of a pool may be.
const POOL_MAX: usize = 253;
/// How long the name of an attribute may be without its domain.
const IDENTIFIER_MAX: usize = 32;
/// How much is shown of the key of an attribute or a capacity: no right one is longer.
pub(super) const ATTRIBUTE_MAX: usize = DRIVER_MAX + 1 + IDENTIFIER_MAX;
const UUID_LENGTH: usize = 36;

/// What is wrong with the name of a driver: the rules are those of drivers of storage.
pub(super) fn check_driver(driver: Place<'_>) {
    check_csi_driver_name(driver);
}

/// Domains of attributes are the names of drivers. Large letters are taken for small ones.
fn check_domain(place: Place<'_>, name: &str) {
    if name.len() > DRIVER_MAX {
        place.too_long(DRIVER_MAX);
    }
    for fault in names::dns1123_subdomain(&name.to_lowercase()) {
        place.invalid_as(name, fault);
    }
}

/// What is wrong with the name of a pool: one name or several with slashes between them.
pub(super) fn check_pool(pool: Place<'_>) {
    let name = pool.text();
    if name.is_empty() {
        return pool.required("");
    }
    if name.len() > POOL_MAX {
        pool.too_long(POOL_MAX);
    }
    for part in name.split('/') {
        for fault in names::dns1123_subdomain(part) {
            pool.invalid_as(part, fault);
        }
    }
}

/// What is wrong with a name that is one label.
pub(super) fn check_label(name: Place<'_>) {
    name.faults(names::dns1123_label(name.text()));
}

/// What is wrong with the name of an attribute or a capacity, which may have a domain. Names with more than one slash
/// are let through, as upstream lets them.
pub(super) fn check_qualified_name(place: Place<'_>, name: &str) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [identifier] => check_identifier(place, identifier),
        [domain, identifier] => {
            if domain.is_empty() {
                place.invalid_as("", "the domain must not be empty");
            } else {
                check_domain(place, domain);
            }
            if identifier.is_empty() {
                place.invalid_as("", "the name must not be empty");
            } else {
                check_identifier(place, identifier);
            }
        }
        _ => {}
    }
}

/// What is wrong with the name of an attribute that must have a domain.
pub(super) fn check_fully_qualified_name(name: Place<'_>) {
    check_qualified_name(name, name.text());
    if !name.text().contains('/') {
        name.invalid("a fully qualified name must be a domain and a name separated by a slash");
    }
}

fn check_identifier(place: Place<'_>, identifier: &str) {
    if identifier.len() > IDENTIFIER_MAX {
        place.too_long(IDENTIFIER_MAX);
    }
    for fault in names::c_identifier(identifier) {
        place.invalid_as(identifier, fault);
    }
}

/// What is wrong with the id of a share of a device.
pub(super) fn check_share(id: Place<'_>) {
    let text = id.text();
    if let Some(why) = no_uuid(text) {
        id.invalid(format!("error validating uid: {why}"));
    } else if text.len() != UUID_LENGTH || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        id.invalid(
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
             hexadecimal characters",
        );
    }
}

/// Why a text is no UUID in any of the notations that there are.
fn no_uuid(text: &str) -> Option<String> {
    const PREFIX: &str = "urn:uuid:";
    let plain = match text.len() {
        UUID_LENGTH => text.as_bytes(),
        32 => {
            let all = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            return (!all).then(|| "invalid UUID format".to_owned());
        }
        38 => {
            // Brackets are what stands there mostly, but whatever stands there is passed over.
            if !(text.starts_with('{') && text.ends_with('}')) {
                return Some("invalid bracketed UUID format".to_owned());
            }
            &text.as_bytes()[1..1 + UUID_LENGTH]
        }
        45 => {
            let (prefix, rest) = text.as_bytes().split_at(PREFIX.len());
            if !prefix.eq_ignore_ascii_case(PREFIX.as_bytes()) {
                return Some(format!("invalid urn prefix: {}", go_quote(&String::from_utf8_lossy(prefix))));
            }
            rest
        }
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let right = plain.iter().enumerate().all(|(position, byte)| match position {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (!right).then(|| "invalid UUID format".to_owned())
}

/// A key as it is shown in a path: the middle of one that is too long is left out.
pub(super) fn shown_key(key: &str, max: usize) -> String {
    let max = max.max(16);
    if key.len() <= max {
        return key.to_owned();
    }
    let remaining = max - "...".len();
    let (head, tail) = (remaining.div_ceil(2), key.len() - remaining / 2);
    let bytes = key.as_bytes();
    format!("{}...{}", String::from_utf8_lossy(&bytes[..head]), String::from_utf8_lossy(&bytes[tail..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_told_from_what_looks_like_them() {
        for (text, why) in [
            ("4c2b7d6e-2d0f-4b6e-8c1a-0123456789ab", None),
            ("4c2b7d6e2d0f4b6e8c1a0123456789ab", None),
            ("{4c2b7d6e-2d0f-4b6e-8c1a-0123456789ab}", None),
            ("urn:uuid:4c2b7d6e-2d0f-4b6e-8c1a-0123456789ab", None),
            ("", Some("invalid UUID length: 0")),
            ("u-1", Some("invalid UUID length: 3")),
            ("4c2b7d6e-2d0f-4b6e-8c1a-0123456789ag", Some("invalid UUID format")),
            ("4c2b7d6e-2d0f-4b6e-8c1a00123456789ab", Some("invalid UUID format")),
            ("4c2b7d6e2d0f4b6e8c1a0123456789ax", Some("invalid UUID format")),
            ("[4c2b7d6e-2d0f-4b6e-8c1a-0123456789ab]", Some("invalid bracketed UUID format")),
            ("urn:uuix:4c2b7d6e-2d0f-4b6e-8c1a-0123456789ab", Some("invalid urn prefix: \"urn:uuix:\"")),
        ] {
            assert_eq!(no_uuid(text).as_deref(), why, "{text}");
        }
    }

    #[test]
    fn long_keys_are_shown_without_their_middle() {
        assert_eq!(shown_key("short", 96), "short");
        assert_eq!(
            shown_key(&"0123456789".repeat(10), 63),
            format!("{}...{}", "0123456789".repeat(3), "0123456789".repeat(3))
        );
        assert_eq!(shown_key("0123456789abcdefg", 3), "0123456...bcdefg");
    }
}

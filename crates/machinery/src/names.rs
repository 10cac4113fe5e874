//! What names, labels, ports, addresses and the like must look like.
//!
//! Each check answers with what is wrong, in upstream's words, and with nothing if the text is right. Nothing is
//! allocated for a text that is right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with a text; empty if nothing is.
pub type Faults = Vec<String>;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE_FORMAT: &str =
    "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const LABEL_1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const WILDCARD_FORMAT: &str = "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_FORMAT: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const DOMAIN_PATH_FORMAT: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

/// The longest DNS label.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

fn fault(message: impl Into<String>) -> Faults {
    vec![message.into()]
}

/// `must be no more than … characters`
pub fn too_many_characters(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn too_many_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// `message (e.g. 'a',  or 'b', regex used for validation is 'format')`
pub fn with_format(message: &str, format: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{format}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

/// `must be between low and high, inclusive`
pub fn between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether `text` begins and ends with what `edge` accepts and holds only what `inner` accepts.
fn framed(text: &str, edge: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [only] => edge(*only),
        [first, middle @ .., last] => edge(*first) && edge(*last) && middle.iter().all(|byte| inner(*byte)),
    }
}

fn is_label(text: &str) -> bool {
    framed(text, lower_alphanumeric, |byte| lower_alphanumeric(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_underscore_label(text: &str) -> bool {
    framed(text.strip_prefix('_').unwrap_or(text), lower_alphanumeric, |byte| {
        lower_alphanumeric(byte) || byte == b'-' || byte == b'_'
    })
}

fn is_label_key_name(text: &str) -> bool {
    framed(
        text,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
    )
}

/// A lower-case RFC 1123 label.
pub fn dns1123_label(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > LABEL_MAX {
        faults.push(too_many_characters(LABEL_MAX));
    }
    if !is_label(text) {
        faults.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            with_format(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                 start and end with an alphanumeric character",
                LABEL_FORMAT,
                &["my-name", "123-abc"],
            )
        });
    }
    faults
}

fn subdomain(text: &str, too_long: fn(usize) -> String) -> Faults {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(text) {
        faults.push(with_format(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    faults
}

/// A lower-case RFC 1123 subdomain.
pub fn dns1123_subdomain(text: &str) -> Faults {
    subdomain(text, too_many_characters)
}

/// A lower-case RFC 1123 subdomain whose labels may hold underscores.
pub fn dns1123_subdomain_with_underscore(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN_MAX {
        faults.push(too_many_characters(SUBDOMAIN_MAX));
    }
    if !text.split('.').all(is_underscore_label) {
        faults.push(with_format(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character",
            SUBDOMAIN_UNDERSCORE_FORMAT,
            &["example.com"],
        ));
    }
    faults
}

/// A DNS-1035 label: an RFC 1123 label that begins with a letter.
pub fn dns1035_label(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > LABEL_MAX {
        faults.push(too_many_characters(LABEL_MAX));
    }
    if !is_label(text) || text.as_bytes()[0].is_ascii_digit() {
        faults.push(with_format(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            LABEL_1035_FORMAT,
            &["my-name", "abc-123"],
        ));
    }
    faults
}

/// `*.` and a subdomain.
pub fn wildcard_subdomain(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN_MAX {
        faults.push(too_many_characters(SUBDOMAIN_MAX));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        faults.push(with_format(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
             of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            WILDCARD_FORMAT,
            &["*.example.com"],
        ));
    }
    faults
}

const LABEL_KEY_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                              alphanumeric character";
const LABEL_KEY_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];

/// A qualified name: the key of a label, of an annotation, of an extended resource.
pub fn qualified_name(text: &str) -> Faults {
    let mut faults = Faults::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            let rule = with_format(
                &format!("a valid label key {LABEL_KEY_RULE}"),
                LABEL_KEY_FORMAT,
                LABEL_KEY_EXAMPLES,
            );
            return fault(
                rule + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            );
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                let of_prefix = subdomain(prefix, too_many_bytes);
                faults.extend(of_prefix.into_iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        faults.push(format!("name part {}", too_many_bytes(LABEL_MAX)));
    }
    if !is_label_key_name(name) {
        let rule = format!("name part {LABEL_KEY_RULE}");
        faults.push(with_format(&rule, LABEL_KEY_FORMAT, LABEL_KEY_EXAMPLES));
    }
    faults
}

/// The value of a label.
pub fn label_value(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > LABEL_MAX {
        faults.push(too_many_bytes(LABEL_MAX));
    }
    if !text.is_empty() && !is_label_key_name(text) {
        faults.push(with_format(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            LABEL_VALUE_FORMAT,
            &["MyValue", "my_value", "12345"],
        ));
    }
    faults
}

/// A name that stands as one segment of a path.
pub fn path_segment(text: &str) -> Faults {
    match text {
        "." | ".." => return fault(format!("may not be '{text}'")),
        _ => {}
    }
    ["/", "%"]
        .into_iter()
        .filter(|part| text.contains(part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// The name of an environment variable.
pub fn env_var_name(text: &str) -> Faults {
    if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=') {
        return fault(
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        );
    }
    Faults::new()
}

/// A key in the data of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN_MAX {
        faults.push(too_many_characters(SUBDOMAIN_MAX));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(allowed) {
        faults.push(with_format(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => faults.push("must not be '.'".to_owned()),
        ".." => faults.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults
}

/// The name of an HTTP header.
pub fn http_header_name(text: &str) -> Faults {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return fault(with_format(
            "a valid HTTP header must consist of alphanumeric characters or '-'",
            "[-A-Za-z0-9]+",
            &["X-Header-Name"],
        ));
    }
    Faults::new()
}

/// A port's number.
pub fn port_number(port: i64) -> Faults {
    if (1..=65535).contains(&port) { Faults::new() } else { fault(between(1, 65535)) }
}

/// The name of a port (an IANA service name).
pub fn port_name(text: &str) -> Faults {
    let mut faults = Faults::new();
    if text.len() > 15 {
        faults.push(too_many_characters(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| lower_alphanumeric(byte) || byte == b'-') {
        faults.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        faults.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        faults.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        faults.push("must not begin or end with a hyphen".to_owned());
    }
    faults
}

/// `12%`
pub fn percent(text: &str) -> Faults {
    let digits = text.strip_suffix('%').unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return fault(with_format(
            "a valid percent string must be a numeric string followed by an ending '%'",
            "[0-9]+%",
            &["1%", "93%"],
        ));
    }
    Faults::new()
}

/// An identifier of the language C.
pub fn c_identifier(text: &str) -> Faults {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !first || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return fault(with_format(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
             characters or '_'",
            "[A-Za-z_][A-Za-z0-9_]*",
            &["my_name", "MY_NAME", "MyName"],
        ));
    }
    Faults::new()
}

/// A domain and a path: `example.com/foo/bar`.
pub fn domain_prefixed_path(text: &str) -> Faults {
    if text.is_empty() {
        return fault("must not be empty");
    }
    let Some((domain, path)) =
        text.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty())
    else {
        return fault("must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    let mut faults = dns1123_subdomain(domain);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !path.bytes().all(allowed) {
        faults.push(with_format("Invalid path", DOMAIN_PATH_FORMAT, &[]));
    }
    faults
}

/// An address as Go reads it: leading zeros in IPv4 are let through.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 8 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = u8::try_from(part.parse::<u32>().ok()?).ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// A block of addresses as Go reads it: address and prefix length.
pub fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_ip_sloppy(address)?;
    if length.is_empty() || length.len() > 8 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length = u8::try_from(length.parse::<u32>().ok()?).ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((address, length))
}

/// What a text that is no address is told.
pub const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
/// What a text that is no block of addresses is told.
pub const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An address in the one way everybody reads alike.
pub fn ip(text: &str) -> Faults {
    match (parse_ip_sloppy(text), text.parse::<IpAddr>()) {
        (None, _) => fault(NOT_AN_IP),
        (_, Err(_)) => fault("must not have leading 0s"),
        (_, Ok(IpAddr::V6(address))) if address.to_ipv4_mapped().is_some() => {
            fault("must not be an IPv4-mapped IPv6 address")
        }
        _ => Faults::new(),
    }
}

/// An address as old fields take it.
pub fn legacy_ip(text: &str) -> Faults {
    if parse_ip_sloppy(text).is_none() { fault(NOT_AN_IP) } else { Faults::new() }
}

/// A block of addresses in the one way everybody reads alike.
pub fn cidr(text: &str) -> Faults {
    let Some((address, length)) = parse_cidr_sloppy(text) else { return fault(NOT_A_CIDR) };
    let (written, length_written) = text.split_once('/').unwrap_or_default();
    if written.parse::<IpAddr>().is_err() || (length_written.len() > 1 && length_written.starts_with('0')) {
        return fault("must not have leading 0s in IP or prefix length");
    }
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            fault("must not have an IPv4-mapped IPv6 address")
        }
        _ if beyond_prefix(address, length) => fault("must not have bits set beyond the prefix length"),
        _ => Faults::new(),
    }
}

/// A block of addresses as old fields take it.
pub fn legacy_cidr(text: &str) -> Faults {
    if parse_cidr_sloppy(text).is_none() { fault(NOT_A_CIDR) } else { Faults::new() }
}

fn beyond_prefix(address: IpAddr, length: u8) -> bool {
    match address {
        IpAddr::V4(address) => length < 32 && address.to_bits() << length != 0,
        IpAddr::V6(address) => length < 128 && address.to_bits() << length != 0,
    }
}

/// A domain name with at least two labels, which may end in a dot.
pub fn fully_qualified_domain_name(text: &str) -> Faults {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return fault("must not be empty");
    }
    let mut faults = dns1123_subdomain(name);
    if !faults.is_empty() {
        return faults;
    }
    if !name.contains('.') {
        faults.push("should be a domain with at least two segments separated by dots".to_owned());
        return faults;
    }
    name.split('.').flat_map(dns1123_label).collect()
}

/// A name that holds more than one dot-separated part.
pub fn fully_qualified_name(text: &str) -> Faults {
    if text.is_empty() {
        return Faults::new();
    }
    let faults = dns1123_subdomain(text);
    if faults.is_empty() && text.split('.').count() < 3 {
        return fault("should be a domain with at least three segments separated by dots");
    }
    faults
}

#[cfg(test)]
mod tests;

//! Formats by name, and what is wrong with a text that should have one.

use super::super::failure::Outcome;
use super::super::value::{Opaque, Val};
use super::url::Url;
use super::{Row, misfit};
use crate::names;
use crate::time::Timestamp;

pub(super) const ROWS: &[Row] = &[
    ("format-named", "format.named(string) optional(kubernetes.NamedFormat)", named),
    ("format-validate", "(kubernetes.NamedFormat).validate(string) optional(list(string))", validate),
    ("format.dns1123Label", "format.dns1123Label() kubernetes.NamedFormat", |_| get("dns1123Label")),
    ("format.dns1123Subdomain", "format.dns1123Subdomain() kubernetes.NamedFormat", |_| {
        get("dns1123Subdomain")
    }),
    ("format.dns1035Label", "format.dns1035Label() kubernetes.NamedFormat", |_| get("dns1035Label")),
    ("format.qualifiedName", "format.qualifiedName() kubernetes.NamedFormat", |_| get("qualifiedName")),
    ("format.dns1123LabelPrefix", "format.dns1123LabelPrefix() kubernetes.NamedFormat", |_| {
        get("dns1123LabelPrefix")
    }),
    ("format.dns1123SubdomainPrefix", "format.dns1123SubdomainPrefix() kubernetes.NamedFormat", |_| {
        get("dns1123SubdomainPrefix")
    }),
    ("format.dns1035LabelPrefix", "format.dns1035LabelPrefix() kubernetes.NamedFormat", |_| {
        get("dns1035LabelPrefix")
    }),
    ("format.labelValue", "format.labelValue() kubernetes.NamedFormat", |_| get("labelValue")),
    ("format.uri", "format.uri() kubernetes.NamedFormat", |_| get("uri")),
    ("format.uuid", "format.uuid() kubernetes.NamedFormat", |_| get("uuid")),
    ("format.byte", "format.byte() kubernetes.NamedFormat", |_| get("byte")),
    ("format.date", "format.date() kubernetes.NamedFormat", |_| get("date")),
    ("format.datetime", "format.datetime() kubernetes.NamedFormat", |_| get("datetime")),
];

/// A format.
#[derive(Debug)]
pub struct Format {
    name: &'static str,
    faults: fn(&str) -> Vec<String>,
}

static FORMATS: &[Format] = &[
    Format { name: "dns1123Label", faults: |text| strings(names::dns1123_label(text)) },
    Format { name: "dns1123Subdomain", faults: |text| strings(names::dns1123_subdomain(text)) },
    Format { name: "dns1035Label", faults: |text| strings(names::dns1035_label(text)) },
    Format { name: "qualifiedName", faults: |text| strings(names::qualified_name(text)) },
    Format { name: "dns1123LabelPrefix", faults: |text| strings(names::dns1123_label(&whole(text))) },
    Format { name: "dns1123SubdomainPrefix", faults: |text| strings(names::dns1123_subdomain(&whole(text))) },
    Format { name: "dns1035LabelPrefix", faults: |text| strings(names::dns1035_label(&whole(text))) },
    Format { name: "labelValue", faults: |text| strings(names::label_value(text)) },
    Format { name: "uri", faults: |text| Url::parse(text).err().into_iter().collect() },
    Format { name: "uuid", faults: |text| unless(is_uuid(text), "does not match the UUID format") },
    Format { name: "byte", faults: |text| unless(is_base64(text), "invalid base64") },
    Format { name: "date", faults: |text| unless(is_date(text), "invalid date") },
    Format { name: "datetime", faults: |text| unless(Timestamp::parse(text).is_some(), "invalid datetime") },
];

fn strings(faults: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    faults.into_iter().map(|fault| fault.to_string()).collect()
}

/// A prefix may end with a dash; what follows it makes it whole.
fn whole(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => prefix.to_owned(),
    }
}

fn unless(holds: bool, fault: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![fault.to_owned()] }
}

/// Sixteen bytes in hexadecimal digits; the dashes may be missing.
fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (position, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if position > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let is_hex = rest.as_bytes().get(..length).is_some_and(|part| part.iter().all(u8::is_ascii_hexdigit));
        if !is_hex {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty()
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_some()
}

fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn get<'a>(name: &str) -> Outcome<'a> {
    match find(name) {
        Some(format) => Ok(Val::Opaque(Opaque::Format(format))),
        None => misfit(),
    }
}

fn named<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(name)] = arguments else { return misfit() };
    Ok(match find(name) {
        Some(format) => Val::some(Val::Opaque(Opaque::Format(format))),
        None => Val::Optional(None),
    })
}

fn validate<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::Opaque(Opaque::Format(format)), Val::String(text)] = arguments else { return misfit() };
    let faults = (format.faults)(text);
    if faults.is_empty() {
        return Ok(Val::Optional(None));
    }
    Ok(Val::some(Val::list(faults.into_iter().map(Val::string).collect())))
}

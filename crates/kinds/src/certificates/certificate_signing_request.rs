//! CertificateSigningRequest.

use std::collections::BTreeSet;

use machinery::{Value, names};

use crate::place::{Place, same};
use crate::policy::{NameRule, Policy, SecondLook, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct CertificateSigningRequest;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// Conditions that are never taken back.
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];
const DURATION_MIN: i64 = 600;

impl Kind for CertificateSigningRequest {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment).status().second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        if let Some(status) = object.get_mut("status") {
            for condition in crate::pod_spec::defaults::members(status, "conditions") {
                crate::pod_spec::defaults::or_text(condition, "status", "True");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        match door {
            Door::Main => {
                keep(object, old, "spec");
                keep(object, old, "status");
            }
            Door::Sub("approval") => {
                let conditions = object.at(&["status", "conditions"]).clone();
                keep_all_but(object, old, &[]);
                let status = object.entry("status");
                if conditions.is_empty() {
                    status.remove("conditions");
                } else {
                    status.set("conditions", conditions);
                }
            }
            Door::Sub(_) => {
                keep_all_but(object, old, &["status"]);
                keep_lasting(object, old);
            }
        }
        stamp_conditions(object);
    }

    fn check(&self, object: Place<'_>) {
        check_request(object);
        check_conditions(object);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        check_request(object);
        check_conditions(object);
        let status = object.get("status");
        let conditions = status.get("conditions");
        for kind in LASTING {
            let has = |list: &Value| {
                list.items().iter().any(|condition| condition.get("type").str_or_empty() == kind)
            };
            let (was, is) = (has(old.at(&["status", "conditions"])), has(conditions.value()));
            if was && !is {
                conditions.forbidden(format!("updates may not remove a condition of type \"{kind}\""));
            }
            if !was && is && (door == Door::Main || (door.is_status() && kind != "Failed")) {
                conditions.forbidden(format!("updates may not add a condition of type \"{kind}\""));
            }
        }
        let certificate = status.get("certificate");
        let old_certificate = old.at(&["status", "certificate"]);
        if !same(certificate.value(), old_certificate) {
            if !door.is_status() {
                certificate.forbidden("updates may not set certificate content");
            } else {
                if let Some(problem) = certificate_problem(certificate.text()) {
                    certificate.invalid_as("<certificate data>", problem);
                }
                if !old_certificate.is_empty() {
                    certificate.forbidden("updates may not modify existing certificate content");
                }
            }
        }
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", object.at(&["spec", "signerName"]).str_or_empty().to_owned())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["spec.signerName"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::CERTIFICATE_SIGNING_REQUEST
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        let duration = spec.get("expirationSeconds").as_int();
        vec![
            table::name(object),
            table::age(object, now_secs),
            table::text_or(spec.get("signerName"), "<none>"),
            table::text(spec.get("username")),
            Value::from(duration.map_or("<none>".to_owned(), machinery::time::human_duration)),
            Value::from(shown_state(object.get("status"))),
        ]
    }
}

fn shown_state(status: &Value) -> String {
    let has = |kind: &str| {
        status.get("conditions").items().iter().any(|condition| condition.get("type").str_or_empty() == kind)
    };
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied".to_owned(),
        (_, true) => "Approved".to_owned(),
        _ => "Pending".to_owned(),
    };
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !status.get("certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}

/// A write of the status that does not speak of a lasting condition leaves it.
fn keep_lasting(object: &mut Value, old: &Value) {
    let written = object.at(&["status", "conditions"]).clone();
    let kept: Vec<Value> = old
        .at(&["status", "conditions"])
        .items()
        .iter()
        .filter(|condition| {
            let kind = condition.get("type").str_or_empty();
            matches!(kind, "Approved" | "Denied")
                && !written.items().iter().any(|new| new.get("type").str_or_empty() == kind)
        })
        .cloned()
        .collect();
    if !kept.is_empty() {
        let conditions = object.at_mut(&["status", "conditions"]).make_array();
        conditions.edit(|conditions| conditions.splice(0..0, kept).for_each(drop));
    }
}

/// Conditions without times get none here: the server stamps them, since rules know no time.
fn stamp_conditions(object: &mut Value) {
    if object.at(&["status", "conditions"]).items().is_empty()
        && let Some(status) = object.get_mut("status")
    {
        status.remove("conditions");
    }
}

fn check_request(object: Place<'_>) {
    let spec = object.get("spec");
    let request = spec.get("request");
    if let Some(problem) = request_problem(request.text()) {
        request.invalid_as(request.text(), problem);
    }
    let usages = spec.get("usages");
    if usages.is_empty() {
        usages.required("");
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        usage.one_of(USAGES);
        if !seen.insert(usage.key()) {
            usage.duplicate();
        }
    }
    let signer = spec.get("signerName");
    match signer.text() {
        "" => signer.required(""),
        "kubernetes.io/legacy-unknown" => {
            signer.invalid("the legacy signerName is not allowed via this API version");
        }
        _ => check_signer(signer),
    }
    let seconds = spec.get("expirationSeconds");
    if seconds.is_set() && seconds.int() < DURATION_MIN {
        seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
}

fn check_signer(signer: Place<'_>) {
    const SHAPE: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    let Some((domain, path)) = signer.text().split_once('/') else { return signer.invalid(SHAPE) };
    if path.contains('/') {
        return signer.invalid(SHAPE);
    }
    for label in domain.split('.') {
        for fault in names::dns1123_label(label) {
            signer.invalid_as(domain, format!("validating label \"{label}\": {fault}"));
        }
    }
    if !domain.contains('.') {
        signer.invalid_as(domain, "should be a domain with at least two segments separated by dots");
    }
    for part in path.split('.') {
        for fault in names::dns1123_subdomain(part) {
            signer.invalid_as(path, format!("validating label \"{part}\": {fault}"));
        }
    }
    if path.len() > 571 {
        signer.too_long(571);
    }
}

/// The text of base64 as bytes that are text themselves.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kinds of the PEM blocks in a text.
fn blocks(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")).collect()
}

fn request_problem(request: &str) -> Option<String> {
    let text = decoded(request);
    (blocks(&text).first() != Some(&"CERTIFICATE REQUEST"))
        .then(|| "PEM block type must be CERTIFICATE REQUEST".to_owned())
}

fn certificate_problem(certificate: &str) -> Option<String> {
    if certificate.is_empty() {
        return None;
    }
    let text = decoded(certificate);
    let kinds = blocks(&text);
    match kinds.iter().find(|kind| **kind != "CERTIFICATE") {
        Some(other) => Some(format!("only CERTIFICATE PEM blocks are allowed, found \"{other}\"")),
        None if kinds.is_empty() => Some("must contain at least one CERTIFICATE PEM block".to_owned()),
        None => None,
    }
}

fn check_conditions(object: Place<'_>) {
    let status = object.get("status");
    let conditions = status.get("conditions");
    let mut seen = BTreeSet::new();
    let mut decided: Option<&str> = None;
    for (position, condition) in conditions.items().enumerate() {
        let (kind, state) = (condition.get("type"), condition.get("status"));
        if kind.text().is_empty() {
            kind.required("");
        }
        match (kind.text(), state.text()) {
            (_, "") => state.required(""),
            ("Approved" | "Denied" | "Failed", "True") => {}
            ("Approved" | "Denied" | "Failed", _) => state.unsupported(&["True"]),
            _ => {
                state.one_of(&["False", "True", "Unknown"]);
            }
        }
        let text = conditions.value().items()[position].get("type").str_or_empty();
        if matches!(text, "Approved" | "Denied") {
            match decided {
                Some(other) if other != text => {
                    conditions.invalid_as(text, "Approved and Denied conditions are mutually exclusive")
                }
                _ => decided = Some(text),
            }
        }
        if !seen.insert(text) {
            kind.duplicate();
        }
    }
}

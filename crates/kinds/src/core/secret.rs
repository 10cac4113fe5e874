//! Secret.

use machinery::{Value, names};

use super::config_map::{DATA_MAX, check_frozen, decoded_len};
use crate::place::Place;
use crate::pod_spec::defaults::or_text;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Secret;

impl Kind for Secret {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain)
    }

    /// `stringData` is another way to write `data`, and is not kept.
    fn default(&self, object: &mut Value) {
        or_text(object, "type", "Opaque");
        let Some(Value::Object(written)) = object.remove("stringData") else { return };
        for (key, value) in written.iter() {
            object.entry("data").set(key, encode(value.str_or_empty().as_bytes()));
        }
        if let Some(map) = object.entry("data").as_object_mut() {
            map.sort_by_key(str::to_owned);
        }
    }

    fn check(&self, object: Place<'_>) {
        let data = object.get("data");
        let mut size = 0;
        for (key, value) in data.entries() {
            for fault in names::config_map_key(key) {
                value.invalid_as(key, fault);
            }
            size += decoded_len(value.text());
        }
        if size > DATA_MAX {
            data.too_long(DATA_MAX);
        }
        let need = |key: &str| {
            let place = data.at_key(key);
            if data.value().get(key).is_null() {
                place.required("");
            }
        };
        match object.get("type").text() {
            "kubernetes.io/service-account-token" => {
                let name = "kubernetes.io/service-account.name";
                let metadata = object.get("metadata");
                let annotations = metadata.get("annotations");
                if annotations.value().get(name).str_or_empty().is_empty() {
                    annotations.at_key(name).required("");
                }
            }
            "kubernetes.io/dockercfg" => check_json(data, ".dockercfg"),
            "kubernetes.io/dockerconfigjson" => check_json(data, ".dockerconfigjson"),
            "kubernetes.io/basic-auth" => {
                let given = |key: &str| !data.value().get(key).is_null();
                if !given("username") && !given("password") {
                    need("username");
                    need("password");
                }
            }
            "kubernetes.io/ssh-auth" if data.value().get("ssh-privatekey").str_or_empty().is_empty() => {
                data.at_key("ssh-privatekey").required("");
            }
            "kubernetes.io/tls" => {
                need("tls.crt");
                need("tls.key");
            }
            _ => {}
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _door: Door<'_>) {
        if object.get("type").str_or_empty().is_empty() {
            crate::policy::keep(object, old, "type");
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        object.get("type").immutable(old.get("type"));
        if old.get("immutable").is_true() {
            check_frozen(object, old, &["data"]);
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", object.get("type").str_or_empty().to_owned())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::SECRET
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let count = object.get("data").members().count();
        vec![
            table::name(object),
            table::text(object.get("type")),
            Value::from(i64::try_from(count).unwrap_or(i64::MAX)),
            table::age(object, now_secs),
        ]
    }
}

/// The value of a key must be there and hold JSON.
fn check_json(data: Place<'_>, key: &str) {
    let value = data.value().get(key);
    let place = data.at_key(key);
    let Some(text) = value.as_str() else { return place.required("") };
    if let Some(problem) = json_problem(&decode(text)) {
        place.invalid_as("<secret contents redacted>", problem);
    }
}

fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for position in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
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
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// What Go's decoder says of the first byte that cannot begin JSON; the documents are checked no further than that
/// they begin as an object and are balanced.
fn json_problem(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let trimmed = text.trim_start();
    let Some(first) = trimmed.chars().next() else { return Some("unexpected end of JSON input".to_owned()) };
    match first {
        '{' => balanced(trimmed),
        '[' => Some("json: cannot unmarshal array into Go value of type map[string]interface {}".to_owned()),
        '"' => Some("json: cannot unmarshal string into Go value of type map[string]interface {}".to_owned()),
        '0'..='9' | '-' => {
            Some("json: cannot unmarshal number into Go value of type map[string]interface {}".to_owned())
        }
        other => Some(format!("invalid character '{other}' looking for beginning of value")),
    }
}

fn balanced(text: &str) -> Option<String> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for letter in text.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (depth > 0 || quoted).then(|| "unexpected end of JSON input".to_owned())
}

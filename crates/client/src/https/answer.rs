//! Reading what servers answer: lists, watch events, failures. Objects are cut out as bytes, not decoded twice.

use bytes::Bytes;
use machinery::status::{Cause, Details};
use machinery::{Object, Reason, Status};
use serde::Deserialize;

use crate::{ListAnswer, Resource, WatchEvent};

pub(super) enum Frame {
    Event(WatchEvent),
    Failure(Status),
}

/// The failure in an answer with this code.
pub(super) fn failure(code: u16, body: &[u8]) -> Status {
    match serde_json::from_slice::<StatusForm>(body) {
        Ok(form) if form.kind == "Status" => form.into_status(code),
        _ => {
            let text = String::from_utf8_lossy(&body[..body.len().min(512)]);
            Status::new(code, Reason::Unknown, format!("the server answered {code}: {}", text.trim()))
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListForm {
    metadata: ListMeta,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    more: String,
}

/// A list; its items do not say what they are, so they are told.
pub(super) fn list(resource: Resource, body: &[u8]) -> Result<ListAnswer, Status> {
    let form: ListForm = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let revision = form.metadata.resource_version.parse().unwrap_or(0);
    let identity = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind, resource.api_version());
    let mut items = Vec::new();
    for item in elements(member(body, "items").unwrap_or(b"[]")) {
        let inner = item
            .strip_prefix(b"{")
            .ok_or_else(|| Status::internal("a list holds something else than objects"))?;
        let is_complete = member(item, "kind").is_some();
        let document = if is_complete { item.to_vec() } else { [identity.as_bytes(), inner].concat() };
        items.push(Object::from_json(&document)?);
    }
    Ok(ListAnswer { items, revision })
}

/// One event of a watch.
pub(super) fn frame(line: &Bytes) -> Result<Frame, Status> {
    let kind = member(line, "type").unwrap_or_default();
    let object = member(line, "object").ok_or_else(|| Status::internal("a watch event without an object"))?;
    let event = match kind {
        b"\"ADDED\"" => WatchEvent::Added(Object::from_json(object)?),
        b"\"MODIFIED\"" => WatchEvent::Modified(Object::from_json(object)?),
        b"\"DELETED\"" => WatchEvent::Deleted(Object::from_json(object)?),
        b"\"BOOKMARK\"" => {
            let form: ListForm = serde_json::from_slice(object).map_err(|error| unreadable(&error))?;
            WatchEvent::Bookmark(form.metadata.resource_version.parse().unwrap_or(0))
        }
        b"\"ERROR\"" => return Ok(Frame::Failure(failure(500, object))),
        other => {
            let other = String::from_utf8_lossy(other).into_owned();
            return Err(Status::internal(format!("a watch event of the unknown type {other}")));
        }
    };
    Ok(Frame::Event(event))
}

fn unreadable(error: &serde_json::Error) -> Status {
    Status::internal(format!("the server's answer cannot be read: {error}"))
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct StatusForm {
    kind: String,
    metadata: ListMeta,
    message: String,
    reason: String,
    details: Option<DetailsForm>,
    code: u16,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DetailsForm {
    name: String,
    group: String,
    kind: String,
    uid: String,
    causes: Vec<CauseForm>,
    retry_after_seconds: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CauseForm {
    reason: String,
    message: String,
    field: String,
}

impl StatusForm {
    fn into_status(self, code: u16) -> Status {
        let code = if self.code == 0 { code } else { self.code };
        let details = self.details.map(|details| {
            let causes = details.causes.into_iter();
            let causes = causes.map(|cause| Cause {
                reason: cause.reason,
                message: cause.message,
                field: cause.field,
            });
            Box::new(Details {
                name: details.name,
                group: details.group,
                kind: details.kind,
                uid: details.uid,
                causes: causes.collect(),
                retry_after_secs: details.retry_after_seconds,
            })
        });
        let reason = Reason::parse(&self.reason);
        Status { code, reason, message: self.message, details, continue_token: self.metadata.more }
    }
}

/// Where the JSON value that begins at `from` ends. Assumes well-formed text; stops at the end of any other.
fn value_end(text: &[u8], from: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (offset, byte) in text[from..].iter().enumerate() {
        let position = from + offset;
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            if !in_string && depth == 0 {
                return position + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return position,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return position + 1;
                }
            }
            b',' | b':' if depth == 0 => return position,
            _ => {}
        }
    }
    text.len()
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The bytes of a member of an object.
fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        let key_start = skip_space(object, at + 1);
        let key_end = value_end(object, key_start);
        let key = object.get(key_start..key_end)?;
        let colon = skip_space(object, key_end);
        if object.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(object, colon + 1);
        let end = value_end(object, start);
        let value = object.get(start..end)?;
        if key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(name.as_bytes()) {
            return Some(value.trim_ascii_end());
        }
        at = skip_space(object, end);
        if object.get(at) != Some(&b',') {
            return None;
        }
    }
}

/// The elements of an array.
fn elements(array: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    let mut at = skip_space(array, 0);
    if array.get(at) != Some(&b'[') {
        return elements;
    }
    loop {
        let start = skip_space(array, at + 1);
        let end = value_end(array, start);
        let element = array[start.min(end)..end].trim_ascii_end();
        if !element.is_empty() {
            elements.push(element);
        }
        at = skip_space(array, end);
        if array.get(at) != Some(&b',') {
            return elements;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_cut_out_whole() {
        let text = br#" {"a" : {"b":"}\"]"}, "c":[1 , {"d":[2]},"x,y"], "e":null , "f":-1.5}"#;
        let cases: [(&str, Option<&[u8]>); 5] = [
            ("a", Some(br#"{"b":"}\"]"}"#)),
            ("c", Some(br#"[1 , {"d":[2]},"x,y"]"#)),
            ("e", Some(b"null")),
            ("f", Some(b"-1.5")),
            ("b", None),
        ];
        for (name, expected) in cases {
            assert_eq!(member(text, name), expected, "{name}");
        }
        let list = member(text, "c").unwrap();
        assert_eq!(elements(list), [&b"1"[..], br#"{"d":[2]}"#, br#""x,y""#]);
        assert!(elements(b"[ ]").is_empty() && elements(b"").is_empty());
    }

    #[test]
    fn broken_text_is_no_panic() {
        for text in
            [&b"{"[..], b"{\"a\"", b"{\"a\":", b"[1,", b"[", b"{\"a\":[}", b"\"", b"}{", b"{,}", b"\\"]
        {
            member(text, "a");
            elements(text);
        }
    }

    #[test]
    fn failures_are_read_whatever_they_are() {
        let body = br#"{"kind":"Status","reason":"Conflict","message":"m","code":409,
            "details":{"name":"p","kind":"pods","retryAfterSeconds":2,"causes":[{"reason":"R","field":"f"}]}}"#;
        let status = failure(500, body);
        assert_eq!((status.code, status.reason, status.message.as_str()), (409, Reason::Conflict, "m"));
        let details = status.details.unwrap();
        assert_eq!((details.retry_after_secs, details.causes[0].reason.as_str()), (2, "R"));
        assert_eq!(failure(502, b"bad gateway").message, "the server answered 502: bad gateway");
    }
}

//! Bodies of requests, read: which encoding, which kind, what is wrong with them in upstream's words.

use machinery::json::{self, Report, TypeMeta};
use machinery::schema::Schema;
use machinery::{Reason, Status, Value, protobuf, yaml};

use crate::custom::{self, Custom};
use crate::http::accept::Media;
use crate::registry::{Registry, Served};

/// Where upstream registers built-in kinds; its error texts say so.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";
/// The group whose kinds upstream registers apart from all others, and where.
const APART: (&str, &str) = ("apiextensions.k8s.io", "pkg/apiserver/apiserver.go:55");
/// How much of a body an error shows.
const SUMMARY: usize = 30;

/// What to do about fields that no schema knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse the write.
    Strict,
}

/// A body that was read.
#[derive(Debug)]
pub struct Document {
    /// In canonical order.
    pub value: Value,
    /// Unknown and duplicate fields.
    pub findings: Vec<String>,
}

/// What a body should hold.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The API group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// What it looks like.
    pub schema: &'a Schema,
    /// What only custom resources have.
    pub custom: Option<&'a Custom>,
    /// Older names of the group and version under which the same documents are still taken.
    pub aliases: &'a [&'a str],
}

impl<'a> Expected<'a> {
    /// An object of a resource.
    pub fn object(served: &'a Served) -> Expected<'a> {
        Expected {
            group: &served.group,
            version: &served.version,
            kind: &served.kind,
            schema: &served.schema,
            custom: served.custom.as_ref(),
            aliases: &[],
        }
    }

    fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The encoding a `Content-Type` names; JSON if there is none.
pub fn media_of(content_type: Option<&str>) -> Result<Media, Status> {
    let name = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match name {
        "" | "application/json" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ => {
            Err(unsupported(&["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]))
        }
    }
}

/// 415 with what is supported.
pub fn unsupported(accepted: &[&str]) -> Status {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    Status::new(415, Reason::UnsupportedMediaType, message)
}

/// Reads the body of a create or an update.
pub fn read(
    registry: &Registry,
    body: &[u8],
    media: Media,
    expected: Expected<'_>,
    validation: Validation,
) -> Result<Document, Status> {
    let reader = Reader { registry, body, expected };
    let mut report = if validation == Validation::Ignore { Report::ignoring() } else { Report::new() };
    let value = match media {
        Media::Json => reader.json(body, &mut report)?,
        Media::Yaml => {
            let composed = yaml::compose(body).map_err(|error| reader.unrecognized(&error.to_string()))?;
            if let Some(duplicates) = duplicate_keys(&composed.duplicates) {
                report.push(duplicates);
            }
            let document = composed.documents.into_iter().next().unwrap_or_default();
            reader.json(&json::to_vec(&document), &mut report)?
        }
        Media::Protobuf => reader.protobuf()?,
    };
    let findings = report.strict_errors().to_vec();
    if validation == Validation::Strict && !findings.is_empty() {
        let why = format!("strict decoding error: {}", findings.join(", "));
        return Err(reader.cannot_be_handled(expected.kind, expected.version, &why));
    }
    Ok(Document { value, findings })
}

struct Reader<'a> {
    registry: &'a Registry,
    body: &'a [u8],
    expected: Expected<'a>,
}

impl Reader<'_> {
    /// A custom resource: it says itself what it is, and its definition says what of it stays.
    fn custom(&self, json: &[u8], custom: &Custom, report: &mut Report) -> Result<Value, Status> {
        let found = json::type_meta(json).map_err(|error| {
            self.unrecognized(&format!("couldn't get version/kind; json parse error: {error}"))
        })?;
        for (value, name) in [(&found.kind, "Kind"), (&found.api_version, "apiVersion")] {
            if value.is_empty() {
                let body = String::from_utf8_lossy(json);
                return Err(self.unrecognized(&format!("Object '{name}' is missing in '{body}'")));
            }
        }
        let (kind, version) = self.named(&found);
        let read = json::parse_reporting(json, report).map_err(|error| error.to_string());
        let value = read
            .and_then(|value| custom::settle(custom, value, report))
            .map_err(|why| self.cannot_be_handled(&kind, &version, &why))?;
        self.check_version(&found)?;
        if found.kind != self.expected.kind {
            let name = value.at(&["metadata", "name"]).str_or_empty();
            return Err(custom::other_kind(self.expected.group, &found.kind, name, self.expected.kind));
        }
        Ok(value)
    }

    fn json(&self, json: &[u8], report: &mut Report) -> Result<Value, Status> {
        if let Some(custom) = self.expected.custom {
            return self.custom(json, custom, report);
        }
        let found = json::type_meta(json).map_err(|error| {
            self.unrecognized(&format!("couldn't get version/kind; json parse error: {error}"))
        })?;
        let schema = self.schema_of(&found)?;
        let mut value = json::decode(json, schema.root(), report).map_err(|error| {
            let (kind, version) = self.named(&found);
            self.cannot_be_handled(&kind, &version, &error.to_string())
        })?;
        self.check_kind(&found)?;
        self.stamp(&mut value);
        Ok(value)
    }

    fn protobuf(&self) -> Result<Value, Status> {
        let envelope = protobuf::open(self.body).map_err(|error| self.unrecognized(&error.to_string()))?;
        let found = &envelope.meta;
        let schema = self.schema_of(found)?;
        let (kind, version) = self.named(found);
        let meta = TypeMeta { api_version: self.expected.api_version().into(), kind: kind.as_str().into() };
        let mut value = protobuf::decode(envelope.raw, &meta, schema.root())
            .map_err(|error| self.cannot_be_handled(&kind, &version, &error.to_string()))?;
        self.check_kind(found)?;
        self.stamp(&mut value);
        Ok(value)
    }

    /// The schema of what the body says it is; what it does not say is as expected.
    fn schema_of(&self, found: &TypeMeta) -> Result<Schema, Status> {
        let expected = self.expected;
        if found.api_version.matches('/').count() > 1 {
            let why = format!("unexpected GroupVersion string: {}", found.api_version);
            return Err(self.unrecognized(&why));
        }
        let kind = if found.kind.is_empty() { expected.kind } else { &found.kind };
        let of =
            if found.api_version.is_empty() { expected.api_version() } else { found.api_version.to_string() };
        let is_alias = || expected.aliases.contains(&of.as_str());
        if kind == expected.kind && (of == expected.api_version() || is_alias()) {
            return Ok(expected.schema.clone());
        }
        let table = self.registry.table();
        match table.kind_of(&of, kind) {
            Some(known) if expected.group == APART.0 && known.group != APART.0 => {
                let version = of.rsplit('/').next().unwrap_or_default();
                Err(self.cannot_be_handled(kind, version, &not_registered_in(APART.1, kind, &of)))
            }
            Some(known) => Ok(table.schema_of(known)),
            // Versions that are long gone are still known by name upstream.
            None if kind == expected.kind && of == "extensions/v1beta1" => Ok(expected.schema.clone()),
            None => {
                let version = of.rsplit('/').next().unwrap_or_default();
                let scheme = if expected.group == APART.0 { APART.1 } else { SCHEME };
                Err(self.cannot_be_handled(kind, version, &not_registered_in(scheme, kind, &of)))
            }
        }
    }

    /// Refuses what was read well and is something else.
    fn check_kind(&self, found: &TypeMeta) -> Result<(), Status> {
        let expected = self.expected;
        if !found.kind.is_empty() && found.kind != expected.kind {
            let (kind, version) = self.named(found);
            return Err(self.cannot_be_handled(&kind, &version, &not_convertible(&version, &kind, expected)));
        }
        self.check_version(found)
    }

    fn check_version(&self, found: &TypeMeta) -> Result<(), Status> {
        let expected = self.expected;
        let own = expected.api_version();
        let known = found.api_version == own || expected.aliases.contains(&found.api_version.as_str());
        if !found.api_version.is_empty() && !known {
            return Err(Status::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version ({})",
                found.api_version, own
            )));
        }
        Ok(())
    }

    fn named(&self, found: &TypeMeta) -> (String, String) {
        let kind = if found.kind.is_empty() { self.expected.kind } else { &found.kind };
        let version = match found.api_version.rsplit('/').next() {
            Some(version) if !version.is_empty() => version,
            _ => self.expected.version,
        };
        (kind.to_owned(), version.to_owned())
    }

    /// Every document says what it is, in front.
    fn stamp(&self, value: &mut Value) {
        let members = value.make_object();
        let (kind, api_version) = (members.remove("kind"), members.remove("apiVersion"));
        let text = |found: Option<Value>, expected: &str| match found {
            Some(Value::String(text)) if !text.is_empty() => Value::String(text),
            _ => Value::from(expected),
        };
        let mut entries = vec![
            ("kind".into(), text(kind, self.expected.kind)),
            ("apiVersion".into(), text(api_version, &self.expected.api_version())),
        ];
        entries.extend(std::mem::take(members).into_entries());
        *members = machinery::Map::from_entries(entries);
    }

    fn cannot_be_handled(&self, kind: &str, version: &str, why: &str) -> Status {
        let version = machinery::field::go_quote(version);
        let expected = self.expected.kind;
        Status::bad_request(format!("{kind} in version {version} cannot be handled as a {expected}: {why}"))
    }

    fn unrecognized(&self, why: &str) -> Status {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            self.expected.kind,
            summary(self.body)
        ))
    }
}

/// Keys that came twice, as Go's YAML library tells them.
fn duplicate_keys(duplicates: &[String]) -> Option<String> {
    (!duplicates.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", duplicates.join("\n  ")))
}

/// The beginning of a body, as text if it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => {
            let shown = String::from_utf8_lossy(&body[..body.len().min(SUMMARY)]).into_owned();
            if body.len() > SUMMARY { format!("{shown} ...") } else { shown }
        }
        Some(_) => {
            let shown: String = body.iter().take(SUMMARY).map(|byte| format!("{byte:02x}")).collect();
            if body.len() > SUMMARY { format!("{shown} ...") } else { shown }
        }
    }
}

fn not_registered(kind: &str, api_version: &str) -> String {
    not_registered_in(SCHEME, kind, api_version)
}

fn not_registered_in(scheme: &str, kind: &str, api_version: &str) -> String {
    let (kind, api_version) = (machinery::field::go_quote(kind), machinery::field::go_quote(api_version));
    format!("no kind {kind} is registered for version {api_version} in scheme \"{scheme}\"")
}

fn not_convertible(version: &str, kind: &str, expected: Expected<'_>) -> String {
    let package = internal_package(expected.group);
    format!("converting ({version}.{kind}) to ({package}.{}): unknown conversion", expected.kind)
}

/// Why a document that says it is `found` cannot stand for what is expected; `None` if it can.
pub fn other_kind(registry: &Registry, found: &TypeMeta, expected: Expected<'_>) -> Option<String> {
    if found.kind == expected.kind && found.api_version == expected.api_version() {
        return None;
    }
    if registry.table().kind_of(&found.api_version, &found.kind).is_none() {
        return Some(not_registered(&found.kind, &found.api_version));
    }
    let version = found.api_version.rsplit('/').next().unwrap_or_default();
    (found.kind != expected.kind).then(|| not_convertible(version, &found.kind, expected))
}

/// The package of upstream's internal types of a group, as its errors name them.
pub fn internal_package(group: &str) -> &str {
    match group {
        "" => "core",
        "events.k8s.io" => "core",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        other => other.split('.').next().unwrap_or_default(),
    }
}

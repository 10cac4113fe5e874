//! The versions of a custom resource: from the one that is stored to the one that is asked for, and back.
//!
//! What is read is pruned and filled in by the schema it was stored with, as the definition has it now, so that a
//! stricter or richer schema holds for old objects too. Between versions only `apiVersion` changes, unless the definition
//! wants a [`Webhook`] to convert.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::schema::Schema;
use machinery::structural::{Structural, drop_nulls};
use machinery::{Object, Status, Value};
use smol_str::SmolStr;

use super::Webhook;

/// All versions of a custom resource.
#[derive(Debug)]
pub struct Versions {
    /// The API group.
    pub group: SmolStr,
    /// The version that objects are stored in.
    pub storage: SmolStr,
    /// What objects of each version look like.
    pub schemas: BTreeMap<SmolStr, Arc<Structural>>,
    /// The order of their fields, which is that of what is stored.
    pub forms: BTreeMap<SmolStr, Schema>,
    /// Who converts, if objects differ between versions in more than their `apiVersion`.
    pub webhook: Option<Webhook>,
}

impl Versions {
    /// `apiVersion` of what is stored.
    pub fn stored_api_version(&self) -> String {
        format!("{}/{}", self.group, self.storage)
    }

    fn schema(&self, api_version: &str) -> Option<&Structural> {
        self.schemas.get(version_of(api_version)).map(AsRef::as_ref)
    }

    /// A stored object by the schema it was stored with, as that is now.
    pub fn filled(&self, object: &Object) -> Result<Value, Status> {
        let mut document = object.to_whole_value()?;
        if let Some(schema) = self.schema(&object.header().api_version) {
            schema.prune(&mut document, true);
            drop_nulls(&mut document, schema);
            schema.fill(&mut document);
        }
        Ok(document)
    }

    /// A stored object as a version shows it.
    pub fn show(&self, object: &Object, api_version: &str) -> Result<Option<Value>, Status> {
        let stored = object.to_whole_value()?;
        let mut document = self.filled(object)?;
        self.convert(&mut document, api_version);
        Ok((document != stored).then_some(document))
    }

    /// Brings what a webhook made into the form of a version; what the version does not have goes.
    pub fn settle(&self, document: &mut Value, api_version: &str) {
        if let Some(schema) = self.schema(api_version) {
            schema.prune(document, true);
        }
        if let Some(form) = self.forms.get(version_of(api_version)) {
            machinery::json::canonicalize(document, form.root());
        }
    }

    /// Brings a document into another version.
    pub fn convert(&self, document: &mut Value, api_version: &str) {
        if document.get("apiVersion").as_str() == Some(api_version) {
            return;
        }
        document.set("apiVersion", api_version);
        if let Some(schema) = self.schema(api_version) {
            schema.prune(document, true);
        }
    }
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        machinery::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn old_objects_are_read_by_the_schema_of_today() {
        let schema = |text: &str| Arc::new(Structural::compile(&parse(text)));
        let versions = Versions {
            group: "g".into(),
            storage: "v2".into(),
            schemas: BTreeMap::from([
                (
                    "v1".into(),
                    schema(
                        r#"{"properties":{"spec":{"type":"object","properties":{"a":{"type":"integer"}}}}}"#,
                    ),
                ),
                (
                    "v2".into(),
                    schema(
                        r#"{"properties":{"spec":{"type":"object","properties":{"a":{"type":"integer"},
                            "b":{"type":"integer","default":3}}}}}"#,
                    ),
                ),
            ]),
            forms: BTreeMap::new(),
            webhook: None,
        };
        let stored = |version: &str, spec: &str| {
            let text = format!(
                r#"{{"kind":"K","apiVersion":"g/{version}","metadata":{{"name":"n"}},"spec":{spec}}}"#
            );
            Object::from_stored(text.as_bytes(), 7).unwrap()
        };
        let cases = [
            ("v2", r#"{"a":1}"#, "g/v2", Some(r#"{"a":1,"b":3}"#)),
            ("v2", r#"{"a":1}"#, "g/v1", Some(r#"{"a":1}"#)),
            ("v2", r#"{"a":1,"b":2,"old":1}"#, "g/v2", Some(r#"{"a":1,"b":2}"#)),
            ("v1", r#"{"a":1}"#, "g/v2", Some(r#"{"a":1}"#)),
            ("v2", r#"{"a":1,"b":2}"#, "g/v2", None),
        ];
        for (version, spec, asked, expected) in cases {
            let shown = versions.show(&stored(version, spec), asked).unwrap();
            let spec_shown = shown.as_ref().map(|document| document.get("spec").clone());
            assert_eq!(spec_shown, expected.map(parse), "{version} {spec} as {asked}");
            if let Some(document) = shown {
                assert_eq!(document.get("apiVersion").as_str(), Some(asked));
            }
        }
    }
}

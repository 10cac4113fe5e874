//! Custom resources: what a definition makes of a resource in one of its versions, beyond what every resource has.

pub mod columns;
pub mod convert;
mod metadata;
mod read;
mod webhook;

use std::sync::Arc;

use api::Verb;
use kinds::custom::Scale;
use machinery::schema::Schema;
use machinery::status::GroupName;
use machinery::structural::FieldPath;
use machinery::{Object, Reason, Status, Value};
use smol_str::SmolStr;

pub use self::columns::Column;
pub use self::convert::Versions;
pub use self::read::settle;
pub use self::webhook::{Subject, Webhook};

use crate::cache::entry::Fields;

/// What can be done with custom resources, in the order discovery shows it.
pub const VERBS: [Verb; 8] = [
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Create,
    Verb::Update,
    Verb::Watch,
];

/// What can be done with their subresources.
pub const SUB_VERBS: [Verb; 3] = [Verb::Get, Verb::Patch, Verb::Update];

/// A custom resource in one version.
#[derive(Debug)]
pub struct Custom {
    /// Its rules.
    pub kind: Arc<kinds::custom::Custom>,
    /// The definition's name and identity.
    pub definition: (SmolStr, SmolStr),
    /// All versions, for those that are stored in another.
    pub versions: Arc<Versions>,
    /// What the metadata of objects look like.
    pub metadata: Schema,
    /// The columns of its tables, after the name.
    pub columns: Vec<Column>,
    /// Fields that may be selected on: how selectors name them, and where they are.
    pub selectable: Vec<(SmolStr, FieldPath)>,
    /// The definition is on its way out: nothing new is made.
    pub terminating: bool,
    /// What users of a version that is on its way out are told.
    pub deprecation: Option<String>,
    /// What its objects look like, as the definition says it: for OpenAPI.
    pub published: Value,
}

impl Custom {
    /// Where its scale stands.
    pub fn scale(&self) -> Option<&Scale> {
        self.kind.scale.as_ref()
    }

    /// The selectable fields of an object.
    pub fn fields(&self, object: &Object) -> Fields {
        let document = match object.to_value() {
            Ok(document) => document,
            Err(error) => {
                tracing::error!(key = object.header().key(), %error, "a cached object cannot be read");
                return Box::default();
            }
        };
        let value = |path: &FieldPath| match path.find(&document) {
            Value::Null => SmolStr::default(),
            Value::String(text) => text.clone(),
            other => SmolStr::from(machinery::json::to_string(other)),
        };
        let all = self.selectable.iter().map(|(name, path)| (name.clone(), value(path)));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }

    /// 405 for those who make objects of a kind that is about to go.
    pub fn check_not_terminating(&self, resource: GroupName<'_>, verb: &str) -> Result<(), Status> {
        if !self.terminating {
            return Ok(());
        }
        let message = format!("{verb} not allowed while custom resource definition is terminating");
        Err(Status::new(405, Reason::MethodNotAllowed, message).about(resource, ""))
    }
}

/// 422: the document is of another kind than those that stand here.
pub fn other_kind(group: &str, found: &str, name: &str, expected: &str) -> Status {
    let path = machinery::field::Path::new("kind");
    let error = machinery::field::Error::invalid(&path, found, format!("must be {expected}"));
    Status::invalid(GroupName { group, name: found }, name, &[error])
}

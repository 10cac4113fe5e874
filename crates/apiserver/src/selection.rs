//! Which objects of a collection a list, a watch or a mass deletion is about.

use std::sync::Arc;

use kinds::Kind;
use machinery::selector::{FieldSelector, LabelSelector};
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::cache::Entry;
use crate::cache::entry::Fields;
use crate::cache::lanes::{LaneName, Sorter};
use crate::registry::{Rules, Served};

/// Objects of one resource: by namespace, labels and fields.
#[derive(Clone, Debug)]
pub struct Selection {
    served: Arc<Served>,
    /// `namespace/`, or empty for all.
    prefix: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads the selectors of a request. Empty texts select everything.
    pub fn parse(
        served: &Arc<Served>,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Selection, Status> {
        let labels = LabelSelector::parse(labels).map_err(Status::bad_request)?;
        let fields = FieldSelector::parse(fields).map_err(Status::bad_request)?;
        for requirement in fields.requirements() {
            served.check_field_label(&requirement.field)?;
        }
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        Ok(Selection { served: served.clone(), prefix, labels, fields })
    }

    /// The resource.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Whether everything of the namespace (or of all) is meant.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// What the keys of the objects begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The first key behind those that begin with the prefix; empty for "to the end".
    pub fn prefix_end(&self) -> String {
        // '0' follows '/', which every prefix ends with.
        self.prefix.strip_suffix('/').map(|namespace| format!("{namespace}0")).unwrap_or_default()
    }

    /// The one key that can match, if the selectors name it.
    pub fn only_key(&self) -> Option<String> {
        let name = self.fields.exact("metadata.name")?;
        if !self.served.namespaced {
            return Some(name.to_owned());
        }
        (!self.prefix.is_empty()).then(|| format!("{}{name}", self.prefix))
    }

    /// The lane of the collection in which all objects are that can match, if there is one.
    pub fn lane(&self) -> Option<LaneName> {
        let Rules::BuiltIn(kind) = self.served.rules else { return None };
        let field = kind.lanes().filter(|_| !self.served.is_converted())?;
        let value = SmolStr::from(self.fields.exact(field)?);
        Some(LaneName { value, sorter: Sorter::new(move |entry| value_of(kind, entry, field)) })
    }

    /// An entry as the resource's version shows it.
    pub fn view(&self, entry: &Arc<Entry>) -> Arc<Entry> {
        self.served.view(entry)
    }

    /// Whether an object, seen in the resource's version, is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        if !entry.key().starts_with(&self.prefix) {
            return false;
        }
        let header = entry.object().header();
        if !self.labels.is_everything() && !self.labels.matches(|key| header.label(key)) {
            return false;
        }
        self.fields.is_everything() || self.fields.matches(|field| self.field(entry, field))
    }

    fn field<'a>(&self, entry: &'a Entry, field: &str) -> &'a str {
        match field {
            "metadata.name" => &entry.object().header().name,
            "metadata.namespace" => &entry.object().header().namespace,
            other => entry
                .fields(|object| fields_of(&self.served, object))
                .iter()
                .find(|(name, _)| *name == other)
                .map_or("", |(_, value)| value),
        }
    }
}

/// A selectable field of an object of a built-in kind.
fn value_of<'a>(kind: &dyn Kind, entry: &'a Entry, field: &str) -> &'a str {
    let fields = entry.fields(|object| fields_of_kind(kind, object));
    fields.iter().find(|(name, _)| *name == field).map_or("", |(_, value)| value)
}

fn fields_of(served: &Served, object: &Object) -> Fields {
    match &served.custom {
        Some(custom) => custom.fields(object),
        None => fields_of_kind(&*served.rules, object),
    }
}

fn fields_of_kind(kind: &dyn Kind, object: &Object) -> Fields {
    match object.parts(&kind.selectable_parts()) {
        Ok(document) => {
            let fields = kind.selectable(&document).into_iter();
            let told = fields.filter(|(_, value)| !value.is_empty());
            told.map(|(name, value)| (SmolStr::new_static(name), SmolStr::from(value))).collect()
        }
        Err(error) => {
            tracing::error!(key = object.header().key(), %error, "a cached object cannot be read");
            Box::default()
        }
    }
}

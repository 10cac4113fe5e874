//! Between what is stored and how a version shows it.
//!
//! Most resources know by themselves how to show their objects. Where a definition leaves that to a webhook, what it says
//! is kept beside the stored object, so that it is asked once for each version, not once for each reader.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Object, Status, Value};

use super::Served;
use crate::admission::Surroundings;
use crate::cache::Entry;
use crate::custom::{Custom, Subject, Webhook};
use crate::stored;

impl Served {
    /// Whether its objects are shown otherwise than they are stored.
    pub fn is_converted(&self) -> bool {
        self.conversion.is_some() || self.custom.is_some()
    }

    /// Whether a webhook has to be asked how objects of other versions look in this one: then [`shown`](Self::shown) and
    /// [`all_shown`](Self::all_shown) know, and [`view`](Self::view) does not.
    pub fn is_shown_by_webhook(&self) -> bool {
        self.webhook().is_some()
    }

    fn webhook(&self) -> Option<(&Custom, &Webhook)> {
        let custom = self.custom.as_ref()?;
        Some((custom, custom.versions.webhook.as_ref()?))
    }

    /// An entry of the collection as this version shows it, where no webhook is needed for that.
    pub fn view(&self, entry: &Arc<Entry>) -> Arc<Entry> {
        if let Some(custom) = &self.custom {
            return entry.in_other_version(self.number, |object| {
                let Some(mut document) = custom.versions.show(object, &self.api_version)? else {
                    return Ok(object.clone());
                };
                machinery::json::canonicalize(&mut document, self.schema.root());
                Object::from_value(&document)
            });
        }
        let Some(conversion) = &self.conversion else { return entry.clone() };
        entry.in_other_version(self.number, |object| {
            let mut document = (conversion.from_stored)(object.to_whole_value()?);
            document.set("kind", self.kind.as_str());
            document.set("apiVersion", self.api_version.as_str());
            machinery::json::canonicalize(&mut document, self.schema.root());
            Object::from_value(&document)
        })
    }

    /// An entry of the collection as this version shows it.
    pub async fn shown(&self, entry: &Arc<Entry>, around: Surroundings<'_>) -> Result<Arc<Entry>, Status> {
        let Some(other) = self.to_convert(entry) else { return Ok(self.view(entry)) };
        if let Some(known) = entry.known_in_other_version(self.number) {
            return Ok(known);
        }
        let shown = self.converted(&[other], Subject::Object(&self.kind), around).await?;
        Ok(shown.into_iter().next().unwrap_or_else(|| entry.clone()))
    }

    /// Entries of the collection as this version shows them, in the same order. A webhook is asked about all at once.
    pub async fn all_shown(
        &self,
        entries: &[Arc<Entry>],
        around: Surroundings<'_>,
    ) -> Result<Vec<Arc<Entry>>, Status> {
        let known = |entry: &Arc<Entry>| match self.to_convert(entry) {
            None => Some(self.view(entry)),
            Some(_) => entry.known_in_other_version(self.number),
        };
        let shown: Vec<Option<Arc<Entry>>> = entries.iter().map(known).collect();
        let others = entries.iter().zip(&shown).filter(|(_, shown)| shown.is_none());
        let others: Vec<&Arc<Entry>> = others.map(|(entry, _)| entry).collect();
        let subject = Subject::List(&self.api_version, &self.list_kind);
        let mut converted = self.converted(&others, subject, around).await?.into_iter();
        Ok(shown.into_iter().filter_map(|known| known.or_else(|| converted.next())).collect())
    }

    /// The entry, if a webhook must be asked how it looks.
    fn to_convert<'a>(&self, entry: &'a Arc<Entry>) -> Option<&'a Arc<Entry>> {
        (self.is_shown_by_webhook() && entry.object().header().api_version != self.api_version.as_str())
            .then_some(entry)
    }

    /// Asks the webhook how entries look in this version, and remembers what it says.
    async fn converted(
        &self,
        entries: &[&Arc<Entry>],
        subject: Subject<'_>,
        around: Surroundings<'_>,
    ) -> Result<Vec<Arc<Entry>>, Status> {
        let Some((custom, webhook)) = self.webhook().filter(|_| !entries.is_empty()) else {
            return Ok(Vec::new());
        };
        let versions = &custom.versions;
        let documents = entries.iter().map(|entry| versions.filled(entry.object()));
        let documents = documents.collect::<Result<Vec<_>, _>>()?;
        let documents = webhook.convert(documents, &self.api_version, subject, around).await?;
        let mut shown = Vec::with_capacity(entries.len());
        for (entry, mut document) in entries.iter().zip(documents) {
            versions.settle(&mut document, &self.api_version);
            let converted = Arc::new(Entry::new(Object::from_value(&document)?));
            entry.keep_in_other_version(self.number, converted.clone());
            shown.push(converted);
        }
        Ok(shown)
    }

    /// The bytes to store for a document of this version, where no webhook is needed for that.
    pub fn encode(&self, document: &Value) -> Bytes {
        if let Some(custom) = &self.custom {
            let mut document = document.clone();
            custom.versions.convert(&mut document, &custom.versions.stored_api_version());
            return stored::write(&document);
        }
        let Some(conversion) = &self.conversion else { return stored::write(document) };
        let mut document = (conversion.to_stored)(document.clone());
        document.set("apiVersion", conversion.api_version);
        machinery::json::canonicalize(&mut document, conversion.schema.root());
        stored::write(&document)
    }

    /// The bytes to store for a document of this version.
    pub async fn stored(&self, document: &Value, around: Surroundings<'_>) -> Result<Bytes, Status> {
        let Some((custom, webhook)) = self.webhook() else { return Ok(self.encode(document)) };
        let versions = &custom.versions;
        let wanted = versions.stored_api_version();
        if self.api_version == wanted.as_str() {
            return Ok(stored::write(document));
        }
        let subject = Subject::Object(&self.kind);
        let converted = webhook.convert(vec![document.clone()], &wanted, subject, around).await?;
        let mut document = converted.into_iter().next().unwrap_or_default();
        versions.settle(&mut document, &wanted);
        Ok(stored::write(&document))
    }

    /// Whether two documents of this version come to the same when they are stored.
    pub fn is_stored_alike(&self, one: &Value, other: &Value) -> bool {
        match self.webhook() {
            Some(_) => stored::write(one) == stored::write(other),
            None => self.encode(one) == self.encode(other),
        }
    }

    /// Whether an entry of the collection is stored in a version that nothing is stored in any more.
    pub fn is_outdated(&self, stored: &Entry) -> bool {
        let custom = self.custom.as_ref();
        custom.is_some_and(|custom| {
            stored.object().header().api_version != custom.versions.stored_api_version()
        })
    }
}

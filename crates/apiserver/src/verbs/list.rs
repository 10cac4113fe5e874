//! Reading many objects: fresh, cached or as they were; whole or in pages.

use std::sync::Arc;
use std::time::Duration;

use machinery::field::{Error, Errors, Path};
use machinery::status::{Cause, GroupName};
use machinery::{Reason, Status};

use crate::cache::snapshot::SnapshotWalk;
use crate::cache::{Collection, Entry, Snapshot};
use crate::core::Core;
use crate::query::{self, Query};
use crate::registry::Served;
use crate::selection::Selection;

pub mod token;

use token::Token;

/// Objects that a webhook is asked about at a time.
const BATCH: usize = 500;
/// How long a read waits for a revision that has not happened yet.
const FUTURE_PATIENCE: Duration = Duration::from_secs(3);

/// What a list or a watch asks for beside its selection.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `labelSelector`
    pub labels: String,
    /// `fieldSelector`
    pub fields: String,
    /// `resourceVersion`
    pub resource_version: String,
    /// `resourceVersionMatch`
    pub version_match: String,
    /// `limit`; zero means all
    pub limit: usize,
    /// `continue`
    pub token: String,
    /// `timeoutSeconds`
    pub timeout: Option<Duration>,
    /// `watch`
    pub watch: bool,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`
    pub initial_events: Option<bool>,
}

impl Options {
    /// Reads and checks the parameters of a request.
    pub fn read(query: &Query, watch: bool) -> Result<Options, Status> {
        let limit = query.number("limit")?.unwrap_or(0);
        let timeout = query.number("timeoutSeconds")?;
        let options = Options {
            labels: query.text("labelSelector").to_owned(),
            fields: query.text("fieldSelector").to_owned(),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: query.text("resourceVersionMatch").to_owned(),
            limit: usize::try_from(limit).unwrap_or(0),
            token: query.text("continue").to_owned(),
            timeout: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            watch,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.option_flag("sendInitialEvents"),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Status> {
        let errors = if self.watch { self.watch_errors() } else { self.list_errors() };
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(GroupName { group: "meta.k8s.io", name: "ListOptions" }, "", &errors))
    }

    fn list_errors(&self) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("resourceVersionMatch");
        let matching = self.version_match.as_str();
        if !matching.is_empty() {
            if self.resource_version.is_empty() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(Error::forbidden(&path, why));
            }
            if !self.token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(Error::forbidden(&path, why));
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                errors.push(Error::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
            }
            if matching == "Exact" && self.resource_version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(Error::forbidden(&path, why));
            }
        }
        if self.initial_events.is_some() {
            let why = "sendInitialEvents is forbidden for list";
            errors.push(Error::forbidden(&Path::new("sendInitialEvents"), why));
        }
        errors
    }

    fn watch_errors(&self) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("resourceVersionMatch");
        let matching = self.version_match.as_str();
        if self.initial_events.is_some() && matching != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(Error::forbidden(&path, why));
        }
        if !matching.is_empty() {
            if self.initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(Error::forbidden(&path, why));
            }
            if matching != "NotOlderThan" {
                errors.push(Error::not_supported(&path, matching, &["NotOlderThan"]));
            }
            if !self.token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(Error::forbidden(&path, why));
            }
        }
        errors
    }

    /// The revision asked for; `None` if none is.
    pub fn revision(&self) -> Result<Option<u64>, Status> {
        let text = self.resource_version.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        query::go_parse_uint(text).map(Some).map_err(|why| {
            let text = machinery::field::go_quote(text);
            let why = format!("invalid resource version: resourceVersion: Invalid value: {text}: {why}");
            Status::bad_request(why)
        })
    }
}

/// What a list answers.
#[derive(Debug)]
pub struct Listing {
    /// The objects.
    pub items: Items,
    /// The revision they were read at.
    pub revision: u64,
    /// Where to go on; empty at the end.
    pub token: String,
    /// How many are still to come, where that is known.
    pub remaining: Option<usize>,
}

/// Objects, found while they are sent.
#[derive(Debug)]
pub enum Items {
    /// One page.
    Page(std::vec::IntoIter<Arc<Entry>>),
    /// All that match.
    Walk(Box<SnapshotWalk>, Selection),
}

impl Items {
    /// Those of a walk that match. Where a webhook has to say how they look, it is asked right away, until `most` match.
    pub async fn of(
        core: &Core,
        mut walk: SnapshotWalk,
        selection: &Selection,
        most: usize,
    ) -> Result<Items, Status> {
        if !selection.served().is_shown_by_webhook() {
            return Ok(Items::Walk(Box::new(walk), selection.clone()));
        }
        let mut found = Vec::new();
        while found.len() < most {
            let own =
                walk.by_ref().take(BATCH).take_while(|entry| entry.key().starts_with(selection.prefix()));
            let batch: Vec<Arc<Entry>> = own.collect();
            if batch.is_empty() {
                break;
            }
            let shown = selection.served().all_shown(&batch, core.surroundings()).await?;
            found.extend(shown.into_iter().filter(|entry| selection.matches(entry)));
        }
        Ok(Items::Page(found.into_iter()))
    }
}

impl Iterator for Items {
    type Item = Arc<Entry>;

    fn next(&mut self) -> Option<Arc<Entry>> {
        match self {
            Items::Page(page) => page.next(),
            Items::Walk(walk, selection) => {
                for entry in walk.by_ref() {
                    if !entry.key().starts_with(selection.prefix()) {
                        return None;
                    }
                    let entry = selection.view(&entry);
                    if selection.matches(&entry) {
                        return Some(entry);
                    }
                }
                None
            }
        }
    }
}

/// Lists what a request asks for.
pub async fn list(
    core: &Core,
    served: &Arc<Served>,
    namespace: &str,
    options: &Options,
) -> Result<Listing, Status> {
    let selection = Selection::parse(served, namespace, &options.labels, &options.fields)?;
    let asked = options.revision()?;
    if !options.token.is_empty() {
        return next_page(core, served, selection, options).await;
    }
    let exact = match (options.version_match.as_str(), asked) {
        ("Exact", Some(revision)) => Some(revision),
        ("", Some(revision)) if options.limit > 0 && revision > 0 => Some(revision),
        _ => None,
    };
    if let Some(revision) = exact {
        wait_until(core, revision).await?;
        let too_old = || Status::expired("The resourceVersion for the provided list is too old.");
        let snapshot = state_at(core, &selection, revision).await?.ok_or_else(too_old)?;
        return page(core, &snapshot, selection, (options.limit, revision, first(core, revision))).await;
    }
    match asked {
        None => core.catch_up().await?,
        Some(0) => {}
        Some(revision) => wait_until(core, revision).await?,
    }
    let collection = served.collection()?;
    let revision = core.caches.applied();
    let snapshot =
        remembered(&collection, &selection, revision).unwrap_or_else(|| now(&collection, &selection));
    page(core, &snapshot, selection, (options.limit, revision, first(core, revision))).await
}

/// A list begins now.
fn first(core: &Core, revision: u64) -> Token {
    Token::new(revision, core.env.clock.now().secs())
}

async fn next_page(
    core: &Core,
    served: &Arc<Served>,
    selection: Selection,
    options: &Options,
) -> Result<Listing, Status> {
    if !options.resource_version.is_empty() && options.resource_version != "0" {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let token = Token::decode(&options.token)?;
    let Some(revision) = token.revision() else {
        core.catch_up().await?;
        let revision = core.caches.applied();
        let snapshot = now(served.collection()?.as_ref(), &selection);
        let rest = first(core, revision).at(&token.start);
        return page(core, &snapshot, selection, (options.limit, revision, rest)).await;
    };
    if token.is_old(core.env.clock.now().secs()) {
        return Err(token::too_old(&token));
    }
    match state_at(core, &selection, revision).await? {
        Some(snapshot) => page(core, &snapshot, selection, (options.limit, revision, token)).await,
        None => Err(token::too_old(&token)),
    }
}

/// The state at an exact revision: from the cache, or from the store's longer memory; `None` if both forgot it.
async fn state_at(core: &Core, selection: &Selection, revision: u64) -> Result<Option<Snapshot>, Status> {
    let collection = selection.served().collection()?;
    match remembered(&collection, selection, revision) {
        Some(snapshot) => Ok(Some(snapshot)),
        None => core.caches.read_past(&collection, revision).await.map_err(crate::core::store_failed),
    }
}

/// What can match, as it stood at a revision; `None` if that is forgotten here.
fn remembered(collection: &Collection, selection: &Selection, revision: u64) -> Option<Snapshot> {
    match selection.lane() {
        Some(lane) => collection.snapshot_of_at(&lane, revision),
        None => collection.snapshot_at(revision),
    }
}

/// What can match, as it is.
fn now(collection: &Collection, selection: &Selection) -> Snapshot {
    match selection.lane() {
        Some(lane) => collection.snapshot_of(&lane),
        None => collection.snapshot(),
    }
}

/// So many objects of a snapshot that match, at most, from a place on; zero means all.
async fn page(
    core: &Core,
    snapshot: &Snapshot,
    selection: Selection,
    (limit, revision, from): (usize, u64, Token),
) -> Result<Listing, Status> {
    if let Some(key) = selection.only_key() {
        let found = snapshot.starting_at(&key).next().filter(|entry| entry.key() == key);
        let found: Vec<_> = found.into_iter().collect();
        let mut items = selection.served().all_shown(&found, core.surroundings()).await?;
        items.retain(|entry| selection.matches(entry));
        let items = Items::Page(items.into_iter());
        return Ok(Listing { items, revision, token: String::new(), remaining: None });
    }
    let walk = snapshot.starting_at(&format!("{}{}", selection.prefix(), from.start));
    let most = if limit == 0 { usize::MAX } else { limit + 1 };
    let mut all = Items::of(core, walk, &selection, most).await?;
    if limit == 0 {
        return Ok(Listing { items: all, revision, token: String::new(), remaining: None });
    }
    let items: Vec<Arc<Entry>> = all.by_ref().take(limit).collect();
    let mut token = String::new();
    let mut remaining = None;
    if items.len() == limit
        && let Some(next) = all.next()
    {
        let start = next.key().strip_prefix(selection.prefix()).unwrap_or_default();
        token = from.at(start).encode();
        remaining = selection.is_everything().then(|| snapshot.count(next.key(), &selection.prefix_end()));
    }
    Ok(Listing { items: Items::Page(items.into_iter()), revision, token, remaining })
}

/// Waits until the cache has reached `revision`; not for ever, for it may never happen.
pub async fn wait_until(core: &Core, revision: u64) -> Result<(), Status> {
    if core.caches.applied() >= revision {
        return Ok(());
    }
    // The store may be ahead of the cache, or not know that revision either.
    let reached = core.env.clock.timeout(FUTURE_PATIENCE, core.caches.wait_for(revision)).await;
    if reached.is_some() {
        return Ok(());
    }
    let current = core.caches.applied();
    let message = format!("Too large resource version: {revision}, current: {current}");
    Err(Status::new(504, Reason::Timeout, message)
        .caused_by(Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        })
        .retry_after(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, watch: bool) -> Result<Options, Status> {
        Options::read(&Query::parse(query), watch)
    }

    #[test]
    fn impossible_combinations_are_refused() {
        let refused: &[(&str, bool, &str)] = &[
            ("resourceVersionMatch=Exact", false, "is forbidden unless resourceVersion is provided"),
            ("resourceVersion=0&resourceVersionMatch=Exact", false, "is forbidden for resourceVersion \"0\""),
            (
                "resourceVersion=1&resourceVersionMatch=Odd",
                false,
                "supported values: \"Exact\", \"NotOlderThan\"",
            ),
            ("sendInitialEvents=true", false, "sendInitialEvents is forbidden for list"),
            ("sendInitialEvents=true", true, "requires setting resourceVersionMatch to NotOlderThan"),
            ("resourceVersionMatch=NotOlderThan", true, "unless sendInitialEvents is provided"),
            ("limit=x", false, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ];
        for (query, watch, expected) in refused {
            let status = read(query, *watch).unwrap_err();
            assert!(status.message.contains(expected), "{query}: {}", status.message);
        }
        assert!(read("limit=5&timeoutSeconds=3&resourceVersion=7", false).is_ok());
        assert!(read("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true).is_ok());
    }
}

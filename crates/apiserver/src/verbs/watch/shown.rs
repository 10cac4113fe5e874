//! Changes of objects that only a webhook can show: it is asked about all of them at once.

use std::collections::HashMap;
use std::sync::Arc;

use machinery::Status;

use super::Item;
use crate::cache::{Entry, Event, SeenKind};
use crate::core::Core;
use crate::selection::Selection;
use crate::stored;

/// What a watcher is told of events, of which those up to a revision are not news to it.
pub(super) async fn changes(
    core: &Core,
    selection: &Selection,
    (events, after): (Vec<Arc<Event>>, u64),
) -> Result<Vec<Item>, Status> {
    let news: Vec<Arc<Event>> = events.into_iter().filter(|event| event.revision > after).collect();
    let states = |event: &Arc<Event>| event.previous.clone().into_iter().chain([event.entry.clone()]);
    let entries: Vec<Arc<Entry>> = news.iter().flat_map(states).collect();
    let shown = selection.served().all_shown(&entries, core.surroundings()).await?;
    let shown: HashMap<*const Entry, Arc<Entry>> = entries.iter().map(Arc::as_ptr).zip(shown).collect();
    let look = |entry: &Arc<Entry>| shown.get(&Arc::as_ptr(entry)).unwrap_or(entry).clone();
    let mut told = Vec::new();
    for event in &news {
        let Some(kind) = event.seen_by(|entry| selection.matches(&look(entry))) else { continue };
        let entry = match (kind, &event.previous) {
            // It matches no longer: its last state that did, at the revision of the change.
            (SeenKind::Gone, Some(previous)) => stored::at_revision(&look(previous), event.revision),
            _ => look(&event.entry),
        };
        told.push(Item::Shown(kind, entry));
    }
    Ok(told)
}

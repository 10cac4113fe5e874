//! Images that nobody uses any more are removed when space runs low, those that were not used for longest first. Only
//! what a registry can give again is removed: not what was imported from an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cri::Image;
use env::WallTime;

use crate::eviction::{Signal, signals};
use crate::kit::Kit;

/// How often it is looked whether space runs low: upstream's interval.
const LOOK: Duration = Duration::from_secs(300);
/// Beyond so many hundredths of the disk images are removed, until no more than so many are used.
const HIGH_PERCENT: i64 = 85;
const LOW_PERCENT: i64 = 80;
/// An image that has just come is about to be used.
const LEAST_AGE: Duration = Duration::from_secs(120);

/// When an image was first and last known to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    first: WallTime,
    used: WallTime,
}

/// What is remembered of images.
#[derive(Debug, Default)]
pub(crate) struct Collector(Mutex<BTreeMap<String, Record>>);

impl Collector {
    /// Takes in which images there are, and which are in use.
    fn note(&self, images: &[Image], used: &BTreeSet<String>, now: WallTime) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images {
            let record = records.entry(image.id.clone()).or_insert(Record { first: now, used: now });
            if used.contains(&image.id) {
                record.used = now;
            }
        }
    }

    /// The images that may go, those that were not used for longest first.
    fn candidates(&self, images: &[Image], used: &BTreeSet<String>) -> Vec<(Image, Record)> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut candidates: Vec<(Image, Record)> = images
            .iter()
            .filter(|image| !image.pinned && !image.digests.is_empty() && !used.contains(&image.id))
            .filter_map(|image| Some((image.clone(), *records.get(&image.id)?)))
            .collect();
        candidates.sort_by_key(|(image, record)| (record.used, record.first, image.id.clone()));
        candidates
    }
}

/// The oldest that together give back so many bytes.
fn plan(candidates: Vec<(Image, Record)>, mut bytes: i64, now: WallTime) -> Vec<Image> {
    let mut chosen = Vec::new();
    for (image, record) in candidates {
        if bytes <= 0 {
            break;
        }
        if now.since(record.first) >= LEAST_AGE {
            bytes = bytes.saturating_sub(i64::try_from(image.size).unwrap_or(i64::MAX));
            chosen.push(image);
        }
    }
    chosen
}

/// How many bytes must be given back.
fn excess(available: i64, capacity: i64) -> i64 {
    if capacity <= 0 || available >= capacity / 100 * (100 - HIGH_PERCENT) {
        return 0;
    }
    capacity / 100 * (100 - LOW_PERCENT) - available
}

/// Looks for ever.
pub(crate) async fn collect(kit: Arc<Kit>) {
    loop {
        let root = kit.config.root.clone();
        let readings = kit.env.tasks.blocking(move || signals::read(&root)).await.unwrap_or_default();
        let space = readings.get(&Signal::NodefsAvailable).copied().unwrap_or_default();
        let now = kit.env.clock.now();
        if let Some((images, used)) = look(&kit, now).await {
            let wanted = excess(space.available, space.capacity);
            remove(&kit, plan(kit.collector.candidates(&images, &used), wanted, now)).await;
        }
        kit.env.clock.sleep(LOOK).await;
    }
}

/// Removes everything that is not used: the node is about to evict pods. Answers how many images went.
pub(crate) async fn all_unused(kit: &Kit) -> usize {
    let now = kit.env.clock.now();
    let Some((images, used)) = look(kit, now).await else { return 0 };
    let candidates = kit.collector.candidates(&images, &used);
    remove(kit, candidates.into_iter().map(|(image, _)| image).collect()).await
}

/// The images that are there and the ids of those that are in use.
async fn look(kit: &Kit, now: WallTime) -> Option<(Vec<Image>, BTreeSet<String>)> {
    let images = match kit.runtime.list_images().await {
        Ok(images) => images,
        Err(error) => {
            tracing::warn!("images cannot be listed: {error}");
            return None;
        }
    };
    let mut used = BTreeSet::new();
    for pod in kit.observer.pods() {
        used.extend(
            kit.observer.pod(&pod.uid).containers().iter().map(|container| container.image_id.clone()),
        );
    }
    kit.collector.note(&images, &used, now);
    Some((images, used))
}

async fn remove(kit: &Kit, images: Vec<Image>) -> usize {
    let mut removed = 0;
    for image in images {
        let name = image.tags.first().or(image.digests.first()).unwrap_or(&image.id);
        match kit.runtime.remove_image(image.id.clone()).await {
            Ok(()) => {
                tracing::info!(image = %name, bytes = image.size, "it was not used and is removed to save space");
                removed += 1;
            }
            // It is mounted as a volume, or about to be used.
            Err(error) => tracing::debug!(image = %name, "it cannot be removed: {error}"),
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, size: u64) -> Image {
        Image { id: id.to_owned(), size, digests: vec![format!("r/{id}@sha256:0")], ..Image::default() }
    }

    #[test]
    fn space_is_given_back_only_when_it_runs_low() {
        assert_eq!(excess(15, 100), 0);
        assert_eq!(excess(14, 100), 6);
        assert_eq!(excess(0, 0), 0);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_what_is_needed_stays() {
        let at = WallTime::from_secs;
        let pinned = Image { pinned: true, ..image("pinned", 5) };
        let imported = Image { digests: Vec::new(), ..image("imported", 5) };
        let all = vec![image("a", 10), image("b", 20), image("c", 30), image("busy", 5), pinned, imported];
        let collector = Collector::default();
        let used = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        collector.note(&all[..2], &used(&[]), at(0));
        collector.note(&all, &used(&["a", "busy"]), at(1_000));
        let busy = used(&["busy"]);
        let chosen = |bytes, now| -> Vec<String> {
            let candidates = collector.candidates(&all, &busy);
            plan(candidates, bytes, at(now)).into_iter().map(|image| image.id).collect()
        };
        assert_eq!(chosen(1, 2_000), ["b"]);
        assert_eq!(chosen(21, 2_000), ["b", "a"]);
        assert_eq!(chosen(1_000, 2_000), ["b", "a", "c"]);
        assert_eq!(chosen(1_000, 1_010), ["b", "a"], "one that has just come stays");
        assert!(chosen(0, 2_000).is_empty());
        collector.note(&all[1..], &busy, at(3_000));
        assert!(!collector.0.lock().unwrap().contains_key("a"), "what is gone is forgotten");
    }
}

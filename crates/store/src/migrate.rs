//! The move of a store from one place to another, between a directory and etcd, while no server runs on it.
//!
//! What moves is the newest state. Revisions jump ahead, as they do when a backup is restored, so that what clients
//! have seen before never looks newer than what is written from now on.

use std::path::PathBuf;

use bytes::Bytes;
use env::Env;

use crate::embedded::backup::REVISION_JUMP;
use crate::{Revision, StoreError, embedded, etcd};

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a directory.
    Embedded(PathBuf),
    /// In etcd.
    Etcd(etcd::Config),
}

/// What was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How many keys.
    pub keys: u64,
    /// The revision they had.
    pub from: Revision,
    /// The revision of the new store.
    pub to: Revision,
}

/// A key on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Seconds it has left; `None` for ever.
    pub(crate) ttl_secs: Option<u32>,
}

/// Some keys, and whether there are more.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    pub(crate) more: bool,
}

enum Source {
    Embedded(embedded::import::Export),
    Etcd(etcd::Export),
}

enum Target {
    Embedded(Box<embedded::import::Import>),
    Etcd(etcd::Import),
}

/// Moves all keys. The store they come from stays as it is.
pub async fn migrate(from: Place, to: Place, env: &Env) -> Result<Moved, StoreError> {
    let mut source = Source::open(from, env).await?;
    let revision = source.revision();
    let moved = fill(&mut source, to, env).await;
    if let Source::Embedded(export) = source {
        export.close().await;
    }
    let (keys, to) = moved?;
    Ok(Moved { keys, from: revision, to })
}

/// Counts the keys of a store in etcd, reading each. Answers the revision too.
pub async fn survey(config: etcd::Config, env: &Env) -> Result<(u64, Revision), StoreError> {
    let mut source = Source::open(Place::Etcd(config), env).await?;
    let mut keys = 0;
    loop {
        let part = source.part().await?;
        keys += part.entries.len() as u64;
        if !part.more {
            return Ok((keys, source.revision()));
        }
    }
}

async fn fill(source: &mut Source, to: Place, env: &Env) -> Result<(u64, Revision), StoreError> {
    let mut target = Target::open(to, source.revision() + REVISION_JUMP, env).await?;
    let mut keys = 0;
    loop {
        let part = source.part().await?;
        keys += part.entries.len() as u64;
        target.add(part.entries).await?;
        if !part.more {
            return Ok((keys, target.finish().await?));
        }
    }
}

impl Source {
    async fn open(place: Place, env: &Env) -> Result<Source, StoreError> {
        Ok(match place {
            Place::Embedded(directory) => Source::Embedded(embedded::import::export(&directory, env).await?),
            Place::Etcd(config) => Source::Etcd(etcd::export(config, env).await?),
        })
    }

    fn revision(&self) -> Revision {
        match self {
            Source::Embedded(export) => export.revision(),
            Source::Etcd(export) => export.revision(),
        }
    }

    async fn part(&mut self) -> Result<Part, StoreError> {
        match self {
            Source::Embedded(export) => export.part().await,
            Source::Etcd(export) => export.part().await,
        }
    }
}

impl Target {
    async fn open(place: Place, base: Revision, env: &Env) -> Result<Target, StoreError> {
        Ok(match place {
            Place::Embedded(directory) => {
                Target::Embedded(Box::new(embedded::import::Import::begin(&directory, base, env)?))
            }
            Place::Etcd(config) => Target::Etcd(etcd::Import::begin(config, base, env).await?),
        })
    }

    async fn add(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        match self {
            Target::Embedded(import) => import.add(entries),
            Target::Etcd(import) => import.add(entries).await,
        }
    }

    async fn finish(self) -> Result<Revision, StoreError> {
        match self {
            Target::Embedded(import) => import.finish(),
            Target::Etcd(import) => import.finish().await,
        }
    }
}

//! Where the objects are kept, as it is typed and as it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use env::Env;
use serde::{Deserialize, Serialize};
use store::embedded::Embedded;
use store::etcd::{self, Etcd};
use store::migrate::Place;
use store::{Options, Revision, Store};

use crate::args::{DatastoreFlags, EtcdCertificates};
use crate::config::Instance;

/// How the place on this machine is called.
const EMBEDDED: &str = "embedded";

/// Where the objects are kept. Certificates are read anew at each start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datastore {
    /// The address of etcd; `None` for the instance's own directory.
    pub address: Option<String>,
    /// Who signed the certificates of etcd.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A store that is open.
#[derive(Clone, Debug)]
pub enum Opened {
    /// In the instance's directory.
    Embedded(Arc<Embedded>),
    /// In etcd.
    Etcd(Arc<Etcd>),
}

impl Datastore {
    /// From the flags; what they leave open is as it was before.
    pub fn from_flags(flags: &DatastoreFlags, before: Option<&Datastore>) -> anyhow::Result<Datastore> {
        match (&flags.datastore, before) {
            (None, Some(before)) => Ok(before.clone()),
            (None, None) => Datastore::named(EMBEDDED, &flags.certificates),
            (Some(address), _) => Datastore::named(address, &flags.certificates),
        }
    }

    /// At an address: `embedded`, or one of etcd.
    pub fn named(address: &str, certificates: &EtcdCertificates) -> anyhow::Result<Datastore> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        let datastore = Datastore {
            address: (address != EMBEDDED).then(|| address.to_owned()),
            ca: absolute(&certificates.datastore_ca)?,
            certificate: absolute(&certificates.datastore_cert)?,
            key: absolute(&certificates.datastore_key)?,
        };
        if let Some(address) = &datastore.address
            && !address.starts_with("etcd://")
            && !address.starts_with("etcds://")
        {
            bail!(
                "{address:?} is no place for objects: it is {EMBEDDED}, or etcd://HOST:PORT (etcds:// for TLS)"
            );
        }
        Ok(datastore)
    }

    /// The place, with the certificates read.
    pub fn place(&self, instance: &Instance) -> anyhow::Result<Place> {
        let Some(address) = &self.address else { return Ok(Place::Embedded(instance.store_dir())) };
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let tls = match &self.ca {
            Some(ca) if address.starts_with("etcds://") => {
                let client = match (&self.certificate, &self.key) {
                    (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
                    _ => None,
                };
                Some(etcd::Tls { ca: read(ca)?, client })
            }
            None if address.starts_with("etcds://") => bail!("{address} needs --datastore-ca"),
            _ => None,
        };
        Ok(Place::Etcd(etcd::Config::parse(address, tls).map_err(anyhow::Error::msg)?))
    }

    /// Opens the store, or makes it.
    pub async fn open(&self, instance: &Instance, env: &Env) -> anyhow::Result<Opened> {
        let (options, env) = (Options::default(), env.child("store"));
        match self.place(instance)? {
            Place::Embedded(directory) => {
                let opened = Embedded::open(&directory, options, env).await;
                let failed = || format!("the store in {} cannot be opened", directory.display());
                Ok(Opened::Embedded(opened.with_context(failed)?))
            }
            Place::Etcd(config) => {
                let failed = format!("the store at {config} cannot be opened");
                Ok(Opened::Etcd(Etcd::open(config, options, env).await.context(failed)?))
            }
        }
    }
}

impl Opened {
    /// The store, whatever it is.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Opened::Embedded(store) => store.clone(),
            Opened::Etcd(store) => store.clone(),
        }
    }

    /// Writes a backup to a new file.
    pub async fn backup(&self, file: &Path) -> anyhow::Result<Revision> {
        match self {
            Opened::Embedded(store) => Ok(store.backup(file).await?),
            Opened::Etcd(_) => bail!(
                "the objects are in etcd: back that up (`etcdctl snapshot save`), or copy them with \
                 `ironclad datastore migrate --from etcd://… --to embedded --data-dir DIR` while no server runs"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(address: &str) -> anyhow::Result<Datastore> {
        Datastore::named(address, &EtcdCertificates::default())
    }

    #[test]
    fn the_place_is_as_at_the_last_start_unless_another_is_named() {
        let flags = |address: Option<&str>| DatastoreFlags {
            datastore: address.map(str::to_owned),
            ..DatastoreFlags::default()
        };
        let etcd = named("etcd://a").expect("an address");
        let at = |address, before| Datastore::from_flags(&flags(address), before).expect("right flags");
        assert_eq!(at(None, None), Datastore::default());
        assert_eq!(at(None, Some(&etcd)), etcd);
        assert_eq!(at(Some("embedded"), Some(&etcd)), Datastore::default());
        assert_eq!(at(Some("etcd://a"), None), etcd);
    }

    #[test]
    fn places_are_what_was_typed() {
        let instance = Instance::in_dir(Path::new("/nonexistent")).expect("a path");
        let place = |address: &str| named(address)?.place(&instance);
        assert!(matches!(place("embedded"), Ok(Place::Embedded(directory)) if directory.ends_with("store")));
        assert!(matches!(place("etcd://a,b/p"), Ok(Place::Etcd(config)) if config.endpoints.len() == 2));
        for (wrong, named) in
            [("mysql://a", "no place"), ("etcds://a", "--datastore-ca"), ("etcd://", "no member")]
        {
            let refused = place(wrong).map(drop).expect_err(wrong);
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }
}

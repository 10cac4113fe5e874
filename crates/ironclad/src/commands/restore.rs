//! `ironclad restore`: a backup taken into a data directory without objects.

use anyhow::ensure;

use crate::args::Restore;
use crate::background;
use crate::config::Instance;
use crate::pki::make_private_dir;

/// Does it.
pub fn run(flags: &Restore) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    ensure!(
        background::running(&instance)?.is_none(),
        "a cluster runs in {}; restore into another --data-dir, or after `ironclad down --purge`",
        instance.data_dir.display()
    );
    make_private_dir(&instance.data_dir)?;
    let revision = store::embedded::backup::restore(&flags.file, &instance.store_dir())?;
    println!("The objects of {} are in {}.", flags.file.display(), instance.store_dir().display());
    println!("They go on at revision {revision}, so clients that have seen later ones read everything anew.");
    println!(
        "Put the certificates and keys back into {} before `ironclad up`.",
        instance.pki_dir().display()
    );
    Ok(())
}

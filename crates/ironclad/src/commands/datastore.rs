//! `ironclad datastore …`: the objects moved between places, and looked over.

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use env::Env;
use store::embedded::{Report, check};
use store::migrate::{Place, migrate, survey};

use crate::args::{Datastore as Command, DatastoreCheck, DatastoreMigrate};
use crate::background;
use crate::config::Instance;
use crate::datastore::Datastore;
use crate::pki::make_private_dir;
use crate::settings::Settings;

/// Does it.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Migrate(flags) => move_all(flags),
        Command::Check(flags) => look_over(flags),
    }
}

fn move_all(flags: &DatastoreMigrate) -> anyhow::Result<ExitCode> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    ensure!(
        background::running(&instance)?.is_none(),
        "the cluster in {} runs; stop it first (`ironclad down`)",
        instance.data_dir.display()
    );
    ensure!(flags.from != flags.to, "the objects are at {} already", flags.to);
    let place = |address: &str| Datastore::named(address, &flags.certificates)?.place(&instance);
    let (from, to) = (place(&flags.from)?, place(&flags.to)?);
    if let Place::Embedded(_) = &to {
        make_private_dir(&instance.data_dir)?;
    }
    let moved = wait_for(async { Ok(migrate(from, to, &Env::real()).await?) })?;
    println!("{} keys as of revision {} are at {}.", moved.keys, moved.from, flags.to);
    println!("They go on at revision {}, so clients that have seen others read everything anew.", moved.to);
    println!("Start with `ironclad up --datastore {}`; {} is as it was.", flags.to, flags.from);
    Ok(ExitCode::SUCCESS)
}

fn look_over(flags: &DatastoreCheck) -> anyhow::Result<ExitCode> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    if let Some(backup) = &flags.backup {
        return Ok(tell(backup, &check(backup)?));
    }
    let before = Settings::read(&instance)?.map(|settings| settings.datastore);
    match Datastore::from_flags(&flags.datastore, before.as_ref())?.place(&instance)? {
        Place::Embedded(directory) => Ok(tell(&directory, &check(&directory)?)),
        Place::Etcd(config) => {
            let place = config.to_string();
            let (keys, revision) = wait_for(async { Ok(survey(config, &Env::real()).await?) })?;
            println!("{place}: {keys} keys at revision {revision}, all readable.");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn tell(path: &Path, report: &Report) -> ExitCode {
    println!(
        "{}: {} keys in {} rows at revision {}; history since {}.",
        path.display(),
        report.keys,
        report.rows,
        report.revision,
        report.compacted
    );
    if report.findings.is_empty() {
        println!("Every page and every checksum is right.");
        return ExitCode::SUCCESS;
    }
    report.findings.iter().for_each(|finding| println!("  {finding}"));
    println!(
        "What is stored is damaged. `ironclad restore` takes the last backup into a new data directory."
    );
    ExitCode::FAILURE
}

fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(work)
}

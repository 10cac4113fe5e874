//! `ironclad backup`: all objects in one file. The process that runs the cluster writes it; if none does, we do.

use crate::args::Backup;
use crate::background;
use crate::config::Instance;
use crate::control::{Answer, Question, ask};
use crate::settings::Settings;

/// Does it.
pub fn run(flags: &Backup) -> anyhow::Result<()> {
    let instance = Instance::in_dir(&flags.instance.data_dir)?;
    let file = std::path::absolute(&flags.file)?;
    let revision = match background::running(&instance)? {
        Some(_) => match ask(&instance.control_socket(), &Question::Backup(file.clone()))? {
            Answer::BackedUp(revision) => revision,
            other => anyhow::bail!("the answer makes no sense: {other:?}"),
        },
        None => {
            let settings = Settings::read(&instance)?;
            let made = settings.is_some() || instance.store_dir().exists();
            anyhow::ensure!(made, "there is no cluster in {}", instance.data_dir.display());
            let datastore = settings.map(|settings| settings.datastore).unwrap_or_default();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime
                .block_on(async { datastore.open(&instance, &env::Env::real()).await?.backup(&file).await })?
        }
    };
    println!("The objects as of revision {revision} are in {}.", file.display());
    println!("Certificates and keys are not in it: keep {} as well.", instance.pki_dir().display());
    Ok(())
}

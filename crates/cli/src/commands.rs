//! The verbs, one file each.

pub mod apply;
pub mod create;
pub mod delete;
pub mod describe;
pub mod exec;
pub mod get;
pub mod logs;
pub mod rollout;
pub mod scale;
pub mod set;
pub mod version;
pub mod wait;

use crate::args::{Kubectl, Verb};
use crate::session::Session;
use crate::{Defaults, Failure};

/// Runs what was typed; answers the exit code of a success.
pub fn run(typed: Kubectl, defaults: &Defaults) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let session = Session::open(&typed.global, defaults)?;
        match typed.verb {
            Verb::Apply(args) => apply::run(&session, &args).await,
            Verb::Create(args) => create::run(&session, &args).await,
            Verb::Delete(args) => delete::run(&session, &args).await,
            Verb::Describe(args) => describe::run(&session, &args).await,
            Verb::Exec(args) => exec::run(&session, &args).await,
            Verb::Get(args) => get::run(&session, &args).await,
            Verb::Logs(args) => logs::run(&session, &args).await,
            Verb::Rollout(args) => rollout::run(&session, &args).await,
            Verb::Scale(args) => scale::run(&session, &args).await,
            Verb::Set(args) => set::run(&session, &args).await,
            Verb::Version(args) => version::run(&session, &args).await,
            Verb::Wait(args) => wait::run(&session, &args).await,
        }
    })?;
    Ok(0)
}

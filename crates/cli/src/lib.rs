//! kubectl's verbs: the same words in, the same words out, one file each.
//!
//! `args` says what can be typed, `commands/<verb>` what it does. What verbs share has rooms of its own: `session` (the
//! connection and what the server serves), `resource` (from `deploy/web` to a path), `manifest` (documents from files),
//! `printers` (tables, YAML, JSON, JSONPath).

mod args;
mod commands;
mod failure;
mod kubeconfig;
mod manifest;
mod printers;
mod resource;
mod session;
mod threeway;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

pub use failure::Failure;

/// What the caller knows better than kubectl's own rules.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// The kubeconfig to use where neither flag nor environment names one and the user has none.
    pub kubeconfig: Option<PathBuf>,
}

/// Runs one kubectl command line (without the program's name) and answers its exit code.
pub fn run(arguments: Vec<OsString>, defaults: &Defaults) -> u8 {
    let words = std::iter::once(OsString::from("kubectl")).chain(arguments);
    let parsed = match args::Kubectl::try_parse_from(words) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Printing to a closed terminal has nobody to complain to.
            let _ = error.print();
            return u8::from(error.use_stderr());
        }
    };
    match commands::run(parsed, defaults) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

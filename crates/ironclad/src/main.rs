//! The binary: what was typed, what the machine is like, and every room put together.

mod allocator;
mod args;
mod background;
mod commands;
mod compose;
mod config;
mod control;
#[cfg(all(target_arch = "x86_64", target_env = "gnu", target_feature = "crt-static"))]
mod copies;
mod datastore;
mod demo;
mod join;
mod kubeconfig;
mod logging;
mod nodes;
mod pki;
mod registries;
mod security;
mod settings;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use args::{Cli, Command};
use commands::up::Tell;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // Helpers of the runtime fork: they go first, before anything starts a thread.
    if let Some(code) = runtime::helper_main(&words) {
        return code;
    }
    if let Some(code) = by_name(&words) {
        return ExitCode::from(code);
    }
    #[cfg(all(target_arch = "x86_64", target_env = "gnu", target_feature = "crt-static"))]
    copies::choose();
    let command = Cli::parse().command;
    if let Command::Agent(_) = command {
        allocator::give_back_at_once();
    }
    // Before there is a second thread, which would stay behind.
    match enter_space(&command).and_then(|()| run(command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ironclad: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the binary does when it is called by another name or way: kubectl, a network plugin, a tool of the demo image.
fn by_name(words: &[OsString]) -> Option<u8> {
    let called = Path::new(words.first()?).file_name()?.to_str()?;
    // As container runtimes call the plugins of networks: without a word, all is in the environment.
    if words.len() == 1 && std::env::var_os("CNI_COMMAND").is_some() {
        return Some(commands::cni::run());
    }
    if called == "kubectl" {
        return Some(cli::run(words[1..].to_vec(), &kubectl_defaults()));
    }
    let arguments: Vec<String> = words[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    demo::shell::run_as(called, &arguments)
}

fn kubectl_defaults() -> cli::Defaults {
    let instance = config::Instance::in_dir(Path::new(args::DEFAULT_DATA_DIR)).ok();
    cli::Defaults { kubeconfig: instance.map(|instance| instance.kubeconfig()) }
}

/// Moves this process into the space of the node it is about, if that lives in one.
fn enter_space(command: &Command) -> anyhow::Result<()> {
    let (place, name) = match command {
        Command::Agent(flags) if flags.in_space => (&flags.instance, flags.node_name.as_deref()),
        Command::Down(flags) if flags.in_space => (&flags.instance, None),
        _ => return Ok(()),
    };
    let space = config::Instance::in_dir(&place.data_dir)?.space();
    space.enter(name.unwrap_or("ironclad")).context("the space of the node cannot be entered")
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(flags) => commands::up::run(&flags, Tell::HowToUse)?,
        Command::Server(flags) => commands::up::run(&flags, Tell::HowToJoin)?,
        Command::Agent(flags) => commands::agent::run(&flags)?,
        Command::Runtime(flags) => commands::runtime::run(&flags)?,
        Command::Token(command) => commands::token::run(&command)?,
        Command::Down(flags) => commands::down::run(&flags)?,
        Command::Status(flags) => return commands::status::run(&flags),
        Command::Image(flags) => commands::image::run(&flags)?,
        Command::Net(command) => return commands::net::run(&command),
        Command::Backup(flags) => commands::backup::run(&flags)?,
        Command::Restore(flags) => commands::restore::run(&flags)?,
        Command::Datastore(flags) => return commands::datastore::run(&flags),
        Command::Kubectl(flags) => return Ok(ExitCode::from(cli::run(flags.args, &kubectl_defaults()))),
        Command::Hello(flags) => demo::hello::serve(flags.port)?,
    }
    Ok(ExitCode::SUCCESS)
}

//! The binary: what was typed, what the machine is like, and every room put together.

mod args;
mod background;
mod config;
mod demo;
mod kubeconfig;
mod pki;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}

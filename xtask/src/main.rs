//! The project's own tasks: `cargo xtask <task>`. The Makefile is their index.

mod extract;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  extract   write the table of kinds anew: extract REFERENCE GO, where REFERENCE holds openapi/, discovery/ and
            bootstrap/ of a server and GO the Go sources of k8s.io/{api,apimachinery,kube-aggregator,
            apiextensions-apiserver} of the same version
  tidy      check the house rules that no compiler knows: sizes, headers, crate edges, banned words";

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let result = match task.as_deref() {
        Some("extract") => extract::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("tidy") => tidy::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

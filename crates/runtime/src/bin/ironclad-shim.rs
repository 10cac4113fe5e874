//! The runtime's helpers as a program of their own, small enough to see what a shim itself takes: for tests and
//! benchmarks. The `ironclad` binary contains the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    runtime::helper_main(&arguments).unwrap_or_else(|| {
        eprintln!("this program is started by the runtime, not by hand");
        ExitCode::from(2)
    })
}

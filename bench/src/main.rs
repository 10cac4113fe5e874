//! Benchmarks: `cargo run --release -p bench -- WHAT`.

mod datastore;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((what, rest)) if what == "store" => datastore::run(rest).await,
        _ => bail!("say what to measure: store"),
    }
}

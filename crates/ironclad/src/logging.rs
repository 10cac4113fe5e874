//! The log: lines on standard error, from a level on.

use anyhow::Context;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging from `level` on: `error`, `warn`, `info`, `debug` or `trace`.
pub fn start(level: &str) -> anyhow::Result<()> {
    let level: LevelFilter = level
        .parse()
        .ok()
        .with_context(|| format!("--log {level}: take error, warn, info, debug or trace"))?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(level);
    tracing_subscriber::registry().with(lines).try_init().context("the log is started twice")
}

//! Where the log goes: standard error, a line or a JSON object for each event.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts the log; a second start in one process changes nothing.
///
/// # Errors
/// When the level is not one.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter =
        EnvFilter::builder().parse(&log.level).with_context(|| format!("log.level {:?}", log.level))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_started = match log.format {
        LogFormat::Text => {
            subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().try_init(),
    };
    // Tests start several servers in one process.
    let _ = is_started;
    Ok(())
}

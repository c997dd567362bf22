//! Where the log goes: standard error, a line or a JSON object for each event.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Crates of others that log what they do with each frame, in words that name no instance: what is wrong with one is told
/// by whoever asked for it. Not logged unless the level names them.
const SILENT: [&str; 2] = ["jpeg2k", "openjp2"];

/// Starts the log; a second start in one process changes nothing.
///
/// # Errors
/// When the level is not one.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter(&log.level)?).with_writer(std::io::stderr);
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

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let silent = SILENT.iter().filter(|name| !level.contains(**name)).map(|name| format!(",{name}=off"));
    // None at all means this one.
    let named = if level.trim().is_empty() { "error" } else { level };
    let directives = format!("{named}{}", silent.collect::<String>());
    EnvFilter::builder().parse(directives).with_context(|| format!("log.level {level:?}"))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whether a line of the decoder, and one of ours, is in a log of that level.
    fn logged(level: &str) -> (bool, bool) {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(level).unwrap())
            .with_writer(move || writer.clone())
            .finish();
        with_default(subscriber, || {
            tracing::error!(target: "jpeg2k::codec", "tile 1 is broken");
            tracing::info!(target: "worker::runner", "a study is complete");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        (text.contains("tile"), text.contains("study"))
    }

    #[test]
    fn what_decoders_of_others_log_is_left_out_unless_it_is_asked_for() {
        assert_eq!(logged("info"), (false, true));
        assert_eq!(logged("trace"), (false, true));
        assert_eq!(logged("warn,worker=info"), (false, true));
        assert_eq!(logged("info,jpeg2k=warn"), (true, true));
        assert_eq!(logged(""), (false, false));
    }

    #[test]
    fn a_level_that_is_none_is_told_as_it_was_written() {
        let error = filter("loud=very").unwrap_err();
        assert_eq!(error.to_string(), "log.level \"loud=very\"");
    }
}

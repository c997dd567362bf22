//! A headless Chromium, driven by the scripts in `browser/`.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::tools::{chromium, run, scripts};

/// A start of the browser and a walk through the viewer, with software rendering on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What a reader uses.
#[derive(Clone, Copy, Debug)]
pub struct Browser {
    pub language: &'static str,
    pub width: u16,
    pub height: u16,
}

impl Browser {
    /// Searches for `words`, opens the first study that is found, and reads it: `browser/reading.mjs` says how.
    ///
    /// Screenshots go to `folder`; the answer is what was seen.
    pub async fn read(&self, server: SocketAddr, words: &str, folder: &Path) -> Result<Value> {
        let wishes = serde_json::json!({
            "language": self.language, "width": self.width, "height": self.height, "words": words,
        });
        let mut command = page("reading.mjs", server)?;
        command.arg(folder).arg(wishes.to_string());
        let finished = run(&mut command, LIMIT).await?.well().with_context(|| format!("{self:?}"))?;
        serde_json::from_str(&finished.stdout)
            .with_context(|| format!("reading.mjs printed {:?}", finished.stdout))
    }
}

/// One of the scripts in `browser/`, with the browser and the server that it is to visit.
pub(crate) fn page(script: &str, server: SocketAddr) -> Result<Command> {
    let scripts = scripts().join("browser");
    ensure!(scripts.join("node_modules").is_dir(), "the browser driver is missing: `make test` installs it");
    let mut command = Command::new("node");
    command.arg(scripts.join(script)).arg(chromium()?).arg(format!("http://{server}/"));
    Ok(command)
}

//! Settings of the worker: table `[worker]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much of the machine computing may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Threads that decode, scale and encode images. 0, the default, is one a core; more than there
    /// are cores only makes them wait for each other, fewer leave room for other programs.
    pub threads: usize,
    /// A study of which nothing has come for so long counts as complete: the rules are asked, and peers told that want to
    /// know. What an association has brought is looked at when that ends, too. In seconds, default 60.
    pub complete_after_s: u64,
    /// Whether this node does by itself what has to be done: thumbnails, rules, what is exchanged with peers, the packs.
    /// Off for a node of several that has to do nothing but take images and give them; another one does it then, and what
    /// waits, waits where none does. Default: on.
    pub jobs: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { threads: 0, complete_after_s: 60, jobs: true }
    }
}

impl Config {
    /// How long nothing may have come of a study that counts as complete.
    pub fn complete_after(&self) -> Duration {
        Duration::from_secs(self.complete_after_s.max(1))
    }
}

//! Settings of the worker: table `[worker]`.

use serde::{Deserialize, Serialize};

/// How much of the machine computing may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Threads that decode, scale and encode images. 0, the default, is one a core; more than there
    /// are cores only makes them wait for each other, fewer leave room for other programs.
    pub threads: usize,
}

//! Programs that are told by HTTP what has happened.
//!
//! The web implements it, so that who tells them knows no HTTP.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::Result;

/// What a program is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The same each time that it is told.
    pub id: String,
    /// JSON.
    pub body: String,
}

/// Those of the settings.
pub trait Hooks: Send + Sync + 'static {
    /// Tells one of them, and returns when it has taken it.
    ///
    /// # Errors
    /// With what it did instead; one that is permanent where telling it again cannot help.
    fn tell<'a>(&'a self, name: &'a str, call: &'a Call) -> BoxFuture<'a, Result<()>>;
}

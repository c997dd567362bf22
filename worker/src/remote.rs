//! Remote AEs as the rest of the server uses them: asked, and fetched from.
//!
//! The protocols implement it, so that who asks for it knows none.

use std::time::Duration;

use dicom_store::Peer;
use dicom_store::model::AeTitle;
use futures_util::future::BoxFuture;

use crate::Result;

/// What peers do for us.
pub trait Remotes: Send + Sync + 'static {
    /// The peers of the settings, by title. They cannot be changed while the server runs.
    fn fixed(&self) -> Vec<Peer>;

    /// Whether a peer answers, and knows us; gives how long it took.
    ///
    /// # Errors
    /// `NotFound` when there is no such peer, `Remote` with what it did instead.
    fn echo<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Result<Duration>>;
}

//! Where instances can be sent: a DICOM peer, a STOW-RS endpoint.
//!
//! The protocols implement it and the server registers what is configured, so that forwarding is
//! written once and knows no protocol.

use dicom_store::Session;
use dicom_store::model::{Instance, SopInstanceUid};
use futures_util::future::BoxFuture;

use crate::Result;

/// A remote place that takes instances.
pub trait Destination: Send + Sync + 'static {
    /// The name it has in the settings and in jobs.
    fn name(&self) -> &str;

    /// Sends the instances, reading them through the session, each once.
    ///
    /// What one instance meets is no error of the whole: it is told in [`Delivery`], so that only
    /// what failed is sent again.
    ///
    /// # Errors
    /// When nothing could be sent at all, such as when the place cannot be reached.
    fn send<'a>(&'a self, from: &'a Session, instances: &'a [Instance]) -> BoxFuture<'a, Result<Delivery>>;
}

/// What became of the instances that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Taken by the other side, with or without a warning.
    pub delivered: Vec<SopInstanceUid>,
    /// Not taken, and why; worth another try.
    pub failed: Vec<(SopInstanceUid, String)>,
    /// Refused for good, such as a SOP class that the other side does not know.
    pub refused: Vec<(SopInstanceUid, String)>,
}

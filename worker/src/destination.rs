//! Where instances can be sent: a DICOM peer, a STOW-RS endpoint.
//!
//! The protocols implement it, so that forwarding is written once and knows no protocol.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::Session;
use dicom_store::model::{AeTitle, DayTimes, Instance, SopInstanceUid, TransactionUid};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use crate::rate::Rate;
use crate::{Error, Remotes, Result};

/// A remote place that takes instances.
pub trait Destination: Send + Sync + 'static {
    /// The name it has in the settings and in jobs.
    fn name(&self) -> &str;

    /// Sends the instances, reading them through the session, each once; begins no further one when it is told to stop.
    ///
    /// What becomes of each is told as it happens, so that only what is left is sent again, whatever happens to us.
    ///
    /// # Errors
    /// When nothing could be sent at all, such as when the place cannot be reached.
    fn send<'a>(
        &'a self,
        from: &'a Session,
        instances: &'a [Instance],
        told: mpsc::Sender<(SopInstanceUid, Sent)>,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<()>>;

    /// When rules may send to it, by the clock of this machine. What somebody asks for is sent at once.
    fn send_between(&self) -> DayTimes {
        DayTimes::default()
    }

    /// How long it may take to report on storage commitment; `None` where what it has taken is proof enough.
    fn commits_within(&self) -> Option<Duration> {
        None
    }

    /// Asks it to commit itself to keeping these (PS3.4 Annex J), and returns when it has taken the request. Its report
    /// goes to [`commitment::note`](crate::commitment::note), maybe before this ends.
    ///
    /// # Errors
    /// When the request was not taken, or never got there.
    fn commit<'a>(
        &'a self,
        _transaction: &'a TransactionUid,
        _instances: &'a [Instance],
    ) -> BoxFuture<'a, Result<()>> {
        async { Err(Error::Remote(format!("{} is asked for no storage commitment", self.name()))) }.boxed()
    }
}

/// All places that can be sent to, by their names; cheap to clone.
#[derive(Clone)]
pub struct Destinations {
    remotes: Arc<dyn Remotes>,
    /// Those that are no peers.
    places: Arc<[Arc<dyn Destination>]>,
}

impl Destinations {
    /// The peers, and `places`, which have other names.
    pub fn new(remotes: Arc<dyn Remotes>, places: Vec<Arc<dyn Destination>>) -> Self {
        Self { remotes, places: places.into() }
    }

    /// `None` when there is none of that name, or nothing may be sent to it.
    pub async fn named(&self, name: &AeTitle) -> Option<Arc<dyn Destination>> {
        match self.places.iter().find(|place| place.name() == name.as_str()) {
            Some(place) => Some(Arc::clone(place)),
            None => self.remotes.destination(name).await,
        }
    }
}

/// What became of an instance that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Taken by the other side, with or without a warning.
    Delivered,
    /// Not taken, and why; worth another try.
    Failed(String),
    /// The association broke while it was under way, and why: worth another try, behind the others.
    Broken(String),
    /// Refused for good, such as a SOP class that the other side does not know.
    Refused(String),
}

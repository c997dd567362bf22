//! What somebody orders of the work with peers: it is in the queue, on stable storage, when they are answered.

use std::sync::Arc;

use dicom_store::Work;
use dicom_store::model::{AeTitle, StudyInstanceUid};
use dicom_store::queue::NewJob;
use tokio::sync::Notify;

use crate::destination::Destinations;
use crate::jobs::retrieve::ORDER;
use crate::jobs::{BringOver, Forward, Retrieve};
use crate::migrate::Order;
use crate::{Remotes, Result};

/// Puts orders in the queue; cheap to clone.
#[derive(Clone)]
pub struct Orders {
    work: Work,
    came: Arc<Notify>,
}

impl Orders {
    pub(crate) fn new(work: Work, came: Arc<Notify>) -> Self {
        Self { work, came }
    }

    /// Has a study fetched from a peer.
    ///
    /// # Errors
    /// When the index cannot be reached.
    pub async fn retrieve(&self, peer: &AeTitle, study: &StudyInstanceUid) -> Result<()> {
        self.take(Retrieve::of(peer, study, ORDER)?).await
    }

    /// Has a study sent to a destination, as far as it has not been delivered; `again`: all of it.
    ///
    /// # Errors
    /// When the index cannot be reached.
    pub async fn send(&self, to: &AeTitle, study: &StudyInstanceUid, again: bool) -> Result<()> {
        self.take(Forward::by_order(to, study, again)?).await
    }

    /// Has another archive come over, study by study.
    ///
    /// # Errors
    /// When the index cannot be reached.
    pub async fn import(&self, order: &Order) -> Result<()> {
        BringOver::keep(&self.work, order, None, false).await?;
        self.take(BringOver::of(order)?).await
    }

    async fn take(&self, job: NewJob) -> Result<()> {
        self.work.enqueue_durably(&[job]).await?;
        self.came.notify_one();
        Ok(())
    }
}

/// The work with peers: what they do at once, and what they are ordered to; cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    pub remotes: Arc<dyn Remotes>,
    pub destinations: Destinations,
    pub orders: Orders,
}

impl Exchange {
    /// With no destinations but peers, and a queue that whoever runs its jobs looks at by itself.
    pub fn new(remotes: Arc<dyn Remotes>, work: Work) -> Self {
        let destinations = Destinations::new(Arc::clone(&remotes), Vec::new());
        Self { remotes, destinations, orders: Orders::new(work, Arc::default()) }
    }
}

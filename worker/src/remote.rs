//! Remote AEs as the rest of the server uses them: asked, fetched from, and told.
//!
//! The protocols implement it, so that who asks for it knows none.

#[cfg(test)]
pub(crate) mod fake;

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{AeTitle, Attributes, SopInstanceUid, StudyInstanceUid};
use dicom_store::{Peer, Session};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{Destination, Result};

/// What a peer answered to a question.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The data set of each answer.
    pub rows: Vec<Attributes>,
    /// There are no more than these. Otherwise there were as many as were wanted, the peer ended with a warning or a failure
    /// behind them, or some could not be read.
    pub is_all: bool,
}

/// What a peer has of a study, and what of it is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Instances that the peer says it has; `None` when it does not say.
    pub expected: Option<u64>,
    /// Instances that are here, those included that the peer does not have.
    pub here: u64,
    /// Those of the peer that are not, where it lists them.
    pub missing: Vec<SopInstanceUid>,
}

impl Fetched {
    /// Whether everything is here that the peer says it has.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.expected.is_none_or(|expected| self.here >= expected)
    }

    /// How many are not here.
    pub fn lacks(&self) -> u64 {
        let listed = self.missing.len() as u64;
        listed.max(self.expected.unwrap_or(0).saturating_sub(self.here))
    }
}

/// What peers do for us.
pub trait Remotes: Send + Sync + 'static {
    /// The peers of the settings, by title. They cannot be changed while the server runs.
    fn fixed(&self) -> Vec<Peer>;

    /// The peer of that title, of the settings or of the register.
    fn peer<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<Peer>>>;

    /// Whether a peer answers, and knows us; gives how long it took.
    ///
    /// # Errors
    /// `NotFound` when there is no such peer, `Remote` with what it did instead; so everywhere below.
    fn echo<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Result<Duration>>;

    /// What a peer has that matches this identifier of the Study Root, at the level that it names; up to `most`.
    fn search<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        keys: &'a Attributes,
        most: usize,
    ) -> BoxFuture<'a, Result<Found>>;

    /// Has a peer send what of a study is not here yet; ends early when it is told to stop. What came is kept whatever
    /// happens.
    fn fetch<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        study: &'a StudyInstanceUid,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Fetched>>;

    /// Where instances can be sent; `None` when there is no such peer or nothing may be sent to it.
    fn destination<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<dyn Destination>>>;

    /// Tells a peer what of a study can be retrieved here (PS3.4 Annex R).
    fn notify<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        from: &'a Session,
        study: &'a StudyInstanceUid,
    ) -> BoxFuture<'a, Result<()>>;
}

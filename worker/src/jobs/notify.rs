//! Peers that want to know are told of each study that is complete here (PS3.4 Annex R).

use std::sync::Arc;
use std::time::Duration;

use dicom_store::Session;
use dicom_store::model::{AeTitle, StudyInstanceUid};
use dicom_store::queue::NewJob;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::job::{HowFar, Job, new_job};
use crate::remote::Remotes;

/// Tells peers.
pub struct Notify {
    session: Session,
    remotes: Arc<dyn Remotes>,
}

/// Whom, of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    peer: AeTitle,
    study: StudyInstanceUid,
}

impl Notify {
    /// Reads through this session.
    pub fn new(session: Session, remotes: Arc<dyn Remotes>) -> Self {
        Self { session, remotes }
    }

    /// The job of a study that is complete.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(peer: &AeTitle, study: &StudyInstanceUid) -> Result<NewJob> {
        let errand = Errand { peer: peer.clone(), study: study.clone() };
        new_job::<Self>(format!("{study} {peer}"), &errand, Duration::ZERO)
    }
}

impl Job for Notify {
    const KIND: &'static str = "notify-availability";
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    /// About three days of a peer that is not there.
    const ATTEMPTS: u32 = 440;
    type Payload = Errand;

    async fn run(&self, Errand { peer, study }: Errand, _: &HowFar) -> Result<()> {
        self.remotes.notify(&peer, &self.session, &study).await
    }
}

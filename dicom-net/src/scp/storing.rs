//! C-STOREs whose data sets are here and that are on their way to stable storage: several at a time where the peer has
//! asked for that (PS3.7 §D.3.3.3), answered as they become durable.

use std::collections::BTreeSet;

use dicom_store::model::StudyInstanceUid;
use tokio::io::AsyncWrite;
use tokio::task::JoinSet;
use tracing::{Instrument, debug};

use crate::dimse::Response;
use crate::error::{Error, Result};
use crate::ul::PduWriter;

/// A response that is due, its context, and the study of which something new came.
pub(super) struct Done {
    pub context: u8,
    pub response: Response,
    pub brought: Option<StudyInstanceUid>,
}

/// Studies of one association that are looked at when it ends; the others when nothing comes for a while.
const MOST_BROUGHT: usize = 1000;

/// Studies of which something new came.
#[derive(Default)]
pub(super) struct Brought(pub BTreeSet<StudyInstanceUid>);

impl Brought {
    pub(super) fn note(&mut self, study: &StudyInstanceUid) {
        if self.0.len() < MOST_BROUGHT {
            self.0.insert(study.clone());
        }
    }
}

/// Those of one association.
pub(super) struct Storing {
    most: usize,
    under_way: JoinSet<Done>,
    pub brought: Brought,
}

impl Storing {
    /// `operations`: how many may be under way, as it was agreed.
    pub(super) fn new(operations: u16) -> Self {
        Self { most: usize::from(operations), under_way: JoinSet::new(), brought: Brought::default() }
    }

    /// Whether more than one at a time was agreed.
    pub(super) fn is_asynchronous(&self) -> bool {
        self.most > 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= self.most
    }

    /// Carries on with one while others arrive. Dropped with its association it ends.
    pub(super) fn begin(&mut self, store: impl Future<Output = Done> + Send + 'static) {
        self.under_way.spawn(store.in_current_span());
    }

    /// The next that has ended; `None` while none is under way. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Result<Done>> {
        let ended = self.under_way.join_next().await?;
        if let Ok(Done { brought: Some(study), .. }) = &ended {
            self.brought.note(study);
        }
        Some(ended.map_err(|_| Error::GivenUp("storing an instance has failed".to_owned())))
    }
}

impl Done {
    /// # Errors
    /// When it cannot be sent.
    pub(super) async fn answer<W: AsyncWrite + Unpin>(self, writer: &mut PduWriter<W>) -> Result<()> {
        let Self { context, response, .. } = self;
        debug!(message_id = response.responds_to(), status = %response.status, "answered");
        writer.queue(context, &response.write(), None);
        writer.flush().await
    }
}

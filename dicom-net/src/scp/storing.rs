//! C-STOREs whose data sets are here and that are on their way to stable storage: several at a time where the peer has
//! asked for that (PS3.7 §D.3.3.3), answered as they become durable.

use std::collections::{BTreeSet, HashSet};

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
    /// Message IDs of these.
    ids: HashSet<u16>,
    pub brought: Brought,
}

impl Storing {
    /// `operations`: how many may be under way, as it was agreed.
    pub(super) fn new(operations: u16) -> Self {
        let (under_way, ids) = (JoinSet::new(), HashSet::new());
        Self { most: usize::from(operations), under_way, ids, brought: Brought::default() }
    }

    /// Whether more than one at a time was agreed.
    pub(super) fn is_asynchronous(&self) -> bool {
        self.most > 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= self.most
    }

    /// Whether an operation of that Message ID is under way, so that no other may have it (PS3.7 Annex C).
    pub(super) fn has(&self, message_id: u16) -> bool {
        self.ids.contains(&message_id)
    }

    /// Carries on with one while others arrive. Dropped with its association it ends.
    pub(super) fn begin(&mut self, message_id: u16, store: impl Future<Output = Done> + Send + 'static) {
        self.ids.insert(message_id);
        self.under_way.spawn(store.in_current_span());
    }

    /// The next that has ended; `None` while none is under way. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Result<Done>> {
        let ended = self.under_way.join_next().await?;
        if let Ok(Done { response, brought, .. }) = &ended {
            self.ids.remove(&response.responds_to());
            brought.iter().for_each(|study| self.brought.note(study));
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::dimse::{CStoreRq, Request, Status};

    fn done(message_id: u16, study: Option<&str>) -> Done {
        let request = CStoreRq::new(message_id, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", None).write();
        let Some(Request::CStore(CStoreRq { identity, .. })) = Request::read(request) else { panic!() };
        let brought = study.map(|study| StudyInstanceUid::parse(study).unwrap());
        Done { context: 1, response: Response::new(&identity, Status::SUCCESS), brought }
    }

    /// One that ends when it is told to.
    fn store(storing: &mut Storing, message_id: u16) -> oneshot::Sender<Option<&'static str>> {
        let (end, ended) = oneshot::channel();
        storing.begin(message_id, async move { done(message_id, ended.await.unwrap()) });
        end
    }

    #[tokio::test]
    async fn as_many_as_were_agreed_are_under_way_and_each_is_told_when_it_ends() {
        let mut storing = Storing::new(2);
        assert!(storing.is_asynchronous() && !storing.is_full());
        let first = store(&mut storing, 1);
        assert!(!storing.is_full());
        let second = store(&mut storing, 2);
        assert!(storing.is_full() && storing.next().now_or_never().is_none());
        assert!(storing.has(1) && storing.has(2) && !storing.has(3));
        second.send(Some("1.9")).unwrap();
        assert_eq!(storing.next().await.unwrap().unwrap().response.responds_to(), 2);
        assert!(!storing.is_full() && storing.has(1) && !storing.has(2));
        first.send(None).unwrap();
        assert_eq!(storing.next().await.unwrap().unwrap().response.responds_to(), 1);
        assert!(storing.next().await.is_none());
        let brought: Vec<&str> = storing.brought.0.iter().map(|study| study.as_str()).collect();
        assert_eq!(brought, ["1.9"]);
    }

    #[tokio::test]
    async fn one_that_breaks_ends_the_association_and_a_window_of_one_is_none() {
        let mut storing = Storing::new(1);
        assert!(!storing.is_asynchronous());
        drop(store(&mut storing, 1));
        assert!(matches!(storing.next().await, Some(Err(Error::GivenUp(_)))));
    }
}

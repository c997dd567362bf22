//! Requests of our own on an association that a peer has requested: reports of storage commitment, one at a time
//! (PS3.7 §D.3.3.3).

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::dispatch::Conversation;
use crate::commitment::{Handover, OpenAssociations, STORAGE_COMMITMENT, Transaction};
use crate::dimse::{Response, Status};
use crate::error::Result;

/// Reports of an association that wait to be sent.
const WAITING: usize = 8;

/// What is reported on one association.
pub(super) struct Events {
    open: Arc<OpenAssociations>,
    association: mpsc::Sender<Handover>,
    reports: mpsc::Receiver<Handover>,
    /// The report that was sent last, until the peer has answered it.
    under_way: Option<(u16, oneshot::Sender<Status>)>,
    message_id: u16,
}

impl Events {
    pub(super) fn new(open: Arc<OpenAssociations>) -> Self {
        let (association, reports) = mpsc::channel(WAITING);
        Self { open, association, reports, under_way: None, message_id: 0 }
    }

    /// The report of this transaction may go here.
    pub(super) fn expect(&self, transaction: &Transaction) {
        self.open.open(transaction, &self.association);
    }

    /// The next report, once the one before it is answered or nobody waits for its answer any more. May be dropped
    /// while it waits and called again.
    pub(super) async fn next(&mut self) -> Handover {
        if let Some((_, answered)) = &mut self.under_way {
            answered.closed().await;
            self.under_way = None;
        }
        match self.reports.recv().await {
            Some(handover) => handover,
            // It has a sender as long as this lives.
            None => std::future::pending().await,
        }
    }

    /// Takes the answer to a report; `false` when the response answers none.
    pub(super) fn take(&mut self, response: &Response) -> bool {
        let answered = self.under_way.take_if(|(message_id, _)| *message_id == response.responds_to());
        let Some((_, answered)) = answered else { return false };
        // Whoever has waited too long reports otherwise.
        let _ = answered.send(response.status);
        true
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.open.close(&self.association);
    }
}

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Sends a report; its answer comes between other messages.
    pub(super) async fn report(&mut self, handover: Handover) -> Result<()> {
        let mut contexts = self.association.contexts.iter();
        let Some(context) = contexts.find(|context| context.abstract_syntax.as_str() == STORAGE_COMMITMENT)
        else {
            return Ok(());
        };
        self.events.message_id = self.events.message_id.wrapping_add(1);
        let message_id = self.events.message_id;
        let (command, data) = (
            handover.report.command(message_id),
            handover.report.write(context.transfer_syntax.facts().encoding),
        );
        debug!(message_id, "N-EVENT-REPORT");
        self.association.writer.queue(context.id, &command, Some(&data));
        self.events.under_way = Some((message_id, handover.answered));
        self.association.writer.flush().await
    }
}

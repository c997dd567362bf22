//! N-EVENT-REPORT of a peer that was asked for storage commitment, on an association of its own (PS3.4 §J.3.3).

use dicom_store::{Caller, PeerRights};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::dispatch::Conversation;
use crate::commitment::{LONGEST_LIST, hear};
use crate::dimse::{NEventReportRq, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn n_event_report(
        &mut self,
        context: &PresentationContext,
        request: NEventReportRq,
    ) -> Result<()> {
        let identity = &request.identity;
        if !matches!(self.session.caller(), Caller::Peer { rights: PeerRights { known: true, .. }, .. }) {
            warn!(calling = %self.association.calling, "a report of storage commitment of an unknown peer was refused");
            let response = Response::new(identity, Status::NOT_AUTHORIZED).because("not a known peer");
            return self.refuse(context, identity, response).await;
        }
        if !identity.has_data_set {
            let response = Response::new(identity, Status::INVALID_ARGUMENT_VALUE);
            return self
                .respond(context, &response.because("the report has no Event Information"), None)
                .await;
        }
        let event = self.data_set(context, LONGEST_LIST).await?;
        let encoding = context.transfer_syntax.facts().encoding;
        let work = self.shared.archive.work();
        let response = hear(&work, &self.association.calling, &request, event, encoding).await;
        self.respond(context, &response, None).await
    }
}

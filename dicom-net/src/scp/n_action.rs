//! N-ACTION of storage commitment (PS3.4 §J.3.2): answered at once, carried out and reported later.

use dicom_store::model::Attributes;
use dicom_store::{Caller, PeerRights};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{info, warn};

use super::dispatch::Conversation;
use crate::commitment::{LONGEST_LIST, REQUEST, Transaction, WELL_KNOWN_INSTANCE};
use crate::dimse::{NActionRq, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn n_action(&mut self, context: &PresentationContext, request: NActionRq) -> Result<()> {
        let identity = &request.identity;
        if let Some(response) = Self::mismatch(context, identity) {
            return self.refuse(context, identity, response).await;
        }
        if let Err((status, comment)) = self.may_ask(&request) {
            warn!(calling = %self.association.calling, %status, comment, "storage commitment was refused");
            return self.refuse(context, identity, Response::new(identity, status).because(comment)).await;
        }
        let asked = match self.data_set(context, LONGEST_LIST).await? {
            Some(bytes) => Attributes::read(bytes, context.transfer_syntax.facts().encoding)
                .map_err(|error| (Status::PROCESSING_FAILURE, error.what))
                .and_then(|information| Transaction::read(self.association.calling.clone(), &information)),
            None => {
                Err((Status::RESOURCE_LIMITATION, "too many instances, ask for fewer at a time".to_owned()))
            }
        };
        let response = match asked {
            Ok(transaction) => self.take_on(&request, &transaction).await,
            Err((status, comment)) => {
                warn!(calling = %self.association.calling, %status, comment, "storage commitment was refused");
                Response::new(identity, status).because(comment)
            }
        };
        self.respond(context, &response, None).await
    }

    /// Whether this peer may ask for this at all; otherwise the status and comment that say why not.
    fn may_ask(&self, request: &NActionRq) -> Result<(), (Status, &'static str)> {
        if !matches!(self.session.caller(), Caller::Peer { rights: PeerRights { known: true, .. }, .. }) {
            return Err((
                Status::NOT_AUTHORIZED,
                "not a known peer: its report needs an address, add it to peers",
            ));
        }
        if request.identity.sop_instance != WELL_KNOWN_INSTANCE {
            return Err((
                Status::NO_SUCH_SOP_INSTANCE,
                "the requested instance is not 1.2.840.10008.1.20.1.1",
            ));
        }
        if request.action_type != Some(REQUEST) {
            return Err((Status::NO_SUCH_ACTION_TYPE, "only action type 1, Request Storage Commitment"));
        }
        if !request.identity.has_data_set {
            return Err((Status::INVALID_ARGUMENT_VALUE, "the request has no Action Information"));
        }
        Ok(())
    }

    async fn take_on(&mut self, request: &NActionRq, transaction: &Transaction) -> Response {
        let (calling, uid) = (&transaction.calling, &transaction.uid);
        // Before it can be carried out, so that its report finds this association.
        self.events.expect(transaction);
        match self.shared.commitment.take_on(transaction).await {
            Ok(()) => {
                let instances = transaction.references.len();
                info!(%calling, transaction = %uid, instances, "storage commitment requested");
                Response::new(&request.identity, Status::SUCCESS)
            }
            Err(error) => {
                warn!(%calling, transaction = %uid, %error, "storage commitment cannot be taken on");
                Response::new(&request.identity, Status::PROCESSING_FAILURE)
                    .because("the archive is not available now, try again later")
            }
        }
    }
}

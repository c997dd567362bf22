//! C-STORE (PS3.4 Annex B, PS3.7 §9.1.1): the data set goes to the archive PDV by PDV, and the answer
//! comes when it is kept.

use dicom_store::model::SopInstanceUid;
use dicom_store::{Arrival, Incoming, Origin, Stored};
use tokio::io::{AsyncRead, AsyncWrite};

use super::dispatch::Conversation;
use super::storing::Done;
use crate::dimse::{CStoreRq, Identity, Response};
use crate::error::Result;
use crate::incoming::{DataSet, declared, receive, response, take_in};
use crate::ul::{Fragment, PresentationContext};

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn c_store(&mut self, context: &PresentationContext, request: CStoreRq) -> Result<()> {
        let request = &request.identity;
        let (declared, instance) = match declared(context, request) {
            Ok(declared) => declared,
            Err((status, comment)) => {
                return self.refuse(context, request, Response::new(request, status).because(comment)).await;
            }
        };
        let origin = Origin::Dimse {
            calling: self.association.calling.clone(),
            called: self.association.called.clone(),
            address: self.address,
        };
        let arrival = Arrival { origin, declared };
        if self.storing.is_asynchronous() {
            return self.store_meanwhile(context, request, instance, arrival).await;
        }
        let reader = &mut self.association.reader;
        let outcome = receive(reader, &mut self.pace, context.id, &self.session, arrival).await?;
        if let Ok(Stored::New(new)) = &outcome {
            self.storing.brought.note(&new.study);
        }
        self.respond(context, &response(request, &instance, &outcome), None).await
    }

    /// Takes in a data set, and leaves the rest to be done while others come.
    async fn store_meanwhile(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        instance: SopInstanceUid,
        arrival: Arrival,
    ) -> Result<()> {
        let session = self.session.clone();
        let mut data_set = Meanwhile { conversation: self, context };
        let incoming = match take_in(&mut data_set, &session, arrival).await? {
            Ok(incoming) => incoming,
            Err(error) => {
                return self.respond(context, &response(request, &instance, &Err(error)), None).await;
            }
        };
        while self.storing.is_full()
            && let Some(done) = self.storing.next().await
        {
            done?.answer(&mut self.association.writer).await?;
        }
        let request = request.clone();
        let context = context.id;
        self.storing.begin(request.message_id, async move {
            let outcome = Incoming::commit(incoming).await;
            let response = response(&request, &instance, &outcome);
            let brought = outcome.ok().and_then(|stored| match stored {
                Stored::New(new) => Some(new.study),
                _ => None,
            });
            Done { context, response, brought }
        });
        Ok(())
    }
}

/// A data set that comes while others are being stored.
pub(super) struct Meanwhile<'c, 'a, R, W> {
    pub(super) conversation: &'c mut Conversation<'a, R, W>,
    pub(super) context: &'c PresentationContext,
}

impl<R, W> DataSet for Meanwhile<'_, '_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    async fn next(&mut self) -> Result<Fragment> {
        self.conversation.data(self.context).await
    }
}

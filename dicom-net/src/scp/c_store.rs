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
        if let Some(stored) = outcome.as_ref().ok().filter(|stored| stored.is_new()) {
            self.storing.brought.note(&stored.instance().study);
        }
        let response = response(&self.session, request, &instance, &outcome).await;
        self.respond(context, &response, None).await
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
                let response = response(&session, request, &instance, &Err(error)).await;
                return self.respond(context, &response, None).await;
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
            let response = response(&session, &request, &instance, &outcome).await;
            let brought = outcome.ok().filter(Stored::is_new).map(|stored| stored.instance().study.clone());
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

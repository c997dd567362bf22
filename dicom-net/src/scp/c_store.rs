//! C-STORE (PS3.4 Annex B, PS3.7 §9.1.1): the data set goes to the archive PDV by PDV, and the answer
//! comes when it is kept.

use dicom_store::{Arrival, Origin, Stored};
use tokio::io::{AsyncRead, AsyncWrite};

use super::dispatch::Conversation;
use super::status;
use crate::dimse::{CStoreRq, Response};
use crate::error::Result;
use crate::incoming::{declared, receive, response};
use crate::ul::PresentationContext;

/// Studies of one association that are looked at when it ends; the others when nothing comes for a while.
const MOST_BROUGHT: usize = 1000;

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
        let (reader, arrival) = (&mut self.association.reader, Arrival { origin, declared });
        let outcome = receive(reader, &mut self.pace, context.id, &self.session, arrival).await?;
        if let Ok(Stored::New(new)) = &outcome
            && self.brought.len() < MOST_BROUGHT
        {
            self.brought.insert(new.study.clone());
        }
        let response = response(request, &instance, &outcome, |error| {
            (status::of_store(error.kind), status::comment(error))
        });
        self.respond(context, &response, None).await
    }
}

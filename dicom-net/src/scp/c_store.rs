//! C-STORE (PS3.4 Annex B, PS3.7 §9.1.1): the data set goes to the archive PDV by PDV, and the answer
//! comes when it is kept.

use dicom_store::model::{SopClassUid, SopInstanceUid};
use dicom_store::{Arrival, Declared, Incoming, Origin, Stored};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::dispatch::Conversation;
use super::status;
use crate::dimse::{CStoreRq, Identity, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

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
        let outcome = self.receive(context, declared).await?;
        let response = match outcome {
            Ok(Stored::New(_) | Stored::Same(_)) => Response::new(request, Status::SUCCESS),
            Ok(Stored::Conflict { .. }) => {
                warn!(%instance, "another object came under a UID that is taken; it is kept aside");
                Response::new(request, Status::WARNING)
                    .because("this UID is taken by another object; the first is kept, this aside")
            }
            Err(error) => {
                let status = status::of_store(error.kind);
                warn!(%instance, %status, %error, "an instance was not stored");
                Response::new(request, status).because(status::comment(&error))
            }
        };
        debug!(%instance, status = %response.status, "C-STORE");
        self.respond(context, &response, None).await
    }

    /// Takes in the whole data set, also when the archive does not want it (any more): the association
    /// goes on. Dropped on the way, it gives everything back.
    async fn receive(
        &mut self,
        context: &PresentationContext,
        declared: Declared,
    ) -> Result<dicom_store::Result<Stored>> {
        let origin = Origin::Dimse {
            calling: self.association.calling.clone(),
            called: self.association.called.clone(),
            address: self.address,
        };
        let mut incoming = match self.session.receive(Arrival { origin, declared }).await {
            Ok(incoming) => incoming,
            Err(error) => {
                self.drain(context).await?;
                return Ok(Err(error));
            }
        };
        loop {
            let fragment = self.data(context).await?;
            if let Err(error) = incoming.write(fragment.bytes).await {
                drop(incoming);
                if !fragment.is_last {
                    self.drain(context).await?;
                }
                return Ok(Err(error));
            }
            if fragment.is_last {
                return Ok(Incoming::commit(incoming).await);
            }
        }
    }
}

/// What the command says of the data set, or the status and comment that say why it cannot be.
fn declared(
    context: &PresentationContext,
    request: &Identity,
) -> Result<(Declared, SopInstanceUid), (Status, String)> {
    if request.sop_class != context.abstract_syntax.as_str() {
        return Err((
            Status::SOP_CLASS_NOT_SUPPORTED,
            format!("the context is for {}", context.abstract_syntax),
        ));
    }
    if !request.has_data_set {
        return Err((Status::CANNOT_UNDERSTAND, "the request has no data set".to_owned()));
    }
    let sop_class = SopClassUid::parse(&request.sop_class)
        .map_err(|error| (Status::SOP_CLASS_NOT_SUPPORTED, error.what))?;
    let sop_instance = SopInstanceUid::parse(&request.sop_instance)
        .map_err(|error| (Status::INVALID_SOP_INSTANCE, error.what))?;
    let transfer_syntax = context.transfer_syntax.clone();
    Ok((Declared::DataSet { sop_class, sop_instance: sop_instance.clone(), transfer_syntax }, sop_instance))
}

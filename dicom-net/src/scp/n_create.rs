//! N-CREATE of a modality performed procedure step (PS3.4 §F.7.2.1): a modality has begun.

use dicom_store::model::SopInstanceUid;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::dispatch::Conversation;
use super::performed_step::named;
use crate::dimse::{NCreateRq, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn n_create(
        &mut self,
        context: &PresentationContext,
        request: &NCreateRq,
    ) -> Result<()> {
        let identity = &request.identity;
        if let Some(response) = Self::mismatch(context, identity) {
            return self.refuse(context, identity, response).await;
        }
        let is_left_to_us = identity.sop_instance.is_empty();
        let named = if is_left_to_us { Ok(SopInstanceUid::random()) } else { named(identity) };
        let step = match named {
            Ok(step) => step,
            Err(response) => return self.refuse(context, identity, *response).await,
        };
        let asked = match self.attribute_list(context, identity).await? {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse_step(context, identity, &refusal, None).await,
        };
        if let Err(refusal) = self.session.create_performed_step(&step, &asked).await {
            return self.refuse_step(context, identity, &refusal, Some(&asked)).await;
        }
        info!(calling = %self.association.calling, %step, "a performed procedure step has begun");
        let response = Response::new(identity, Status::SUCCESS).of_instance(step.as_str());
        self.respond(context, &response, None).await
    }
}

//! N-GET of Modality Performed Procedure Step Retrieve (PS3.4 §F.8.2): what is known of a step.

use dicom::dictionary_std::tags;
use dicom_store::PerformedProcedureStep;
use dicom_store::model::{Attributes, Tag};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer_text::said;
use super::dispatch::Conversation;
use crate::dimse::{NGetRq, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn n_get(&mut self, context: &PresentationContext, request: &NGetRq) -> Result<()> {
        let identity = &request.identity;
        let Some(step) = self.step_named(context, identity).await? else { return Ok(()) };
        if identity.has_data_set {
            self.drain(context).await?;
        }
        let step = match self.session.performed_step(&step).await {
            Ok(step) => step,
            Err(refusal) => return self.refuse_step(context, identity, &refusal, None).await,
        };
        let text =
            self.shared.peers.get(&self.association.calling).await.map(|peer| peer.text).unwrap_or_default();
        let (answer, is_all) = answer(&step, &request.attributes);
        let status = if is_all { Status::SUCCESS } else { Status::ATTRIBUTES_NOT_SUPPORTED };
        let encoding = context.transfer_syntax.facts().encoding;
        let answer = said(answer, text).write(encoding);
        self.respond(context, &Response::new(identity, status).with_data_set(), Some(&answer)).await
    }
}

/// What was asked for, all where nothing was named; and whether all of it is there. Specific Character Set comes with the
/// text that needs it.
fn answer(step: &PerformedProcedureStep, asked: &[Tag]) -> (Attributes, bool) {
    let mut answer = Attributes::new();
    for element in &step.attributes {
        if asked.is_empty() || asked.contains(&element.tag) {
            answer.put_from(&step.attributes, element);
        }
    }
    let is_there = |tag: &Tag| *tag == tags::SPECIFIC_CHARACTER_SET || step.attributes.contains(*tag);
    (answer, asked.iter().all(is_there))
}

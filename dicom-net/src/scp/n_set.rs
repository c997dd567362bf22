//! N-SET of a modality performed procedure step (PS3.4 §F.7.2.2): a modality says more of it, or that it has ended.

use dicom_store::access::Action;
use dicom_store::model::{Attributes, SopInstanceUid, Tag};
use dicom_store::{NewJob, PerformedStepRefusal, PerformedStepStatus};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{info, warn};
use worker::jobs::StepPerformed;

use super::dispatch::Conversation;
use crate::dimse::{NSetRq, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn n_set(&mut self, context: &PresentationContext, request: &NSetRq) -> Result<()> {
        let identity = &request.identity;
        let Some(step) = self.step_named(context, identity).await? else { return Ok(()) };
        let changes = match self.attribute_list(context, identity).await? {
            Ok(changes) => changes,
            Err(refusal) => return self.refuse_step(context, identity, &refusal, None).await,
        };
        let passed_over = match self.set(&step, &changes).await {
            Ok(passed_over) => passed_over,
            Err(refusal) => return self.refuse_step(context, identity, &refusal, Some(&changes)).await,
        };
        let response = if passed_over.is_empty() {
            Response::new(identity, Status::SUCCESS)
        } else {
            let comment = "patient, order and beginning of a step are not changed by N-SET";
            Response::new(identity, Status::ATTRIBUTE_LIST_ERROR).because(comment).about(passed_over)
        };
        self.respond(context, &response, None).await
    }

    /// Changes it. What follows from its completion is in the queue before it is completed: whoever is stopped in between
    /// looks at it after the next start.
    async fn set(
        &mut self,
        step: &SopInstanceUid,
        changes: &Attributes,
    ) -> std::result::Result<Vec<Tag>, PerformedStepRefusal> {
        let calling = self.association.calling.clone();
        let status = PerformedStepStatus::told(changes);
        let may = self.session.caller().may(Action::Store);
        let is_completed = may && status == Some(PerformedStepStatus::Completed);
        if is_completed {
            self.enqueue(StepPerformed::expected(&calling, step)).await?;
        }
        let outcome = self.session.set_performed_step(step, changes).await;
        // Also where it was completed before: whoever asks again may have had no answer.
        if is_completed && let Err(error) = self.enqueue(StepPerformed::of(&calling, step)).await {
            // It is looked at a little later.
            warn!(%step, %error, "it is not looked at now what a performed procedure step has made");
        }
        if outcome.is_ok() {
            let status = status.map(PerformedStepStatus::term);
            info!(%calling, %step, status, "a performed procedure step was set");
        }
        outcome
    }

    async fn enqueue(&mut self, job: worker::Result<NewJob>) -> dicom_store::Result<()> {
        let job = job.map_err(|error| dicom_store::Error::internal(error.to_string()))?;
        self.shared.archive.work().enqueue_durably(&[job]).await
    }
}

//! What N-CREATE, N-SET and N-GET of a performed procedure step have in common (PS3.4 Annex F).

use dicom_store::PerformedStepRefusal;
use dicom_store::model::{Attributes, Error as StoreError, ErrorKind, SopInstanceUid};
use dicom_store::performed_step::MOST_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::dispatch::Conversation;
use super::status;
use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

/// Error ID of a step that is at its end (PS3.4 Table F.7.2-2).
const NO_LONGER_UPDATED: u16 = 0xA710;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// The list of attributes that comes with a request, its text read as what it clearly is; an empty one where none comes.
    pub(super) async fn attribute_list(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
    ) -> Result<std::result::Result<Attributes, PerformedStepRefusal>> {
        if !request.has_data_set {
            return Ok(Ok(Attributes::new()));
        }
        let Some(bytes) = self.data_set(context, MOST_BYTES).await? else {
            let what = format!("more than {MOST_BYTES} bytes");
            return Ok(Err(StoreError::new(ErrorKind::TooLarge, what).into()));
        };
        let read = Attributes::read(bytes, context.transfer_syntax.facts().encoding);
        Ok(read.map(Attributes::recognised).map_err(PerformedStepRefusal::from))
    }

    /// The step that a request names; `None` where it was answered that it is of another class, or names none.
    pub(super) async fn step_named(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
    ) -> Result<Option<SopInstanceUid>> {
        let refusal = match (Self::mismatch(context, request), named(request)) {
            (Some(response), _) => response,
            (None, Err(response)) => *response,
            (None, Ok(step)) => return Ok(Some(step)),
        };
        self.refuse(context, request, refusal).await.map(|()| None)
    }

    /// Answers that it is not done, and why.
    pub(super) async fn refuse_step(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        refusal: &PerformedStepRefusal,
        asked: Option<&Attributes>,
    ) -> Result<()> {
        let (response, invalid) = refused(request, refusal, asked);
        warn!(
            calling = %self.association.calling, step = %request.sop_instance, status = %response.status, %refusal,
            "a performed procedure step was refused"
        );
        let encoding = context.transfer_syntax.facts().encoding;
        let invalid = invalid.map(|invalid| invalid.write(encoding));
        self.respond(context, &response, invalid.as_deref()).await
    }
}

/// The response, and the attribute list that goes with a value that may not be (PS3.4 §F.7.2.1.3).
fn refused(
    request: &Identity,
    refusal: &PerformedStepRefusal,
    asked: Option<&Attributes>,
) -> (Response, Option<Attributes>) {
    let response = Response::new(request, status::of_performed_step(refusal));
    match refusal {
        PerformedStepRefusal::Archive(error) => (response.because(status::comment(error)), None),
        PerformedStepRefusal::Final => {
            (response.because(refusal.to_string()).with_error_id(NO_LONGER_UPDATED), None)
        }
        PerformedStepRefusal::Exists | PerformedStepRefusal::Unknown => {
            (response.because(refusal.to_string()), None)
        }
        PerformedStepRefusal::Missing { tag, .. } | PerformedStepRefusal::Empty { tag, .. } => {
            (response.because(refusal.to_string()).about(vec![*tag]), None)
        }
        PerformedStepRefusal::Value { tag, .. } => {
            let response = response.because(refusal.to_string()).about(vec![*tag]);
            let mut invalid = Attributes::new();
            if let Some((asked, element)) = asked.and_then(|asked| Some((asked, asked.get(*tag)?))) {
                invalid.put_from(asked, element);
            }
            if invalid.is_empty() { (response, None) } else { (response.with_data_set(), Some(invalid)) }
        }
    }
}

/// The instance that a request names; otherwise its refusal.
pub(super) fn named(request: &Identity) -> std::result::Result<SopInstanceUid, Box<Response>> {
    SopInstanceUid::parse(&request.sop_instance)
        .map_err(|error| Box::new(Response::new(request, Status::INVALID_SOP_INSTANCE).because(error.what)))
}

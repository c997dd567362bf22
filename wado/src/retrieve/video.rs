//! Video as it is stored, for whoever plays it (PS3.18 §8.7.4): the whole stream, or the range that the player wants.

use axum::response::Response;
use dicom_store::model::{Codec, FrameNumber, Instance};

use super::frames::{Form, Source, media_type};
use super::{Retrieval, Validator, identity};
use crate::accept::{Offer, Refusal};
use crate::error::Problem;

pub(super) fn is_video(instance: &Instance) -> bool {
    instance.frames > 0 && instance.transfer_syntax.facts().codec == Codec::Video
}

/// The stream under the media type of its transfer syntax. Parameters of rendering do not apply to it.
pub(super) async fn answer(request: &Retrieval, instance: Instance) -> Result<Response, Problem> {
    let Some((media, _)) = media_type(&instance.transfer_syntax) else {
        return Err(Refusal::NotAcceptable(Vec::new()).into());
    };
    request.accepts.best_rendered(&[Offer::single(media)])?;
    let validator = Validator::strong(&(identity(&instance), media, request.base.as_str())).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let location = format!("{}/rendered", request.base.instance(&instance));
    let described = request.session.described(&instance.resource()).await?;
    let source = Source::open(request, described, media, Form::Stored).await?;
    let mut part = source.part(FrameNumber::FIRST).await?;
    part.content_type = media.to_owned();
    part.location = location;
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

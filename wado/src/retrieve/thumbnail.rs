//! Thumbnails (PS3.18 §10.4.1.1.7): one small JPEG without any text, of a study, series, instance or frame.
//!
//! A series is shown by the middle one of its images, a study by its first series that has images. The thumbnail of a
//! series is kept once it was made.

use axum::response::Response;
use bytes::Bytes;
use dicom_store::DerivedKey;
use dicom_store::model::{FrameNumber, Instance};
use worker::render;

use super::image::Image;
use super::parts::Part;
use super::{Retrieval, Validator, identity};
use crate::accept::{JPEG, Offer};
use crate::error::Problem;

const OFFERS: &[Offer] = &[Offer::single(JPEG)];

/// `…/thumbnail`
pub(crate) async fn thumbnail(request: Retrieval) -> Result<Response, Problem> {
    let offer = request.accepts.best_rendered(OFFERS)?;
    let numbers = request.target.frames()?;
    let instances = request.instances().await?;
    let instance =
        representative(&instances).ok_or_else(|| Problem::not_acceptable("there is no image to show"))?;
    let number = match numbers.as_deref() {
        None => middle(instance),
        Some([number]) if number.get() <= instance.frames => *number,
        Some(_) => return Err(Problem::not_found("the path names no one frame of the instance")),
    };
    let validator = Validator::of(&(identity(instance), number.get(), "thumbnail"));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let is_of_series = request.target.instance.is_none();
    let bytes = if is_of_series {
        of_series(&request, instance, number).await?
    } else {
        make(&request, instance, number).await?
    };
    let location = format!("{}/frames/{}/thumbnail", request.base.instance(instance), number.get());
    let response = Part::of(bytes, offer.media.to_owned(), location).into_single()?;
    Ok(if is_of_series { validator.mark(response) } else { validator.mark_immutable(response) })
}

/// The middle image of the first series that has images.
fn representative(instances: &[Instance]) -> Option<&Instance> {
    let first = instances.iter().find(|instance| instance.frames > 0)?;
    let images: Vec<_> =
        instances.iter().filter(|instance| instance.series == first.series && instance.frames > 0).collect();
    images.get(images.len() / 2).copied()
}

fn middle(instance: &Instance) -> FrameNumber {
    FrameNumber::new(instance.frames / 2 + 1).unwrap_or(FrameNumber::FIRST)
}

/// From what was made before, if it is of this very image, or made now and kept.
async fn of_series(request: &Retrieval, instance: &Instance, number: FrameNumber) -> Result<Bytes, Problem> {
    let key = DerivedKey::rendered(instance, number.get(), "thumbnail.jpg");
    if let Some(bytes) = request.session.derived(&key).await? {
        return Ok(bytes);
    }
    let bytes = make(request, instance, number).await?;
    request.session.put_derived(&key, bytes.clone()).await?;
    Ok(bytes)
}

async fn make(request: &Retrieval, instance: &Instance, number: FrameNumber) -> Result<Bytes, Problem> {
    let image = Image::open(&request.session, &request.pool, instance).await?;
    let frame = image.stored(number).await?;
    let info = image.info(number)?;
    let syntax = instance.transfer_syntax.clone();
    let bytes = request.pool.run(move || render::thumbnail(&frame, &info, &syntax)).await??;
    Ok(bytes.into())
}

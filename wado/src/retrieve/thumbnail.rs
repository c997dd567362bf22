//! Thumbnails (PS3.18 §10.4.1.1.7): one small JPEG without any text, of a study, series, instance or frame.
//!
//! A series is shown by the middle one of its images, a study by its first series that has images. What the worker
//! made of a series beforehand is given as it is; where it has not come to it yet, the thumbnail is made and kept. What
//! has no image that can be shown, such as a report, a waveform or a video, is drawn.

use axum::response::Response;
use bytes::Bytes;
use dicom_store::DerivedKey;
use dicom_store::model::{FrameNumber, Instance};
use worker::pixel::can_decode;
use worker::{drawn, render};

use super::image::Image;
use super::parts::Part;
use super::{Retrieval, Validator, identity};
use crate::accept::{JPEG, Offer};
use crate::error::Problem;

const OFFERS: &[Offer] = &[Offer::single(JPEG)];

/// `…/thumbnail`
pub(crate) async fn thumbnail(request: Retrieval) -> Result<Response, Problem> {
    request.accepts.best_rendered(OFFERS)?;
    let numbers = request.target.frames()?;
    let instances = request.instances().await?;
    let Some(instance) = representative(&instances) else { return of_no_image(&request, &instances).await };
    if request.target.instance.is_none() {
        return of_series(&request, instance).await;
    }
    let number = match numbers.as_deref() {
        None => middle(instance),
        Some([number]) if number.get() <= instance.frames => *number,
        Some(_) => return Err(Problem::not_found("the path names no one frame of the instance")),
    };
    let validator = Validator::strong(&(identity(instance), number.get(), "thumbnail")).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let key = format!("{:?} {} thumbnail", identity(instance), number.get());
    let bytes = request.renditions.get(&key, make(&request, instance, number)).await?;
    let location = format!("{}/frames/{}/thumbnail", request.base.instance(instance), number.get());
    let part = Part::of(bytes, JPEG.to_owned(), location);
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

/// The middle image of the first series that has images which can be shown.
fn representative(instances: &[Instance]) -> Option<&Instance> {
    let is_shown = |instance: &&Instance| instance.frames > 0 && can_decode(&instance.transfer_syntax);
    let first = instances.iter().find(is_shown)?;
    let images: Vec<_> =
        instances.iter().filter(|instance| instance.series == first.series).filter(is_shown).collect();
    images.get(images.len() / 2).copied()
}

fn middle(instance: &Instance) -> FrameNumber {
    FrameNumber::new(instance.frames.div_ceil(2)).unwrap_or(FrameNumber::FIRST)
}

/// What has no image that can be shown has a drawing of what it is, where that is known.
async fn of_no_image(request: &Retrieval, instances: &[Instance]) -> Result<Response, Problem> {
    let nothing = || Problem::not_acceptable("there is no image to show");
    let instance = instances.first().ok_or_else(nothing)?;
    let bytes = drawn::thumbnail(&request.session, instance).await?.ok_or_else(nothing)?;
    let validator = Validator::strong(&bytes);
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let location = format!("{}/thumbnail", request.base.instance(instance));
    let part = Part::of(bytes.into(), JPEG.to_owned(), location);
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

/// It changes while the series grows: the browser asks each time whether its own is still the one.
async fn of_series(request: &Retrieval, instance: &Instance) -> Result<Response, Problem> {
    let key = DerivedKey::thumbnail(&instance.study, &instance.series);
    let bytes = match request.session.derived(&key).await? {
        Some(bytes) => bytes,
        None => {
            let (number, of) = (middle(instance), identity(instance));
            let name = format!("{of:?} {} thumbnail", number.get());
            let bytes = request.renditions.get(&name, make(request, instance, number)).await?;
            request.session.put_derived(&key, bytes.clone()).await?;
            bytes
        }
    };
    let validator = Validator::strong(&bytes);
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let location = format!("{}/series/{}/thumbnail", request.base.study(&instance.study), instance.series);
    let part = Part::of(bytes, JPEG.to_owned(), location);
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

async fn make(request: &Retrieval, instance: &Instance, number: FrameNumber) -> Result<Bytes, Problem> {
    let image = Image::open(&request.session, &request.pool, instance).await?;
    let frame = image.stored(number).await?;
    let info = image.info(number)?;
    let syntax = instance.transfer_syntax.clone();
    let bytes = request.pool.run(move || render::thumbnail(&frame, &info, &syntax)).await??;
    Ok(bytes.into())
}

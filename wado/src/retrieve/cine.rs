//! All frames of an instance as one animated GIF (PS3.18 Table 8.7.4-1), sent while they are made.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, Instance};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::{CONTENT_LOCATION, CONTENT_TYPE};
use worker::captions::Captions;
use worker::pixel::{GifAnimation, GifFrame};
use worker::render::{self, Presentation};

use super::Retrieval;
use super::image::Image;
use crate::accept::GIF;
use crate::error::Problem;

/// Frames that are made ahead of the one being sent.
const AHEAD: usize = 2;
/// How long a frame is shown where the instance does not say, and at the least: browsers take less for a mistake.
const USUAL_MS: f64 = 100.0;
const LEAST: f64 = 2.0;

pub(super) async fn answer(
    request: &Retrieval,
    instance: &Instance,
    presentation: Presentation,
) -> Result<Response, Problem> {
    let image = Arc::new(Image::open(&request.session, &request.pool, instance).await?);
    let delays = Arc::new(Delays::of(&image.attributes));
    let make = move |number| {
        let (image, delays) = (image.clone(), delays.clone());
        async move { frame(&image, number, presentation, delays.of_frame(number)).await }
    };
    let numbers = stream::iter((1..=instance.frames).filter_map(FrameNumber::new));
    let mut frames: BoxStream<'static, _> = numbers.map(make).buffered(AHEAD).boxed();
    // The first that can be shown is made before the answer begins, so that a failure of all has a status.
    let mut failed = None;
    let first = loop {
        match frames.next().await {
            Some(made) if is_left_out(&made) => failed = failed.or(made.err()),
            Some(made) => break made?,
            None => {
                return Err(failed.unwrap_or_else(|| Problem::not_acceptable("there is no image to render")));
            }
        }
    };
    let animation = GifAnimation::new(&first)?;
    let frames = stream::iter([Ok(first)]).chain(frames);
    let frames = frames.filter(|made| std::future::ready(!is_left_out(made))).boxed();
    let written = stream::try_unfold(Some((animation, frames)), |state| async move {
        let Some((mut animation, mut frames)) = state else { return Ok::<_, Problem>(None) };
        match frames.try_next().await? {
            Some(frame) => Ok(Some((Bytes::from(animation.push(&frame)?), Some((animation, frames))))),
            None => Ok(Some((Bytes::from(animation.finish()?), None))),
        }
    });
    let mut response = Response::new(Body::from_stream(written));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GIF));
    if let Ok(location) = HeaderValue::from_str(&format!("{}/rendered", request.base.instance(instance))) {
        response.headers_mut().insert(CONTENT_LOCATION, location);
    }
    Ok(response)
}

/// Frames that cannot be shown are left out, as everywhere where none is named.
fn is_left_out(made: &Result<GifFrame, Problem>) -> bool {
    made.as_ref().is_err_and(|error| error.is_of_pixels)
}

async fn frame(
    image: &Image,
    number: FrameNumber,
    presentation: Presentation,
    delay: u16,
) -> Result<GifFrame, Problem> {
    let info = image.info(number)?;
    let (stored, room) = image.to_show(number, &info).await?;
    let syntax = image.instance.transfer_syntax.clone();
    let captions = Captions::read(&image.attributes, number, presentation.annotation);
    let work = move || {
        let picture = render::animate(&stored, &info, &syntax, &presentation, (&captions, delay));
        drop(room);
        picture
    };
    Ok(image.pool.run(work).await??)
}

/// How long each frame is shown (PS3.3 §C.7.6.5), in milliseconds.
struct Delays {
    usual: f64,
    /// Between a frame and the one before it; empty when it is always the same.
    each: Vec<f64>,
}

impl Delays {
    fn of(attributes: &Attributes) -> Self {
        let is_sensible = |ms: &f64| ms.is_finite() && *ms > 0.0;
        let time = attributes.float(tags::FRAME_TIME).filter(is_sensible);
        let rate = |tag| attributes.float(tag).map(|rate| 1000.0 / rate).filter(is_sensible);
        let usual = time
            .or_else(|| rate(tags::RECOMMENDED_DISPLAY_FRAME_RATE))
            .or_else(|| rate(tags::CINE_RATE))
            .unwrap_or(USUAL_MS);
        Self { usual, each: attributes.floats(tags::FRAME_TIME_VECTOR) }
    }

    /// In hundredths of a second. The first of the vector belongs to no frame: a frame stays until the next one's time.
    fn of_frame(&self, number: FrameNumber) -> u16 {
        let next = usize::try_from(number.get()).unwrap_or(usize::MAX);
        let ms = self.each.get(next).copied().filter(|ms| ms.is_finite() && *ms > 0.0).unwrap_or(self.usual);
        format!("{:.0}", (ms / 10.0).clamp(LEAST, 60_000.0)).parse().unwrap_or(10)
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;

    #[test]
    fn frames_stay_as_long_as_the_instance_says() {
        let delay = |put: &dyn Fn(&mut Attributes), number| {
            let mut attributes = Attributes::new();
            put(&mut attributes);
            Delays::of(&attributes).of_frame(FrameNumber::new(number).unwrap())
        };
        assert_eq!(delay(&|_| {}, 1), 10);
        assert_eq!(delay(&|a| a.put_text(tags::FRAME_TIME, VR::DS, "33.3"), 5), 3);
        assert_eq!(delay(&|a| a.put_text(tags::CINE_RATE, VR::IS, "25"), 1), 4);
        assert_eq!(delay(&|a| a.put_text(tags::CINE_RATE, VR::IS, "1000"), 1), 2);
        let vector = |a: &mut Attributes| a.put_text(tags::FRAME_TIME_VECTOR, VR::DS, "0\\200\\50");
        assert_eq!([delay(&vector, 1), delay(&vector, 2), delay(&vector, 3)], [20, 5, 10]);
    }
}

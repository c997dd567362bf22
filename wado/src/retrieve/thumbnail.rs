//! Thumbnails (PS3.18 §10.4.1.1.7): one small JPEG without any text, of a study, series, instance or frame.
//!
//! A series is shown by the middle one of its images, a study by its first series that has images. What the worker
//! made of a series beforehand is given as it is; where it has not come to it yet, the thumbnail is made and kept. What
//! has no image that can be shown, such as a report, a waveform or a video, is drawn, and so is a card for an image that
//! turns out to be none. One that a viewport makes smaller is made for it and kept for a while only.

use axum::response::Response;
use bytes::Bytes;
use dicom_store::model::{FrameNumber, Instance};
use dicom_store::{DerivedKey, Described};
use worker::pixel::can_decode;
use worker::{drawn, jobs, render};

use super::image::Image;
use super::parts::Part;
use super::{Retrieval, Validator, identity, presentation};
use crate::accept::{JPEG, Offer};
use crate::error::Problem;

const OFFERS: &[Offer] = &[Offer::single(JPEG)];

/// `…/thumbnail`
pub(crate) async fn thumbnail(request: Retrieval) -> Result<Response, Problem> {
    request.accepts.best_rendered(OFFERS)?;
    let numbers = request.target.frames()?;
    let within = presentation::thumbnail_size(&request.parameters)?;
    if request.target.instance.is_none() {
        let instances = request.instances().await?;
        return of_series(&request, &instances, within).await;
    }
    let described = request.described().await?;
    let subject = Subject::of(std::slice::from_ref(&described.instance), numbers.as_deref())?;
    let instance = subject.instance();
    let validator = Validator::strong(&(identity(instance), subject.name(), within)).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let bytes = subject.made(&request, Some(&described), within).await?;
    let of = request.base.instance(instance);
    let location = match subject {
        Subject::Frame(_, number) => format!("{of}/frames/{}/thumbnail", number.get()),
        Subject::Drawing(_) => format!("{of}/thumbnail"),
    };
    let part = Part::of(bytes, JPEG.to_owned(), location);
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

/// What is shown.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Frame(&'a Instance, FrameNumber),
    /// An instance without an image that can be shown has a drawing of what it is, where that is known.
    Drawing(&'a Instance),
}

impl<'a> Subject<'a> {
    /// `numbers`: the frames of the path.
    ///
    /// # Errors
    /// 404 when the path names no one frame.
    fn of(instances: &'a [Instance], numbers: Option<&[FrameNumber]>) -> Result<Self, Problem> {
        let first = instances.first().ok_or_else(nothing)?;
        let frame = match numbers {
            None => None,
            Some([number]) if number.get() <= first.frames => Some(*number),
            Some(_) => return Err(Problem::not_found("the path names no one frame of the instance")),
        };
        Ok(match representative(instances) {
            Some(instance) => Self::Frame(instance, frame.unwrap_or_else(|| middle(instance))),
            None => Self::Drawing(first),
        })
    }

    fn instance(&self) -> &'a Instance {
        match self {
            Self::Frame(instance, _) | Self::Drawing(instance) => instance,
        }
    }

    /// Its name among the thumbnails of the instance.
    fn name(&self) -> String {
        match self {
            Self::Frame(_, number) => format!("{} thumbnail", number.get()),
            Self::Drawing(_) => "drawing".to_owned(),
        }
    }

    async fn made(
        self,
        request: &Retrieval,
        described: Option<&Described>,
        within: Option<(u32, u32)>,
    ) -> Result<Bytes, Problem> {
        let within = within.unwrap_or(render::THUMBNAIL);
        let key = format!("{:?} {} {within:?}", identity(self.instance()), self.name());
        request.renditions.get(&key, self.make(request, described, within)).await
    }

    async fn make(
        self,
        request: &Retrieval,
        described: Option<&Described>,
        within: (u32, u32),
    ) -> Result<Bytes, Problem> {
        let Retrieval { session, pool, .. } = request;
        match self {
            Self::Frame(instance, number) => {
                match frame(request, described, instance, number, within).await {
                    Err(problem) if problem.is_of_pixels => Ok(drawn::not_shown(pool, within).await?.into()),
                    made => made,
                }
            }
            Self::Drawing(instance) => {
                Ok(drawn::thumbnail(session, pool, instance, within).await?.ok_or_else(nothing)?.into())
            }
        }
    }
}

/// The picture of a frame.
async fn frame(
    request: &Retrieval,
    described: Option<&Described>,
    instance: &Instance,
    number: FrameNumber,
    within: (u32, u32),
) -> Result<Bytes, Problem> {
    let Retrieval { session, pool, .. } = request;
    let image = match described {
        Some(described) => Image::of(session, pool, described.clone()).await?,
        None => Image::open(session, pool, instance).await?,
    };
    let info = image.info(number)?;
    let (frame, room) = image.to_show(number, &info).await?;
    let syntax = instance.transfer_syntax.clone();
    let work = move || {
        let picture = render::thumbnail(&frame, &info, &syntax, within);
        drop(room);
        picture
    };
    Ok(pool.run(work).await??.into())
}

fn nothing() -> Problem {
    Problem::not_acceptable("there is no image to show")
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

/// It changes while the series grows: the browser asks each time whether its own is still the one.
async fn of_series(
    request: &Retrieval,
    instances: &[Instance],
    within: Option<(u32, u32)>,
) -> Result<Response, Problem> {
    let subject = Subject::of(instances, None)?.instance();
    let Instance { study, series, .. } = subject;
    let Retrieval { session, pool, .. } = request;
    let key = DerivedKey::thumbnail(study, series);
    let kept = if within.is_none() { session.derived(&key).await? } else { None };
    let bytes = match kept {
        Some(bytes) => bytes,
        None => {
            let all: Vec<Instance> =
                instances.iter().filter(|instance| instance.series == *series).cloned().collect();
            let size = within.unwrap_or(render::THUMBNAIL);
            let name = format!("{:?} of {} thumbnail {size:?}", identity(subject), all.len());
            let make = async {
                let made = jobs::thumbnail::of_series(session, pool, &all, size).await?;
                Ok(Bytes::from(made.ok_or_else(nothing)?))
            };
            let bytes = request.renditions.get(&name, make).await?;
            if within.is_none()
                && let Err(error) = session.put_derived(&key, bytes.clone()).await
            {
                tracing::warn!(%study, %series, %error, "thumbnail is not kept");
            }
            bytes
        }
    };
    let validator = Validator::strong(&bytes);
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let location = format!("{}/series/{series}/thumbnail", request.base.study(study));
    let part = Part::of(bytes, JPEG.to_owned(), location);
    Ok(validator.mark(part.into_single(&request.headers, &validator).await?))
}

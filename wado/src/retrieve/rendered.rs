//! Rendered resources (PS3.18 §10.4.1.1.4, §8.3.5): frames as JPEG, PNG, GIF or WebP.
//!
//! Several images come as `multipart/related` and not bare. An exception is declared: one instance of several frames,
//! asked for as a bare image (as `<img>` does), is an animation as GIF ([`cine`]) and its first frame otherwise; a
//! presentation state as a bare image is the first of its images ([`presentation_state`]). Reports
//! and encapsulated documents are pages ([`document`]), a video is given as it is stored ([`video`]). Documents of a study or
//! series are given to who takes their media types and none of images, and where there is no image.
//!
//! Of a study, a series or all frames of an instance, images that cannot be shown are left out: under status 206 where
//! that is known when the answer begins, 406 where none are left.
//!
//! WebP is without loss here, and given to those who do not like JPEG as well. Images are kept for a while, and made
//! once for all who ask at the same time ([`crate::renditions`]).

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use dicom_store::Described;
use dicom_store::model::{FrameNumber, Instance};
use futures_util::stream::{self, StreamExt};
use http::StatusCode;
use worker::pixel::can_decode;
use worker::render::{self, Presentation};

use super::image::Image;
use super::parts::{Part, multipart};
use super::presentation::Wanted;
use super::{Retrieval, Validator, cine, document, identity, presentation_state, video};
use crate::accept::{GIF, JPEG, Offer, PNG, WEBP, Wrap};
use crate::error::{Problem, warn};

/// Frames that are rendered ahead of the one being sent.
const AHEAD: usize = 2;

const MEDIA: &[&str] = &[JPEG, PNG, GIF, WEBP];

/// `…/rendered` of a study, series, instance or frames
pub(crate) async fn rendered(request: Retrieval) -> Result<Response, Problem> {
    let numbers = request.target.frames()?;
    let is_one_instance = request.target.instance.is_some();
    let (instances, described) = if is_one_instance {
        let described = request.described().await?;
        (vec![described.instance.clone()], Some(described))
    } else {
        (request.instances().await?, None)
    };
    if let ([instance], true, None) = (instances.as_slice(), is_one_instance, &numbers) {
        if video::is_video(instance) {
            return video::answer(&request, instance.clone()).await;
        }
        if presentation_state::is_state(instance) {
            return presentation_state::answer(&request, instance, &offers(&request, true)).await;
        }
        if instance.frames == 0
            && let Some(response) = document::answer(&request, instance).await?
        {
            return Ok(response);
        }
    }
    let is_without_images = || {
        instances.iter().all(|instance| instance.frames == 0)
            || request.accepts.best_rendered(&offers(&request, false)).is_err()
    };
    if !is_one_instance
        && is_without_images()
        && let Some(response) = document::several(&request, &instances).await?
    {
        return Ok(response);
    }
    let Shown { mut frames, is_partial } = Shown::of(&instances, numbers.as_deref())?;
    // A study or series is several items, however many it has (PS3.18 §10.4.4, note 3).
    let is_bare_allowed = is_one_instance && numbers.as_ref().is_none_or(|numbers| numbers.len() == 1);
    let offer = request.accepts.best_rendered(&offers(&request, is_bare_allowed))?;
    let wanted = Wanted::read(&request.parameters, offer.media)?;
    let is_cine = offer == Offer::single(GIF) && frames.len() > 1;
    if offer.wrap == Wrap::Single && !is_cine {
        frames.truncate(1);
    }
    let identities: Vec<_> =
        frames.iter().map(|(instance, number)| (identity(instance), number.get())).collect();
    let cause = (identities, format!("{:?}", wanted.presentation));
    let validator = Validator::of(offer, &cause).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let mut response = match instances.as_slice() {
        [instance] if is_cine => cine::answer(&request, instance, wanted.presentation).await?,
        _ => {
            let maker = Maker { request: request.clone(), presentation: wanted.presentation, described };
            let is_each_named = numbers.is_some() || offer.wrap == Wrap::Single;
            answer(maker, frames, offer, is_each_named, &validator).await?
        }
    };
    if is_partial && !is_cine {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if let Some(text) = wanted.warning {
        warn(&mut response, &request.base, &text);
    }
    Ok(validator.mark(response))
}

/// The frames that are shown, at least one.
struct Shown {
    frames: Vec<(Instance, FrameNumber)>,
    /// Whether images were left out that cannot be decoded.
    is_partial: bool,
}

impl Shown {
    /// # Errors
    /// 406 when there is no image that can be shown, 404 when a number is behind the last frame.
    fn of(instances: &[Instance], numbers: Option<&[FrameNumber]>) -> Result<Self, Problem> {
        let images: Vec<_> = instances.iter().filter(|instance| instance.frames > 0).collect();
        let mut is_partial = false;
        let mut frames: Vec<(Instance, FrameNumber)> = Vec::new();
        for instance in &images {
            let numbers: Vec<_> = match numbers {
                Some(numbers) => numbers.to_vec(),
                None if !can_decode(&instance.transfer_syntax) => {
                    is_partial = true;
                    continue;
                }
                None => (1..=instance.frames).filter_map(FrameNumber::new).collect(),
            };
            frames.extend(numbers.into_iter().map(|number| ((*instance).clone(), number)));
        }
        if frames.is_empty() {
            return Err(match images.first() {
                Some(Instance { transfer_syntax: stored, .. }) => Problem::not_acceptable(format!(
                    "there is no image that can be rendered: frames in transfer syntax {stored} are not decoded here"
                )),
                None => Problem::not_acceptable("there is no image to render"),
            });
        }
        match frames.iter().find(|(instance, number)| number.get() > instance.frames) {
            Some((instance, number)) => {
                let what = format!("instance {} has no frame {}", instance.sop_instance, number.get());
                Err(Problem::not_found(what))
            }
            None => Ok(Self { frames, is_partial }),
        }
    }
}

/// The forms of images, bare ones too where there is one item.
pub(crate) fn offers(request: &Retrieval, is_bare_allowed: bool) -> Vec<Offer> {
    let mut offers = Vec::with_capacity(2 * MEDIA.len());
    let wraps: &[fn(&'static str) -> Offer] =
        if is_bare_allowed { &[Offer::single, Offer::multipart] } else { &[Offer::multipart] };
    for wrap in wraps {
        let is_offered =
            |media: &&&str| **media != WEBP || !request.accepts.likes_as_well(&wrap(JPEG), &wrap(WEBP));
        offers.extend(MEDIA.iter().filter(is_offered).map(|media| wrap(media)));
    }
    offers
}

/// The first image is made before the answer begins, so that a failure has a status. Images that cannot be shown are
/// left out, unless each of them is named.
async fn answer(
    maker: Maker,
    frames: Vec<(Instance, FrameNumber)>,
    offer: Offer,
    is_each_named: bool,
    validator: &Validator,
) -> Result<Response, Problem> {
    let headers = maker.request.headers.clone();
    let maker = Arc::new(maker);
    let make = move |(instance, number): (Instance, FrameNumber)| {
        let maker = maker.clone();
        async move { maker.part(&instance, number).await }
    };
    let is_left_out =
        move |made: &Result<Part, Problem>| !is_each_named && made.as_ref().is_err_and(|e| e.is_of_pixels);
    let mut frames = frames.into_iter();
    let mut failed = None;
    let first = loop {
        let Some(next) = frames.next() else {
            return Err(failed.unwrap_or_else(|| Problem::not_acceptable("there is no image to render")));
        };
        let made = make(next).await;
        if !is_left_out(&made) {
            break made?;
        }
        failed = failed.or(made.err());
    };
    if offer.wrap == Wrap::Single {
        return first.into_single(&headers, validator).await;
    }
    let others = stream::iter(frames).map(make).buffered(AHEAD);
    let others = others.filter(move |made| std::future::ready(!is_left_out(made)));
    let mut response = multipart(offer.media, stream::iter([Ok(first)]).chain(others));
    if failed.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Makes images that are shown so.
struct Maker {
    request: Retrieval,
    presentation: Presentation,
    /// The one instance, where there is one.
    described: Option<Described>,
}

impl Maker {
    async fn part(&self, instance: &Instance, number: FrameNumber) -> Result<Part, Problem> {
        let key = format!("{:?} {} {:?}", identity(instance), number.get(), self.presentation);
        let bytes = self.request.renditions.get(&key, self.make(instance, number)).await?;
        let location = format!("{}/frames/{}/rendered", self.request.base.instance(instance), number.get());
        Ok(Part::of(bytes, self.presentation.format.media_type().to_owned(), location))
    }

    async fn make(&self, instance: &Instance, number: FrameNumber) -> Result<Bytes, Problem> {
        let Self { request, presentation, described } = self;
        let (session, pool) = (&request.session, &request.pool);
        let image = match described {
            Some(described) => Image::of(session, pool, described.clone()).await?,
            None => Image::open(session, pool, instance).await?,
        };
        let info = image.info(number)?;
        let beside = image.beside(number, presentation).await?;
        let (frame, room) = image.to_show(number, &info).await?;
        let (syntax, presentation) = (instance.transfer_syntax.clone(), *presentation);
        let work = move || {
            let picture = render::render(&frame, &info, &syntax, &presentation, &beside);
            drop(room);
            picture
        };
        Ok(request.pool.run(work).await??.into())
    }
}

//! Rendered resources (PS3.18 §10.4.1.1.4, §8.3.5): frames as JPEG, PNG or GIF.
//!
//! Several images come as `multipart/related` and not bare. An exception is declared: one instance of several frames,
//! asked for as a bare image (as `<img>` does), shows its first frame. An encapsulated PDF is its own rendered form.

use axum::response::Response;
use dicom_store::model::{FrameNumber, Instance};
use futures_util::stream::{self, StreamExt};
use http::HeaderValue;
use http::header::WARNING;
use worker::render::{self, Presentation};

use super::image::Image;
use super::parts::{Part, multipart};
use super::presentation::Wanted;
use super::{Retrieval, Validator, bulk, identity};
use crate::accept::{GIF, JPEG, Offer, PNG, Wrap};
use crate::base_url::BaseUrl;
use crate::error::Problem;

/// Frames that are rendered ahead of the one being sent.
const AHEAD: usize = 2;

const SINGLE: &[Offer] = &[Offer::single(JPEG), Offer::single(PNG), Offer::single(GIF)];
const MULTIPART: &[Offer] = &[Offer::multipart(JPEG), Offer::multipart(PNG), Offer::multipart(GIF)];

/// `…/rendered` of a study, series, instance or frames
pub(crate) async fn rendered(request: Retrieval) -> Result<Response, Problem> {
    let numbers = request.target.frames()?;
    let instances = request.instances().await?;
    let is_one_instance = request.target.instance.is_some();
    let document = instances.first().cloned();
    let mut frames: Vec<(Instance, FrameNumber)> = Vec::new();
    for instance in instances {
        let all = (1..=instance.frames).filter_map(FrameNumber::new);
        match &numbers {
            Some(numbers) => frames.extend(numbers.iter().map(|number| (instance.clone(), *number))),
            None => frames.extend(all.map(|number| (instance.clone(), number))),
        }
    }
    if frames.is_empty() {
        if let (Some(instance), true) = (document, is_one_instance)
            && let Some(response) = bulk::document(&request, &instance).await?
        {
            return Ok(response);
        }
        return Err(Problem::not_acceptable("there is no image to render"));
    }
    if let Some((instance, number)) = frames.iter().find(|(instance, number)| number.get() > instance.frames)
    {
        let what = format!("instance {} has no frame {}", instance.sop_instance, number.get());
        return Err(Problem::not_found(what));
    }
    let is_bare_allowed = frames.len() == 1 || (is_one_instance && numbers.is_none());
    let offers = if is_bare_allowed { [SINGLE, MULTIPART].concat() } else { MULTIPART.to_vec() };
    let offer = request.accepts.best_rendered(&offers)?;
    let wanted = Wanted::read(&request.parameters, offer.media)?;
    if offer.wrap == Wrap::Single {
        frames.truncate(1);
    }
    let identities: Vec<_> =
        frames.iter().map(|(instance, number)| (identity(instance), number.get())).collect();
    let validator = Validator::of(&(identities, format!("{:?}", wanted.presentation), offer.media));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let mut response = answer(&request, frames, offer, wanted.presentation).await?;
    if let Some(text) = wanted.warning {
        let value = HeaderValue::from_str(&format!("299 {}: {text}", request.base));
        response
            .headers_mut()
            .insert(WARNING, value.map_err(|_| Problem::invalid("a parameter cannot be named"))?);
    }
    Ok(validator.mark_immutable(response))
}

/// The first image is made before the answer begins, so that its failure has a status.
async fn answer(
    request: &Retrieval,
    frames: Vec<(Instance, FrameNumber)>,
    offer: Offer,
    presentation: Presentation,
) -> Result<Response, Problem> {
    let (session, pool, base) = (request.session.clone(), request.pool.clone(), request.base.clone());
    let make = move |(instance, number): (Instance, FrameNumber)| {
        let (session, pool, base) = (session.clone(), pool.clone(), base.clone());
        async move {
            let image = Image::open(&session, &pool, &instance).await?;
            part(&image, &base, number, presentation).await
        }
    };
    let mut frames = frames.into_iter();
    let Some(first) = frames.next() else {
        return Err(Problem::not_acceptable("there is no image to render"));
    };
    let first = make(first).await?;
    if offer.wrap == Wrap::Single {
        return first.into_single();
    }
    let others = stream::iter(frames).map(make).buffered(AHEAD);
    Ok(multipart(offer.media, stream::iter([Ok(first)]).chain(others)))
}

async fn part(
    image: &Image,
    base: &BaseUrl,
    number: FrameNumber,
    presentation: Presentation,
) -> Result<Part, Problem> {
    let frame = image.stored(number).await?;
    let info = image.info(number)?;
    let syntax = image.instance.transfer_syntax.clone();
    let work = move || render::render(&frame, &info, &syntax, &presentation);
    let bytes = image.pool.run(work).await??;
    let location = format!("{}/frames/{}/rendered", base.instance(&image.instance), number.get());
    Ok(Part::of(bytes.into(), presentation.format.media_type().to_owned(), location))
}

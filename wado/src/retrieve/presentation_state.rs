//! Images as a softcopy presentation state shows them (PS3.18 §8.3.5.1.6, §9.5.3): those that a state refers to, by its
//! own `/rendered`, and one of them by the parameters of WADO-URI.
//!
//! Declared: Grayscale and Color Softcopy Presentation State; what [`Softcopy`] does not draw is told by a `Warning`, and so
//! is how many of its images are not there: the others come under status 206, but for a bare one.

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use dicom::dictionary_std::{tags, uids};
use dicom_store::Session;
use dicom_store::model::{
    Attributes, Bulk, Element, Encoding, ErrorKind, FrameNumber, Instance, Resource, SeriesInstanceUid, Tag,
    Value,
};
use futures_util::stream::{self, StreamExt};
use http::StatusCode;
use worker::pixel::{IccProfile, ImageInfo};
use worker::render::{self, Presentation};
use worker::softcopy::{Softcopy, references};
use worker::transcode::{little_endian, unit};

use super::image::Image;
use super::parts::{Part, multipart};
use super::presentation::Wanted;
use super::{Retrieval, Validator, identity};
use crate::accept::{Offer, Wrap};
use crate::error::{Problem, warn};

/// Images that are made ahead of the one being sent.
const AHEAD: usize = 2;
/// Images that one state shows, at the most.
const MOST_IMAGES: usize = 10_000;
/// Bytes of a table or outline that lies in the object, and of all of a state.
const MAX_VALUE: u64 = 1 << 20;
const MAX_VALUES: u64 = 8 << 20;

/// Whether an instance is a presentation state that is shown.
pub(crate) fn is_state(instance: &Instance) -> bool {
    let class = instance.sop_class.as_str();
    class == uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE
        || class == uids::COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE
}

/// The images of a presentation state, in its order.
pub(super) async fn answer(
    request: &Retrieval,
    state: &Instance,
    offers: &[Offer],
) -> Result<Response, Problem> {
    let attributes = attributes(&request.session, state, &[]).await?;
    let images = Images::of(request, state, &attributes).await?;
    shown(request, (state, attributes), images, offers).await
}

/// One image by a presentation state.
pub(crate) async fn one(
    request: &Retrieval,
    state: &Instance,
    image: &Instance,
    number: FrameNumber,
    offers: &[Offer],
) -> Result<Response, Problem> {
    if !is_state(state) {
        return Err(Problem::invalid("presentationUID names no softcopy presentation state"));
    }
    let attributes = attributes(&request.session, state, &[]).await?;
    let names = |uid: &str| uid == image.sop_instance.as_str();
    if !references(&attributes).iter().any(|reference| names(&reference.instance)) {
        return Err(Problem::invalid("the presentation state does not refer to the image"));
    }
    let images = Images { found: vec![(image.clone(), number)], missing: 0 };
    shown(request, (state, attributes), images, offers).await
}

async fn shown(
    request: &Retrieval,
    (state, attributes): (&Instance, Attributes),
    Images { found: mut images, missing }: Images,
    offers: &[Offer],
) -> Result<Response, Problem> {
    let offer = request.accepts.best_rendered(offers)?;
    let wanted = Wanted::read(&request.parameters, offer.media)?;
    let has_region = wanted.presentation.viewport.is_some_and(|viewport| viewport.region.is_some());
    if wanted.presentation.window.is_some() || has_region {
        let what = "a presentation state has its own window and area: window and viewport with a region are not for it";
        return Err(Problem::invalid(what));
    }
    if offer.wrap == Wrap::Single {
        images.truncate(1);
    }
    let identities: Vec<_> = images.iter().map(|(image, number)| (identity(image), number.get())).collect();
    // Images that the state refers to come and go: the client asks each time.
    let validator =
        Validator::of(offer, &(identity(state), identities, format!("{:?}", wanted.presentation)));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let maker = Arc::new(Maker {
        request: request.clone(),
        state: state.clone(),
        attributes,
        presentation: wanted.presentation,
    });
    let warning = match images.first() {
        Some((image, number)) => maker.softcopy(image, *number).await?.warning(),
        None => None,
    };
    let make = move |(image, number): (Instance, FrameNumber)| {
        let maker = maker.clone();
        async move { maker.part(&image, number).await }
    };
    let mut images = images.into_iter();
    let first = images.next().ok_or_else(|| Problem::not_found("the presentation state shows no image"))?;
    let first = make(first).await?;
    let mut response = match offer.wrap {
        Wrap::Single => first.into_single(&request.headers, &validator).await?,
        Wrap::Multipart => {
            let others = stream::iter(images).map(make).buffered(AHEAD);
            let mut response = multipart(offer.media, stream::iter([Ok(first)]).chain(others));
            if missing > 0 {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            response
        }
    };
    let missing = (missing > 0)
        .then(|| format!("{missing} of the images that the presentation state refers to are not there"));
    for text in wanted.warning.into_iter().chain(warning).chain(missing) {
        warn(&mut response, &request.base, &text);
    }
    Ok(validator.mark(response))
}

/// The images that a state refers to.
struct Images {
    found: Vec<(Instance, FrameNumber)>,
    /// References that lead nowhere: to what is gone or has not come yet, or cannot be. A state may name whatever it
    /// likes.
    missing: usize,
}

impl Images {
    /// # Errors
    /// 404 when the archive has none, 413 when they are more than [`MOST_IMAGES`].
    async fn of(request: &Retrieval, state: &Instance, attributes: &Attributes) -> Result<Self, Problem> {
        let mut series: HashMap<String, HashMap<String, Instance>> = HashMap::new();
        let (mut found, mut missing) = (Vec::new(), 0);
        for reference in references(attributes) {
            if !series.contains_key(&reference.series) {
                let instances = of_series(request, state, &reference.series).await?;
                series.insert(reference.series.clone(), instances);
            }
            let instances = series.get(&reference.series);
            let Some(image) = instances.and_then(|instances| instances.get(&reference.instance)) else {
                missing += 1;
                continue;
            };
            let numbers = &reference.frames;
            missing += numbers.iter().filter(|number| **number > image.frames).count();
            let numbers: &mut dyn Iterator<Item = u32> = if numbers.is_empty() {
                &mut (1..=image.frames)
            } else {
                &mut numbers.iter().copied().filter(|number| *number <= image.frames)
            };
            // One more than may be tells that there are too many.
            let room = (MOST_IMAGES + 1).saturating_sub(found.len());
            let numbers = numbers.filter_map(FrameNumber::new).take(room);
            found.extend(numbers.map(|number| (image.clone(), number)));
        }
        if found.len() > MOST_IMAGES {
            return Err(Problem::too_large(format!(
                "the presentation state shows more than {MOST_IMAGES} images"
            )));
        }
        if found.is_empty() {
            return Err(Problem::not_found(
                "none of the images that the presentation state refers to is there",
            ));
        }
        Ok(Self { found, missing })
    }
}

/// The instances of a series of the state's study, by their UIDs.
async fn of_series(
    request: &Retrieval,
    state: &Instance,
    series: &str,
) -> Result<HashMap<String, Instance>, Problem> {
    let Ok(uid) = SeriesInstanceUid::parse(series) else { return Ok(HashMap::new()) };
    match request.session.instances(&Resource::Series(state.study.clone(), uid)).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(HashMap::new()),
        found => Ok(found?.into_iter().map(|one| (one.sop_instance.to_string(), one)).collect()),
    }
}

/// Makes images as a state shows them.
struct Maker {
    request: Retrieval,
    state: Instance,
    attributes: Attributes,
    presentation: Presentation,
}

impl Maker {
    /// What the state says of a frame, with the overlays that it wants of the image.
    async fn softcopy(&self, image: &Instance, number: FrameNumber) -> Result<Softcopy, Problem> {
        let mut softcopy = Softcopy::read(&self.attributes, image.sop_instance.as_str(), number);
        let overlays: Vec<Tag> = softcopy.overlays_of_image().collect();
        if !overlays.is_empty() {
            let attributes = attributes(&self.request.session, image, &overlays).await?;
            softcopy.take_overlays(&attributes, number);
        }
        Ok(softcopy)
    }

    async fn part(&self, image: &Instance, number: FrameNumber) -> Result<Part, Problem> {
        let (of, by) = (identity(image), identity(&self.state));
        let key = format!("{of:?} {} {:?} by {by:?}", number.get(), self.presentation);
        let bytes = self.request.renditions.get(&key, self.make(image, number)).await?;
        let location = format!("{}/rendered", self.request.base.instance(&self.state));
        Ok(Part::of(bytes, self.presentation.format.media_type().to_owned(), location))
    }

    async fn make(&self, image: &Instance, number: FrameNumber) -> Result<Bytes, Problem> {
        let softcopy = self.softcopy(image, number).await?;
        let opened = Image::open(&self.request.session, &self.request.pool, image).await?;
        let info = ImageInfo::read(&softcopy.over(&opened.attributes), number)?;
        let mut beside = opened.beside(number, &self.presentation).await?;
        // The colours that the state shows are in its own space (PS3.3 §C.11.15).
        let profile = self.attributes.bytes(tags::ICC_PROFILE).filter(|profile| !profile.is_empty());
        if let (Some(profile), true) = (profile, self.presentation.profile != IccProfile::No) {
            beside.profile = Some(profile.clone());
        }
        let (frame, room) = opened.to_show_in(number, &info, softcopy.picture_length(&info)?).await?;
        let (syntax, presentation) = (image.transfer_syntax.clone(), self.presentation);
        let work = move || {
            let picture = render::render_by(&frame, &info, &syntax, &presentation, &softcopy, &beside);
            drop(room);
            picture
        };
        Ok(self.request.pool.run(work).await??.into())
    }
}

/// The data set of a state or image with the tables, outlines and overlays that lie in the object: those with these tags,
/// all where there are none.
async fn attributes(session: &Session, of: &Instance, tags: &[Tag]) -> Result<Attributes, Problem> {
    let attributes = session.header(of).await?.attributes()?;
    let mut wanted = Vec::new();
    collect(&attributes, &mut wanted);
    wanted.retain(|(element, _)| tags.is_empty() || tags.contains(&element.tag));
    let mut total = 0;
    let mut values = HashMap::new();
    let is_big = of.transfer_syntax.facts().encoding == Encoding::ExplicitBig;
    for (element, Bulk { offset, length, .. }) in wanted {
        total += length;
        if length > MAX_VALUE || total > MAX_VALUES {
            return Err(Problem::too_large(
                "tables, outlines and overlays of the presentation state are too large",
            ));
        }
        let bytes = session.read(of, offset..offset + length).await?;
        values.insert(offset, little_endian(bytes, if is_big { unit(element.vr) } else { 1 }));
    }
    Ok(if values.is_empty() { attributes } else { filled(&attributes, &values) })
}

fn collect<'a>(attributes: &'a Attributes, wanted: &mut Vec<(&'a Element, Bulk)>) {
    for element in attributes {
        match &element.value {
            Value::Items(items) => items.iter().for_each(|item| collect(item, wanted)),
            Value::Bulk(bulk) if !bulk.encapsulated => wanted.push((element, *bulk)),
            Value::Bulk(_) | Value::Bytes(_) => {}
        }
    }
}

fn filled(attributes: &Attributes, values: &HashMap<u64, Bytes>) -> Attributes {
    let mut filled_up = attributes.clone();
    for element in attributes {
        let value = match &element.value {
            Value::Items(items) => Value::Items(items.iter().map(|item| filled(item, values)).collect()),
            Value::Bulk(Bulk { offset, .. }) => match values.get(offset) {
                Some(bytes) => Value::Bytes(bytes.clone()),
                None => continue,
            },
            Value::Bytes(_) => continue,
        };
        filled_up.put(Element { tag: element.tag, vr: element.vr, value });
    }
    filled_up
}

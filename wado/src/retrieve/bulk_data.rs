//! All bulk data, or all pixel data, of a study, series or instance (PS3.18 §10.4.1.1.4, §10.4.1.1.5), one part a
//! value and one a frame of Pixel Data. So is a study, series or instance given that is asked for as
//! `application/octet-stream` (PS3.18 §10.4.4, note 2).
//!
//! What pixel data are given as is decided as for frames. Of several instances those whose pixel data cannot be given
//! are left out under status 206; 406 when none can. Pixel data that are not decoded here (video) come as they are stored
//! under their own media type, where the client takes that.

use std::sync::Arc;

use axum::response::Response;
use dicom_store::Described;
use dicom_store::model::{Attributes, FrameNumber, Instance, Tag, Value};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::StatusCode;
use worker::pixel::can_decode;

use super::bulk::{self, PIXEL_DATA};
use super::frames::{self, Form};
use super::parts::{Part, multipart};
use super::{Retrieval, Validator, identity, not_convertible};
use crate::accept::{Category, OCTET_STREAM, Offer};
use crate::dicom_json::is_by_uri;
use crate::error::Problem;

/// Which values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Which {
    All,
    /// Pixel Data of the images themselves, not of icons.
    Pixels,
}

type Parts = BoxStream<'static, Result<Part, Problem>>;

/// `…/bulkdata` of a study, series or instance
pub(crate) async fn bulk_data(request: Retrieval) -> Result<Response, Problem> {
    let instances = request.instances().await?;
    answer(request, instances, Which::All).await
}

/// `…/pixeldata` of a study, series or instance
pub(crate) async fn pixel_data(request: Retrieval) -> Result<Response, Problem> {
    let instances = request.instances().await?;
    answer(request, instances, Which::Pixels).await
}

pub(super) async fn answer(
    request: Retrieval,
    instances: Vec<Instance>,
    which: Which,
) -> Result<Response, Problem> {
    let total = instances.len();
    let stored = instances.first().map(|instance| instance.transfer_syntax.clone());
    let mut offers = vec![Offer::multipart(OCTET_STREAM)];
    for instance in instances.iter().filter(|instance| !can_decode(&instance.transfer_syntax)) {
        let own = frames::media_type(&instance.transfer_syntax).map(|(media, _)| Offer::multipart(media));
        offers.extend(own.filter(|own| !offers.contains(own)));
    }
    let choices = request.accepts.choices(Category::Dicom, &offers)?;
    let given = choices.iter().find_map(|choice| {
        let form = |instance: &Instance| match instance.frames {
            0 => Some(Form::Stored),
            _ => frames::form(choice, &instance.transfer_syntax, true),
        };
        let given: Vec<_> = instances.iter().filter_map(|one| Some((one.clone(), form(one)?))).collect();
        (!given.is_empty()).then_some((choice.offer.media, given))
    });
    let Some((media, given)) = given else {
        return Err(match stored.filter(|_| total == 1) {
            Some(stored) => not_convertible(&offers, &stored),
            None => crate::accept::Refusal::NotAcceptable(offers).into(),
        });
    };
    let is_partial = given.len() < total;
    let identities: Vec<_> = given.iter().map(|(instance, form)| (identity(instance), *form)).collect();
    let validator = Validator::weak(&(identities, which, media, request.base.as_str()));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let request = Arc::new(request);
    let of = move |(instance, form)| {
        let request = request.clone();
        async move { parts(&request, instance, (media, form), which).await }
    };
    let mut parts: Parts = stream::iter(given).then(of).try_flatten().boxed();
    // The first is made before the answer begins, so that its failure has a status.
    let first = parts.try_next().await?.ok_or_else(|| Problem::not_found("there are no bulk data"))?;
    let mut response = multipart(media, stream::iter([Ok(first)]).chain(parts));
    if is_partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(validator.mark(response))
}

/// The values of one instance in the order of its data set.
async fn parts(
    request: &Retrieval,
    instance: Instance,
    pixels_as: (&'static str, Form),
    which: Which,
) -> Result<Parts, Problem> {
    let described = request.session.described(&instance.resource()).await?;
    let attributes = described.header()?.attributes()?;
    let mut paths = Vec::new();
    list(&attributes, "", &mut paths);
    if which == Which::Pixels {
        paths.retain(|path| bulk::PIXEL_DATA_ELEMENTS.contains(&path.as_str()));
    }
    let mut streams: Vec<Parts> = Vec::with_capacity(paths.len());
    for path in paths {
        if path == PIXEL_DATA && instance.frames > 0 {
            streams.push(pixels(request, described.clone(), pixels_as).await?);
        } else if let Some(part) = bulk::part(request, &instance, &attributes, &path) {
            streams.push(stream::iter([Ok(part)]).boxed());
        }
    }
    Ok(stream::iter(streams).flatten().boxed())
}

async fn pixels(
    request: &Retrieval,
    described: Described,
    (media, form): (&'static str, Form),
) -> Result<Parts, Problem> {
    let count = described.instance.frames;
    let source = Arc::new(frames::Source::open(request, described, media, form).await?);
    let part = move |number| {
        let source = source.clone();
        async move { source.part(number).await }
    };
    Ok(stream::iter((1..=count).filter_map(FrameNumber::new)).then(part).boxed())
}

/// Paths of the values that metadata tell by URI.
fn list(attributes: &Attributes, within: &str, paths: &mut Vec<String>) {
    for element in attributes.iter() {
        let Tag(group, number) = element.tag;
        let path = format!("{within}{group:04X}{number:04X}");
        match &element.value {
            Value::Items(items) => {
                for (place, item) in (1..).zip(items) {
                    list(item, &format!("{path}/{place}/"), paths);
                }
            }
            _ if is_by_uri(element) => paths.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;

    #[test]
    fn values_that_have_a_uri_are_listed_in_their_order_with_their_items() {
        let mut item = Attributes::new();
        item.put_bytes(Tag(0x0018, 0x9073), VR::FD, f64::NAN.to_le_bytes().to_vec());
        item.put_bytes(Tag(0x0018, 0x9074), VR::FD, 1_f64.to_le_bytes().to_vec());
        let mut attributes = Attributes::new();
        attributes.put_items(Tag(0x0018, 0x9006), vec![Attributes::new(), item]);
        attributes.put_bytes(Tag(0x0018, 0x0050), VR::DS, b"NaN ".to_vec());
        let mut paths = Vec::new();
        list(&attributes, "", &mut paths);
        assert_eq!(paths, ["00189006/2/00189073"]);
    }
}

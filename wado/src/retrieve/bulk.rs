//! Bulk data by the BulkDataURI of the metadata (PS3.18 §8.7.3.3.2): `…/bulkdata/00420011`,
//! `…/bulkdata/00880200/1/7FE00010` inside of sequences, items counted from 1.
//!
//! The answer is the value field, little endian, read by ranges. A range may be asked for (RFC 9110 §14) of the bare
//! form. An encapsulated PDF is also given as `application/pdf`, then without the byte that makes it even. Compressed
//! Pixel Data are given frame by frame, as frames are.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Bulk, Encoding, FrameNumber, Instance, Tag, Value};
use dicom_store::{STEP, Session};
use futures_util::stream::{self, StreamExt};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::convert::{little_endian, unit};
use super::parts::{Chunks, Part, multipart_of};
use super::{Retrieval, Validator, frames, identity};
use crate::accept::{OCTET_STREAM, Offer, PDF, Wrap};
use crate::attribute::AttributePath;
use crate::error::Problem;

/// Where an encapsulated document lies (PS3.3 §C.24.2).
const DOCUMENT: &str = "00420011";

/// `…/bulkdata/{path}`
pub(crate) async fn bulk(request: Retrieval) -> Result<Response, Problem> {
    let instance = request.instance().await?;
    let path = request.target.bulk.clone().unwrap_or_default();
    let attributes = request.session.header(&instance).await?.attributes()?;
    let mut offers = vec![Offer::multipart(OCTET_STREAM), Offer::single(OCTET_STREAM)];
    if path == DOCUMENT && Document::of(&attributes).is_some() {
        offers.push(Offer::single(PDF));
    }
    value(&request, instance, &attributes, &path, &offers).await
}

/// The PDF that an instance holds, as its rendered form; `None` when it holds none.
pub(super) async fn document(request: &Retrieval, instance: &Instance) -> Result<Option<Response>, Problem> {
    let attributes = request.session.header(instance).await?.attributes()?;
    if Document::of(&attributes).is_none() {
        return Ok(None);
    }
    value(request, instance.clone(), &attributes, DOCUMENT, &[Offer::single(PDF)]).await.map(Some)
}

async fn value(
    request: &Retrieval,
    instance: Instance,
    attributes: &Attributes,
    path: &str,
    offers: &[Offer],
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there are no bulk data at {path}"));
    let found = find(attributes, path).ok_or_else(missing)?;
    if found.is_encapsulated() {
        let numbers = (1..=instance.frames).filter_map(FrameNumber::new).collect();
        return frames::answer(request, instance, numbers).await;
    }
    let offer = request.accepts.best(offers)?;
    let validator = Validator::of(&(identity(&instance), path, offer.media));
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let mut length = found.length();
    if let (PDF, Some(Document { length: Some(exact) })) = (offer.media, Document::of(attributes)) {
        length = length.min(exact);
    }
    let location = format!("{}/{path}", request.base.bulk(&instance));
    let source = Source { session: request.session.clone(), instance, found };
    let response = match offer.wrap {
        Wrap::Multipart => {
            let part = source.part(offer.media, location, 0..length).begun().await?;
            multipart_of(offer.media, vec![part])
        }
        Wrap::Single => single(source, offer.media, location, length, &request.headers).await?,
    };
    Ok(validator.mark_immutable(response))
}

/// The bare form, or the range of it that is asked for.
async fn single(
    source: Source,
    media: &str,
    location: String,
    length: u64,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range(text, length));
    // Numbers are turned round whole, so ranges are only of what has the right order already.
    let mut response = match asked {
        Some(Asked::Part(part)) if source.unit() == 1 => {
            let value = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let mut response = source.part(media, location, part).begun().await?.into_single()?;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            response
        }
        Some(Asked::Beyond) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            response
        }
        _ => source.part(media, location, 0..length).begun().await?.into_single()?,
    };
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// An answer to a `Range` field.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Part(Range<u64>),
    Beyond,
}

/// One range of bytes; `None` for what is to be ignored: several ranges, other units, nonsense.
fn range(text: &str, length: u64) -> Option<Asked> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let part = match (first.is_empty(), last.is_empty()) {
        (true, _) => length.saturating_sub(last.parse().ok()?)..length,
        (false, true) => first.parse().ok()?..length,
        (false, false) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if part.start < part.end { Asked::Part(part) } else { Asked::Beyond })
}

/// A value of the data set.
struct Found {
    value: Value,
    /// Size of the numbers in it.
    unit: usize,
}

impl Found {
    fn is_encapsulated(&self) -> bool {
        matches!(self.value, Value::Bulk(Bulk { encapsulated: true, .. }))
    }

    fn length(&self) -> u64 {
        match &self.value {
            Value::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or_default(),
            Value::Bulk(bulk) => bulk.length,
            Value::Items(_) => 0,
        }
    }
}

/// Follows a path of tags and item numbers. Sequences themselves are no bulk data.
fn find(attributes: &Attributes, path: &str) -> Option<Found> {
    let mut segments = path.split('/');
    let mut data_set = attributes;
    loop {
        let element = data_set.get(tag(segments.next()?)?)?;
        match (segments.next(), &element.value) {
            (None, Value::Items(_)) => return None,
            (None, value) => return Some(Found { value: value.clone(), unit: unit(element.vr) }),
            (Some(number), Value::Items(items)) => {
                let index = number.parse::<usize>().ok()?.checked_sub(1)?;
                data_set = items.get(index)?;
            }
            (Some(_), _) => return None,
        }
    }
}

fn tag(text: &str) -> Option<Tag> {
    AttributePath::parse(text)?.outermost()
}

/// An encapsulated PDF (PS3.3 §C.24.2).
#[derive(Clone, Copy)]
struct Document {
    /// Encapsulated Document Length (0042,0015).
    length: Option<u64>,
}

impl Document {
    fn of(attributes: &Attributes) -> Option<Self> {
        let is_pdf = attributes.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT)?.eq_ignore_ascii_case(PDF);
        let length =
            attributes.int(tags::ENCAPSULATED_DOCUMENT_LENGTH).and_then(|length| u64::try_from(length).ok());
        is_pdf.then_some(Self { length })
    }
}

struct Source {
    session: Session,
    instance: Instance,
    found: Found,
}

impl Source {
    /// Size of the numbers that have to be turned round: those of a value that lies in a big endian object.
    fn unit(&self) -> usize {
        let is_big_endian = self.instance.transfer_syntax.facts().encoding == Encoding::ExplicitBig;
        if is_big_endian && matches!(self.found.value, Value::Bulk(_)) { self.found.unit } else { 1 }
    }

    fn part(self, media: &str, location: String, range: Range<u64>) -> Part {
        let length = Some(range.end - range.start);
        Part { content_type: media.to_owned(), location, length, chunks: self.chunks(range) }
    }

    fn chunks(self, range: Range<u64>) -> Chunks {
        let unit = self.unit();
        let Self { session, instance, found } = self;
        match found.value {
            Value::Bytes(bytes) => stream::iter([Ok(slice(&bytes, range))]).boxed(),
            Value::Bulk(Bulk { offset, .. }) => {
                let starts = range.clone().step_by(usize::try_from(STEP).unwrap_or(usize::MAX));
                let read = move |start: u64| {
                    let (session, instance) = (session.clone(), instance.clone());
                    let part = offset + start..offset + range.end.min(start + STEP);
                    async move { Ok(little_endian(session.read(&instance, part).await?, unit)) }
                };
                stream::iter(starts).then(read).boxed()
            }
            Value::Items(_) => stream::empty().boxed(),
        }
    }
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(bytes.len());
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(start..end.max(start))
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("bytes=0-9", Some(Asked::Part(0..10)))]
    #[case("bytes=90-", Some(Asked::Part(90..100)))]
    #[case("bytes=-10", Some(Asked::Part(90..100)))]
    #[case("bytes=0-1000", Some(Asked::Part(0..100)))]
    #[case("bytes=100-", Some(Asked::Beyond))]
    #[case("bytes=-0", Some(Asked::Beyond))]
    #[case("bytes=9-0", None)]
    #[case("bytes=0-1,5-6", None)]
    #[case("items=0-1", None)]
    #[case("bytes=a-", None)]
    fn reads_one_range(#[case] text: &str, #[case] expected: Option<Asked>) {
        assert_eq!(range(text, 100), expected);
    }

    #[rstest]
    #[case("00420011", Some(3))]
    #[case("00880200/1/00420011", Some(5))]
    #[case("00880200/0/00420011", None)]
    #[case("00880200/2/00420011", None)]
    #[case("00880200", None)]
    #[case("00420011/1", None)]
    #[case("", None)]
    #[case("../secret", None)]
    fn follows_the_path_into_items(#[case] path: &str, #[case] length: Option<u64>) {
        let mut item = Attributes::new();
        item.put_bytes(Tag(0x0042, 0x0011), VR::OB, vec![0; 5]);
        let mut attributes = Attributes::new();
        attributes.put_bytes(Tag(0x0042, 0x0011), VR::OB, vec![0; 3]);
        attributes.put_items(Tag(0x0088, 0x0200), vec![item]);
        assert_eq!(find(&attributes, path).map(|found| found.length()), length);
    }
}

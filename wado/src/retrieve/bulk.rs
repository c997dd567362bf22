//! Bulk data by the BulkDataURI of the metadata (PS3.18 §8.7.3.3.2): `…/bulkdata/00420011`,
//! `…/bulkdata/00880200/1/7FE00010` inside of sequences, items counted from 1.
//!
//! The answer is the value field, little endian, read by ranges. A range may be asked for (RFC 9110 §14) of the bare
//! form. An encapsulated document is also given as what it is (`application/pdf`), then without the byte that makes it even. Compressed
//! Pixel Data of the image are given frame by frame, as frames are, and bare as the value that they are natively; those of
//! an icon as the code stream.

use std::ops::Range;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Bulk, Encoding, Instance, Tag, Value};
use dicom_store::{STEP, Session};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use worker::transcode::{little_endian, unit};

use super::parts::{Chunks, Part, multipart_of};
use super::{Retrieval, Validator, frames, identity};
use crate::accept::{Category, OCTET_STREAM, Offer, PDF, Wrap, XML};
use crate::attribute::AttributePath;
use crate::error::Problem;

/// Where an encapsulated document lies (PS3.3 §C.24.2).
const DOCUMENT: &str = "00420011";
/// Pixel Data, and all elements that hold the pixels of an image (PS3.3 §C.7.6.3, §C.7.6.24, §C.7.6.25).
pub(super) const PIXEL_DATA: &str = "7FE00010";
pub(super) const PIXEL_DATA_ELEMENTS: &[&str] = &[PIXEL_DATA, "7FE00008", "7FE00009"];
/// Bytes of compressed pixels inside of a sequence.
const MAX_ICON: u64 = 16 << 20;

/// `…/bulkdata/{path}`
pub(crate) async fn bulk(request: Retrieval) -> Result<Response, Problem> {
    let described = request.described().await?;
    let path = request.target.bulk.clone().unwrap_or_default();
    let instance = &described.instance;
    if path == PIXEL_DATA && instance.frames > 0 && instance.transfer_syntax.facts().encapsulated {
        return frames::value(&request, described).await;
    }
    let attributes = described.header()?.attributes()?;
    let mut offers = vec![Offer::multipart(OCTET_STREAM), Offer::single(OCTET_STREAM)];
    if let Some(document) = Document::of(&attributes).filter(|_| path == DOCUMENT) {
        offers.push(Offer::single(document.media));
    }
    value(&request, described.instance, &attributes, &path, (Category::Dicom, &offers)).await
}

/// The document that an instance holds, as its rendered form; `None` when it holds none.
pub(super) async fn document(
    request: &Retrieval,
    instance: &Instance,
    attributes: &Attributes,
) -> Result<Option<Response>, Problem> {
    let Some(document) = Document::of(attributes) else { return Ok(None) };
    let offers = [Offer::single(document.media)];
    let offers = (Category::Rendered, offers.as_slice());
    value(request, instance.clone(), attributes, DOCUMENT, offers).await.map(Some)
}

/// The same as one of several, where it is of that media type.
pub(super) async fn document_part(
    request: &Retrieval,
    instance: &Instance,
    attributes: &Attributes,
    media: &str,
) -> Result<Option<Part>, Problem> {
    let document = Document::of(attributes).filter(|document| document.media == media);
    let source = Source::of(request, instance, attributes, DOCUMENT);
    let (Some(document), Some(source)) = (document, source) else { return Ok(None) };
    let exact = document.exact(&source).await?;
    let location = format!("{}/rendered", request.base.instance(instance));
    let mut part = source.part(location).shortened(exact);
    part.content_type = media.to_owned();
    Ok(Some(part))
}

async fn value(
    request: &Retrieval,
    instance: Instance,
    attributes: &Attributes,
    path: &str,
    (category, offers): (Category, &[Offer]),
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there are no bulk data at {path}"));
    let source = Source::of(request, &instance, attributes, path).ok_or_else(missing)?;
    let offer = request.accepts.best(category, offers)?;
    let cause = (identity(&instance), path, request.base.as_str());
    let validator = Validator::of(offer, &cause).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let document = Document::of(attributes).filter(|document| document.media == offer.media);
    let mut part = source.clone().part(format!("{}/{path}", request.base.bulk(&instance)));
    if let Some(document) = document {
        part = part.shortened(document.exact(&source).await?);
    }
    part.content_type = offer.media.to_owned();
    let response = match offer.wrap {
        Wrap::Multipart => multipart_of(offer.media, vec![part.begun().await?]),
        Wrap::Single => part.into_single(&request.headers, &validator).await?,
    };
    Ok(validator.mark(response))
}

/// The value at a path as a part; `None` when there is none.
pub(super) fn part(
    request: &Retrieval,
    instance: &Instance,
    attributes: &Attributes,
    path: &str,
) -> Option<Part> {
    let source = Source::of(request, instance, attributes, path)?;
    Some(source.part(format!("{}/{path}", request.base.bulk(instance))))
}

/// A value of the data set.
#[derive(Clone)]
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

/// Media types of encapsulated documents (PS3.3 §A.45, §A.85) that are given as what they are.
const DOCUMENTS: &[&str] = &[PDF, XML, "model/stl", "model/obj", "model/mtl", "application/x-zip-compressed"];

/// Those of them that are text, or end as text does: a zero behind it is no part of it.
const TEXTS: &[&str] = &[PDF, XML, "model/obj", "model/mtl"];

/// An encapsulated document (PS3.3 §C.24.2).
#[derive(Clone, Copy)]
struct Document {
    media: &'static str,
    /// Encapsulated Document Length (0042,0015).
    length: Option<u64>,
}

impl Document {
    fn of(attributes: &Attributes) -> Option<Self> {
        let said = attributes.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT)?;
        let media = DOCUMENTS.iter().find(|media| media.eq_ignore_ascii_case(&said))?;
        let length =
            attributes.int(tags::ENCAPSULATED_DOCUMENT_LENGTH).and_then(|length| u64::try_from(length).ok());
        Some(Self { media, length })
    }

    /// How much of the value it is, without the byte that makes that even.
    async fn exact(&self, value: &Source) -> Result<u64, Problem> {
        let whole = value.found.length();
        if let Some(said) = self.length {
            return Ok(said);
        }
        if whole == 0 || !TEXTS.contains(&self.media) {
            return Ok(whole);
        }
        let last = value.clone().chunks(whole - 1..whole).try_next().await?;
        Ok(if last.is_some_and(|last| last.starts_with(&[0])) { whole - 1 } else { whole })
    }
}

#[derive(Clone)]
struct Source {
    session: Session,
    instance: Instance,
    found: Found,
}

impl Source {
    /// The value at a path; `None` when there is none.
    fn of(request: &Retrieval, instance: &Instance, attributes: &Attributes, path: &str) -> Option<Self> {
        let (session, instance) = (request.session.clone(), instance.clone());
        Some(Self { session, instance, found: find(attributes, path)? })
    }

    /// Size of the numbers that have to be turned round: those of a value that lies in a big endian object.
    fn unit(&self) -> usize {
        let is_big_endian = self.instance.transfer_syntax.facts().encoding == Encoding::ExplicitBig;
        if is_big_endian && matches!(self.found.value, Value::Bulk(_)) { self.found.unit } else { 1 }
    }

    fn part(self, location: String) -> Part {
        if self.found.is_encapsulated() {
            return Part::new(OCTET_STREAM.to_owned(), location, None, self.code_stream());
        }
        let length = self.found.length();
        let seek = self.clone();
        // Numbers are turned round whole: a range of them is cut out afterwards.
        let is_plain = self.unit() == 1;
        let part = Part::new(OCTET_STREAM.to_owned(), location, Some(length), self.chunks(0..length));
        if is_plain { part.seekable(move |range| seek.chunks(range)) } else { part }
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

    /// The compressed pixels of an icon: the fragments behind the offset table, joined.
    fn code_stream(self) -> Chunks {
        let Self { session, instance, found } = self;
        let read = async move {
            let Value::Bulk(Bulk { offset, length, .. }) = found.value else { return Ok(Bytes::new()) };
            if length > MAX_ICON {
                return Err(Problem::too_large(format!(
                    "compressed pixels in a sequence have {length} bytes, limit is {MAX_ICON}"
                )));
            }
            Ok(joined(&session.read(&instance, offset..offset + length).await?))
        };
        stream::once(read).boxed()
    }
}

/// The fragments of encapsulated pixel data behind the first item (PS3.5 §A.4).
fn joined(mut items: &[u8]) -> Bytes {
    let mut joined = BytesMut::new();
    let mut is_table = true;
    while let [0xFE, 0xFF, 0x00, 0xE0, a, b, c, d, rest @ ..] = items {
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let (fragment, behind) = rest.split_at(length.min(rest.len()));
        if !std::mem::take(&mut is_table) {
            joined.extend_from_slice(fragment);
        }
        items = behind;
    }
    joined.freeze()
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

    #[test]
    fn fragments_behind_the_offset_table_are_joined() {
        let items = b"\xFE\xFF\0\xE0\x04\0\0\0\0\0\0\0\xFE\xFF\0\xE0\x02\0\0\0ab\xFE\xFF\0\xE0\x02\0\0\0cd\xFE\xFF\xDD\xE0\0\0\0\0";
        assert_eq!(joined(items), "abcd");
        assert_eq!(joined(&items[..22]), "ab".get(..2).unwrap());
        assert_eq!(joined(b"no items"), "");
    }
}

//! Frames of an instance (PS3.18 §10.4.1.1.6): one ranged read each, in the stored form or decoded.
//!
//! | accepted | given |
//! |---|---|
//! | `application/octet-stream`, no transfer syntax or Explicit VR LE | native bytes, decoded where the object is compressed |
//! | `application/octet-stream; transfer-syntax=*` or the stored UID | the stored bytes, under their transfer syntax |
//! | the media type of the stored transfer syntax (PS3.18 Table 8.7.3-5) | the stored code stream |
//!
//! Each as parts of `multipart/related`, or bare when one frame is asked for. Nothing is encoded: another compressed
//! form than the stored one is 406. Frame numbers may come in any order, each once.

use axum::response::Response;
use dicom_store::model::{
    Codec, Encoding, FrameMap, FrameNumber, Instance, TransferSyntaxUid, transfer_syntax,
};
use dicom_store::{FrameStream, Session};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use worker::pixel;

use super::image::Image;
use super::parts::{Part, multipart, multipart_of};
use super::{Retrieval, Validator, identity, not_convertible};
use crate::accept::{Category, Choice, OCTET_STREAM, Offer, Syntax, Wrap};
use crate::error::Problem;

/// Frames that are read or decoded ahead of the one being sent.
const AHEAD: usize = 3;

/// `…/frames/{frames}`
pub(crate) async fn frames(request: Retrieval) -> Result<Response, Problem> {
    let numbers = request.target.frames()?.ok_or_else(|| Problem::not_found("the path names no frames"))?;
    let instance = request.instance().await?;
    answer(&request, instance, numbers).await
}

/// These frames, in the form that the client accepts.
pub(super) async fn answer(
    request: &Retrieval,
    instance: Instance,
    numbers: Vec<FrameNumber>,
) -> Result<Response, Problem> {
    check(&instance, &numbers)?;
    let offers = offers(&instance, numbers.len() == 1);
    let choices = request.accepts.choices(Category::Dicom, &offers)?;
    let chosen = choices.iter().find_map(|choice| {
        let is_named = request.accepts.names(choice.offer.media);
        form(choice, &instance.transfer_syntax, is_named).map(|form| (choice.offer, form))
    });
    let Some((offer, form)) = chosen else { return Err(not_convertible(&offers, &instance.transfer_syntax)) };
    let cause = (identity(&instance), &numbers, offer.media, form, request.base.as_str());
    let validator = match offer.wrap {
        Wrap::Single => Validator::strong(&cause).lasting(),
        Wrap::Multipart => Validator::weak(&cause).lasting(),
    };
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    let source = Source::open(request, instance, offer.media, form).await?;
    let response = match (offer.wrap, numbers.as_slice()) {
        (Wrap::Single, [number]) => {
            source.part(*number).await?.into_single(&request.headers, &validator).await?
        }
        (_, [number]) => multipart_of(offer.media, vec![source.part(*number).await?]),
        _ => several(source, numbers, offer).await?,
    };
    Ok(validator.mark(response))
}

/// The first frame is made before the answer begins, so that its failure has a status.
async fn several(source: Source, numbers: Vec<FrameNumber>, offer: Offer) -> Result<Response, Problem> {
    let mut numbers = numbers.into_iter();
    let mut first = Vec::new();
    if let Some(number) = numbers.next() {
        first.push(Ok(source.part(number).await?));
    }
    let source = std::sync::Arc::new(source);
    let others = stream::iter(numbers).map(move |number| {
        let source = source.clone();
        async move { source.part(number).await }
    });
    Ok(multipart(offer.media, stream::iter(first).chain(others.buffered(AHEAD))))
}

fn check(instance: &Instance, numbers: &[FrameNumber]) -> Result<(), Problem> {
    let count = instance.frames;
    match numbers.iter().find(|number| number.get() > count) {
        Some(number) => {
            let uid = &instance.sop_instance;
            Err(Problem::not_found(format!("instance {uid} has {count} frames, not {}", number.get())))
        }
        None => Ok(()),
    }
}

/// What the bytes of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As in the object.
    Stored,
    /// As Explicit VR Little Endian has them.
    Native,
}

/// The form of frames that a choice asks for, if there is such a one; `is_named` when the client names the media type.
pub(super) fn form(choice: &Choice, stored: &TransferSyntaxUid, is_named: bool) -> Option<Form> {
    let facts = stored.facts();
    let is_native = !facts.encapsulated;
    if choice.offer.media != OCTET_STREAM {
        let is_default = media_type(stored).is_some_and(|(_, is_default)| is_default);
        return match &choice.syntax {
            Syntax::Any => Some(Form::Stored),
            // Without a transfer syntax the default one of the media type is meant (PS3.18 §8.7.3.5.2).
            Syntax::Default => (is_default || !is_named).then_some(Form::Stored),
            Syntax::Uid(uid) => (uid == stored.as_str()).then_some(Form::Stored),
        };
    }
    // Big endian goes over the wire as little endian whatever is asked for (PS3.18 §8.7.3).
    let is_ready = is_native && facts.encoding != Encoding::ExplicitBig;
    let native =
        if is_ready { Some(Form::Stored) } else { pixel::can_decode(stored).then_some(Form::Native) };
    match &choice.syntax {
        Syntax::Default => native,
        Syntax::Any if is_native => native,
        Syntax::Any => Some(Form::Stored),
        Syntax::Uid(uid) if uid == transfer_syntax::EXPLICIT_LITTLE => native,
        Syntax::Uid(uid) => (!is_native && uid == stored.as_str()).then_some(Form::Stored),
    }
}

fn offers(instance: &Instance, is_one: bool) -> Vec<Offer> {
    let mut offers = Vec::with_capacity(4);
    for media in [Some(OCTET_STREAM), media_type(&instance.transfer_syntax).map(|(media, _)| media)] {
        let Some(media) = media else { continue };
        offers.push(Offer::multipart(media));
        if is_one {
            offers.push(Offer::single(media));
        }
    }
    offers
}

/// The media type of frames in a transfer syntax, and whether that syntax is the default one of the media type
/// (PS3.18 Table 8.7.3-5).
pub(super) fn media_type(syntax: &TransferSyntaxUid) -> Option<(&'static str, bool)> {
    let number = syntax.as_str().strip_prefix("1.2.840.10008.1.2.")?;
    Some(match number {
        "4.70" => ("image/jpeg", true),
        "4.50" | "4.51" | "4.57" => ("image/jpeg", false),
        "5" => ("image/dicom-rle", true),
        "4.80" => ("image/jls", true),
        "4.81" => ("image/jls", false),
        "4.90" => ("image/jp2", true),
        "4.91" => ("image/jp2", false),
        "4.92" => ("image/jpx", true),
        "4.93" => ("image/jpx", false),
        "4.201" => ("image/jphc", true),
        "4.202" | "4.203" => ("image/jphc", false),
        "4.101" | "4.101.1" => ("video/mpeg", true),
        "4.100" | "4.100.1" => ("video/mpeg", false),
        "4.102" | "4.102.1" => ("video/mp4", true),
        "4.103" | "4.103.1" | "4.104" | "4.104.1" | "4.105" | "4.105.1" | "4.106" | "4.106.1" => {
            ("video/mp4", false)
        }
        "4.107" => ("video/H265", true),
        "4.108" => ("video/H265", false),
        "4.110" => ("image/jxl", true),
        "4.111" | "4.112" => ("image/jxl", false),
        _ => return None,
    })
}

/// Where the frames of an answer come from.
pub(super) struct Source {
    retrieval: Frames,
    content_type: String,
    url: String,
}

enum Frames {
    Stored(Session, Instance, FrameMap),
    Decoded(Image),
}

impl Source {
    pub(super) async fn open(
        request: &Retrieval,
        instance: Instance,
        media: &str,
        form: Form,
    ) -> Result<Self, Problem> {
        let stored = &instance.transfer_syntax;
        let is_native = form == Form::Native || stored.facts().codec == Codec::Native;
        let named = if is_native { transfer_syntax::EXPLICIT_LITTLE } else { stored.as_str() };
        let content_type = format!("{media}; transfer-syntax={named}");
        let url = format!("{}/frames", request.base.instance(&instance));
        let retrieval = match form {
            Form::Stored => {
                let map = request.session.frame_map(&instance).await?;
                Frames::Stored(request.session.clone(), instance, map)
            }
            Form::Native => Frames::Decoded(Image::open(&request.session, &request.pool, &instance).await?),
        };
        Ok(Self { retrieval, content_type, url })
    }

    pub(super) async fn part(&self, number: FrameNumber) -> Result<Part, Problem> {
        let (content_type, location) = (self.content_type.clone(), format!("{}/{}", self.url, number.get()));
        match &self.retrieval {
            Frames::Stored(session, instance, map) => {
                let FrameStream { length, chunks } = session.stream_frame(instance, map, number).await?;
                let chunks = chunks.map(|chunk| Ok(chunk?)).boxed();
                let part = Part::new(content_type, location, Some(length), chunks);
                let (session, instance, map) = (session.clone(), instance.clone(), map.clone());
                Ok(part.seekable(move |range| {
                    let read = async move { session.stream_frame_part(&instance, &map, number, range).await };
                    stream::once(read).try_flatten().map(|chunk| Ok(chunk?)).boxed()
                }))
            }
            Frames::Decoded(image) => {
                let bytes = image.native(image.info(number)?, number).await?.bytes;
                Ok(Part::of(bytes, content_type, location))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::accept::Accepts;

    const EXPLICIT: &str = transfer_syntax::EXPLICIT_LITTLE;
    const IMPLICIT: &str = transfer_syntax::IMPLICIT_LITTLE;
    const BIG: &str = transfer_syntax::EXPLICIT_BIG;
    const RLE: &str = transfer_syntax::RLE;
    const BASELINE: &str = transfer_syntax::JPEG_BASELINE;
    const JPEG_2000: &str = transfer_syntax::JPEG_2000_LOSSLESS;
    const H264: &str = "1.2.840.10008.1.2.4.102";

    #[rstest]
    #[case::default(EXPLICIT, "application/octet-stream", Some(Form::Stored))]
    #[case::implicit(IMPLICIT, "application/octet-stream", Some(Form::Stored))]
    #[case::implicit_is_never_named(
        IMPLICIT,
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2",
        None
    )]
    #[case::big_endian(BIG, "application/octet-stream; transfer-syntax=*", Some(Form::Native))]
    #[case::decoded(RLE, "application/octet-stream", Some(Form::Native))]
    #[case::viewers(RLE, "application/octet-stream; transfer-syntax=*", Some(Form::Stored))]
    #[case::explicit(
        RLE,
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        Some(Form::Native)
    )]
    #[case::stored_by_uid(
        RLE,
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5",
        Some(Form::Stored)
    )]
    #[case::own_media_type(RLE, "image/dicom-rle", Some(Form::Stored))]
    #[case::other_syntax_of_it(BASELINE, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", None)]
    #[case::jpeg_means_lossless(BASELINE, "image/jpeg", None)]
    #[case::jpeg_by_uid(BASELINE, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", Some(Form::Stored))]
    #[case::jpeg_any(BASELINE, "image/jpeg; transfer-syntax=*", Some(Form::Stored))]
    #[case::decoded_by_default(JPEG_2000, "*/*", Some(Form::Native))]
    #[case::not_decodable(H264, "application/octet-stream", None)]
    #[case::not_decodable_as_stored(H264, "application/octet-stream; transfer-syntax=*", Some(Form::Stored))]
    #[case::video_has_a_media_type(H264, "*/*", Some(Form::Stored))]
    #[case::video_by_its_default(H264, "video/mp4", Some(Form::Stored))]
    #[case::other_video(H264, "video/mpeg", None)]
    #[case::other_media_type(RLE, "image/jls", None)]
    fn gives_the_form_that_is_asked_for(
        #[case] stored: &str,
        #[case] accept: &str,
        #[case] expected: Option<Form>,
    ) {
        let stored = TransferSyntaxUid::parse(stored).unwrap();
        let mut offers = vec![Offer::single(OCTET_STREAM)];
        offers.extend(media_type(&stored).map(|(media, _)| Offer::single(media)));
        let accepts = Accepts::parse(accept);
        let choices = accepts.choices(Category::Dicom, &offers).unwrap();
        let found =
            choices.iter().find_map(|choice| form(choice, &stored, accepts.names(choice.offer.media)));
        assert_eq!(found, expected);
    }
}

//! Frames of an instance (PS3.18 §10.4.1.1.6): one ranged read each, in the stored form or decoded.
//!
//! | accepted | given |
//! |---|---|
//! | `application/octet-stream`, no transfer syntax or Explicit VR LE | native bytes, decoded where the object is compressed |
//! | `application/octet-stream; transfer-syntax=*` | the frame in the rendition for the web, where there is one |
//! | the same without one, or the stored UID | the stored bytes, under their transfer syntax |
//! | the media type of the stored transfer syntax (PS3.18 Table 8.7.3-5) | the stored code stream |
//! | a media type or a transfer syntax that is encoded here, by its name | the frame in it, made on the way |
//!
//! Each as parts of `multipart/related`, or bare when one frame is asked for. Frame numbers may come in any order, each
//! once. All of them, as the value of Pixel Data, come bare as well: native, one behind the other.

use axum::response::Response;
use dicom_store::model::{
    Codec, Encoding, FrameMap, FrameNumber, Instance, TransferSyntaxUid, transfer_syntax, why_no_frame,
};
use dicom_store::{Described, FrameStream, Rendition, Session};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use worker::{CpuPool, pixel, transcode};

use super::bulk::PIXEL_DATA;
use super::convert;
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
    let described = request.described().await?;
    answer(&request, described, numbers).await
}

/// All frames in the form that the client accepts, or bare as the one value that they are natively.
pub(super) async fn value(request: &Retrieval, described: Described) -> Result<Response, Problem> {
    let numbers: Vec<_> = (1..=described.instance.frames).filter_map(FrameNumber::new).collect();
    let mut offers = offers(&described.instance.transfer_syntax, numbers.len() == 1);
    let bare = Offer::single(OCTET_STREAM);
    if !offers.contains(&bare) {
        offers.push(bare);
    }
    given(request, described, numbers, &offers).await
}

/// These frames, in the form that the client accepts.
async fn answer(
    request: &Retrieval,
    described: Described,
    numbers: Vec<FrameNumber>,
) -> Result<Response, Problem> {
    check(&described, &numbers)?;
    let offers = offers(&described.instance.transfer_syntax, numbers.len() == 1);
    given(request, described, numbers, &offers).await
}

async fn given(
    request: &Retrieval,
    described: Described,
    numbers: Vec<FrameNumber>,
    offers: &[Offer],
) -> Result<Response, Problem> {
    let instance = &described.instance;
    let choices = request.accepts.choices(Category::Dicom, offers)?;
    let chosen = choices.iter().find_map(|choice| {
        let is_named = request.accepts.names(choice.offer.media);
        let form = form(choice, &instance.transfer_syntax, is_named)?;
        // Code streams cannot be told from each other where one stands behind the other.
        let is_joined = choice.offer.wrap == Wrap::Single && numbers.len() > 1;
        (form == Form::Native || !is_joined).then_some((choice, form))
    });
    let Some((choice, form)) = chosen else {
        return Err(not_convertible(offers, &instance.transfer_syntax));
    };
    let offer = choice.offer;
    let rendition = match rendered_as(choice, form) {
        Some(named) => request.session.rendition(instance).await?.map(|rendition| (rendition, named)),
        None => None,
    };
    let named = rendition.as_ref().map(|(_, named)| *named);
    let cause = (identity(instance), &numbers, form, named, request.base.as_str());
    let validator = Validator::of(offer, &cause).lasting();
    if let Some(response) = validator.not_modified(&request.headers) {
        return Ok(response);
    }
    if offer.wrap == Wrap::Single && numbers.len() > 1 {
        let response = joined(request, instance).await?.into_single(&request.headers, &validator).await?;
        return Ok(validator.mark(response));
    }
    let source = match rendition {
        Some((rendition, named)) => {
            Source::of_rendition(request, described.instance, offer.media, rendition, named)
        }
        None => Source::open(request, described, offer.media, form).await?,
    };
    let response = match (offer.wrap, numbers.as_slice()) {
        (Wrap::Single, [number]) => {
            source.part(*number).await?.into_single(&request.headers, &validator).await?
        }
        (_, [number]) => multipart_of(offer.media, vec![source.part(*number).await?]),
        _ => several(source, numbers, offer).await?,
    };
    Ok(validator.mark(response))
}

/// The native frames of an instance one behind the other.
async fn joined(request: &Retrieval, instance: &Instance) -> Result<Part, Problem> {
    let made = transcode::pixel_data(&request.session, &request.pool, instance).await?;
    let content_type = format!("{OCTET_STREAM}; transfer-syntax={}", transfer_syntax::EXPLICIT_LITTLE);
    let location = format!("{}/{PIXEL_DATA}", request.base.bulk(instance));
    Ok(Part::new(content_type, location, made.length, made.chunks.map(|chunk| Ok(chunk?)).boxed()))
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

fn check(described: &Described, numbers: &[FrameNumber]) -> Result<(), Problem> {
    let Described { instance, frames, .. } = described;
    let Some(number) = numbers.iter().find(|number| number.get() > instance.frames) else { return Ok(()) };
    let uid = &instance.sop_instance;
    let why =
        if instance.frames == 0 { why_no_frame(&described.header()?.attributes()?, frames) } else { None };
    Err(Problem::not_found(match why {
        Some(why) => format!("instance {uid} has no frame: {why}"),
        None => format!("instance {uid} has {} frames, not {}", instance.frames, number.get()),
    }))
}

/// What the bytes of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// As in the object.
    Stored,
    /// As Explicit VR Little Endian has them.
    Native,
    /// In a compressed transfer syntax that is not the stored one.
    Recoded(&'static str),
}

/// Media types whose transfer syntaxes are encoded here, each with its default one.
const ENCODED: [(&str, &str); 5] = [
    ("image/jphc", transfer_syntax::HTJ2K_LOSSLESS),
    ("image/jls", transfer_syntax::JPEG_LS),
    ("image/jp2", transfer_syntax::JPEG_2000_LOSSLESS),
    ("image/jpeg", transfer_syntax::JPEG_LOSSLESS_SV1),
    ("image/dicom-rle", transfer_syntax::RLE),
];

/// The frame in that transfer syntax, if it is made here; never for who has not named it or its media type.
fn recoded(uid: &str, stored: &TransferSyntaxUid) -> Option<Form> {
    let made = convert::made(uid)?;
    let wanted =
        TransferSyntaxUid::parse(made).ok().filter(|wanted| wanted.facts().codec != Codec::Native)?;
    let is_readable = !stored.facts().encapsulated || pixel::can_decode(stored);
    (pixel::is_within(stored, &wanted) || is_readable).then_some(Form::Recoded(made))
}

/// The transfer syntax as which frames of a rendition for the web answer a choice, if they do.
fn rendered_as(choice: &Choice, form: Form) -> Option<&'static str> {
    match form {
        Form::Stored | Form::Native => {
            let is_any = choice.syntax == Syntax::Any && choice.offer.media == OCTET_STREAM;
            is_any.then_some(transfer_syntax::HTJ2K_RPCL)
        }
        Form::Recoded(wanted) => {
            let [made, wanted_uid] =
                [transfer_syntax::HTJ2K_RPCL, wanted].map(|uid| TransferSyntaxUid::parse(uid).ok());
            pixel::is_within(&made?, &wanted_uid?).then_some(wanted)
        }
    }
}

/// The form of frames that a choice asks for, if there is such a one; `is_named` when the client names the media type.
pub(super) fn form(choice: &Choice, stored: &TransferSyntaxUid, is_named: bool) -> Option<Form> {
    let facts = stored.facts();
    let is_native = !facts.encapsulated;
    let media = choice.offer.media;
    if media != OCTET_STREAM {
        let own = media_type(stored).filter(|(own, _)| *own == media);
        let default = ENCODED.iter().find(|(of, _)| *of == media).map(|(_, uid)| *uid).filter(|_| is_named);
        let made = || default.and_then(|uid| recoded(uid, stored));
        return match &choice.syntax {
            Syntax::Any if own.is_some() => Some(Form::Stored),
            Syntax::Any => made(),
            // Without a transfer syntax the default one of the media type is meant (PS3.18 §8.7.3.5.2).
            Syntax::Default if own.is_some_and(|(_, is_default)| is_default || !is_named) => {
                Some(Form::Stored)
            }
            Syntax::Default => made(),
            Syntax::Uid(uid) if uid == stored.as_str() => own.map(|_| Form::Stored),
            Syntax::Uid(uid) => {
                let wanted = TransferSyntaxUid::parse(uid).ok()?;
                let is_of_media = media_type(&wanted).is_some_and(|(of, _)| of == media);
                is_of_media.then(|| recoded(uid, stored)).flatten()
            }
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
        Syntax::Uid(uid) if uid == stored.as_str() => (!is_native).then_some(Form::Stored),
        Syntax::Uid(uid) => recoded(uid, stored),
    }
}

fn offers(stored: &TransferSyntaxUid, is_one: bool) -> Vec<Offer> {
    let mut offers = Vec::with_capacity(2 * (2 + ENCODED.len()));
    let own = media_type(stored).map(|(media, _)| media);
    let encoded = ENCODED.iter().map(|(media, _)| *media).filter(|media| Some(*media) != own);
    for media in [OCTET_STREAM].into_iter().chain(own).chain(encoded) {
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
    Recoded(Image, TransferSyntaxUid),
    Rendition(Session, CpuPool, Instance, Rendition),
}

impl Source {
    fn of_rendition(
        request: &Retrieval,
        instance: Instance,
        media: &str,
        rendition: Rendition,
        named: &str,
    ) -> Self {
        let content_type = format!("{media}; transfer-syntax={named}");
        let url = format!("{}/frames", request.base.instance(&instance));
        let (session, pool) = (request.session.clone(), request.pool.clone());
        Self { retrieval: Frames::Rendition(session, pool, instance, rendition), content_type, url }
    }

    pub(super) async fn open(
        request: &Retrieval,
        described: Described,
        media: &str,
        form: Form,
    ) -> Result<Self, Problem> {
        let instance = &described.instance;
        let stored = &instance.transfer_syntax;
        let is_native = form == Form::Native || stored.facts().codec == Codec::Native;
        let named = match form {
            Form::Recoded(wanted) => wanted,
            _ if is_native => transfer_syntax::EXPLICIT_LITTLE,
            _ => stored.as_str(),
        };
        let content_type = format!("{media}; transfer-syntax={named}");
        let url = format!("{}/frames", request.base.instance(instance));
        let (session, pool) = (&request.session, &request.pool);
        let retrieval = match form {
            Form::Stored => Frames::Stored(session.clone(), described.instance, described.frames),
            Form::Native => Frames::Decoded(Image::of(session, pool, described).await?),
            Form::Recoded(wanted) => {
                let image = Image::of(session, pool, described).await?;
                Frames::Recoded(image, TransferSyntaxUid::parse(wanted)?)
            }
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
            Frames::Recoded(image, wanted) => {
                Ok(Part::of(image.recoded(number, wanted).await?, content_type, location))
            }
            Frames::Rendition(session, pool, instance, rendition) => {
                let kept = session.rendition_frame(rendition, number).await?;
                let bytes = match kept {
                    Some(bytes) => bytes,
                    // It is gone since it was asked for.
                    None => {
                        let image = Image::open(session, pool, instance).await?;
                        let wanted = TransferSyntaxUid::parse(transfer_syntax::HTJ2K_RPCL)?;
                        image.recoded(number, &wanted).await?
                    }
                };
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
    #[case::other_syntax_of_it(
        BASELINE,
        "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70",
        Some(Form::Recoded(transfer_syntax::JPEG_LOSSLESS_SV1))
    )]
    #[case::jpeg_means_lossless(
        BASELINE,
        "image/jpeg",
        Some(Form::Recoded(transfer_syntax::JPEG_LOSSLESS_SV1))
    )]
    #[case::encoded(
        EXPLICIT,
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.202",
        Some(Form::Recoded(transfer_syntax::HTJ2K_RPCL))
    )]
    #[case::encoded_where_it_may_lose_something(
        EXPLICIT,
        "image/jls; transfer-syntax=1.2.840.10008.1.2.4.81",
        Some(Form::Recoded(transfer_syntax::JPEG_LS_NEAR))
    )]
    #[case::by_media_type(JPEG_2000, "image/jphc", Some(Form::Recoded(transfer_syntax::HTJ2K_LOSSLESS)))]
    #[case::syntax_of_another_media_type(EXPLICIT, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.90", None)]
    #[case::not_by_a_wildcard(EXPLICIT, "image/*", None)]
    #[case::not_made(EXPLICIT, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.110", None)]
    #[case::jpeg_by_uid(BASELINE, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", Some(Form::Stored))]
    #[case::jpeg_any(BASELINE, "image/jpeg; transfer-syntax=*", Some(Form::Stored))]
    #[case::decoded_by_default(JPEG_2000, "*/*", Some(Form::Native))]
    #[case::not_decodable(H264, "application/octet-stream", None)]
    #[case::not_decodable_as_stored(H264, "application/octet-stream; transfer-syntax=*", Some(Form::Stored))]
    #[case::video_has_a_media_type(H264, "*/*", Some(Form::Stored))]
    #[case::video_by_its_default(H264, "video/mp4", Some(Form::Stored))]
    #[case::other_video(H264, "video/mpeg", None)]
    #[case::other_media_type(RLE, "image/jls", Some(Form::Recoded(transfer_syntax::JPEG_LS)))]
    #[case::unknown_media_type(RLE, "image/jxl", None)]
    fn gives_the_form_that_is_asked_for(
        #[case] stored: &str,
        #[case] accept: &str,
        #[case] expected: Option<Form>,
    ) {
        let stored = TransferSyntaxUid::parse(stored).unwrap();
        let offers = offers(&stored, true);
        let accepts = Accepts::parse(accept);
        let choices = accepts.choices(Category::Dicom, &offers).unwrap();
        let found =
            choices.iter().find_map(|choice| form(choice, &stored, accepts.names(choice.offer.media)));
        assert_eq!(found, expected);
    }
}

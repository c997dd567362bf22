//! Which transfer syntax pixel data have that come by themselves, by their media type and their first bytes (PS3.18
//! §8.7.3, PS3.5 Annex A).

use dicom_store::model::transfer_syntax as syntax;
use dicom_store::model::{Codec, TransferSyntaxUid};
use dicom_store::{Error, Result};

use super::coding::{self, Said};
use super::stream;
use crate::accept::{OCTET_STREAM, media_type};

/// The `transfer-syntax` parameter of a media type.
pub(super) fn named_syntax(content_type: &str) -> Option<String> {
    media_type(content_type).1.into_iter().find(|(name, _)| name == "transfer-syntax").map(|(_, value)| value)
}

/// Whether pixel data of that media type may come as a file of the JP2 family.
pub(super) fn may_have_boxes(content_type: &str) -> bool {
    let (media, _) = media_type(content_type);
    let named = named_syntax(content_type).and_then(|uid| TransferSyntaxUid::parse(&uid).ok());
    let is_named = named.is_some_and(|uid| matches!(uid.facts().codec, Codec::Jpeg2000 | Codec::HtJ2k));
    is_named || matches!(media.as_str(), "image/jp2" | "image/jpx" | "image/jphc")
}

/// The transfer syntax that an instance has with pixel data of this media type (PS3.18 §8.7.3), of which these are
/// the first bytes; `None` when more of them have to be seen, `is_all` when there are none. Uncompressed ones are in
/// Explicit VR Little Endian, whatever else is said of them. What is named holds; whether the stream may be so is seen
/// by its header ([`super::stream`]), and of a video by how it is coded ([`super::coding`]).
///
/// # Errors
/// `Invalid` for a media type that no transfer syntax has, and for a stream that is not what it is said to be; `Conflict`
/// for one that is of another transfer syntax than the one that is named.
pub(super) fn transfer_syntax(
    content_type: &str,
    first: &[u8],
    is_all: bool,
) -> Result<Option<TransferSyntaxUid>> {
    let (media, _) = media_type(content_type);
    let named = named_syntax(content_type).map(|uid| TransferSyntaxUid::parse(&uid)).transpose()?;
    if let Some(named) = named {
        if named.is(syntax::JPEG_XL_LOSSLESS) {
            match is_xyb(first) {
                Some(true) => {
                    return Err(Error::conflict(format!(
                        "the code stream is lossy, {named} is lossless only"
                    )));
                }
                None if !is_all => return Ok(None),
                _ => {}
            }
        }
        if coding::is_video(&named) {
            return of_video(first, is_all)
                .and_then(|said| said.map(|said| named_video(named, said)).transpose());
        }
        let is_native = !named.facts().encapsulated;
        return if is_native { TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE) } else { Ok(named) }
            .map(Some);
    }
    let uid = match media.as_str() {
        "" | OCTET_STREAM => syntax::EXPLICIT_LITTLE,
        "image/jpeg" => match of_jpeg(first)? {
            Some(uid) => uid,
            None => return Ok(None),
        },
        "image/dicom-rle" => syntax::RLE,
        "image/jls" | "image/jp2" | "image/jpx" | "image/jphc" | "image/jxl" => {
            match by_loss(&media, first, is_all) {
                Some(uid) => uid,
                None => return Ok(None),
            }
        }
        "video/mpeg" | "video/mp4" | "video/h265" => match of_video(first, is_all)? {
            Some(said) => by_coding(&media, said)?,
            None => return Ok(None),
        },
        _ => return Err(Error::invalid(format!("pixel data cannot be of the media type {media}"))),
    };
    TransferSyntaxUid::parse(uid).map(Some)
}

/// The transfer syntax of streams that exist without loss and with some: the lossless one is the default of the media
/// type, and is none of a stream that says that it loses something (PS3.5 §A.4.3, §A.4.4). `None` before it has said.
fn by_loss(media: &str, first: &[u8], is_all: bool) -> Option<&'static str> {
    let (is_lossy, without, with) = match media {
        "image/jls" => (stream::is_near_lossless(first), syntax::JPEG_LS, syntax::JPEG_LS_NEAR),
        "image/jxl" => (is_xyb(first), syntax::JPEG_XL_LOSSLESS, syntax::JPEG_XL),
        "image/jpx" => (stream::is_irreversible(first), syntax::JPEG_2000_MC_LOSSLESS, syntax::JPEG_2000_MC),
        "image/jphc" => (stream::is_irreversible(first), syntax::HTJ2K_LOSSLESS, syntax::HTJ2K),
        _ => (stream::is_irreversible(first), syntax::JPEG_2000_LOSSLESS, syntax::JPEG_2000),
    };
    match is_lossy {
        Some(true) => Some(with),
        Some(false) => Some(without),
        None => is_all.then_some(without),
    }
}

/// What a video says of itself; `None` before it has said it.
fn of_video(first: &[u8], is_all: bool) -> Result<Option<Said>> {
    match coding::look(first, is_all) {
        Some(Said::NoVideo) => Err(Error::invalid("pixel data in a transfer syntax of video are no video")),
        said => Ok(said),
    }
}

/// The transfer syntax of a video by how it is coded; the default one of its media type where it does not say that (PS3.18
/// Table 8.7.3-5).
fn by_coding(media: &str, said: Said) -> Result<&'static str> {
    match said {
        Said::Coded(coding) => Ok(coding.transfer_syntax()),
        Said::Other(kind) => {
            Err(Error::invalid(format!("no transfer syntax has video of the kind {}", kind.escape_ascii())))
        }
        Said::Nothing | Said::NoVideo => Ok(match media {
            "video/mpeg" => "1.2.840.10008.1.2.4.101",
            "video/h265" => "1.2.840.10008.1.2.4.107",
            _ => "1.2.840.10008.1.2.4.102",
        }),
    }
}

/// The transfer syntax of video that is named, if the stream may be in it.
fn named_video(named: TransferSyntaxUid, said: Said) -> Result<TransferSyntaxUid> {
    match said {
        Said::Coded(coding) if !coding.may_be(&named) => Err(Error::conflict(format!(
            "the video is coded as {} has it, not {named}",
            coding.transfer_syntax()
        ))),
        Said::Other(kind) => {
            Err(Error::conflict(format!("the video is of the kind {}, not {named}", kind.escape_ascii())))
        }
        _ => Ok(named),
    }
}

/// Whether a JPEG XL code stream is in the colours XYB, which only lossy ones are (ISO/IEC 18181-1 Annex D). `None` where
/// that stands behind what is not read here: previews, animations and further channels.
fn is_xyb(stream: &[u8]) -> Option<bool> {
    let mut bits = Bits { bytes: stream.strip_prefix(&[0xFF, 0x0A])?, at: 0 };
    let side = |bits: &mut Bits<'_>, is_small: bool| match is_small {
        true => bits.next(5),
        false => bits.choice([(9, 1), (13, 1), (18, 1), (30, 1)]),
    };
    let is_small = bits.flag()?;
    side(&mut bits, is_small)?;
    if bits.next(3)? == 0 {
        side(&mut bits, is_small)?;
    }
    if bits.flag()? {
        return Some(true);
    }
    // Orientation, then an intrinsic size, a preview and an animation.
    if bits.flag()? && bits.next(6)? >> 3 != 0 {
        return None;
    }
    if bits.flag()? {
        bits.choice([(0, 32), (0, 16), (0, 24), (6, 1)])?;
        bits.next(4)?;
    } else {
        bits.choice([(0, 8), (0, 10), (0, 12), (6, 1)])?;
    }
    bits.flag()?;
    (bits.choice([(0, 0), (0, 1), (4, 2), (12, 1)])? == 0).then(|| bits.flag()).flatten()
}

/// Bits of a JPEG XL header, the lowest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn next(&mut self, count: usize) -> Option<u32> {
        let mut number = 0;
        for place in 0..count {
            let byte = u32::from(*self.bytes.get(self.at / 8)?);
            number |= (byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(number)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.next(1)? == 1)
    }

    /// One of four ways to write a number: so many bits, and what is added to them.
    fn choice(&mut self, ways: [(usize, u32); 4]) -> Option<u32> {
        let (count, least) = *ways.get(usize::try_from(self.next(2)?).ok()?)?;
        Some(self.next(count)?.wrapping_add(least))
    }
}

/// The process of a JPEG stream by its frame header (ITU-T T.81 §B.2.2), and of a lossless one its predictor by the
/// first scan header; `None` before these have come.
fn of_jpeg(first: &[u8]) -> Result<Option<&'static str>> {
    if first.len() >= 2 && !first.starts_with(&[0xFF, 0xD8]) {
        return Err(Error::invalid("pixel data of the media type image/jpeg are no JPEG stream"));
    }
    let (mut rest, mut is_lossless) = (first.get(2..).unwrap_or_default(), false);
    loop {
        // A marker may have any number of bytes FF before it.
        let fill = rest.iter().take_while(|byte| **byte == 0xFF).count();
        let Some([marker, high, low, segment @ ..]) = rest.get(fill..) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
        match marker {
            _ if fill == 0 => {
                return Err(Error::invalid("pixel data of the media type image/jpeg are damaged"));
            }
            0xC0 => return Ok(Some(syntax::JPEG_BASELINE)),
            0xC1 => return Ok(Some(syntax::JPEG_EXTENDED)),
            0xC3 => is_lossless = true,
            0xDA if is_lossless => {
                // Behind the components, two bytes each.
                let predictor = segment.first().and_then(|count| segment.get(1 + 2 * usize::from(*count)));
                let by_first = |predictor| {
                    if predictor == 1 { syntax::JPEG_LOSSLESS_SV1 } else { syntax::JPEG_LOSSLESS }
                };
                return Ok(predictor.copied().map(by_first));
            }
            0xC2 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xD9 | 0xDA => {
                let what =
                    format!("no transfer syntax has JPEG streams like this one (marker FF{marker:02X})");
                return Err(Error::invalid(what));
            }
            _ => {}
        }
        let Some(behind) = segment.get(length..) else { return Ok(None) };
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::ErrorKind;
    use rstest::rstest;

    use super::*;

    const APPLICATION: &[u8] = b"\xFF\xE2\0\x06ABCD";
    const LOSSLESS: &[u8] = b"\xFF\xFF\xC3\0\x0B\x10\0\x04\0\x06\x01\x01\x11\0";

    #[rstest]
    #[case::baseline(&[APPLICATION, b"\xFF\xC0\0\x0B"], syntax::JPEG_BASELINE)]
    #[case::twelve_bits(&[APPLICATION, b"\xFF\xC1\0\x0B"], syntax::JPEG_EXTENDED)]
    #[case::first_order(&[LOSSLESS, b"\xFF\xDA\0\x08\x01\x01\0\x01\0\0"], syntax::JPEG_LOSSLESS_SV1)]
    #[case::other_predictor(&[APPLICATION, LOSSLESS, b"\xFF\xDA\0\x08\x01\x01\0\x06\0\0"], syntax::JPEG_LOSSLESS)]
    fn a_stream_tells_its_process_wherever_it_is_cut(#[case] segments: &[&[u8]], #[case] expected: &str) {
        let stream = [b"\xFF\xD8", segments.concat().as_slice()].concat();
        let told = (0..=stream.len()).map(|end| of_jpeg(&stream[..end]).unwrap());
        let told: Vec<_> = told.skip_while(Option::is_none).collect();
        assert!(!told.is_empty() && told.iter().all(|uid| *uid == Some(expected)), "{told:?}");
    }

    #[rstest]
    // As libjxl begins them: grey of 8 and 12 bits and colours without loss, colours with some.
    #[case(&[0xFF, 0x0A, 0x50, 0x20, 0x10, 0x14, 0x37, 0x02], Some(false))]
    #[case(&[0xFF, 0x0A, 0x50, 0x20, 0x18, 0x14, 0x2D, 0x02], Some(false))]
    #[case(&[0xFF, 0x0A, 0x50, 0x20, 0x10, 0x09, 0x08, 0x04], Some(false))]
    #[case(&[0xFF, 0x0A, 0x50, 0xA0, 0x01, 0x00, 0x13, 0x88], Some(true))]
    #[case(&[0xFF, 0x0A, 0x50], None)]
    #[case(b"\0\0\0\x0CJXL ", None)]
    fn colours_of_jpeg_xl_tell_of_loss(#[case] stream: &[u8], #[case] expected: Option<bool>) {
        assert_eq!(is_xyb(stream), expected);
    }

    #[test]
    fn what_is_named_lossless_must_not_say_that_it_is_lossy() {
        let named = format!("image/jxl; transfer-syntax={}", syntax::JPEG_XL_LOSSLESS);
        let of = |stream| transfer_syntax(&named, stream, false);
        let (without, with) = ([0xFF, 0x0A, 0x50, 0x20, 0x10, 0x14], [0xFF, 0x0A, 0x50, 0xA0, 0x01, 0x00]);
        assert_eq!(of(&with).unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(of(&without).unwrap().unwrap().as_str(), syntax::JPEG_XL_LOSSLESS);
        assert!(of(&with[..3]).unwrap().is_none(), "more of it has to be seen");
        assert!(transfer_syntax(&named, &with[..3], true).unwrap().is_some());
    }

    #[rstest]
    #[case("video/mp4", b"avc1", Ok("1.2.840.10008.1.2.4.102"))]
    #[case("video/mp4", b"hvc1", Ok("1.2.840.10008.1.2.4.107"))]
    #[case("video/mpeg", b"avc1", Ok("1.2.840.10008.1.2.4.102"))]
    #[case("video/H265", b"hev1", Ok("1.2.840.10008.1.2.4.107"))]
    #[case("video/mp4", b"vp09", Err(ErrorKind::Invalid))]
    #[case("video/mp4; transfer-syntax=1.2.840.10008.1.2.4.103", b"avc1", Ok("1.2.840.10008.1.2.4.103"))]
    #[case("video/mp4; transfer-syntax=1.2.840.10008.1.2.4.107", b"avc1", Err(ErrorKind::Conflict))]
    #[case(
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.102",
        b"hvc1",
        Err(ErrorKind::Conflict)
    )]
    #[case("video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102", b"vp09", Err(ErrorKind::Conflict))]
    fn a_video_is_in_the_transfer_syntax_of_its_coding(
        #[case] media: &str,
        #[case] kind: &[u8; 4],
        #[case] expected: std::result::Result<&str, ErrorKind>,
    ) {
        let file = crate::store::video::tests::file(*kind, &[]);
        let found = transfer_syntax(media, &file, false).map(Option::unwrap).map_err(|error| error.kind);
        assert_eq!(found.as_ref().map(TransferSyntaxUid::as_str), expected.as_ref().copied());
        assert!(transfer_syntax(media, &file[..30], false).unwrap().is_none(), "more of it has to be seen");
    }

    #[rstest]
    #[case("video/mp4", "1.2.840.10008.1.2.4.102")]
    #[case("video/mpeg", "1.2.840.10008.1.2.4.101")]
    #[case("video/H265", "1.2.840.10008.1.2.4.107")]
    fn a_video_that_does_not_say_how_it_is_coded_is_in_the_default(
        #[case] media: &str,
        #[case] expected: &str,
    ) {
        let file = crate::store::video::tests::file(*b"avc1", &[]);
        assert_eq!(transfer_syntax(media, &file[..30], true).unwrap().unwrap().as_str(), expected);
        assert_eq!(transfer_syntax(media, b"xxxxxxxx", true).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[rstest]
    #[case::progressive(b"\xFF\xD8\xFF\xC2\0\x0B")]
    #[case::no_frame(b"\xFF\xD8\xFF\xD9\0\0")]
    #[case::no_marker(b"\xFF\xD8\0\0\0\0")]
    #[case::no_jpeg(b"GIF89a")]
    fn what_no_transfer_syntax_has_is_refused(#[case] stream: &[u8]) {
        assert!(of_jpeg(stream).is_err());
    }
}

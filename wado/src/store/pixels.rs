//! Pixel data that come by themselves, as an element of the data set (PS3.5 §8, Annex A).
//!
//! Native ones get the length that the image's attributes give. Compressed ones are encapsulated as they are: a part
//! is a frame where the image has several, and the whole stream (one frame, or a video) otherwise.

use bytes::{BufMut, Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::transfer_syntax as syntax;
use dicom_store::model::{Attributes, Codec, Tag, TransferSyntaxUid};
use dicom_store::{Error, Incoming, Result};

use super::Failure;
use super::holding::Holding;
use super::source::Source;
use crate::accept::{OCTET_STREAM, media_type};

/// Bytes of a fragment of a stream.
const FRAGMENT: usize = 1 << 20;
/// Bytes of one frame of several.
const MAX_FRAME: usize = 32 << 20;
/// Item, and Sequence Delimitation Item (PS3.5 §7.5).
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// Pixel data under way.
#[derive(Debug)]
pub(super) enum Pixels {
    Native {
        expected: u64,
        came: u64,
    },
    Frames {
        expected: u32,
        came: u32,
    },
    Stream {
        has_come: bool,
    },
    /// The instance has none, or tells them itself.
    None,
}

impl Pixels {
    /// What the attributes before them say of the pixel data, and the bytes that these begin with.
    ///
    /// # Errors
    /// `Invalid` when their length cannot be told.
    pub(super) fn of(tag: Tag, image: &Attributes, syntax: &TransferSyntaxUid) -> Result<(Self, Bytes)> {
        let facts = syntax.facts();
        let frames = image.int(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        let mut head = BytesMut::with_capacity(20);
        head.put_u16_le(tag.0);
        head.put_u16_le(tag.1);
        if facts.encapsulated {
            head.put_slice(b"OB\0\0\xFF\xFF\xFF\xFF");
            // An empty Basic Offset Table.
            head.put_slice(&ITEM);
            head.put_u32_le(0);
            let is_stream = frames == 1 || facts.codec == Codec::Video;
            let expected =
                u32::try_from(frames).map_err(|_| Error::invalid("Number of Frames is too large"))?;
            let pixels =
                if is_stream { Self::Stream { has_come: false } } else { Self::Frames { expected, came: 0 } };
            return Ok((pixels, head.freeze()));
        }
        let (vr, bits) = match tag {
            tags::FLOAT_PIXEL_DATA => (b"OF", Some(32)),
            tags::DOUBLE_FLOAT_PIXEL_DATA => (b"OD", Some(64)),
            _ => (b"OW", image.int(tags::BITS_ALLOCATED)),
        };
        let expected = length(image, bits, frames).ok_or_else(|| {
            Error::invalid("Rows, Columns and Bits Allocated do not give the length of the pixel data")
        })?;
        let padded = u32::try_from(expected + expected % 2).ok().filter(|length| *length < u32::MAX);
        let padded =
            padded.ok_or_else(|| Error::invalid("native pixel data of 4 GiB or more have no length"))?;
        head.put_slice(vr);
        head.put_u16_le(0);
        head.put_u32_le(padded);
        Ok((Self::Native { expected, came: 0 }, head.freeze()))
    }

    /// Gives a part to the archive as it comes.
    pub(super) async fn part(
        &mut self,
        incoming: &mut Incoming,
        source: &mut impl Source,
        holding: &Holding,
    ) -> std::result::Result<(), Failure> {
        let too_much = || Failure::Store(Error::invalid("more pixel data come than the image has"));
        match self {
            Self::Native { expected, came } => {
                while let Some(chunk) = source.chunk().await? {
                    *came += chunk.len() as u64;
                    if *came > *expected {
                        return Err(too_much());
                    }
                    incoming.write(chunk).await.map_err(Failure::Store)?;
                }
            }
            Self::Frames { expected, came } => {
                *came += 1;
                if *came > *expected {
                    return Err(too_much());
                }
                let (frame, _permit) = holding.hold(source, MAX_FRAME, "a frame of several").await?;
                fragment(incoming, frame).await?;
            }
            Self::Stream { has_come } => {
                if std::mem::replace(has_come, true) {
                    return Err(too_much());
                }
                let mut bytes = BytesMut::new();
                while let Some(chunk) = source.chunk().await? {
                    bytes.extend_from_slice(&chunk);
                    while bytes.len() > FRAGMENT {
                        let full = bytes.split_to(FRAGMENT);
                        fragment(incoming, full).await?;
                    }
                }
                fragment(incoming, bytes).await?;
            }
            Self::None => return Err(too_much()),
        }
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Native { expected, came } => came == expected,
            Self::Frames { expected, came } => came == expected,
            Self::Stream { has_come } => *has_come,
            Self::None => true,
        }
    }

    /// What has not come.
    pub(super) fn missing(&self) -> String {
        match self {
            Self::Native { expected, came } => {
                format!("pixel data have {came} bytes, the image has {expected}")
            }
            Self::Frames { expected, came } => format!("{came} frames came, the image has {expected}"),
            Self::Stream { .. } | Self::None => "pixel data did not come".into(),
        }
    }

    /// The bytes behind the last part.
    pub(super) fn end(&self) -> Bytes {
        match self {
            Self::Native { expected, .. } if expected % 2 == 1 => Bytes::from_static(&[0]),
            Self::Native { .. } | Self::None => Bytes::new(),
            Self::Frames { .. } | Self::Stream { .. } => Bytes::from_static(&END),
        }
    }
}

/// Bytes of native pixel data (PS3.5 §8.1.1).
fn length(image: &Attributes, bits: Option<i64>, frames: i64) -> Option<u64> {
    let rows = image.int(tags::ROWS)?.checked_mul(image.int(tags::COLUMNS)?)?;
    let samples = image.int(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let is_halved = image.text(tags::PHOTOMETRIC_INTERPRETATION).is_some_and(|text| text == "YBR_FULL_422");
    let samples = if is_halved && samples == 3 { 2 } else { samples };
    let bits = rows.checked_mul(samples)?.checked_mul(bits?)?.checked_mul(frames)?;
    u64::try_from(bits).ok().filter(|bits| *bits > 0).map(|bits| bits.div_ceil(8))
}

async fn fragment(incoming: &mut Incoming, mut bytes: BytesMut) -> std::result::Result<(), Failure> {
    if bytes.len() % 2 == 1 {
        bytes.put_u8(0);
    }
    let length =
        u32::try_from(bytes.len()).map_err(|_| Failure::Store(Error::internal("a fragment is too long")))?;
    let mut head = BytesMut::with_capacity(8);
    head.put_slice(&ITEM);
    head.put_u32_le(length);
    for bytes in [head.freeze(), bytes.freeze()] {
        incoming.write(bytes).await.map_err(Failure::Store)?;
    }
    Ok(())
}

/// The `transfer-syntax` parameter of a media type.
pub(super) fn named_syntax(content_type: &str) -> Option<String> {
    media_type(content_type).1.into_iter().find(|(name, _)| name == "transfer-syntax").map(|(_, value)| value)
}

/// The transfer syntax that an instance has with pixel data of this media type (PS3.18 §8.7.3), of which these are
/// the first bytes; `None` when more of them have to be seen. Uncompressed ones are in Explicit VR Little Endian,
/// whatever else is said of them.
///
/// # Errors
/// `Invalid` for a media type that no transfer syntax has, and for a stream that is not what it is said to be.
pub(super) fn transfer_syntax(content_type: &str, first: &[u8]) -> Result<Option<TransferSyntaxUid>> {
    let (media, _) = media_type(content_type);
    let named = named_syntax(content_type).map(|uid| TransferSyntaxUid::parse(&uid)).transpose()?;
    if let Some(named) = named {
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
        "image/jls" => syntax::JPEG_LS,
        "image/jp2" => syntax::JPEG_2000_LOSSLESS,
        "image/jpx" => syntax::JPEG_2000_MC_LOSSLESS,
        "image/jphc" => syntax::HTJ2K_LOSSLESS,
        "image/jxl" => syntax::JPEG_XL_LOSSLESS,
        "video/mpeg" => "1.2.840.10008.1.2.4.100",
        "video/mp4" => "1.2.840.10008.1.2.4.102",
        _ => return Err(Error::invalid(format!("pixel data cannot be of the media type {media}"))),
    };
    TransferSyntaxUid::parse(uid).map(Some)
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
    #[case::progressive(b"\xFF\xD8\xFF\xC2\0\x0B")]
    #[case::no_frame(b"\xFF\xD8\xFF\xD9\0\0")]
    #[case::no_marker(b"\xFF\xD8\0\0\0\0")]
    #[case::no_jpeg(b"GIF89a")]
    fn what_no_transfer_syntax_has_is_refused(#[case] stream: &[u8]) {
        assert!(of_jpeg(stream).is_err());
    }
}

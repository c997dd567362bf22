//! Pixel data that come by themselves, as an element of the data set (PS3.5 §8, Annex A).
//!
//! Native ones get the length that the image's attributes give. Compressed ones are encapsulated as they are: a part
//! is a frame where the image has several, and the whole stream (one frame, or a video) otherwise.

use bytes::{BufMut, Bytes, BytesMut};
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Codec, Tag, TransferSyntaxUid};
use dicom_store::{Error, Incoming, Result};

use super::Failure;
use super::holding::Holding;
use super::source::Source;

/// Bytes of a fragment of a stream.
const FRAGMENT: usize = 1 << 20;
/// Bytes of one frame of several.
const MAX_FRAME: usize = 32 << 20;
/// Item, and Sequence Delimitation Item (PS3.5 §7.5).
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// Elements of pixel data.
pub(super) const TAGS: [Tag; 3] = [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];

/// Pixel data under way.
#[derive(Debug)]
pub(super) enum Pixels {
    Native {
        expected: u64,
        came: u64,
        /// The byte that makes an odd length even came as well, as bulk data are given.
        is_padded: bool,
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
        let (vr, bits) = kind(tag, image);
        let expected = length(image, bits, frames).ok_or_else(no_length)?;
        let padded = u32::try_from(expected + expected % 2).ok().filter(|length| *length < u32::MAX);
        let padded =
            padded.ok_or_else(|| Error::invalid("native pixel data of 4 GiB or more have no length"))?;
        head.put_slice(vr);
        head.put_u16_le(0);
        head.put_u32_le(padded);
        Ok((Self::Native { expected, came: 0, is_padded: false }, head.freeze()))
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
            Self::Native { expected, came, is_padded } => {
                while let Some(mut chunk) = source.chunk().await? {
                    let left = usize::try_from(*expected - *came).unwrap_or(usize::MAX);
                    let behind = chunk.split_off(left.min(chunk.len()));
                    *came += chunk.len() as u64;
                    if !chunk.is_empty() {
                        incoming.write(chunk).await.map_err(Failure::Store)?;
                    }
                    if behind.is_empty() {
                        continue;
                    }
                    let may_be_padded = *expected % 2 == 1 && !*is_padded;
                    if !may_be_padded || *behind != [0] {
                        return Err(too_much());
                    }
                    *is_padded = true;
                }
            }
            Self::Frames { expected, came } => {
                *came += 1;
                if *came > *expected {
                    return Err(too_much());
                }
                let (frame, _permit) = holding.hold(source, MAX_FRAME, "a frame of several").await?;
                if frame.is_empty() {
                    return Err(Failure::Store(Error::invalid("a frame has no bytes")));
                }
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
            Self::Native { expected, came, .. } => came == expected,
            Self::Frames { expected, came } => came == expected,
            Self::Stream { has_come } => *has_come,
            Self::None => true,
        }
    }

    /// What has not come.
    pub(super) fn missing(&self) -> String {
        match self {
            Self::Native { expected, came, .. } => {
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

/// Refuses native pixel data that the data set holds itself and that have another length than its image.
///
/// # Errors
/// `Invalid`; also when their length cannot be told.
pub(super) fn check_native(image: &Attributes) -> Result<()> {
    for tag in TAGS {
        let Some(bytes) = image.bytes(tag).filter(|bytes| !bytes.is_empty()) else { continue };
        let (_, bits) = kind(tag, image);
        let frames = image.int(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        let (expected, came) = (length(image, bits, frames).ok_or_else(no_length)?, bytes.len() as u64);
        if came != expected && came != expected + expected % 2 {
            return Err(Error::invalid(format!("pixel data have {came} bytes, the image has {expected}")));
        }
    }
    Ok(())
}

/// VR of native pixel data, and the bits that a sample takes.
fn kind(tag: Tag, image: &Attributes) -> (&'static [u8; 2], Option<i64>) {
    match tag {
        tags::FLOAT_PIXEL_DATA => (b"OF", Some(32)),
        tags::DOUBLE_FLOAT_PIXEL_DATA => (b"OD", Some(64)),
        _ => (b"OW", image.int(tags::BITS_ALLOCATED)),
    }
}

fn no_length() -> Error {
    Error::invalid("Rows, Columns and Bits Allocated do not give the length of the pixel data")
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

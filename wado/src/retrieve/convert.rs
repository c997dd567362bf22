//! An instance as a Part 10 file in Explicit VR Little Endian, made from whatever it is stored in (PS3.18 §8.7.3.4).
//!
//! The data set is written anew from the header in the index, with the values that were left in the object put in
//! their places as they are sent: by ranges where they are the same bytes, frame by frame where Pixel Data have to be
//! decoded. Lengths are known beforehand, so is the length of the file. Sequences get undefined lengths. Values that a
//! 16-bit length cannot hold become UN (PS3.5 §6.2.2).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::STEP;
use dicom_store::model::{
    Attributes, Bulk, Element, Encoding, FileMeta, FrameNumber, Instance, Tag, TransferSyntaxUid, VR, Value,
    transfer_syntax,
};
use futures_util::stream::{self, StreamExt};
use worker::pixel::{self, ImageInfo, Photometric};

use super::image::Image;
use super::parts::Chunks;
use crate::error::Problem;

/// Frames that are decoded ahead of the one being sent.
const AHEAD: usize = 2;

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);
const UNDEFINED: u32 = u32::MAX;

/// Whether the instance can be given in Explicit VR Little Endian.
pub(super) fn is_possible(instance: &Instance) -> bool {
    let is_encapsulated = instance.transfer_syntax.facts().encapsulated && instance.frames > 0;
    !is_encapsulated || pixel::can_decode(&instance.transfer_syntax)
}

/// The file, as pieces that are made one after the other.
pub(super) struct Conversion {
    image: Arc<Image>,
    pieces: Vec<Piece>,
    /// Of the file, in bytes.
    pub(super) length: u64,
}

enum Piece {
    Bytes(Bytes),
    /// A range of the object; `unit` is the size of the numbers to be turned round, 1 for none.
    Stored {
        range: Range<u64>,
        unit: usize,
    },
    /// All frames, decoded.
    Frames {
        info: Box<ImageInfo>,
        count: u32,
    },
}

/// Pixel Data that are decoded on the way.
struct Decoding {
    info: Box<ImageInfo>,
    count: u32,
    photometric: Photometric,
    /// Of all frames together, in bytes.
    length: u64,
}

impl Conversion {
    /// Decodes the first frame, if there is one to decode, to know what the pixels become.
    ///
    /// # Errors
    /// As decoding; 406 for frames that would share bytes; 413 when the pixel data are too large to be native.
    pub(super) async fn plan(image: Image) -> Result<Self, Problem> {
        let instance = &image.instance;
        let is_encapsulated = instance.transfer_syntax.facts().encapsulated && instance.frames > 0;
        let decoding = if is_encapsulated { Some(Decoding::plan(&image).await?) } else { None };
        let explicit = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE)?;
        let head = FileMeta::head(&instance.sop_class, &instance.sop_instance, &explicit, None);
        let mut writer = Writer {
            is_big_endian: instance.transfer_syntax.facts().encoding == Encoding::ExplicitBig,
            bytes: head.to_vec(),
            pieces: Vec::new(),
            length: 0,
        };
        writer.top(&image.attributes, decoding)?;
        writer.flush();
        Ok(Self { length: writer.length, pieces: writer.pieces, image: Arc::new(image) })
    }

    pub(super) fn into_chunks(self) -> Chunks {
        let image = self.image;
        stream::iter(self.pieces).map(move |piece| piece.into_chunks(image.clone())).flatten().boxed()
    }
}

impl Decoding {
    async fn plan(image: &Image) -> Result<Self, Problem> {
        let info = image.info(FrameNumber::FIRST)?;
        info.check_joined()?;
        let first = image.native(info.clone(), FrameNumber::FIRST).await?;
        let count = image.instance.frames;
        let length = u64::try_from(first.bytes.len()).unwrap_or(u64::MAX).saturating_mul(u64::from(count));
        Ok(Self { info: Box::new(info), count, photometric: first.photometric, length })
    }
}

impl Piece {
    fn into_chunks(self, image: Arc<Image>) -> Chunks {
        match self {
            Self::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Self::Stored { range, unit } => {
                let starts = stream::iter(range.clone().step_by(usize::try_from(STEP).unwrap_or(usize::MAX)));
                let read = move |start: u64| {
                    let image = image.clone();
                    let part = start..range.end.min(start + STEP);
                    async move { Ok(little_endian(image.session.read(&image.instance, part).await?, unit)) }
                };
                starts.then(read).boxed()
            }
            Self::Frames { info, count } => {
                let numbers = stream::iter((1..=count).filter_map(FrameNumber::new));
                let decode = move |number| {
                    let (image, info) = (image.clone(), (*info).clone());
                    async move { Ok(image.native(info, number).await?.bytes) }
                };
                numbers.map(decode).buffered(AHEAD).boxed()
            }
        }
    }
}

/// Turns numbers of so many bytes round.
pub(super) fn little_endian(bytes: Bytes, unit: usize) -> Bytes {
    if unit <= 1 {
        return bytes;
    }
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    bytes.into()
}

/// Size of the numbers of a VR; 1 where bytes have no order.
pub(super) fn unit(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

struct Writer {
    is_big_endian: bool,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    length: u64,
}

impl Writer {
    /// The outermost data set: its Pixel Data may be decoded, and their description changes with them.
    fn top(&mut self, attributes: &Attributes, mut decoding: Option<Decoding>) -> Result<(), Problem> {
        let photometric = decoding.as_ref().and_then(|decoding| decoding.photometric.as_str());
        for element in attributes.iter().filter(|element| is_kept(element.tag)) {
            match (element.tag, photometric) {
                (tags::PIXEL_DATA, _) if decoding.is_some() => {
                    if let Some(decoding) = decoding.take() {
                        self.pixel_data(decoding)?;
                    }
                }
                (tags::EXTENDED_OFFSET_TABLE | tags::EXTENDED_OFFSET_TABLE_LENGTHS, Some(_)) => {}
                (tags::PHOTOMETRIC_INTERPRETATION, Some(term)) => {
                    self.value(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, term.as_bytes())?;
                }
                _ => self.element(element)?,
            }
        }
        Ok(())
    }

    fn pixel_data(&mut self, decoding: Decoding) -> Result<(), Problem> {
        let Decoding { info, count, length, .. } = decoding;
        let vr = if info.bits_allocated > 8 { VR::OW } else { VR::OB };
        self.head(tags::PIXEL_DATA, vr, length + length % 2)?;
        self.flush();
        self.length += length;
        self.pieces.push(Piece::Frames { info, count });
        self.pad(length, 0);
        Ok(())
    }

    fn data_set(&mut self, attributes: &Attributes) -> Result<(), Problem> {
        attributes.iter().filter(|element| is_kept(element.tag)).try_for_each(|element| self.element(element))
    }

    fn element(&mut self, element: &Element) -> Result<(), Problem> {
        match &element.value {
            Value::Bytes(bytes) => self.value(element.tag, element.vr, bytes),
            Value::Items(items) => self.sequence(element.tag, items),
            // Fragments inside of a sequence cannot stand in a native transfer syntax.
            Value::Bulk(bulk) if bulk.encapsulated => self.value(element.tag, element.vr, &[]),
            Value::Bulk(bulk) => self.bulk(element.tag, element.vr, *bulk),
        }
    }

    fn value(&mut self, tag: Tag, vr: VR, bytes: &[u8]) -> Result<(), Problem> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.head(tag, vr, length + length % 2)?;
        self.bytes.extend_from_slice(bytes);
        self.pad(length, padding(vr));
        Ok(())
    }

    fn bulk(&mut self, tag: Tag, vr: VR, bulk: Bulk) -> Result<(), Problem> {
        let Bulk { offset, length, .. } = bulk;
        self.head(tag, vr, length + length % 2)?;
        self.flush();
        self.length += length;
        let unit = if self.is_big_endian { unit(vr) } else { 1 };
        self.pieces.push(Piece::Stored { range: offset..offset + length, unit });
        self.pad(length, padding(vr));
        Ok(())
    }

    fn sequence(&mut self, tag: Tag, items: &[Attributes]) -> Result<(), Problem> {
        self.tag(tag);
        self.bytes.extend_from_slice(b"SQ\0\0");
        self.bytes.extend_from_slice(&UNDEFINED.to_le_bytes());
        for item in items {
            self.tag(ITEM);
            self.bytes.extend_from_slice(&UNDEFINED.to_le_bytes());
            self.data_set(item)?;
            self.tag(ITEM_DELIMITATION);
            self.bytes.extend_from_slice(&[0; 4]);
        }
        self.tag(SEQUENCE_DELIMITATION);
        self.bytes.extend_from_slice(&[0; 4]);
        Ok(())
    }

    fn head(&mut self, tag: Tag, vr: VR, length: u64) -> Result<(), Problem> {
        self.tag(tag);
        if let (false, Ok(short)) = (is_long(vr), u16::try_from(length)) {
            self.bytes.extend_from_slice(&vr.to_bytes());
            self.bytes.extend_from_slice(&short.to_le_bytes());
            return Ok(());
        }
        let long = u32::try_from(length).ok().filter(|length| *length != UNDEFINED);
        let Some(long) = long else {
            let what = format!("value of {length} bytes is too long for Explicit VR Little Endian");
            return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, what));
        };
        let vr = if is_long(vr) { vr } else { VR::UN };
        self.bytes.extend_from_slice(&vr.to_bytes());
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&long.to_le_bytes());
        Ok(())
    }

    fn tag(&mut self, tag: Tag) {
        self.bytes.extend_from_slice(&tag.0.to_le_bytes());
        self.bytes.extend_from_slice(&tag.1.to_le_bytes());
    }

    fn pad(&mut self, length: u64, byte: u8) {
        if length % 2 == 1 {
            self.bytes.push(byte);
        }
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.length += u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
            self.pieces.push(Piece::Bytes(std::mem::take(&mut self.bytes).into()));
        }
    }
}

/// Group lengths would be wrong; file meta are written anew.
fn is_kept(tag: Tag) -> bool {
    tag.1 != 0 && tag.0 != 2
}

/// What makes an odd value even (PS3.5 §6.2).
fn padding(vr: VR) -> u8 {
    match vr {
        VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::LO | VR::LT => b' ',
        VR::PN | VR::SH | VR::ST | VR::TM | VR::UC | VR::UR | VR::UT => b' ',
        _ => 0,
    }
}

/// Whether the VR has a length of 32 bits (PS3.5 §7.1.2).
fn is_long(vr: VR) -> bool {
    let is_other = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::SQ);
    is_other || matches!(vr, VR::SV | VR::UC | VR::UN | VR::UR | VR::UT | VR::UV)
}

//! Elements → pieces of a data set, whose lengths are known before they are read.
//!
//! Sequences get undefined lengths. In Explicit VR, values that a length of 16 bits cannot hold become UN (PS3.5
//! §6.2.2).

use std::ops::Range;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Bulk, Element, Encoding, Error, ErrorKind, Tag, VR, Value};

use super::{is_encapsulated, unit};
use crate::Result;
use crate::pixel::{ImageInfo, SampleKind};

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);
const UNDEFINED: u32 = u32::MAX;

/// A part of the data set.
pub(super) enum Piece {
    Bytes(Bytes),
    /// A range of the object; `unit` is the size of the numbers to be turned round, 1 for none.
    Stored {
        range: Range<u64>,
        unit: usize,
    },
    /// All frames; native ones have the same length each. `shared`: bits of each, where the next one begins in its
    /// last byte.
    Frames {
        info: Box<ImageInfo>,
        count: u32,
        length: Option<u64>,
        shared: Option<u64>,
    },
}

impl Piece {
    /// Native frames of so many bytes each, and what all of them have together, without padding.
    pub(super) fn native(info: &ImageInfo, count: u32, each: u64) -> Result<(Self, u64)> {
        let shared = info.unfilled_bits()?;
        let all = match shared {
            Some(bits) => bits.saturating_mul(u64::from(count)).div_ceil(8),
            None => each.saturating_mul(u64::from(count)),
        };
        Ok((Self::Frames { info: Box::new(info.clone()), count, length: Some(each), shared }, all))
    }
}

pub(super) struct Writer {
    encoding: Encoding,
    /// The object's numbers are.
    is_big_endian: bool,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// None once something has no known length.
    length: Option<u64>,
}

impl Writer {
    pub(super) fn new(encoding: Encoding, is_big_endian: bool) -> Self {
        Self { encoding, is_big_endian, bytes: Vec::new(), pieces: Vec::new(), length: Some(0) }
    }

    pub(super) fn finish(mut self) -> (Vec<Piece>, Option<u64>) {
        self.flush();
        (self.pieces, self.length)
    }

    /// The frames as the value of their element; `length` is that of a native one.
    pub(super) fn frames(&mut self, info: &ImageInfo, count: u32, length: Option<u64>) -> Result<()> {
        let (tag, vr) = match info.kind {
            SampleKind::Float => (tags::FLOAT_PIXEL_DATA, VR::OF),
            SampleKind::Double => (tags::DOUBLE_FLOAT_PIXEL_DATA, VR::OD),
            SampleKind::Integer => (tags::PIXEL_DATA, if info.bits_allocated > 8 { VR::OW } else { VR::OB }),
        };
        if let Some(each) = length {
            let (frames, all) = Piece::native(info, count, each)?;
            self.head(tag, vr, all + all % 2)?;
            self.flush();
            self.length = self.length.map(|length| length + all);
            self.pieces.push(frames);
            self.pad(all, 0);
            return Ok(());
        }
        // Fragments are OB (PS3.5 §A.4); an empty offset table and a fragment for each frame tell where they lie.
        self.tag(tags::PIXEL_DATA);
        self.bytes.extend_from_slice(b"OB\0\0");
        self.bytes.extend_from_slice(&UNDEFINED.to_le_bytes());
        self.tag(ITEM);
        self.bytes.extend_from_slice(&[0; 4]);
        self.flush();
        self.length = None;
        let info = Box::new(info.clone());
        self.pieces.push(Piece::Frames { info, count, length, shared: None });
        self.tag(SEQUENCE_DELIMITATION);
        self.bytes.extend_from_slice(&[0; 4]);
        Ok(())
    }

    pub(super) fn element(&mut self, element: &Element) -> Result<()> {
        // Group lengths would be wrong; file meta information is written anew.
        if element.tag.1 == 0 || element.tag.0 == 2 {
            return Ok(());
        }
        match &element.value {
            Value::Bytes(bytes) => self.value(element.tag, element.vr, bytes),
            Value::Items(items) => self.sequence(element.tag, items),
            // Fragments inside of a sequence, an icon, are in the transfer syntax that is left.
            Value::Bulk(_) if is_encapsulated(element) => self.value(element.tag, element.vr, &[]),
            Value::Bulk(bulk) => self.bulk(element.tag, element.vr, *bulk),
        }
    }

    fn value(&mut self, tag: Tag, vr: VR, bytes: &[u8]) -> Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.head(tag, vr, length + length % 2)?;
        self.bytes.extend_from_slice(bytes);
        self.pad(length, padding(vr));
        Ok(())
    }

    fn bulk(&mut self, tag: Tag, vr: VR, bulk: Bulk) -> Result<()> {
        let Bulk { offset, length, .. } = bulk;
        self.head(tag, vr, length + length % 2)?;
        self.flush();
        self.length = self.length.map(|all| all + length);
        let unit = if self.is_big_endian { unit(vr) } else { 1 };
        self.pieces.push(Piece::Stored { range: offset..offset + length, unit });
        self.pad(length, padding(vr));
        Ok(())
    }

    fn sequence(&mut self, tag: Tag, items: &[Attributes]) -> Result<()> {
        self.tag(tag);
        if self.is_explicit() {
            self.bytes.extend_from_slice(b"SQ\0\0");
        }
        self.bytes.extend_from_slice(&UNDEFINED.to_le_bytes());
        for item in items {
            self.tag(ITEM);
            self.bytes.extend_from_slice(&UNDEFINED.to_le_bytes());
            item.iter().try_for_each(|element| self.element(element))?;
            self.tag(ITEM_DELIMITATION);
            self.bytes.extend_from_slice(&[0; 4]);
        }
        self.tag(SEQUENCE_DELIMITATION);
        self.bytes.extend_from_slice(&[0; 4]);
        Ok(())
    }

    fn is_explicit(&self) -> bool {
        self.encoding != Encoding::ImplicitLittle
    }

    fn head(&mut self, tag: Tag, vr: VR, length: u64) -> Result<()> {
        self.tag(tag);
        let long = u32::try_from(length).ok().filter(|length| *length != UNDEFINED).ok_or_else(|| {
            Error::new(ErrorKind::TooLarge, format!("value of {length} bytes is too long to be uncompressed"))
        })?;
        if !self.is_explicit() {
            self.bytes.extend_from_slice(&long.to_le_bytes());
            return Ok(());
        }
        if let (false, Ok(short)) = (is_long(vr), u16::try_from(length)) {
            self.bytes.extend_from_slice(&vr.to_bytes());
            self.bytes.extend_from_slice(&short.to_le_bytes());
            return Ok(());
        }
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
            let bytes = std::mem::take(&mut self.bytes);
            let own = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.length = self.length.map(|length| length + own);
            self.pieces.push(Piece::Bytes(bytes.into()));
        }
    }
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

//! Bytes to a data set (PS3.5 §7), with values that were cut out standing for themselves.

use std::sync::Arc;

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::element::{is_long, swap, unit};
use super::header::Hole;
use super::numbers::{array, u32_at};
use super::{
    Attributes, Bulk, CharacterSet, Element, Encoding, Error, Result, Tag, TextReading, VR, Value,
    implicit_vr,
};

/// Sequences within sequences that are followed; real objects stay below 20.
pub(super) const MAX_DEPTH: usize = 100;
pub(super) const UNDEFINED: u32 = u32::MAX;
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub(super) const ITEM_DELIMITER: Tag = Tag(0xFFFE, 0xE00D);
pub(super) const SEQUENCE_DELIMITER: Tag = Tag(0xFFFE, 0xE0DD);

/// Tag, VR and length of an element, an item or a delimiter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) tag: Tag,
    pub(super) vr: VR,
    pub(super) length: u32,
    /// Bytes that the head takes.
    pub(super) size: usize,
}

impl Head {
    /// Reads what stands at the start of `bytes`; 12 are always enough.
    ///
    /// # Errors
    /// `Invalid` when too little is left or the VR is no VR.
    pub(super) fn read(bytes: &[u8], encoding: Encoding, is_signed: bool) -> Result<Self> {
        Self::parse(bytes, encoding, is_signed).unwrap_or_else(|| {
            Err(Error::invalid(format!("data set ends within an element, {} bytes are left", bytes.len())))
        })
    }

    fn parse(bytes: &[u8], encoding: Encoding, is_signed: bool) -> Option<Result<Self>> {
        let is_big = encoding == Encoding::ExplicitBig;
        let half = |at| {
            array::<2>(bytes, at).map(|b| if is_big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
        };
        let word = |at| {
            array::<4>(bytes, at).map(|b| if is_big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
        };
        let tag = Tag(half(0)?, half(2)?);
        if tag.0 == 0xFFFE {
            return Some(Ok(Self { tag, vr: VR::UN, length: word(4)?, size: 8 }));
        }
        if encoding == Encoding::ImplicitLittle {
            return Some(Ok(Self { tag, vr: implicit_vr(tag, is_signed), length: word(4)?, size: 8 }));
        }
        let code: [u8; 2] = array(bytes, 4)?;
        match VR::from_binary(code) {
            Some(vr) if !is_long(vr) => Some(Ok(Self { tag, vr, length: u32::from(half(6)?), size: 8 })),
            Some(vr) => Some(Ok(Self { tag, vr, length: word(8)?, size: 12 })),
            // A VR of a later edition has the long form (PS3.5 §6.2, note).
            None if code.iter().all(u8::is_ascii_uppercase) => {
                Some(Ok(Self { tag, vr: VR::UN, length: word(8)?, size: 12 }))
            }
            None => Some(Err(Error::invalid(format!("element {tag} has no value representation")))),
        }
    }

    /// Whether items follow, and how they are encoded: a UN of undefined length is implicit VR
    /// little endian inside (PS3.5 §6.2.2).
    pub(super) fn sequence_of(&self, encoding: Encoding) -> Option<Encoding> {
        match self.vr {
            VR::SQ => Some(encoding),
            VR::UN if self.length == UNDEFINED => Some(Encoding::ImplicitLittle),
            _ => None,
        }
    }
}

/// Reads a data set of which nothing was cut out.
pub(super) fn data_set(bytes: &Bytes, encoding: Encoding) -> Result<Attributes> {
    with_holes(bytes, encoding, 0, &[], TextReading::default())
}

/// Reads a data set whose first byte stands at `start` of its file and from which the values in
/// `holes` were cut.
pub(super) fn with_holes(
    bytes: &Bytes,
    encoding: Encoding,
    start: u64,
    holes: &[Hole],
    text: TextReading,
) -> Result<Attributes> {
    let mut reader = Reader { bytes, at: 0, start, cut: 0, holes };
    let charset = Arc::new(CharacterSet::default().read_as(text));
    let around = Around { charset, text, is_signed: false, depth: 0 };
    reader.elements(encoding, End::Whole, &around)
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    start: u64,
    /// Bytes of the holes passed so far.
    cut: u64,
    holes: &'a [Hole],
}

/// What a data set inherits from the one around it.
struct Around {
    charset: Arc<CharacterSet>,
    text: TextReading,
    is_signed: bool,
    depth: usize,
}

#[derive(Clone, Copy)]
enum End {
    /// With the bytes.
    Whole,
    /// At this place of the file.
    At(u64),
    /// With a delimiter.
    Delimiter,
}

impl Reader<'_> {
    /// Where in the file the reader stands.
    fn place(&self) -> u64 {
        self.start + self.at as u64 + self.cut
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn is_at(&self, end: End) -> Result<bool> {
        match end {
            End::At(end) if self.place() > end => {
                Err(Error::invalid("an element reaches past the end of its item"))
            }
            End::At(end) => Ok(self.place() == end),
            End::Whole => Ok(self.at >= self.bytes.len()),
            End::Delimiter => Ok(false),
        }
    }

    fn elements(&mut self, encoding: Encoding, end: End, around: &Around) -> Result<Attributes> {
        let mut attributes = Attributes::with_charset(around.charset.clone());
        let mut is_signed = around.is_signed;
        while !self.is_at(end)? {
            let head = Head::read(self.rest(), encoding, is_signed)?;
            self.at += head.size;
            match head.tag {
                ITEM_DELIMITER => return Ok(attributes),
                ITEM | SEQUENCE_DELIMITER => return Err(Error::invalid("an item stands outside a sequence")),
                _ => {}
            }
            let charset = attributes.charset_shared().clone();
            let inner = Around { charset, is_signed, ..*around };
            let value = self.value(&head, encoding, &inner)?;
            let (vr, value) = known(&head, value, &inner);
            attributes.put(Element { tag: head.tag, vr, value });
            if head.tag == tags::SPECIFIC_CHARACTER_SET {
                let terms = attributes.texts(tags::SPECIFIC_CHARACTER_SET);
                attributes.set_charset(Arc::new(CharacterSet::from_terms(&terms).read_as(around.text)));
            } else if head.tag == tags::PIXEL_REPRESENTATION {
                is_signed = attributes.int(tags::PIXEL_REPRESENTATION) == Some(1);
            }
        }
        Ok(attributes)
    }

    fn value(&mut self, head: &Head, encoding: Encoding, around: &Around) -> Result<Value> {
        let next_hole = self.holes.first().filter(|hole| hole.offset == self.place()).copied();
        if let (Some(hole), Some((_, rest))) = (next_hole, self.holes.split_first()) {
            self.holes = rest;
            self.cut += hole.length;
            let encapsulated = head.length == UNDEFINED;
            return Ok(Value::Bulk(Bulk { offset: hole.offset, length: hole.length, encapsulated }));
        }
        if let Some(inside) = head.sequence_of(encoding) {
            return self.items(inside, head.length, around).map(Value::Items);
        }
        if head.length == UNDEFINED {
            return Err(Error::invalid(format!("element {} has no length", head.tag)));
        }
        let length = head.length as usize;
        if length > self.rest().len() {
            let (tag, left) = (head.tag, self.rest().len());
            return Err(Error::invalid(format!("element {tag} claims {length} bytes, {left} are left")));
        }
        let mut bytes = self.bytes.slice(self.at..self.at + length);
        self.at += length;
        if encoding == Encoding::ExplicitBig && unit(head.vr) > 1 {
            let mut swapped = bytes.to_vec();
            swap(&mut swapped, unit(head.vr));
            bytes = swapped.into();
        }
        Ok(Value::Bytes(bytes))
    }

    fn items(&mut self, encoding: Encoding, length: u32, around: &Around) -> Result<Vec<Attributes>> {
        let inner = Around { charset: around.charset.clone(), depth: around.depth + 1, ..*around };
        if inner.depth > MAX_DEPTH {
            return Err(Error::invalid(format!("sequences are nested deeper than {MAX_DEPTH}")));
        }
        let end = self.end(length);
        let mut items = Vec::new();
        while !self.is_at(end)? {
            let head = Head::read(self.rest(), encoding, false)?;
            self.at += head.size;
            match head.tag {
                ITEM => {
                    let end = self.end(head.length);
                    items.push(self.elements(encoding, end, &inner)?);
                }
                SEQUENCE_DELIMITER => return Ok(items),
                other => {
                    return Err(Error::invalid(format!(
                        "{other} stands in a sequence where an item belongs"
                    )));
                }
            }
        }
        Ok(items)
    }

    fn end(&self, length: u32) -> End {
        if length == UNDEFINED { End::Delimiter } else { End::At(self.place() + u64::from(length)) }
    }
}

/// What an element is that came as UN although the dictionary knows it: written by a device that did not,
/// in implicit VR little endian (PS3.5 §6.2.2, note 2).
fn known(head: &Head, value: Value, around: &Around) -> (VR, Value) {
    if matches!(value, Value::Items(_)) {
        return (VR::SQ, value);
    }
    let vr = if head.vr == VR::UN { implicit_vr(head.tag, around.is_signed) } else { head.vr };
    match (vr, value) {
        (VR::SQ, Value::Bytes(bytes)) => {
            let mut reader = Reader { bytes: &bytes, at: 0, start: 0, cut: 0, holes: &[] };
            match reader.items(Encoding::ImplicitLittle, head.length, around) {
                Ok(items) => (VR::SQ, Value::Items(items)),
                Err(_) => (VR::UN, Value::Bytes(bytes)),
            }
        }
        (VR::SQ, value) => (VR::UN, value),
        (vr, value) => (vr, value),
    }
}

/// Offsets of a Basic Offset Table (PS3.5 §A.4).
pub(super) fn offsets(bytes: &[u8]) -> Vec<u64> {
    (0..bytes.len() / 4).filter_map(|n| u32_at(bytes, n * 4)).map(u64::from).collect()
}

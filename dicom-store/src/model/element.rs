//! One data element and its value (PS3.5 §7.1).

use std::fmt;

use bytes::Bytes;
use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom::dictionary_std::StandardDataDictionary;

use super::{Attributes, Tag, VR};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub tag: Tag,
    pub vr: VR,
    pub value: Value,
}

impl Element {
    /// Whether its value is text in the character set of the data set (PS3.5 §6.1.2.3).
    pub fn is_text(&self) -> bool {
        is_charset_text(self.vr)
    }
}

/// The value field. Numbers are little endian whatever the object's encoding; text is as it came.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Bytes(Bytes),
    Items(Vec<Attributes>),
    /// Left in the object.
    Bulk(Bulk),
}

/// How much, not what: values are patient data.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Items(items) => write!(f, "{} items", items.len()),
            Self::Bulk(bulk) => bulk.fmt(f),
        }
    }
}

impl Value {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Items(items) => items.is_empty(),
            Self::Bulk(bulk) => bulk.length == 0,
        }
    }
}

/// A value that stays in the stored object, as a range of its Part 10 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk {
    /// First byte of the value field, in bytes from the start of the file; for a deflated data set
    /// as if it were inflated behind its file meta.
    pub offset: u64,
    /// Bytes of the value field; all items and the delimiter where it is encapsulated.
    pub length: u64,
    pub encapsulated: bool,
}

/// The VR that an element without one has: by the dictionary, by its kind where it is private.
///
/// US or SS is decided by `is_signed`, the Pixel Representation in force (PS3.5 §A.1).
pub fn implicit_vr(tag: Tag, is_signed: bool) -> VR {
    if tag.1 == 0 {
        return VR::UL;
    }
    if tag.0 % 2 == 1 {
        return if (0x10..=0xFF).contains(&tag.1) { VR::LO } else { VR::UN };
    }
    match StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::vr) {
        Some(VirtualVr::Xs) if is_signed => VR::SS,
        Some(vr) => vr.relaxed(),
        None => VR::UN,
    }
}

/// Whether values of this VR are text in the character set of the data set (PS3.5 §6.1.2.3).
pub(super) fn is_charset_text(vr: VR) -> bool {
    matches!(vr, VR::SH | VR::LO | VR::ST | VR::LT | VR::PN | VR::UC | VR::UT)
}

/// Whether the value field is characters at all.
pub(super) fn is_text(vr: VR) -> bool {
    is_charset_text(vr)
        || matches!(
            vr,
            VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::TM | VR::UI | VR::UR
        )
}

/// Whether a backslash is part of the text instead of between values (PS3.5 §6.4).
pub(super) fn is_single_text(vr: VR) -> bool {
    matches!(vr, VR::ST | VR::LT | VR::UT | VR::UR)
}

/// Bytes of one number, 1 where bytes have no order.
pub(super) fn unit(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Whether the explicit form has a length of 32 bits (PS3.5 §7.1.2).
pub(super) fn is_long(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// Swaps each number of `width` bytes; a rest that is no whole number stays.
pub(super) fn swap(bytes: &mut [u8], width: usize) {
    if width > 1 {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

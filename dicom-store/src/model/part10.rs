//! The head of a Part 10 file: preamble and File Meta Information (PS3.10 §7.1).

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::read::{Head, UNDEFINED};
use super::{
    AeTitle, Attributes, Element, Encoding, Error, Result, SopClassUid, SopInstanceUid, Tag,
    TransferSyntaxUid, VR, Value,
};

/// Preamble and prefix.
pub const PREAMBLE_LENGTH: usize = 132;
/// File meta of real files takes some hundred bytes.
const MAX_META: usize = 64 * 1024;
const IMPLEMENTATION_CLASS_UID: &str = "2.25.302391868842317427106411424128063530119";
const IMPLEMENTATION_VERSION: &str = concat!("FILMLESS_", env!("CARGO_PKG_VERSION"));

/// What the File Meta Information says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Absent in some files; the data set then speaks for itself.
    pub sop_class: Option<SopClassUid>,
    pub sop_instance: Option<SopInstanceUid>,
    pub transfer_syntax: TransferSyntaxUid,
    /// Where the data set begins, in bytes from the start of the file.
    pub data_set: u64,
}

impl FileMeta {
    /// Implementation Class UID of this software (PS3.7 §D.3.3.2), also for associations.
    pub const fn implementation_class_uid() -> &'static str {
        IMPLEMENTATION_CLASS_UID
    }

    /// Implementation Version Name of this software, at most 16 characters.
    pub const fn implementation_version() -> &'static str {
        IMPLEMENTATION_VERSION
    }

    /// Reads the head of a file; `None` when more of it is needed to say.
    ///
    /// # Errors
    /// `Invalid` when it is not the head of a Part 10 file.
    pub fn read(bytes: &[u8], is_all: bool) -> Result<Option<Self>> {
        match bytes.get(PREAMBLE_LENGTH - 4..PREAMBLE_LENGTH) {
            Some(b"DICM") => {}
            Some(_) => {
                return Err(Error::invalid(
                    "not a DICOM file: DICM is missing behind the preamble of 128 bytes",
                ));
            }
            None if is_all => {
                return Err(Error::invalid(format!("not a DICOM file: only {} bytes", bytes.len())));
            }
            None => return Ok(None),
        }
        let mut meta = Attributes::new();
        let mut at = PREAMBLE_LENGTH;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let needs_more = rest.len() < 12 && !is_all;
            let ends = rest.get(..2).is_some_and(|group| group != [2, 0]) || (rest.is_empty() && is_all);
            if ends {
                return Self::from_elements(&meta, at as u64).map(Some);
            }
            if at > MAX_META {
                return Err(Error::invalid(format!("file meta information is over {} KiB", MAX_META >> 10)));
            }
            if needs_more {
                return Ok(None);
            }
            let head = Head::read(rest, Encoding::ExplicitLittle, false)?;
            if head.length == UNDEFINED || head.length as usize > MAX_META {
                return Err(Error::invalid(format!("file meta element {} has no sensible length", head.tag)));
            }
            let value = rest.get(head.size..head.size + head.length as usize);
            match value {
                Some(value) => {
                    let value = Value::Bytes(Bytes::copy_from_slice(value));
                    meta.put(Element { tag: head.tag, vr: head.vr, value });
                }
                None if is_all => return Err(Error::invalid("file ends within its file meta information")),
                None => return Ok(None),
            }
            at += head.size + head.length as usize;
        }
    }

    fn from_elements(meta: &Attributes, data_set: u64) -> Result<Self> {
        let syntax = meta
            .uid(tags::TRANSFER_SYNTAX_UID)
            .ok_or_else(|| Error::invalid("file meta information names no transfer syntax (0002,0010)"))?;
        Ok(Self {
            sop_class: meta
                .uid(tags::MEDIA_STORAGE_SOP_CLASS_UID)
                .and_then(|uid| SopClassUid::parse(uid).ok()),
            sop_instance: meta
                .uid(tags::MEDIA_STORAGE_SOP_INSTANCE_UID)
                .and_then(|uid| SopInstanceUid::parse(uid).ok()),
            transfer_syntax: TransferSyntaxUid::parse(syntax)?,
            data_set,
        })
    }

    /// Preamble, prefix and File Meta Information for a data set that came without.
    pub fn head(
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        transfer_syntax: &TransferSyntaxUid,
        source: Option<&AeTitle>,
    ) -> Bytes {
        let mut meta = Attributes::new();
        meta.put_bytes(tags::FILE_META_INFORMATION_VERSION, VR::OB, &b"\x00\x01"[..]);
        meta.put_text(tags::MEDIA_STORAGE_SOP_CLASS_UID, VR::UI, sop_class.as_str());
        meta.put_text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, VR::UI, sop_instance.as_str());
        meta.put_text(tags::TRANSFER_SYNTAX_UID, VR::UI, transfer_syntax.as_str());
        meta.put_text(tags::IMPLEMENTATION_CLASS_UID, VR::UI, IMPLEMENTATION_CLASS_UID);
        meta.put_text(tags::IMPLEMENTATION_VERSION_NAME, VR::SH, IMPLEMENTATION_VERSION);
        if let Some(source) = source {
            meta.put_text(Tag(0x0002, 0x0016), VR::AE, source.as_str());
        }
        let elements = meta.write(Encoding::ExplicitLittle);
        let mut group_length = Attributes::new();
        group_length.put_u32(Tag(0x0002, 0x0000), u32::try_from(elements.len()).unwrap_or(u32::MAX));
        let mut head = vec![0; PREAMBLE_LENGTH - 4];
        head.extend_from_slice(b"DICM");
        head.extend_from_slice(&group_length.write(Encoding::ExplicitLittle));
        head.extend_from_slice(&elements);
        head.into()
    }
}

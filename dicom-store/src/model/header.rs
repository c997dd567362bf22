//! The header of an instance: its data set without the large values.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::numbers::{put_varint, take_varint};
use super::transfer_syntax::Encoding;
use super::{Attributes, Correction, Error, Result, TextReading, read};

/// A value field that was left in the object: a range of its Part 10 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub offset: u64,
    pub length: u64,
}

/// All of a data set but its bulk values, in the encoding it came in.
///
/// Bulk is Pixel Data, binary values over 1 KiB and text over 64 KiB; their elements are there,
/// pointing into the object ([`super::Bulk`]). Elements behind Pixel Data belong to it as well.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    pub(super) encoding: Encoding,
    /// Offset of the data set within the Part 10 file.
    pub(super) start: u64,
    pub(super) bytes: Bytes,
    /// In ascending order.
    pub(super) holes: Vec<Hole>,
    pub(super) text: TextReading,
    /// What holds instead of some of it.
    pub(super) correction: Option<Arc<Correction>>,
}

/// How much, not what: values are patient data.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encoding, start, bytes, holes, .. } = self;
        write!(
            f,
            "Header({encoding:?}, {} bytes from {start}, {} left in the object)",
            bytes.len(),
            holes.len()
        )
    }
}

const VERSION: u8 = 2;

impl Header {
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes of the data set as they came, up to where the first value was cut out.
    pub fn raw(&self) -> (&Bytes, &[Hole]) {
        (&self.bytes, &self.holes)
    }

    /// How its text is read.
    pub fn text(&self) -> TextReading {
        self.text
    }

    /// The same header, its text read in this way.
    #[must_use]
    pub fn read_as(self, text: TextReading) -> Self {
        Self { text, ..self }
    }

    /// The same header, of which something else holds.
    #[must_use]
    pub fn corrected(self, correction: Option<Arc<Correction>>) -> Self {
        Self { correction, ..self }
    }

    /// The data set as it is told, with what was corrected.
    ///
    /// # Errors
    /// `Corrupt` when what the index holds is no header.
    pub fn attributes(&self) -> Result<Attributes> {
        let received = self.received()?;
        Ok(match &self.correction {
            None => received,
            Some(correction) => correction.apply(&received),
        })
    }

    /// The data set as it came.
    ///
    /// # Errors
    /// As [`Header::attributes`].
    pub fn received(&self) -> Result<Attributes> {
        read::with_holes(&self.bytes, self.encoding, self.start, &self.holes, self.text)
            .map_err(|cause| Error::corrupt("stored header cannot be read").with_source(cause))
    }

    /// The form it is kept in: with LZ4, as the difference from `reference`, the bytes of a header that is
    /// much like it ([`Header::raw`]); empty for none. The headers of a series differ in a few numbers.
    pub fn to_bytes(&self, reference: &[u8]) -> Vec<u8> {
        let encoding = match self.encoding {
            Encoding::ImplicitLittle => 0,
            Encoding::ExplicitLittle => 1,
            Encoding::ExplicitBig => 2,
        };
        let mut out = vec![VERSION, encoding | self.text.to_bits() << 4];
        put_varint(&mut out, self.start);
        put_varint(&mut out, self.holes.len() as u64);
        let mut end = 0;
        for Hole { offset, length } in &self.holes {
            put_varint(&mut out, offset.saturating_sub(end));
            put_varint(&mut out, *length);
            end = offset.saturating_add(*length);
        }
        put_varint(&mut out, self.bytes.len() as u64);
        out.extend_from_slice(&lz4_flex::block::compress_with_dict(&self.bytes, reference));
        out
    }

    /// # Errors
    /// `Corrupt` when the bytes are not what [`Header::to_bytes`] gave with this reference.
    pub fn from_bytes(bytes: &[u8], reference: &[u8]) -> Result<Self> {
        Self::parse(bytes, reference).ok_or_else(|| Error::corrupt("stored header cannot be read"))
    }

    fn parse(bytes: &[u8], reference: &[u8]) -> Option<Self> {
        let (version, kinds) = (bytes.first()?, bytes.get(1)?);
        let text = TextReading::from_bits(kinds >> 4)?;
        let encoding = match (version, kinds & 0xF) {
            (&VERSION, 0) => Encoding::ImplicitLittle,
            (&VERSION, 1) => Encoding::ExplicitLittle,
            (&VERSION, 2) => Encoding::ExplicitBig,
            _ => return None,
        };
        let rest = &mut bytes.get(2..)?;
        let start = take_varint(rest)?;
        let mut end = 0u64;
        let holes = (0..take_varint(rest)?)
            .map(|_| {
                let offset = end.checked_add(take_varint(rest)?)?;
                let length = take_varint(rest)?;
                end = offset.checked_add(length)?;
                Some(Hole { offset, length })
            })
            .collect::<Option<_>>()?;
        let length = usize::try_from(take_varint(rest)?).ok()?;
        let bytes = lz4_flex::block::decompress_with_dict(rest, length, reference).ok()?.into();
        Some(Self { encoding, start, bytes, holes, text, correction: None })
    }
}

//! The header of an instance: its data set without the large values.

use std::fmt;

use bytes::Bytes;

use super::numbers::array;
use super::transfer_syntax::Encoding;
use super::{Attributes, Error, Result, read};

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
}

/// How much, not what: values are patient data.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encoding, start, bytes, holes } = self;
        write!(
            f,
            "Header({encoding:?}, {} bytes from {start}, {} left in the object)",
            bytes.len(),
            holes.len()
        )
    }
}

const VERSION: u8 = 1;

impl Header {
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes of the data set as they came, up to where the first value was cut out.
    pub fn raw(&self) -> (&Bytes, &[Hole]) {
        (&self.bytes, &self.holes)
    }

    /// # Errors
    /// `Corrupt` when what the index holds is no header.
    pub fn attributes(&self) -> Result<Attributes> {
        read::with_holes(&self.bytes, self.encoding, self.start, &self.holes)
            .map_err(|cause| Error::corrupt("stored header cannot be read").with_source(cause))
    }

    /// The form it is kept in: compressed with LZ4.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![
            VERSION,
            match self.encoding {
                Encoding::ImplicitLittle => 0,
                Encoding::ExplicitLittle => 1,
                Encoding::ExplicitBig => 2,
            },
        ];
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&(self.holes.len() as u64).to_le_bytes());
        for hole in &self.holes {
            out.extend_from_slice(&hole.offset.to_le_bytes());
            out.extend_from_slice(&hole.length.to_le_bytes());
        }
        out.extend_from_slice(&lz4_flex::compress_prepend_size(&self.bytes));
        out
    }

    /// # Errors
    /// `Corrupt` when the bytes are not what [`Header::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| Error::corrupt("stored header cannot be read"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at| array::<8>(bytes, at).map(u64::from_le_bytes);
        let encoding = match (bytes.first()?, bytes.get(1)?) {
            (&VERSION, 0) => Encoding::ImplicitLittle,
            (&VERSION, 1) => Encoding::ExplicitLittle,
            (&VERSION, 2) => Encoding::ExplicitBig,
            _ => return None,
        };
        let count = usize::try_from(number(10)?).ok()?;
        let text = bytes.get(18 + count.checked_mul(16)?..)?;
        let holes = (0..count)
            .map(|n| Some(Hole { offset: number(18 + n * 16)?, length: number(26 + n * 16)? }))
            .collect::<Option<_>>()?;
        let bytes = lz4_flex::decompress_size_prepended(text).ok()?.into();
        Some(Self { encoding, start: number(2)?, bytes, holes })
    }
}

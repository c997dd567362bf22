//! The way through a stream, scan by scan (ISO/IEC 10918-1 §B.2.1).

use super::super::segment::next_segment;
use super::super::{Error, Result};
use super::bits::Bits;
use super::header::JpegHeader;
use super::tables::Tables;

/// Most scans of a stream: progressive ones have a dozen.
const MOST: usize = 64;

/// The header of a scan (§B.2.3).
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// Start of spectral selection, or the predictor of a lossless scan.
    pub(super) start: u8,
    /// End of spectral selection.
    pub(super) end: u8,
    /// The point transform of the scan before that gave the same coefficients; 0 for none.
    pub(super) high: u32,
    /// The point transform.
    pub(super) shift: u32,
}

/// A colour of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanComponent {
    /// Its place in the frame header.
    pub(super) index: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// Hands each scan to `decode`, with the tables that hold for it and its bits.
///
/// A stream may end without its last marker, as some devices leave it.
///
/// # Errors
/// `Corrupt` when a segment is broken, or a scan names a colour that the frame does not have; what `decode` answers.
pub(super) fn each(
    stream: &[u8],
    header: &JpegHeader,
    mut decode: impl FnMut(&Scan, &Tables, &mut Bits<'_>) -> Result<()>,
) -> Result<()> {
    let mut tables = Tables::default();
    let mut rest = stream.get(2..).unwrap_or_default();
    let mut scans = 0;
    while let Some((marker, segment, behind)) = next_segment(rest) {
        rest = behind;
        match marker {
            0xD9 => break,
            0xDA if scans == MOST => {
                return Err(Error::corrupt(format!("JPEG stream has over {MOST} scans")));
            }
            0xDA => {
                let broken = || Error::corrupt("JPEG scan header is broken");
                let scan = Scan::read(segment, header).ok_or_else(broken)?;
                let mut bits = Bits::new(rest);
                decode(&scan, &tables, &mut bits)?;
                rest = bits.behind();
                scans += 1;
            }
            _ => tables.read(marker, segment)?,
        }
    }
    if scans == 0 { Err(Error::corrupt("JPEG stream has no scan")) } else { Ok(()) }
}

impl Scan {
    fn read(segment: &[u8], header: &JpegHeader) -> Option<Self> {
        let (count, rest) = segment.split_first()?;
        let (selectors, rest) = rest.split_at_checked(usize::from(*count) * 2)?;
        let [start, end, approximation, ..] = rest else { return None };
        let (selectors, _) = selectors.as_chunks::<2>();
        let components: Option<Vec<_>> =
            selectors.iter().map(|of| ScanComponent::read(*of, header)).collect();
        let components = components?;
        let is_twice =
            |n: usize, one: &ScanComponent| components.iter().skip(n + 1).any(|o| o.index == one.index);
        if components.is_empty() || components.iter().enumerate().any(|(n, one)| is_twice(n, one)) {
            return None;
        }
        let (high, shift) = (u32::from(approximation >> 4), u32::from(approximation & 15));
        Some(Self { components, start: *start, end: *end, high, shift })
    }
}

impl ScanComponent {
    fn read([id, tables]: [u8; 2], header: &JpegHeader) -> Option<Self> {
        let index = header.components.iter().position(|component| component.id == id)?;
        Some(Self { index, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) })
    }
}

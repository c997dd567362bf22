//! The bits of an entropy-coded segment (ISO/IEC 10918-1 §F.2.2.5).

use super::super::scan_bits::{ScanBits, Stuffing};

/// Reads bits up to the next marker.
pub(super) type Bits<'a> = ScanBits<'a, StuffedZero>;

/// A byte FF has a zero behind it, which is left out.
#[derive(Default)]
pub(in super::super) struct StuffedZero;

impl Stuffing for StuffedZero {
    const LOWEST_MARKER: u8 = 0x01;

    #[inline]
    fn take(&mut self, rest: &mut &[u8]) -> Option<(u8, u32)> {
        let (byte, behind) = match *rest {
            [0xFF, 0, behind @ ..] => (0xFF, behind),
            [] | [0xFF, ..] => return None,
            [byte, behind @ ..] => (*byte, behind),
        };
        *rest = behind;
        Some((byte, 8))
    }
}

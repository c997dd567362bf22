//! The bits of a scan (ISO/IEC 14495-1 §A.1).

use super::super::scan_bits::{ScanBits, Stuffing};

/// Reads bits up to the next marker.
pub(super) type Bits<'a> = ScanBits<'a, StuffedBit>;

/// The byte behind an FF has seven bits.
#[derive(Default)]
pub(in super::super) struct StuffedBit {
    is_behind_ff: bool,
}

impl Stuffing for StuffedBit {
    const LOWEST_MARKER: u8 = 0x80;

    #[inline]
    fn take(&mut self, rest: &mut &[u8]) -> Option<(u8, u32)> {
        let (byte, behind) = match *rest {
            [] | [0xFF, 0x80..=0xFF, ..] => return None,
            // A last byte of FF has no marker behind it that would make it one.
            [byte, behind @ ..] => (*byte, behind),
        };
        *rest = behind;
        let bits = if self.is_behind_ff { 7 } else { 8 };
        self.is_behind_ff = byte == 0xFF;
        Some((byte, bits))
    }
}

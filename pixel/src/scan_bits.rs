//! The bits of a scan of JPEG or JPEG-LS, up to the next marker. What stands behind a byte FF, so that it is none, is all
//! that the two differ in.

/// What is stuffed behind a byte FF.
pub(super) trait Stuffing: Default {
    /// The lowest second byte of a marker.
    const LOWEST_MARKER: u8;

    /// Takes the next byte, and says how many bits of it are those of the scan; `None` at a marker and at the end.
    fn take(&mut self, rest: &mut &[u8]) -> Option<(u8, u32)>;
}

/// Reads the bits.
pub(super) struct ScanBits<'a, S> {
    rest: &'a [u8],
    /// Bits that were taken out of `rest` and are not used yet, the next one highest.
    held: u64,
    count: u32,
    stuffing: S,
}

impl<'a, S: Stuffing> ScanBits<'a, S> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0, stuffing: S::default() }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some((byte, bits)) = self.stuffing.take(&mut self.rest) else { return };
            self.held |= u64::from(byte) << (64 - bits - self.count);
            self.count += bits;
        }
    }

    /// The next 16 bits, without using them up; zeros behind the last one.
    pub(super) fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.fill();
        }
        u16::try_from(self.held >> 48).unwrap_or(0)
    }

    /// Uses so many bits up, 64 at the most; `None` when there are fewer.
    pub(super) fn skip(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.held = self.held.checked_shl(bits).unwrap_or(0);
        Some(())
    }

    /// A number of so many bits, 32 at the most.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        if bits == 0 {
            return Some(0);
        }
        if self.count < bits {
            self.fill();
        }
        let number = u32::try_from(self.held >> 64_u32.checked_sub(bits)?).ok()?;
        self.skip(bits)?;
        Some(number)
    }

    /// A signed number of so many bits, 16 at the most: EXTEND(RECEIVE(n), n) of ISO/IEC 10918-1 §F.2.2.1.
    pub(super) fn signed(&mut self, bits: u32) -> Option<i32> {
        if bits > 16 {
            return None;
        }
        let number = i32::try_from(self.number(bits)?).ok()?;
        let is_negative = bits > 0 && number < 1 << (bits - 1);
        Some(if is_negative { number - (1 << bits) + 1 } else { number })
    }

    /// Zeros up to a one, which is used up too; `None` when there are `most` of them or the bits end.
    pub(super) fn zeros(&mut self, most: u32) -> Option<u32> {
        let mut zeros = 0;
        loop {
            if self.count < 32 {
                self.fill();
            }
            let here = self.held.leading_zeros();
            if here < self.count {
                self.skip(here + 1)?;
                zeros += here;
                return (zeros < most).then_some(zeros);
            }
            zeros += self.count;
            if self.count == 0 || zeros >= most {
                return None;
            }
            (self.held, self.count) = (0, 0);
        }
    }

    /// Goes on behind the next marker, which has to be a restart (ISO/IEC 10918-1 §F.2.1.3.1, 14495-1 §A.2.1).
    pub(super) fn restart(&mut self) -> Option<()> {
        match self.behind() {
            [0xFF, 0xD0..=0xD7, rest @ ..] => {
                *self = Self::new(rest);
                Some(())
            }
            _ => None,
        }
    }

    /// The bytes from the next marker on.
    pub(super) fn behind(&self) -> &'a [u8] {
        let is_marker =
            |pair: &[u8]| matches!(pair, [0xFF, second] if (S::LOWEST_MARKER..0xFF).contains(second));
        let place = self.rest.windows(2).position(is_marker);
        place.and_then(|place| self.rest.get(place..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::jpeg::StuffedZero;
    use super::super::jpeg_ls::StuffedBit;
    use super::*;

    #[test]
    fn a_zero_behind_ff_is_no_bits_or_the_byte_has_seven_and_a_marker_ends_them() {
        let mut bits = ScanBits::<StuffedZero>::new(&[0xFF, 0x00, 0xA0, 0xFF, 0xD9]);
        assert_eq!(bits.number(12), Some(0xFFA));
        assert_eq!(bits.number(4), Some(0));
        assert_eq!(bits.number(1), None);
        assert_eq!(bits.behind(), [0xFF, 0xD9]);

        let mut bits = ScanBits::<StuffedBit>::new(&[0xFF, 0x7F, 0x01, 0xFF, 0xD9]);
        assert_eq!(bits.number(15), Some(0x7FFF));
        assert_eq!(bits.zeros(30), Some(7));
        assert_eq!(bits.number(1), None);
        assert_eq!(bits.behind(), [0xFF, 0xD9]);
    }

    #[test]
    fn numbers_are_extended_to_their_sign() {
        // 0 → −1, 1 → 1, 00 → −3, 11 → 3.
        let mut bits = ScanBits::<StuffedZero>::new(&[0b0100_1100]);
        assert_eq!([1, 1, 2, 2].map(|width| bits.signed(width)), [Some(-1), Some(1), Some(-3), Some(3)]);
        assert_eq!(bits.signed(0), Some(0));
    }

    #[test]
    fn zeros_are_counted_over_many_bytes_up_to_a_limit() {
        let zeros = |bytes: &[u8], most| ScanBits::<StuffedBit>::new(bytes).zeros(most);
        let mut bytes = [0; 13];
        bytes[12] = 1;
        assert_eq!(zeros(&bytes, 200), Some(103));
        assert_eq!(zeros(&bytes, 103), None);
        assert_eq!(zeros(&[0; 4], 200), None);
    }

    #[test]
    fn a_restart_drops_the_bits_before_it() {
        fn restarted<S: Stuffing>() {
            let mut bits = ScanBits::<S>::new(&[0x80, 0xFF, 0xD3, 0x40]);
            assert_eq!(bits.number(1), Some(1));
            assert_eq!(bits.restart(), Some(()));
            assert_eq!(bits.number(2), Some(1));
            assert_eq!(bits.restart(), None);
        }
        restarted::<StuffedZero>();
        restarted::<StuffedBit>();
    }
}

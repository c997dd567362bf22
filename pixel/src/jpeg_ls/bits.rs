//! The bits of a scan: behind a byte FF the next one has seven (ISO/IEC 14495-1 §A.1).

/// Reads bits up to the next marker.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits that were taken out of `rest` and are not used yet, the next one highest.
    held: u64,
    count: u32,
    /// The byte before `rest` is FF.
    is_behind_ff: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0, is_behind_ff: false }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.rest {
                [] | [0xFF, 0x80..=0xFF, ..] => return,
                // A last byte of FF has no marker behind it that would make it one.
                [byte, rest @ ..] => {
                    self.rest = rest;
                    *byte
                }
            };
            let bits = if self.is_behind_ff { 7 } else { 8 };
            self.held |= u64::from(byte) << (64 - bits - self.count);
            self.count += bits;
            self.is_behind_ff = byte == 0xFF;
        }
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

    /// A number of so many bits, 32 at the most.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        if bits == 0 {
            return Some(0);
        }
        if self.count < bits {
            self.fill();
        }
        let number = u32::try_from(self.held >> (64 - bits)).ok()?;
        self.skip(bits)?;
        Some(number)
    }

    fn skip(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.held = self.held.checked_shl(bits).unwrap_or(0);
        Some(())
    }

    /// Goes on behind the next marker, which has to be a restart.
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
        let place = self.rest.windows(2).position(|pair| matches!(pair, [0xFF, 0x80..=0xFE]));
        place.and_then(|place| self.rest.get(place..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_behind_ff_has_seven_bits_and_a_marker_ends_them() {
        let mut bits = Bits::new(&[0xFF, 0x7F, 0x01, 0xFF, 0xD9]);
        assert_eq!(bits.number(15), Some(0x7FFF));
        assert_eq!(bits.zeros(30), Some(7));
        assert_eq!(bits.number(1), None);
        assert_eq!(bits.behind(), [0xFF, 0xD9]);
    }

    #[test]
    fn zeros_are_counted_over_many_bytes_up_to_a_limit() {
        let mut bytes = [0; 13];
        bytes[12] = 1;
        assert_eq!(Bits::new(&bytes).zeros(200), Some(103));
        assert_eq!(Bits::new(&bytes).zeros(103), None);
        assert_eq!(Bits::new(&[0; 4]).zeros(200), None);
    }

    #[test]
    fn a_restart_drops_the_bits_before_it() {
        let mut bits = Bits::new(&[0x80, 0xFF, 0xD0, 0x40]);
        assert_eq!(bits.number(1), Some(1));
        assert_eq!(bits.restart(), Some(()));
        assert_eq!(bits.number(2), Some(1));
    }
}

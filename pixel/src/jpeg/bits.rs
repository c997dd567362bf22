//! The bits of an entropy-coded segment (ISO/IEC 10918-1 §F.2.2.5).

/// Reads bits up to the next marker; zero bytes that were stuffed behind FF are left out.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits that were taken out of `rest` and are not used yet, the next one highest.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.rest {
                [0xFF, 0, rest @ ..] => {
                    self.rest = rest;
                    0xFF
                }
                [] | [0xFF, ..] => return,
                [byte, rest @ ..] => {
                    self.rest = rest;
                    *byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, without using them up; zeros behind the last one.
    pub(super) fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.fill();
        }
        u16::try_from(self.held >> 48).unwrap_or(0)
    }

    /// Uses so many bits up, 16 at the most; `None` when there are fewer.
    pub(super) fn skip(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.held <<= bits;
        Some(())
    }

    /// A number of so many bits, 16 at the most.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        if bits == 0 {
            return Some(0);
        }
        let number = u32::from(self.peek()) >> 16_u32.checked_sub(bits)?;
        self.skip(bits)?;
        Some(number)
    }

    /// A signed number of so many bits: EXTEND(RECEIVE(n), n) of §F.2.2.1.
    pub(super) fn signed(&mut self, bits: u32) -> Option<i32> {
        let number = i32::try_from(self.number(bits)?).ok()?;
        let is_negative = bits > 0 && number < 1 << (bits - 1);
        Some(if is_negative { number - (1 << bits) + 1 } else { number })
    }

    /// Goes on behind the next marker, which has to be a restart (§F.2.1.3.1).
    pub(super) fn restart(&mut self) -> Option<()> {
        let rest = self.behind();
        match rest {
            [0xFF, 0xD0..=0xD7, rest @ ..] => {
                *self = Self::new(rest);
                Some(())
            }
            _ => None,
        }
    }

    /// The bytes from the next marker on.
    pub(super) fn behind(&self) -> &'a [u8] {
        let is_marker = |pair: &[u8]| matches!(pair, [0xFF, 1..=0xFE]);
        let place = self.rest.windows(2).position(is_marker);
        place.and_then(|place| self.rest.get(place..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_zeros_are_no_bits_and_a_marker_ends_them() {
        let mut bits = Bits::new(&[0xFF, 0x00, 0xA0, 0xFF, 0xD9]);
        assert_eq!(bits.number(12), Some(0xFFA));
        assert_eq!(bits.number(4), Some(0));
        assert_eq!(bits.number(1), None);
        assert_eq!(bits.behind(), [0xFF, 0xD9]);
    }

    #[test]
    fn numbers_are_extended_to_their_sign() {
        // 0 → −1, 1 → 1, 00 → −3, 11 → 3.
        let mut bits = Bits::new(&[0b0100_1100]);
        assert_eq!([1, 1, 2, 2].map(|width| bits.signed(width)), [Some(-1), Some(1), Some(-3), Some(3)]);
        assert_eq!(bits.signed(0), Some(0));
    }

    #[test]
    fn a_restart_drops_the_bits_before_it() {
        let mut bits = Bits::new(&[0x80, 0xFF, 0xD3, 0x40]);
        assert_eq!(bits.number(1), Some(1));
        assert_eq!(bits.restart(), Some(()));
        assert_eq!(bits.number(2), Some(1));
        assert_eq!(bits.restart(), None);
    }
}

//! The bits of packet headers: behind a byte FF the next one has seven (ISO/IEC 15444-1 §B.10.1).

/// Writes bits, the highest of a byte first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
    is_behind_ff: bool,
}

impl BitWriter {
    /// The lowest so many bits of a number.
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | number >> bit & 1;
            self.count += 1;
            if self.count == if self.is_behind_ff { 7 } else { 8 } {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let byte = self.held.to_le_bytes()[0];
        self.bytes.push(byte);
        self.is_behind_ff = byte == 0xFF;
        (self.held, self.count) = (0, 0);
    }

    /// The bytes, filled up with zeros; a last byte is never FF.
    pub(super) fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.put(0, 1);
        }
        if self.is_behind_ff {
            self.bytes.push(0);
        }
        self.bytes
    }
}

/// Reads them.
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    held: u32,
    count: u32,
    is_behind_ff: bool,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0, is_behind_ff: false }
    }

    /// The next bit; `None` behind the last.
    pub(super) fn bit(&mut self) -> Option<bool> {
        if self.count == 0 {
            let (byte, rest) = self.rest.split_first()?;
            self.count = if self.is_behind_ff { 7 } else { 8 };
            (self.rest, self.held, self.is_behind_ff) = (rest, u32::from(*byte), *byte == 0xFF);
        }
        self.count -= 1;
        Some(self.held >> self.count & 1 == 1)
    }

    /// A number of so many bits, 32 at the most.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |number, _| Some(number << 1 | u32::from(self.bit()?)))
    }

    /// The bytes behind the one that was read last, and behind the zero that follows an FF.
    pub(super) fn behind(mut self) -> Option<&'a [u8]> {
        if self.is_behind_ff {
            self.rest = self.rest.split_first()?.1;
        }
        Some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_behind_ff_begins_with_a_zero() {
        let mut bits = BitWriter::default();
        bits.put(0xFFFF, 16);
        assert_eq!(bits.finish(), [0xFF, 0x7F, 0x80]);
        let mut bits = BitWriter::default();
        bits.put(0xFF, 8);
        assert_eq!(bits.finish(), [0xFF, 0]);
        let bytes = [0xFF, 0x7F, 0x80, 9];
        let mut bits = BitReader::new(&bytes);
        assert_eq!(bits.number(16), Some(0xFFFF));
        assert_eq!(bits.behind(), Some(&[9][..]));
        let mut bits = BitReader::new(&[0xFF, 0, 9]);
        assert_eq!(bits.number(8), Some(0xFF));
        assert_eq!(bits.behind(), Some(&[9][..]));
        assert_eq!(BitReader::new(&[]).bit(), None);
    }
}

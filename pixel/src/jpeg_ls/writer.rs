//! Bits on their way into a scan: behind a byte FF the next one has seven (ISO/IEC 14495-1 §A.1).

#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
    is_behind_ff: bool,
}

impl BitWriter {
    /// The lowest so many bits of a number, 32 at the most; those above have to be zero.
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        self.held = self.held << bits | u64::from(number);
        self.count += bits;
        loop {
            let width = if self.is_behind_ff { 7 } else { 8 };
            let Some(left) = self.count.checked_sub(width) else { return };
            let [byte, ..] = (self.held >> left).to_le_bytes();
            self.bytes.push(byte);
            self.is_behind_ff = byte == 0xFF;
            self.count = left;
            self.held &= (1 << left) - 1;
        }
    }

    pub(super) fn zeros(&mut self, count: u32) {
        for _ in 0..count / 32 {
            self.put(0, 32);
        }
        self.put(0, count % 32);
    }

    /// The bytes, filled up with zeros; a last byte is never FF, so that no marker begins with it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 || self.is_behind_ff {
            let width = if self.is_behind_ff { 7 } else { 8 };
            self.put(0, width - self.count);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_behind_ff_has_seven_bits() {
        let mut bits = BitWriter::default();
        bits.put(0x7FFF, 15);
        bits.zeros(7);
        bits.put(1, 1);
        assert_eq!(bits.finish(), [0xFF, 0x7F, 0x01]);
        let mut bits = BitWriter::default();
        bits.put(0xFF, 8);
        assert_eq!(bits.finish(), [0xFF, 0]);
    }
}

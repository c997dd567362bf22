//! Bits behind the headers; a zero follows each byte FF (ISO/IEC 10918-1 §F.1.2.3).

pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// What is not written yet, in the lowest bits.
    held: u64,
    free: u32,
}

impl BitWriter {
    /// Goes on behind these bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, held: 0, free: 64 }
    }

    /// A number of so many bits, 32 at the most, and no more than that.
    #[inline(always)]
    pub(super) fn put(&mut self, number: u64, bits: u32) {
        if bits <= self.free {
            self.held = self.held << bits | number;
            self.free -= bits;
            return;
        }
        let behind = bits - self.free;
        let full = self.held << self.free | number >> behind;
        self.write(full.to_be_bytes());
        self.held = number;
        self.free = 64 - behind;
    }

    #[inline(always)]
    fn write(&mut self, bytes: [u8; 8]) {
        let number = u64::from_le_bytes(bytes);
        // The highest bit of a byte is set, and no more when 1 is added: the byte is FF, or the one before it is.
        let may_be_stuffed =
            number & 0x8080_8080_8080_8080 & !number.wrapping_add(0x0101_0101_0101_0101) != 0;
        if may_be_stuffed {
            self.stuff(&bytes);
        } else {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    #[cold]
    fn stuff(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes.push(*byte);
            if *byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    /// The bytes, the last one filled with ones.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let rest = self.free % 8;
        self.put((1 << rest) - 1, rest);
        let mut held = self.held.to_be_bytes();
        held.rotate_left(usize::try_from(self.free / 8).unwrap_or(0));
        let used = usize::try_from(8 - self.free / 8).unwrap_or(0);
        self.stuff(held.get(..used).unwrap_or_default());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bits::Bits;
    use super::*;

    #[test]
    fn a_zero_follows_each_byte_of_ones_wherever_it_stands() {
        for before in 0..20_u32 {
            let mut writer = BitWriter::new(vec![7]);
            (0..before).for_each(|_| writer.put(0, 8));
            writer.put(0xFF, 8);
            (before..20).for_each(|_| writer.put(0, 8));
            let mut expected = vec![7];
            expected.extend((0..before).map(|_| 0));
            expected.extend([0xFF, 0]);
            expected.extend((before..20).map(|_| 0));
            assert_eq!(writer.finish(), expected, "{before}");
        }
        let mut writer = BitWriter::new(Vec::new());
        writer.put(0b10, 2);
        assert_eq!(writer.finish(), [0b1011_1111]);
    }

    proptest! {
        #[test]
        fn what_is_put_is_read_again(numbers in proptest::collection::vec((any::<u32>(), 1..=32_u32), 0..200)) {
            let numbers: Vec<_> =
                numbers.into_iter().map(|(number, bits)| (number >> (32 - bits), bits)).collect();
            let mut writer = BitWriter::new(Vec::new());
            numbers.iter().for_each(|(number, bits)| writer.put(u64::from(*number), *bits));
            let bytes = writer.finish();
            let mut reader = Bits::new(&bytes);
            for (number, bits) in numbers {
                prop_assert_eq!(reader.number(bits), Some(number));
            }
        }
    }
}

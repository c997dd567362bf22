//! Changes inputs, the same way for the same seed.

/// A source of numbers that need not be good, only the same each time (xorshift64*).
#[derive(Debug, Clone)]
pub struct Mutator(u64);

/// Numbers at which lengths and counts go wrong.
const EDGES: [u32; 12] = [0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF];

/// What the formats are made of: PDU types, item types, VRs, tags of items.
const WORDS: [&[u8]; 16] = [
    &[4, 0, 0, 0, 0, 6],
    &[5, 0, 0, 0, 0, 4, 0, 0, 0, 0],
    &[7, 0, 0, 0, 0, 4, 0, 0, 2, 6],
    &[0x20, 0, 0, 4, 1, 0, 0, 0],
    &[0x50, 0, 0, 8, 0x51, 0, 0, 4, 0, 0, 0x40, 0],
    &[0x53, 0, 0, 4, 0, 0, 0, 0],
    &[0x57, 0],
    &[0x58, 0],
    b"SQ\0\0\xFF\xFF\xFF\xFF",
    b"OB\0\0\xFF\xFF\xFF\xFF",
    b"UN\0\0",
    &[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0],
    &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    b"1.2.840.10008.1.2",
    &[0, 0, 0, 8, 2, 0, 0, 0, 1, 1],
];

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Less than `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len());
        from.get(at)
    }

    /// An input made of one of the pool, or of two.
    pub fn make(&mut self, pool: &[Vec<u8>], longest: usize) -> Vec<u8> {
        let mut input = self.pick(pool).cloned().unwrap_or_default();
        for _ in 0..=self.below(6) {
            self.change(&mut input, pool);
        }
        input.truncate(longest);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.below(input.len());
        match self.below(10) {
            0 => {
                let bit = self.below(8);
                input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            1 => {
                let value = self.next().to_le_bytes();
                input.iter_mut().skip(at).zip(value).take(1).for_each(|(byte, value)| *byte = value);
            }
            2 => self.put_number(input, at),
            3 => {
                let word = self.pick(&WORDS).copied().unwrap_or_default();
                input.splice(at..at, word.iter().copied());
            }
            4 => {
                let word = self.pick(&WORDS).copied().unwrap_or_default();
                input.iter_mut().skip(at).zip(word).for_each(|(byte, value)| *byte = *value);
            }
            5 => {
                let end = (at + 1 + self.below(16)).min(input.len());
                input.drain(at..end);
            }
            6 => {
                let end = (at + 1 + self.below(64)).min(input.len());
                let part: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
                let times = 1 + self.below(8);
                input.splice(at..at, part.repeat(times));
            }
            7 => input.truncate(at),
            8 => {
                let other = self.pick(pool).cloned().unwrap_or_default();
                let from = self.below(other.len());
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            _ => {
                let count = 1 + self.below(8);
                let bytes: Vec<u8> = (0..count).flat_map(|_| self.next().to_le_bytes()).collect();
                input.splice(at..at, bytes.into_iter().take(count));
            }
        }
    }

    /// A length, in either order of bytes: one at an edge, or one near what is left.
    fn put_number(&mut self, input: &mut [u8], at: usize) {
        let left = u32::try_from(input.len() - at.min(input.len())).unwrap_or(0);
        let number = match self.below(3) {
            0 => left.wrapping_add(u32::try_from(self.below(8)).unwrap_or(0)).wrapping_sub(4),
            _ => self.pick(&EDGES).copied().unwrap_or(0),
        };
        let [a, b, c, d] = number.to_be_bytes();
        let bytes: &[u8] = match self.below(4) {
            0 => &[c, d],
            1 => &[d, c],
            2 => &[a, b, c, d],
            _ => &[d, c, b, a],
        };
        input.iter_mut().skip(at).zip(bytes).for_each(|(byte, value)| *byte = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::Mutator;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_none_is_too_long() {
        let pool = vec![b"abcdefgh".to_vec(), vec![], vec![7; 300]];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..500).map(|_| mutator.make(&pool, 200)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(9).iter().all(|input| input.len() <= 200));
    }
}

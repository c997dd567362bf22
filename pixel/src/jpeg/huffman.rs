//! Huffman codes (ISO/IEC 10918-1 Annex C, §F.2.2.3).

use super::bits::Bits;

/// Codes of up to so many bits are found by one look.
const SHORT: u32 = 9;

/// A table of codes.
pub(super) struct Huffman {
    /// By the next `SHORT` bits: length and symbol of the code that they begin with; length 0 for a longer one.
    short: Vec<(u8, u8)>,
    /// For each length from 1 to 16, in 16 bits from the left: where the codes of it end, and what leads from a
    /// code to the place of its symbol.
    long: [Codes; 16],
    symbols: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Codes {
    end: u32,
    first: u32,
    place: usize,
}

impl Huffman {
    /// From the number of codes of each length, and their symbols in order (§C.2); `None` when there are more
    /// codes than a length has room for.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut long = [Codes::default(); 16];
        let mut short = vec![(0, 0); 1 << SHORT];
        let (mut code, mut place) = (0_u32, 0_usize);
        for ((length, count), codes) in (1_u32..).zip(counts).zip(&mut long) {
            let shift = 16 - length;
            let end = code + (u32::from(*count) << shift);
            let of_length = symbols.get(place..place + usize::from(*count))?;
            if end > 1 << 16 {
                return None;
            }
            *codes = Codes { end, first: code, place };
            if length <= SHORT {
                let copies = 1_usize << (SHORT - length);
                let start = usize::try_from(code >> (16 - SHORT)).ok()?;
                let looks = short.get_mut(start..start + copies * of_length.len())?;
                for (looks, symbol) in looks.chunks_exact_mut(copies).zip(of_length) {
                    looks.fill((u8::try_from(length).ok()?, *symbol));
                }
            }
            place += of_length.len();
            code = end;
        }
        Some(Self { short, long, symbols: symbols.get(..place)?.to_vec() })
    }

    /// The next symbol; `None` for a code that is none, or behind the last bit.
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let next = bits.peek();
        let (length, symbol) = *self.short.get(usize::from(next >> (16 - SHORT)))?;
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Some(symbol);
        }
        let next = u32::from(next);
        let (length, codes) = (1_u32..).zip(&self.long).find(|(_, codes)| next < codes.end)?;
        bits.skip(length)?;
        let offset = usize::try_from((next - codes.first) >> (16 - length)).ok()?;
        self.symbols.get(codes.place + offset).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 00, 01, 100, and 1010 0000 00 of ten bits.
    fn table() -> Huffman {
        let mut counts = [0; 16];
        (counts[1], counts[2], counts[9]) = (2, 1, 1);
        Huffman::new(&counts, &[5, 6, 7, 8]).unwrap()
    }

    #[test]
    fn short_and_long_codes_are_found() {
        let table = table();
        let mut bits = Bits::new(&[0b0001_1001, 0b0100_0000, 0b0000_0000]);
        let found = [(); 4].map(|()| table.symbol(&mut bits));
        assert_eq!(found, [Some(5), Some(6), Some(7), Some(8)]);
    }

    #[test]
    fn what_is_no_code_is_none() {
        assert_eq!(table().symbol(&mut Bits::new(&[0xF0, 0xF0, 0xF0])), None);
        assert_eq!(table().symbol(&mut Bits::new(&[])), None);
    }

    #[test]
    fn more_codes_than_there_is_room_for_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Huffman::new(&counts, &[1, 2, 3]).is_none());
        assert!(Huffman::new(&[255; 16], &[0; 4096]).is_none());
        counts[0] = 2;
        assert!(Huffman::new(&counts, &[1]).is_none());
    }
}

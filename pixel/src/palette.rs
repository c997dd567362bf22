//! The colours of PALETTE COLOR (PS3.3 §C.7.6.3.1.5, §C.7.9).

use super::{Error, Lut, Result};

/// Red, green and blue for each stored value, ready to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    first: i64,
    colors: Vec<[u8; 3]>,
}

impl Palette {
    /// Puts the three tables together, in 8 bits.
    ///
    /// # Errors
    /// `Invalid` when they are empty or not of one size.
    pub fn new(red: &Lut, green: &Lut, blue: &Lut) -> Result<Self> {
        let length = red.entries.len();
        if length == 0 || green.entries.len() != length || blue.entries.len() != length {
            return Err(Error::invalid(format!(
                "palette of {length} red, {} green and {} blue entries",
                green.entries.len(),
                blue.entries.len()
            )));
        }
        // Some devices declare 16 bits and write 8: their greatest entry tells.
        let greatest = [red, green, blue].iter().flat_map(|lut| &lut.entries).max().copied().unwrap_or(0);
        let shift = if red.bits > 8 && greatest > 0xFF { 8 } else { 0 };
        let byte = |entry: &u16| u8::try_from(entry >> shift).unwrap_or(u8::MAX);
        let colors = red.entries.iter().zip(&green.entries).zip(&blue.entries);
        let colors = colors.map(|((red, green), blue)| [byte(red), byte(green), byte(blue)]).collect();
        Ok(Self { first: red.first, colors })
    }

    /// The colour of a stored value; the first or last one beyond the ends.
    pub fn color(&self, stored: i64) -> [u8; 3] {
        let place = usize::try_from(stored.saturating_sub(self.first).max(0)).unwrap_or(usize::MAX);
        self.colors.get(place).or(self.colors.last()).copied().unwrap_or_default()
    }
}

/// Expands a segmented table to its entries (PS3.3 §C.7.9.2).
///
/// # Errors
/// `Invalid` when it breaks off, starts with a line, refers to a segment that is not there, or has
/// more than the 65536 entries a table can have.
pub(super) fn expand_segments(words: &[u16]) -> Result<Vec<u16>> {
    let mut entries = Vec::new();
    let mut segments = Segments { words, at: 0 };
    while segments.at < words.len() {
        segments.expand_next(&mut entries, true)?;
    }
    Ok(entries)
}

struct Segments<'a> {
    words: &'a [u16],
    at: usize,
}

impl Segments<'_> {
    fn next_word(&mut self) -> Result<u16> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.ok_or_else(|| Error::invalid("segmented palette breaks off"))
    }

    fn expand_next(&mut self, entries: &mut Vec<u16>, may_refer: bool) -> Result<()> {
        let opcode = self.next_word()?;
        let length = usize::from(self.next_word()?);
        match opcode {
            0 => {
                let end = self.at.saturating_add(length);
                let values = self.words.get(self.at..end);
                entries.extend(values.ok_or_else(|| Error::invalid("segmented palette breaks off"))?);
                self.at = end;
            }
            1 => {
                let last = self.next_word()?;
                draw_line(entries, length, last)?;
            }
            2 if may_refer => {
                let (low, high) = (self.next_word()?, self.next_word()?);
                // The offset counts bytes from the first segment.
                let at = (usize::from(high) << 16 | usize::from(low)) / 2;
                let mut earlier = Segments { words: self.words, at };
                for _ in 0..length {
                    earlier.expand_next(entries, false)?;
                    check_size(entries)?;
                }
            }
            _ => return Err(Error::invalid(format!("segmented palette has an opcode {opcode}"))),
        }
        check_size(entries)
    }
}

/// From the last entry, exclusive, in even steps to the new one, inclusive.
fn draw_line(entries: &mut Vec<u16>, length: usize, last: u16) -> Result<()> {
    let first = *entries.last().ok_or_else(|| Error::invalid("segmented palette starts with a line"))?;
    let (first, rise) = (i64::from(first), i64::from(last) - i64::from(first));
    let steps = i64::try_from(length).unwrap_or(i64::MAX).max(1);
    entries.extend((1..=steps).take(length).map(|step| {
        // Rounded to the nearest, halves away from zero.
        let doubled = 2 * rise * step + steps * rise.signum();
        u16::try_from(first + doubled / (2 * steps)).unwrap_or(last)
    }));
    Ok(())
}

fn check_size(entries: &[u16]) -> Result<()> {
    if entries.len() > 1 << 16 { Err(Error::invalid("palette has more than 65536 entries")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(bits: u32, entries: &[u16]) -> Lut {
        Lut { first: 10, entries: entries.to_vec(), bits }
    }

    #[test]
    fn shows_the_high_byte_of_16_bit_entries_and_clamps_at_the_ends() {
        let red = table(16, &[0x1234, 0xFF00]);
        let palette = Palette::new(&red, &table(16, &[0, 0]), &table(16, &[0xABCD, 0])).unwrap();
        assert_eq!(palette.color(-5), [0x12, 0, 0xAB]);
        assert_eq!(palette.color(11), [0xFF, 0, 0]);
        assert_eq!(palette.color(99), [0xFF, 0, 0]);
    }

    #[test]
    fn takes_entries_of_8_bits_that_are_declared_as_16() {
        let tables = table(16, &[0, 255]);
        assert_eq!(Palette::new(&tables, &tables, &tables).unwrap().color(11), [255; 3]);
    }

    #[test]
    fn refuses_tables_of_different_sizes() {
        let (two, one) = (table(8, &[1, 2]), table(8, &[1]));
        assert!(Palette::new(&two, &one, &two).is_err());
    }

    #[test]
    fn expands_discrete_linear_and_indirect_segments() {
        let words = [0, 2, 5, 10, 1, 5, 60, 2, 2, 0, 0];
        let once = [5, 10, 20, 30, 40, 50, 60];
        assert_eq!(expand_segments(&words).unwrap(), [once, once].concat());
    }

    #[test]
    fn a_line_falls_as_well_as_it_rises() {
        assert_eq!(expand_segments(&[0, 1, 9, 1, 3, 0]).unwrap(), [9, 6, 3, 0]);
    }

    proptest! {
        #[test]
        fn any_words_are_an_answer_or_an_error(words in proptest::collection::vec(0..9_u16, 0..64)) {
            if let Ok(entries) = expand_segments(&words) {
                prop_assert!(entries.len() <= 1 << 16);
            }
        }
    }
}

//! The colours of PALETTE COLOR (PS3.3 §C.7.6.3.1.5, §C.7.9).

use super::{Error, Lut, Result};

/// Red, green and blue for each stored value, ready to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    first: i64,
    colors: Vec<[u8; 3]>,
}

impl Palette {
    /// Puts the three tables together, in 8 bits. Of one that is shorter than another the last entry stands for what it
    /// lacks.
    ///
    /// # Errors
    /// `Invalid` when one is empty.
    pub fn new(red: &Lut, green: &Lut, blue: &Lut) -> Result<Self> {
        let tables = [red, green, blue];
        if tables.iter().any(|table| table.entries.is_empty()) {
            let [red, green, blue] = tables.map(|table| table.entries.len());
            return Err(Error::invalid(format!(
                "palette of {red} red, {green} green and {blue} blue entries"
            )));
        }
        // Some devices declare 16 bits and write 8: their greatest entry tells.
        let greatest = tables.iter().flat_map(|lut| &lut.entries).max().copied().unwrap_or(0);
        let shift = if red.bits > 8 && greatest > 0xFF { 8 } else { 0 };
        let byte = |entry: &u16| u8::try_from(entry >> shift).unwrap_or(u8::MAX);
        let entry = |table: &Lut, place| table.entries.get(place).or(table.entries.last()).map_or(0, byte);
        let length = tables.iter().map(|table| table.entries.len()).max().unwrap_or(0);
        let colors = (0..length).map(|place| tables.map(|table| entry(table, place))).collect();
        Ok(Self { first: red.first, colors })
    }

    /// The first stored value that has a colour of its own.
    #[expect(clippy::cast_precision_loss, reason = "it has 16 bits")]
    pub(super) fn first(&self) -> f64 {
        self.first as f64
    }

    /// The colour of a stored value; the first or last one beyond the ends.
    pub fn color(&self, stored: i64) -> [u8; 3] {
        let place = usize::try_from(stored.saturating_sub(self.first).max(0)).unwrap_or(usize::MAX);
        self.colors.get(place).or(self.colors.last()).copied().unwrap_or_default()
    }
}

/// How entries, opcodes and lengths of a segmented table are written: as wide as its entries are declared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Bytes,
    Words,
}

/// Expands a segmented table to its entries (PS3.3 §C.7.9.2). What follows behind so many of them is not read.
///
/// # Errors
/// `Invalid` when it breaks off, starts with a line, refers to a segment that is not there, or has
/// more than the 65536 entries a table can have.
pub(super) fn expand_segments(bytes: &[u8], width: Width, count: usize) -> Result<Vec<u16>> {
    let units: Vec<u16> = match width {
        Width::Bytes => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        Width::Words => bytes.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect(),
    };
    let mut entries = Vec::new();
    let mut segments = Segments { units: &units, width, at: 0 };
    while segments.at < units.len() && entries.len() < count {
        segments.expand_next(&mut entries, true)?;
    }
    Ok(entries)
}

struct Segments<'a> {
    units: &'a [u16],
    width: Width,
    at: usize,
}

impl Segments<'_> {
    fn next_unit(&mut self) -> Result<u16> {
        let unit = self.units.get(self.at).copied();
        self.at += 1;
        unit.ok_or_else(|| Error::invalid("segmented palette breaks off"))
    }

    /// The place of a segment: its offset counts bytes from the first one, lowest part first.
    fn next_place(&mut self) -> Result<usize> {
        let (parts, bits) = if self.width == Width::Bytes { (4, 8) } else { (2, 16) };
        let mut offset = 0;
        for part in 0..parts {
            offset |= usize::from(self.next_unit()?) << (part * bits);
        }
        Ok(if self.width == Width::Bytes { offset } else { offset / 2 })
    }

    fn expand_next(&mut self, entries: &mut Vec<u16>, may_refer: bool) -> Result<()> {
        let opcode = self.next_unit()?;
        let length = usize::from(self.next_unit()?);
        match opcode {
            0 => {
                let end = self.at.saturating_add(length);
                let values = self.units.get(self.at..end);
                entries.extend(values.ok_or_else(|| Error::invalid("segmented palette breaks off"))?);
                self.at = end;
            }
            1 => {
                let last = self.next_unit()?;
                draw_line(entries, length, last)?;
            }
            2 if may_refer => {
                let at = self.next_place()?;
                let mut earlier = Segments { units: self.units, width: self.width, at };
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
    fn the_last_entry_of_a_shorter_table_stands_for_what_it_lacks() {
        let (two, one, none) = (table(8, &[1, 2]), table(8, &[7]), table(8, &[]));
        assert_eq!(Palette::new(&two, &one, &two).unwrap().color(11), [2, 7, 2]);
        assert_eq!(Palette::new(&one, &two, &two).unwrap().color(11), [7, 2, 2]);
        assert!(Palette::new(&two, &none, &two).is_err());
    }

    fn of_words(words: &[u16]) -> Result<Vec<u16>> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        expand_segments(&bytes, Width::Words, usize::MAX)
    }

    #[test]
    fn expands_segments_of_bytes_up_to_the_padding() {
        // A well-known palette of the standard begins so (PS3.6 Annex B): one entry, and a line to 255.
        let line = expand_segments(&[0, 1, 0xFF, 1, 0xFF, 0xFF], Width::Bytes, 256).unwrap();
        assert_eq!(line, [0xFF; 256]);
        let twice = [0, 2, 5, 10, 1, 2, 30, 2, 2, 0, 0, 0, 0, 0];
        assert_eq!(expand_segments(&twice, Width::Bytes, 8).unwrap(), [5, 10, 20, 30, 5, 10, 20, 30]);
    }

    #[test]
    fn expands_discrete_linear_and_indirect_segments() {
        let words = [0, 2, 5, 10, 1, 5, 60, 2, 2, 0, 0];
        let once = [5, 10, 20, 30, 40, 50, 60];
        assert_eq!(of_words(&words).unwrap(), [once, once].concat());
    }

    #[test]
    fn a_line_falls_as_well_as_it_rises() {
        assert_eq!(of_words(&[0, 1, 9, 1, 3, 0]).unwrap(), [9, 6, 3, 0]);
    }

    proptest! {
        #[test]
        fn any_units_are_an_answer_or_an_error(units in proptest::collection::vec(0..9_u8, 0..64)) {
            let words: Vec<u16> = units.iter().map(|unit| u16::from(*unit)).collect();
            for expanded in [of_words(&words), expand_segments(&units, Width::Bytes, usize::MAX)] {
                prop_assert!(expanded.map_or(0, |entries| entries.len()) <= 1 << 16);
            }
        }
    }
}

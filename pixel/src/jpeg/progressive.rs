//! JPEG of 12 bits whose scans give the coefficients band by band and bit by bit (ISO/IEC 10918-1 Annex G): spectral
//! selection and full progression, processes 8 and 12.

use super::super::patience::Patience;
use super::super::{Error, ErrorKind, Result};
use super::baseline::has_end;
use super::bits::Bits;
use super::header::JpegHeader;
use super::huffman::Huffman;
use super::plane::{Plane, by_pixel, dequantize};
use super::scans::{self, Scan, ScanComponent};
use super::tables::Tables;
use super::units::{Step, Units};

/// Most samples of a frame: its coefficients are in memory besides.
const MOST_SAMPLES: usize = 1 << 26;

/// Coefficients have no more bits than are left of 16 (§G.1.2.1).
const MOST_SHIFT: u32 = 13;

/// The samples of a stream, by pixel; colours are not converted.
///
/// # Errors
/// `Corrupt` when the stream is broken, or does not give every bit of every coefficient; `TooLarge`.
pub(super) fn decode(stream: &[u8], header: &JpegHeader) -> Result<Vec<u16>> {
    // What ends between two scans is nowhere else seen to break off.
    if !has_end(stream) {
        return Err(Error::corrupt("progressive JPEG stream breaks off"));
    }
    let samples = usize::from(header.rows) * usize::from(header.columns) * header.components.len();
    if samples > MOST_SAMPLES {
        let what = format!("progressive JPEG frame of over {MOST_SAMPLES} samples");
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    let mut planes = Plane::all(header)?;
    let mut colours: Vec<Colour> = planes.iter().map(Colour::of).collect();
    let patience = Patience::of(stream);
    scans::each(stream, header, |scan, tables, bits| {
        let band = Band::of(scan)?;
        for component in &scan.components {
            let colour = colours.get_mut(component.index).zip(planes.get(component.index));
            let (colour, plane) = colour.ok_or_else(|| Error::corrupt("scan of another colour"))?;
            colour.begin(&band, tables.steps(plane.quantization)?)?;
        }
        let coders = scan.components.iter().map(|component| Coder::of(component, &band, tables));
        let mut coders: Vec<Coder<'_>> = coders.collect::<Result<_>>()?;
        let row = || patience.check("progressive JPEG");
        let units = Units::of(scan, &planes, header)?;
        units.each(bits, tables.restart_interval, row, |bits, step| {
            match step {
                Step::Restart => coders.iter_mut().for_each(Coder::restart),
                Step::Block(n, place) => {
                    let coder = coders.get_mut(n)?;
                    let block = colours.get_mut(coder.index)?.block(place)?;
                    coder.block(bits, block)?;
                }
            }
            Some(())
        })
    })?;
    for (plane, colour) in planes.iter_mut().zip(colours) {
        colour.finish(plane)?;
    }
    Ok(by_pixel(&planes, header))
}

/// What a scan gives of the coefficients.
struct Band {
    /// The first and the last coefficient, in the order of the stream.
    start: usize,
    end: usize,
    /// The bit that was given last; none where nothing was.
    before: Option<u32>,
    /// The bit that is given now, with all above it where nothing was given before.
    bit: u32,
}

impl Band {
    fn of(scan: &Scan) -> Result<Self> {
        let (start, end) = (usize::from(scan.start), usize::from(scan.end));
        let before = (scan.high > 0).then_some(scan.high);
        // The first coefficient has scans of its own, the others scans of one colour each (§G.1.1.1.1).
        let is_sound = if start == 0 { end == 0 } else { end <= 63 && scan.components.len() == 1 };
        let is_next = before.is_none_or(|before| before == scan.shift + 1);
        if !is_sound || start > end || !is_next || scan.shift > MOST_SHIFT {
            return Err(Error::corrupt(format!("progressive JPEG scan of coefficients {start} to {end}")));
        }
        Ok(Self { start, end, before, bit: scan.shift })
    }
}

/// What is known of a colour so far.
struct Colour {
    /// Coefficients of all blocks, in the order of the stream.
    blocks: Vec<[i16; 64]>,
    /// Blocks of a row.
    stride: usize,
    /// The bit of each coefficient that was given last.
    given: [Option<u32>; 64],
    /// Those of the first scan.
    steps: Option<[u16; 64]>,
}

impl Colour {
    fn of(plane: &Plane) -> Self {
        let (columns, rows) = (plane.stride / 8, plane.height / 8);
        Self { blocks: vec![[0; 64]; columns * rows], stride: columns, given: [None; 64], steps: None }
    }

    /// Each bit comes once, the highest ones first.
    fn begin(&mut self, band: &Band, steps: &[u16; 64]) -> Result<()> {
        let given = self.given.get_mut(band.start..=band.end).unwrap_or_default();
        if given.iter().any(|given| *given != band.before) {
            return Err(Error::corrupt("progressive JPEG scan out of its turn"));
        }
        given.fill(Some(band.bit));
        self.steps.get_or_insert(*steps);
        Ok(())
    }

    fn block(&mut self, (row, column): (usize, usize)) -> Option<&mut [i16; 64]> {
        self.blocks.get_mut(row * self.stride + column)
    }

    /// Makes samples of what has come.
    fn finish(mut self, plane: &mut Plane) -> Result<()> {
        let steps = self.steps.filter(|_| self.given == [Some(0); 64]);
        let steps = steps.ok_or_else(|| Error::corrupt("progressive JPEG stream lacks coefficients"))?;
        plane.keep();
        let (rows, columns) = (plane.rows, plane.columns);
        for place in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let mut coefficients = [[0.0; 8]; 8];
            let put = self.block(place).and_then(|block| {
                let mut values = block.iter().enumerate().filter(|(_, value)| **value != 0);
                values.try_for_each(|(at, value)| {
                    dequantize(&mut coefficients, at, i32::from(*value), &steps)
                })?;
                plane.put(place, &coefficients)
            });
            put.ok_or_else(|| Error::corrupt("block outside of a JPEG image"))?;
        }
        Ok(())
    }
}

/// What decodes the blocks of one colour in a scan.
struct Coder<'a> {
    index: usize,
    band: &'a Band,
    /// None where the scan has nothing but bits.
    codes: Option<&'a Huffman>,
    /// The first coefficient of the block before.
    last: i32,
    /// Blocks from the next one on that have no more.
    blank: u32,
}

impl<'a> Coder<'a> {
    fn of(component: &ScanComponent, band: &'a Band, tables: &'a Tables) -> Result<Self> {
        let codes = match (band.start, band.before) {
            (0, None) => Some(tables.dc(component.dc)?),
            (0, Some(_)) => None,
            _ => Some(tables.ac(component.ac)?),
        };
        Ok(Self { index: component.index, band, codes, last: 0, blank: 0 })
    }

    fn restart(&mut self) {
        (self.last, self.blank) = (0, 0);
    }

    fn block(&mut self, bits: &mut Bits<'_>, block: &mut [i16; 64]) -> Option<()> {
        let Some(codes) = self.codes else {
            let [first, ..] = block;
            *first |= i16::try_from(bits.number(1)? << self.band.bit).ok()?;
            return Some(());
        };
        if self.band.start == 0 {
            let [first, ..] = block;
            let width = u32::from(codes.symbol(bits)?);
            self.last = self.last.wrapping_add(bits.signed(width)?);
            *first = i16::try_from(self.last.checked_mul(1 << self.band.bit)?).ok()?;
            return Some(());
        }
        let values = block.get_mut(self.band.start..=self.band.end)?;
        match self.band.before {
            None => self.first_bits(bits, codes, values),
            Some(_) => self.further_bit(bits, codes, values),
        }
    }

    /// The highest bits of some coefficients of a block (§G.1.2.2).
    fn first_bits(&mut self, bits: &mut Bits<'_>, codes: &Huffman, values: &mut [i16]) -> Option<()> {
        if self.blank > 0 {
            self.blank -= 1;
            return Some(());
        }
        let mut at = 0;
        while at < values.len() {
            let symbol = codes.symbol(bits)?;
            let (zeros, width) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, width) {
                (15, 0) => at += 16,
                (_, 0) => {
                    self.blank = blocks(bits, symbol)? - 1;
                    break;
                }
                _ => {
                    at += zeros;
                    let value = bits.signed(width)?.checked_mul(1 << self.band.bit)?;
                    *values.get_mut(at)? = i16::try_from(value).ok()?;
                    at += 1;
                }
            }
        }
        Some(())
    }

    /// One more bit of some coefficients of a block (§G.1.2.3).
    fn further_bit(&mut self, bits: &mut Bits<'_>, codes: &Huffman, values: &mut [i16]) -> Option<()> {
        let bit = 1_i16 << self.band.bit;
        let mut left = values.iter_mut();
        while self.blank == 0 && left.len() > 0 {
            let symbol = codes.symbol(bits)?;
            let (mut zeros, width) = (symbol >> 4, symbol & 15);
            let new = match (zeros, width) {
                (15, 0) => 0,
                (_, 0) => {
                    self.blank = blocks(bits, symbol)?;
                    break;
                }
                (_, 1) if bits.number(1)? == 1 => bit,
                (_, 1) => -bit,
                _ => return None,
            };
            // Over so many that are zero still; what is none has its bit here.
            let place = loop {
                match left.next() {
                    Some(value) if *value != 0 => correct(bits, value, bit)?,
                    Some(value) if zeros == 0 => break Some(value),
                    Some(_) => zeros -= 1,
                    None => break None,
                }
            };
            match place {
                Some(value) => *value = new,
                None if new == 0 => {}
                None => return None,
            }
        }
        if self.blank > 0 {
            left.filter(|value| **value != 0).try_for_each(|value| correct(bits, value, bit))?;
            self.blank -= 1;
        }
        Some(())
    }
}

/// The number of blocks that end with a symbol (Table G.1).
fn blocks(bits: &mut Bits<'_>, symbol: u8) -> Option<u32> {
    let width = u32::from(symbol >> 4);
    Some((1 << width) + bits.number(width)?)
}

/// Puts the next bit of a coefficient that is not zero.
fn correct(bits: &mut Bits<'_>, value: &mut i16, bit: i16) -> Option<()> {
    if bits.number(1)? == 1 {
        *value = value.checked_add(if *value < 0 { -bit } else { bit })?;
    }
    Some(())
}

#[cfg(test)]
mod tests;

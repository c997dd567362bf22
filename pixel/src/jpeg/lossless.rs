//! JPEG lossless with Huffman codes, process 14 (ISO/IEC 10918-1 Annex H).

use super::super::{Error, Result};
use super::bits::Bits;
use super::header::JpegHeader;
use super::huffman::Huffman;
use super::scans::{self, Scan};
use super::tables::Tables;

/// The samples of a stream, by pixel.
///
/// # Errors
/// `Corrupt` when the stream is broken or does not give every sample; `Unsupported` for colours of fewer samples than
/// others, and restarts within a line.
pub(super) fn decode(stream: &[u8], header: &JpegHeader) -> Result<Vec<u16>> {
    if header.is_subsampled() {
        return Err(Error::unsupported("lossless JPEG with colours of fewer samples"));
    }
    let colours = header.components.len();
    let (rows, columns) = (usize::from(header.rows), usize::from(header.columns));
    let mut samples = vec![0; rows * columns * colours];
    let mut missing: Vec<usize> = (0..colours).collect();
    scans::each(stream, header, |scan, tables, bits| {
        let before = missing.len();
        missing.retain(|index| scan.components.iter().all(|component| component.index != *index));
        if before - missing.len() != scan.components.len() {
            return Err(Error::corrupt("lossless JPEG stream has a colour twice"));
        }
        match scan.components.len() {
            1 => of_colours::<1>(scan, tables, bits, header, &mut samples),
            2 => of_colours::<2>(scan, tables, bits, header, &mut samples),
            3 => of_colours::<3>(scan, tables, bits, header, &mut samples),
            more => Err(Error::unsupported(format!("lossless JPEG scan of {more} colours"))),
        }
    })?;
    if missing.is_empty() { Ok(samples) } else { Err(Error::corrupt("lossless JPEG stream lacks a colour")) }
}

/// Decodes a scan of `N` colours and puts them in their places.
fn of_colours<const N: usize>(
    scan: &Scan,
    tables: &Tables,
    bits: &mut Bits<'_>,
    header: &JpegHeader,
    samples: &mut [u16],
) -> Result<()> {
    let lines = Lines::<N>::new(scan, tables, header)?;
    let pixels = lines.decode(bits, usize::from(header.rows), usize::from(header.columns))?;
    for (colour, component) in scan.components.iter().enumerate() {
        let places = samples.get_mut(component.index..).unwrap_or_default();
        let places = places.iter_mut().step_by(header.components.len());
        let values = pixels.as_flattened().get(colour..).unwrap_or_default().iter().step_by(N);
        places.zip(values).for_each(|(place, value)| *place = value << scan.shift);
    }
    Ok(())
}

/// A scan whose pixels have `N` samples.
struct Lines<'a, const N: usize> {
    tables: [&'a Huffman; N],
    predictor: Predictor,
    /// What stands to the left of the first sample of all (§H.1.2.1).
    initial: u16,
    /// Lines between two restarts; 0 for none.
    interval: usize,
}

impl<'a, const N: usize> Lines<'a, N> {
    fn new(scan: &Scan, tables: &'a Tables, header: &JpegHeader) -> Result<Self> {
        let numbers = scan.components.iter().map(|component| tables.dc(component.dc));
        let found: Vec<&Huffman> = numbers.collect::<Result<_>>()?;
        let tables_of_colours =
            <[&Huffman; N]>::try_from(found).map_err(|_| Error::corrupt("scan of other colours"))?;
        let broken = || Error::corrupt(format!("lossless JPEG scan with predictor {}", scan.start));
        let middle = u32::from(header.precision).checked_sub(scan.shift + 1).ok_or_else(|| {
            Error::corrupt(format!("samples of {} bits shifted by {}", header.precision, scan.shift))
        })?;
        let columns = usize::from(header.columns);
        if !tables.restart_interval.is_multiple_of(columns) {
            return Err(Error::unsupported("lossless JPEG with restarts within a line"));
        }
        Ok(Self {
            tables: tables_of_colours,
            predictor: Predictor::new(scan.start).ok_or_else(broken)?,
            initial: 1_u16.checked_shl(middle).unwrap_or(0),
            interval: tables.restart_interval / columns,
        })
    }

    fn decode(&self, bits: &mut Bits<'_>, rows: usize, columns: usize) -> Result<Vec<[u16; N]>> {
        let mut pixels = vec![[0; N]; rows * columns];
        let mut above = vec![[0; N]; columns];
        for (row, line) in pixels.chunks_exact_mut(columns).enumerate() {
            let is_restart = self.interval > 0 && row.is_multiple_of(self.interval) && row > 0;
            let decoded = if is_restart && bits.restart().is_none() {
                None
            } else if is_restart || row == 0 {
                self.first_line(bits, line)
            } else {
                self.line(bits, line, &above)
            };
            decoded
                .ok_or_else(|| Error::corrupt(format!("lossless JPEG stream breaks off in line {row}")))?;
            above.copy_from_slice(line);
        }
        Ok(pixels)
    }

    /// A line that begins the image, or stands behind a restart: only what is left of a sample is known.
    fn first_line(&self, bits: &mut Bits<'_>, line: &mut [[u16; N]]) -> Option<()> {
        let mut left = [self.initial; N];
        for pixel in line {
            for ((sample, left), table) in pixel.iter_mut().zip(&mut left).zip(self.tables) {
                *sample = left.wrapping_add(difference(table, bits)?);
                *left = *sample;
            }
        }
        Some(())
    }

    fn line(&self, bits: &mut Bits<'_>, line: &mut [[u16; N]], above: &[[u16; N]]) -> Option<()> {
        // With the same left and above left as above, every predictor gives what is above, as the first sample of a
        // line wants it.
        let mut left = *above.first()?;
        let mut above_left = left;
        for (pixel, above) in line.iter_mut().zip(above) {
            let around = left.iter_mut().zip(above).zip(above_left);
            for ((sample, table), ((left, above), above_left)) in
                pixel.iter_mut().zip(self.tables).zip(around)
            {
                let predicted = self.predictor.predict(*left, *above, above_left);
                *sample = predicted.wrapping_add(difference(table, bits)?);
                *left = *sample;
            }
            above_left = *above;
        }
        Some(())
    }
}

/// A difference, modulo 2¹⁶ (§H.1.2.2).
fn difference(table: &Huffman, bits: &mut Bits<'_>) -> Option<u16> {
    match table.symbol(bits)? {
        0 => Some(0),
        16 => Some(1 << 15),
        width @ 1..16 => Some(low_word(bits.signed(u32::from(width))?)),
        _ => None,
    }
}

fn low_word(number: i32) -> u16 {
    let [low, high, ..] = number.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// How a sample is told from its neighbours (Table H.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predictor {
    Left,
    Above,
    AboveLeft,
    Plane,
    LeftAndSlope,
    AboveAndSlope,
    Mean,
}

impl Predictor {
    fn new(selection: u8) -> Option<Self> {
        Some(match selection {
            1 => Self::Left,
            2 => Self::Above,
            3 => Self::AboveLeft,
            4 => Self::Plane,
            5 => Self::LeftAndSlope,
            6 => Self::AboveAndSlope,
            7 => Self::Mean,
            _ => return None,
        })
    }

    fn predict(self, left: u16, above: u16, above_left: u16) -> u16 {
        let (a, b, c) = (i32::from(left), i32::from(above), i32::from(above_left));
        match self {
            Self::Left => left,
            Self::Above => above,
            Self::AboveLeft => above_left,
            Self::Plane => low_word(a + b - c),
            Self::LeftAndSlope => low_word(a + ((b - c) >> 1)),
            Self::AboveAndSlope => low_word(b + ((a - c) >> 1)),
            Self::Mean => low_word((a + b) >> 1),
        }
    }
}

#[cfg(test)]
mod tests;

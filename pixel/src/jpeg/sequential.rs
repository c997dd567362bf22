//! JPEG extended of 12 bits, sequential (ISO/IEC 10918-1 Annexes A and F), process 4. Whether a stream of 8 bits is
//! whole is told by the same way through it.

use super::super::{Error, Result};
use super::bits::Bits;
use super::header::JpegHeader;
use super::huffman::Huffman;
use super::plane::{Plane, by_pixel, dequantize};
use super::scans::{self, Scan};
use super::tables::Tables;
use super::units::{Step, Units};

/// The samples of a stream, by pixel; colours are not converted.
///
/// # Errors
/// `Corrupt` when the stream is broken or does not give every sample.
pub(super) fn decode(stream: &[u8], header: &JpegHeader) -> Result<Vec<u16>> {
    let mut planes = Plane::all(header)?;
    planes.iter_mut().for_each(Plane::keep);
    decode_into(&mut planes, stream, header)?;
    Ok(by_pixel(&planes, header))
}

/// Whether the stream has the coded data of every sample.
///
/// # Errors
/// As [`decode`].
pub(super) fn check(stream: &[u8], header: &JpegHeader) -> Result<()> {
    decode_into(&mut Plane::all(header)?, stream, header)
}

fn decode_into(planes: &mut [Plane], stream: &[u8], header: &JpegHeader) -> Result<()> {
    let mut missing: Vec<usize> = (0..planes.len()).collect();
    scans::each(stream, header, |scan, tables, bits| {
        let before = missing.len();
        missing.retain(|index| scan.components.iter().all(|component| component.index != *index));
        if before - missing.len() != scan.components.len() {
            return Err(Error::corrupt("JPEG stream has a colour twice"));
        }
        decode_scan(scan, tables, bits, header, planes)
    })?;
    if missing.is_empty() { Ok(()) } else { Err(Error::corrupt("JPEG stream lacks a colour")) }
}

/// What decodes the blocks of one colour.
struct Coder<'a> {
    index: usize,
    dc: &'a Huffman,
    ac: &'a Huffman,
    steps: &'a [u16; 64],
    /// The first coefficient of the block before.
    last: i32,
}

fn decode_scan(
    scan: &Scan,
    tables: &Tables,
    bits: &mut Bits<'_>,
    header: &JpegHeader,
    planes: &mut [Plane],
) -> Result<()> {
    // Every coefficient is in the one scan, also where the header ends the selection at 0 as that of some computed
    // radiography systems does (Table B.3 wants 63).
    if scan.start != 0 || scan.shift != 0 {
        return Err(Error::corrupt("sequential JPEG scan of part of the coefficients"));
    }
    let mut coders = Vec::with_capacity(scan.components.len());
    for component in &scan.components {
        let plane = planes.get(component.index).ok_or_else(|| Error::corrupt("scan of another colour"))?;
        coders.push(Coder {
            index: component.index,
            dc: tables.dc(component.dc)?,
            ac: tables.ac(component.ac)?,
            steps: tables.steps(plane.quantization)?,
            last: 0,
        });
    }
    let units = Units::of(scan, planes, header)?;
    units.each(
        bits,
        tables.restart_interval,
        || Ok(()),
        |bits, step| {
            match step {
                Step::Restart => coders.iter_mut().for_each(|coder| coder.last = 0),
                Step::Block(colour, place) => {
                    let coder = coders.get_mut(colour)?;
                    let plane = planes.get_mut(coder.index)?;
                    coder.block(bits, plane, place)?;
                }
            }
            Some(())
        },
    )
}

impl Coder<'_> {
    /// Decodes a block to its place (§F.2.2).
    fn block(&mut self, bits: &mut Bits<'_>, plane: &mut Plane, place: (usize, usize)) -> Option<()> {
        let mut coefficients = [[0.0; 8]; 8];
        let width = u32::from(self.dc.symbol(bits)?);
        self.last = self.last.wrapping_add(bits.signed(width)?);
        dequantize(&mut coefficients, 0, self.last, self.steps)?;
        let mut at = 1;
        while at < 64 {
            let symbol = self.ac.symbol(bits)?;
            let (zeros, width) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, width) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += zeros;
                    dequantize(&mut coefficients, at, bits.signed(width)?, self.steps)?;
                    at += 1;
                }
            }
        }
        plane.put(place, &coefficients)
    }
}

#[cfg(test)]
mod tests;

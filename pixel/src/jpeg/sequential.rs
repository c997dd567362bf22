//! JPEG extended of 12 bits, sequential (ISO/IEC 10918-1 Annexes A and F), process 4. Whether a stream of 8 bits is
//! whole is told by the same way through it.

use super::super::{Error, Result};
use super::bits::Bits;
use super::header::JpegHeader;
use super::huffman::Huffman;
use super::idct::inverse;
use super::scans::{self, Scan};
use super::tables::{Tables, ZIGZAG};

/// Blocks of a minimum coded unit at the most (§B.2.3).
const MOST_BLOCKS: usize = 10;

/// The samples of a stream, by pixel; colours are not converted.
///
/// # Errors
/// `Corrupt` when the stream is broken or does not give every sample.
pub(super) fn decode(stream: &[u8], header: &JpegHeader) -> Result<Vec<u16>> {
    Ok(by_pixel(&decoded(stream, header, true)?, header))
}

/// Whether the stream has the coded data of every sample.
///
/// # Errors
/// As [`decode`].
pub(super) fn check(stream: &[u8], header: &JpegHeader) -> Result<()> {
    decoded(stream, header, false).map(drop)
}

fn decoded(stream: &[u8], header: &JpegHeader, are_kept: bool) -> Result<Vec<Plane>> {
    let mut planes = planes(header, are_kept)?;
    scans::each(stream, header, |scan, tables, bits| {
        let of_scan: Vec<usize> = scan.components.iter().map(|component| component.index).collect();
        for index in of_scan {
            let plane = planes.get_mut(index).filter(|plane| !plane.is_decoded);
            plane.ok_or_else(|| Error::corrupt("JPEG stream has a colour twice"))?.is_decoded = true;
        }
        decode_scan(scan, tables, bits, header, &mut planes)
    })?;
    if planes.iter().any(|plane| !plane.is_decoded) {
        return Err(Error::corrupt("JPEG stream lacks a colour"));
    }
    Ok(planes)
}

/// One colour, in whole blocks.
struct Plane {
    /// Samples of a pixel of the whole image, in its direction.
    horizontal: usize,
    vertical: usize,
    /// Blocks that have samples of the image.
    columns: usize,
    rows: usize,
    /// Samples of a row, in whole minimum coded units.
    stride: usize,
    /// Empty where the samples are not kept.
    samples: Vec<u16>,
    are_kept: bool,
    quantization: usize,
    is_decoded: bool,
}

/// The greatest sampling factors of a frame.
fn greatest(header: &JpegHeader) -> (usize, usize) {
    let factors = header.components.iter().map(|component| component.factors());
    factors.fold((1, 1), |(h, v), (horizontal, vertical)| (h.max(horizontal), v.max(vertical)))
}

fn planes(header: &JpegHeader, are_kept: bool) -> Result<Vec<Plane>> {
    let is_one = header.components.len() == 1;
    let blocks = header.components.iter().map(|component| component.factors()).map(|(h, v)| h * v);
    let is_sound = header.components.iter().all(|component| {
        let (horizontal, vertical) = component.factors();
        (1..=4).contains(&horizontal) && (1..=4).contains(&vertical)
    });
    if !is_sound || (!is_one && blocks.sum::<usize>() > MOST_BLOCKS) {
        return Err(Error::corrupt("JPEG stream has impossible sampling factors"));
    }
    let (most_horizontal, most_vertical) = greatest(header);
    let (rows, columns) = (usize::from(header.rows), usize::from(header.columns));
    let plane = |component: &super::header::Component| {
        // What stands alone has no minimum coded units of several blocks (§A.2.2).
        let (horizontal, vertical) = if is_one { (1, 1) } else { component.factors() };
        let (most_horizontal, most_vertical) = if is_one { (1, 1) } else { (most_horizontal, most_vertical) };
        let stride = columns.div_ceil(8 * most_horizontal) * horizontal * 8;
        let height = rows.div_ceil(8 * most_vertical) * vertical * 8;
        Plane {
            horizontal,
            vertical,
            columns: (columns * horizontal).div_ceil(most_horizontal).div_ceil(8),
            rows: (rows * vertical).div_ceil(most_vertical).div_ceil(8),
            stride,
            samples: if are_kept { vec![0; stride * height] } else { Vec::new() },
            are_kept,
            quantization: usize::from(component.quantization),
            is_decoded: false,
        }
    };
    Ok(header.components.iter().map(plane).collect())
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
    let units = units(&coders, planes, header);
    for unit in 0..units.rows * units.columns {
        let is_restart =
            tables.restart_interval > 0 && unit > 0 && unit.is_multiple_of(tables.restart_interval);
        let decoded = if is_restart { restart(bits, &mut coders) } else { Some(()) };
        let decoded = decoded.and_then(|()| {
            let place = (unit / units.columns, unit % units.columns);
            coders.iter_mut().try_for_each(|coder| {
                let plane = planes.get_mut(coder.index)?;
                if units.is_single { coder.block(bits, plane, place) } else { coder.unit(bits, plane, place) }
            })
        });
        decoded.ok_or_else(|| Error::corrupt(format!("JPEG stream breaks off at unit {unit}")))?;
    }
    Ok(())
}

/// The minimum coded units of a scan (§A.2).
struct Units {
    rows: usize,
    columns: usize,
    /// They are single blocks, and only those that have samples of the image.
    is_single: bool,
}

fn units(coders: &[Coder<'_>], planes: &[Plane], header: &JpegHeader) -> Units {
    if let [coder] = coders
        && let Some(plane) = planes.get(coder.index)
    {
        return Units { rows: plane.rows, columns: plane.columns, is_single: true };
    }
    let (horizontal, vertical) = greatest(header);
    let rows = usize::from(header.rows).div_ceil(8 * vertical);
    Units { rows, columns: usize::from(header.columns).div_ceil(8 * horizontal), is_single: false }
}

fn restart(bits: &mut Bits<'_>, coders: &mut [Coder<'_>]) -> Option<()> {
    coders.iter_mut().for_each(|coder| coder.last = 0);
    bits.restart()
}

impl Coder<'_> {
    /// The blocks of one colour in a minimum coded unit.
    fn unit(&mut self, bits: &mut Bits<'_>, plane: &mut Plane, (row, column): (usize, usize)) -> Option<()> {
        let (horizontal, vertical) = (plane.horizontal, plane.vertical);
        for down in 0..vertical {
            for across in 0..horizontal {
                self.block(bits, plane, (row * vertical + down, column * horizontal + across))?;
            }
        }
        Some(())
    }

    /// Decodes a block to its place (§F.2.2).
    fn block(&mut self, bits: &mut Bits<'_>, plane: &mut Plane, (row, column): (usize, usize)) -> Option<()> {
        let mut coefficients = [[0.0; 8]; 8];
        let width = u32::from(self.dc.symbol(bits)?);
        self.last = self.last.wrapping_add(bits.signed(width)?);
        let mut put = |at: usize, value: i32| {
            let place = coefficients.as_flattened_mut().get_mut(usize::from(*ZIGZAG.get(at)?))?;
            *place = dequantized(value, *self.steps.get(at)?);
            Some(())
        };
        put(0, self.last)?;
        let mut at = 1;
        while at < 64 {
            let symbol = self.ac.symbol(bits)?;
            let (zeros, width) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, width) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += zeros;
                    put(at, bits.signed(width)?)?;
                    at += 1;
                }
            }
        }
        if !plane.are_kept {
            return Some(());
        }
        let start = row * 8 * plane.stride + column * 8;
        let lines = plane.samples.get_mut(start..)?.chunks_mut(plane.stride);
        for (line, values) in lines.zip(inverse(&coefficients)) {
            line.iter_mut().zip(values).for_each(|(sample, value)| *sample = shifted(value));
        }
        Some(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "coefficients of a valid stream have 16 bits")]
fn dequantized(value: i32, step: u16) -> f32 {
    value as f32 * f32::from(step)
}

/// The level shift of 12 bits, and what lies beyond them clipped (§A.3.1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn shifted(value: f32) -> u16 {
    (value + 2048.5).clamp(0.0, 4095.0) as u16
}

/// Colours of fewer samples serve several pixels.
fn by_pixel(planes: &[Plane], header: &JpegHeader) -> Vec<u16> {
    let (most_horizontal, most_vertical) = if planes.len() == 1 { (1, 1) } else { greatest(header) };
    let (rows, columns) = (usize::from(header.rows), usize::from(header.columns));
    let mut samples = vec![0; rows * columns * planes.len()];
    for (row, line) in samples.chunks_exact_mut(columns * planes.len()).enumerate() {
        for (colour, plane) in planes.iter().enumerate() {
            let start = row * plane.vertical / most_vertical * plane.stride;
            let values = plane.samples.get(start..start + plane.stride).unwrap_or_default();
            let places = line.iter_mut().skip(colour).step_by(planes.len());
            for (column, place) in places.enumerate() {
                *place = values.get(column * plane.horizontal / most_horizontal).copied().unwrap_or(0);
            }
        }
    }
    samples
}

#[cfg(test)]
mod tests;

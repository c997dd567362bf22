//! JPEG-LS, lossless and near-lossless (ISO/IEC 14495-1).

mod bits;
mod coder;
mod encode;
mod header;
mod scan;
mod writer;

#[cfg(test)]
pub(super) use bits::StuffedBit;
pub(super) use encode::encode;

use self::header::{Header, Part};
use self::scan::Scan;
use super::patience::Patience;
use super::raster::{Raster, Samples};
use super::{Error, ImageInfo, Result};

/// Most samples that a bit of a stream can stand for: a run over a whole line, for all its colours (§A.7.1).
const SAMPLES_OF_A_BIT: usize = 3 << 16;

/// Decodes a frame; colours are what the data set says (PS3.5 §8.2.3).
///
/// # Errors
/// `Unsupported` for mapping tables and colours of fewer samples; `Corrupt` when the stream is broken or is not the
/// image that the data set describes; `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo) -> Result<Raster> {
    let header = Header::read(frame)?;
    let shape = header.shape;
    let count = shape.check(info, "JPEG-LS", frame, SAMPLES_OF_A_BIT)?;
    let patience = Patience::of(frame);
    let mut samples = vec![0; count];
    let mut missing: Vec<u8> = header.colours.clone();
    let mut parts = header.parts(frame);
    while let Some(part) = parts.next()? {
        let Part::Scan { colours, parameters, bytes } = part else { continue };
        let before = missing.len();
        missing.retain(|colour| !colours.contains(colour));
        if before - missing.len() != colours.len() {
            return Err(Error::corrupt("JPEG-LS stream has a colour twice, or one that is not of the frame"));
        }
        let mut scan = Scan::new(&parameters, shape.columns, colours.len(), bytes);
        let places: Vec<usize> =
            colours.iter().filter_map(|id| header.colours.iter().position(|colour| colour == id)).collect();
        let behind = scan.decode(shape.rows, patience, &mut |row, line| {
            put(row, line, &places, &mut samples, (shape.columns, shape.colours), parameters.shift)
        })?;
        parts.go_on(behind);
    }
    if !missing.is_empty() {
        return Err(Error::corrupt("JPEG-LS stream lacks a colour"));
    }
    let photometric = info.photometric.with_whole_chrominance();
    Ok(Raster { samples: Samples::Words(samples), precision: shape.precision, photometric })
}

/// Puts a line, colour after colour, to its pixels.
fn put(
    row: usize,
    line: &[&[u16]],
    places: &[usize],
    samples: &mut [u16],
    (columns, colours): (u32, usize),
    shift: u32,
) {
    let width = usize::try_from(columns).unwrap_or(usize::MAX).saturating_mul(colours);
    let Some(pixels) = samples.chunks_exact_mut(width).nth(row) else { return };
    for (values, place) in line.iter().zip(places) {
        let to = pixels.iter_mut().skip(*place).step_by(colours);
        to.zip(*values).for_each(|(sample, value)| *sample = value << shift);
    }
}

#[cfg(test)]
mod tests;

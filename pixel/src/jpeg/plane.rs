//! The samples of one colour of a stream of 12 bits that is coded by cosines, in whole blocks (ISO/IEC 10918-1 §A.1, §A.2).

use super::super::{Error, Result};
use super::header::{Component, JpegHeader};
use super::idct::{Block, inverse};
use super::tables::ZIGZAG;

/// Blocks of a minimum coded unit at the most (§B.2.3).
const MOST_BLOCKS: usize = 10;

/// One colour.
pub(super) struct Plane {
    /// Samples of a pixel of the whole image, in its direction.
    pub(super) horizontal: usize,
    pub(super) vertical: usize,
    /// Blocks that have samples of the image.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Samples of a row, in whole minimum coded units.
    pub(super) stride: usize,
    /// Rows of samples, in whole minimum coded units.
    pub(super) height: usize,
    /// Empty until they are kept.
    samples: Vec<u16>,
    pub(super) quantization: usize,
}

/// The greatest sampling factors of a frame.
pub(super) fn greatest(header: &JpegHeader) -> (usize, usize) {
    let factors = header.components.iter().map(|component| component.factors());
    factors.fold((1, 1), |(h, v), (horizontal, vertical)| (h.max(horizontal), v.max(vertical)))
}

impl Plane {
    /// The colours of a frame.
    ///
    /// # Errors
    /// `Corrupt` for sampling factors that cannot be.
    pub(super) fn all(header: &JpegHeader) -> Result<Vec<Self>> {
        let is_one = header.components.len() == 1;
        let blocks = header.components.iter().map(|component| component.factors()).map(|(h, v)| h * v);
        let is_sound = header.components.iter().all(|component| {
            let (horizontal, vertical) = component.factors();
            (1..=4).contains(&horizontal) && (1..=4).contains(&vertical)
        });
        if !is_sound || (!is_one && blocks.sum::<usize>() > MOST_BLOCKS) {
            return Err(Error::corrupt("JPEG stream has impossible sampling factors"));
        }
        let most = greatest(header);
        let (rows, columns) = (usize::from(header.rows), usize::from(header.columns));
        let plane = |component: &Component| {
            // What stands alone has no minimum coded units of several blocks (§A.2.2).
            let (horizontal, vertical) = if is_one { (1, 1) } else { component.factors() };
            let (most_horizontal, most_vertical) = if is_one { (1, 1) } else { most };
            Self {
                horizontal,
                vertical,
                columns: (columns * horizontal).div_ceil(most_horizontal).div_ceil(8),
                rows: (rows * vertical).div_ceil(most_vertical).div_ceil(8),
                stride: columns.div_ceil(8 * most_horizontal) * horizontal * 8,
                height: rows.div_ceil(8 * most_vertical) * vertical * 8,
                samples: Vec::new(),
                quantization: usize::from(component.quantization),
            }
        };
        Ok(header.components.iter().map(plane).collect())
    }

    /// Takes memory for the samples.
    pub(super) fn keep(&mut self) {
        self.samples = vec![0; self.stride * self.height];
    }

    /// Puts the samples of a block to their place, where they are kept; `None` for a place outside.
    pub(super) fn put(&mut self, (row, column): (usize, usize), coefficients: &Block) -> Option<()> {
        if self.samples.is_empty() {
            return Some(());
        }
        let start = row * 8 * self.stride + column * 8;
        let lines = self.samples.get_mut(start..)?.chunks_mut(self.stride);
        for (line, values) in lines.zip(inverse(coefficients)) {
            line.iter_mut().zip(values).for_each(|(sample, value)| *sample = shifted(value));
        }
        Some(())
    }
}

/// Puts a coefficient of the stream to its place in a block; `None` behind the last.
pub(super) fn dequantize(block: &mut Block, at: usize, value: i32, steps: &[u16; 64]) -> Option<()> {
    let place = block.as_flattened_mut().get_mut(usize::from(*ZIGZAG.get(at)?))?;
    *place = dequantized(value, *steps.get(at)?);
    Some(())
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

/// The samples of all colours by pixel. Colours of fewer samples serve several pixels.
pub(super) fn by_pixel(planes: &[Plane], header: &JpegHeader) -> Vec<u16> {
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

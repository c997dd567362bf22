//! Samples → a stream without loss (ISO/IEC 14495-1 Annexes A, C).

use super::super::source::Source;
use super::super::{Error, ErrorKind, Result};
use super::coder::Coder;
use super::header::{Interleave, Parameters};
use super::scan::{Around, RUN_BITS};
use super::writer::BitWriter;

/// The line under way of one colour and the one above it, each with a sample more at both ends.
struct Plane {
    above: Vec<i32>,
    line: Vec<i32>,
    /// RUNindex.
    run: usize,
}

/// Encodes the samples: colours come line by line.
///
/// # Errors
/// `TooLarge` for more rows or columns than a frame header can count.
pub(in super::super) fn encode(source: &Source) -> Result<Vec<u8>> {
    let shape = source.shape;
    let internal = || Error::new(ErrorKind::Internal, "JPEG-LS encoder has met a sample beyond its range");
    let colours = u8::try_from(shape.colours).map_err(|_| internal())?;
    let interleave = if colours == 1 { Interleave::None } else { Interleave::Line };
    let mut stream = head(source, colours)?;
    let mut coder = Coder::new(&Parameters::lossless(shape.precision, interleave));
    let columns = usize::try_from(shape.columns).unwrap_or(usize::MAX);
    let plane = || Plane { above: vec![0; columns + 2], line: vec![0; columns + 2], run: 0 };
    let mut planes: Vec<Plane> = (0..colours).map(|_| plane()).collect();
    let mut bits = BitWriter::default();
    for pixels in source.samples.chunks_exact(columns * shape.colours) {
        for (colour, plane) in planes.iter_mut().enumerate() {
            let samples = pixels.iter().skip(colour).step_by(shape.colours);
            let places = plane.line.iter_mut().skip(1);
            places.zip(samples).for_each(|(place, sample)| *place = i32::from(*sample));
            line(&mut coder, &mut bits, plane).ok_or_else(internal)?;
        }
    }
    stream.extend(bits.finish());
    stream.extend([0xFF, 0xD9]);
    Ok(stream)
}

/// Frame and scan header (§C.2).
fn head(source: &Source, colours: u8) -> Result<Vec<u8>> {
    let size = [source.shape.rows, source.shape.columns].map(u16::try_from);
    let [Ok(rows), Ok(columns)] = size else {
        return Err(Error::new(ErrorKind::TooLarge, "JPEG-LS has 65535 rows and columns at the most"));
    };
    let [precision, ..] = source.shape.precision.to_le_bytes();
    let mut stream = vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 8 + 3 * colours, precision];
    stream.extend(rows.to_be_bytes());
    stream.extend(columns.to_be_bytes());
    stream.push(colours);
    (1..=colours).for_each(|id| stream.extend([id, 0x11, 0]));
    stream.extend([0xFF, 0xDA, 0, 6 + 2 * colours, colours]);
    (1..=colours).for_each(|id| stream.extend([id, 0]));
    stream.extend([0, u8::from(colours > 1), 0]);
    Ok(stream)
}

/// Encodes the line of a colour, which stands in `above` afterwards.
fn line(coder: &mut Coder, bits: &mut BitWriter, plane: &mut Plane) -> Option<()> {
    let Plane { above, line, run } = plane;
    // The edges repeat what is next to them (§A.2.1).
    let [.., last, beyond] = above.as_mut_slice() else { return None };
    *beyond = *last;
    *line.first_mut()? = *above.get(1)?;
    let columns = line.len() - 2;
    let mut place = 1;
    while place <= columns {
        let around = Around {
            left: *line.get(place - 1)?,
            above_left: *above.get(place - 1)?,
            above: *above.get(place)?,
        };
        let context = around.context(*above.get(place + 1)?, coder);
        if context != 0 {
            coder.put(bits, context, around.predicted(), *line.get(place)?)?;
            place += 1;
            continue;
        }
        let length = line.get(place..=columns)?.iter().take_while(|sample| **sample == around.left).count();
        let end = place + length;
        let is_interrupted = end <= columns;
        put_run(bits, run, length, is_interrupted)?;
        if is_interrupted {
            let run_bits = *RUN_BITS.get(*run)?;
            coder.put_interruption(bits, (around.left, *above.get(end)?), *line.get(end)?, run_bits)?;
            *run = run.saturating_sub(1);
        }
        place = end + usize::from(is_interrupted);
    }
    std::mem::swap(above, line);
    Some(())
}

/// The length of a run (§A.7.1.2).
fn put_run(bits: &mut BitWriter, index: &mut usize, length: usize, is_interrupted: bool) -> Option<()> {
    let mut left = length;
    loop {
        let order = *RUN_BITS.get(*index)?;
        let Some(behind) = left.checked_sub(1 << order) else { break };
        bits.put(1, 1);
        left = behind;
        *index = (*index + 1).min(RUN_BITS.len() - 1);
    }
    if is_interrupted {
        bits.put(0, 1);
        bits.put(u32::try_from(left).ok()?, *RUN_BITS.get(*index)?);
    } else if left > 0 {
        bits.put(1, 1);
    }
    Some(())
}

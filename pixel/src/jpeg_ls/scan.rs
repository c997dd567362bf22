//! The lines of a scan (ISO/IEC 14495-1 Annex A, §B.2).

use super::super::patience::Patience;
use super::super::{Error, Result};
use super::bits::Bits;
use super::coder::Coder;
use super::header::{Interleave, Parameters};

/// J: bits of a run by how long runs have been lately (§A.2.1).
pub(super) const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A scan under way.
pub(super) struct Scan<'a> {
    coder: Coder,
    bits: Bits<'a>,
    columns: usize,
    planes: Vec<Plane>,
}

/// The line under way of one colour, and the one above it; each with a sample more at both ends.
#[derive(Clone)]
struct Plane {
    above: Vec<u16>,
    line: Vec<u16>,
    /// RUNindex.
    run: usize,
}

impl Plane {
    fn new(columns: usize) -> Self {
        Self { above: vec![0; columns + 2], line: vec![0; columns + 2], run: 0 }
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(parameters: &Parameters, columns: u32, colours: usize, bytes: &'a [u8]) -> Self {
        let columns = usize::try_from(columns).unwrap_or(usize::MAX);
        Self {
            coder: Coder::new(parameters),
            bits: Bits::new(bytes),
            columns,
            planes: vec![Plane::new(columns); colours],
        }
    }

    /// Hands on every line, colour by colour; gives the bytes from the next marker on.
    ///
    /// # Errors
    /// `Corrupt` when the bits end before the lines; `Internal` when they take too long.
    pub(super) fn decode(
        &mut self,
        rows: u32,
        patience: Patience,
        put: &mut impl FnMut(usize, &[&[u16]]),
    ) -> Result<&'a [u8]> {
        let interval = self.coder.parameters.restart_interval;
        for row in 0..usize::try_from(rows).unwrap_or(usize::MAX) {
            patience.check("JPEG-LS")?;
            let is_restart = interval > 0 && row > 0 && row.is_multiple_of(interval);
            let decoded = if is_restart { self.restart() } else { Some(()) };
            decoded
                .and_then(|()| self.lines())
                .ok_or_else(|| Error::corrupt(format!("JPEG-LS stream breaks off in line {row}")))?;
            let lines: Vec<&[u16]> =
                self.planes.iter().filter_map(|plane| plane.above.get(1..=self.columns)).collect();
            put(row, &lines);
        }
        Ok(self.bits.behind())
    }

    /// Everything is as at the start (§A.2.1).
    fn restart(&mut self) -> Option<()> {
        self.coder = Coder::new(&self.coder.parameters);
        let fresh = Plane::new(self.columns);
        self.planes.fill(fresh);
        self.bits.restart()
    }

    /// One line of every colour.
    fn lines(&mut self) -> Option<()> {
        let Self { coder, bits, planes, .. } = self;
        match (coder.parameters.interleave, planes.as_mut_slice()) {
            (Interleave::Sample, [first, second, third]) => line(coder, bits, [first, second, third]),
            (Interleave::Sample, [first, second]) => line(coder, bits, [first, second]),
            (_, planes) => planes.iter_mut().try_for_each(|plane| line(coder, bits, [plane])),
        }
    }
}

/// The samples around one: left, above left, above.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) left: i32,
    pub(super) above_left: i32,
    pub(super) above: i32,
}

impl Around {
    /// Those of a place in a line.
    fn at(place: usize, plane: &Plane) -> Option<Self> {
        Some(Self {
            left: i32::from(*plane.line.get(place - 1)?),
            above_left: i32::from(*plane.above.get(place - 1)?),
            above: i32::from(*plane.above.get(place)?),
        })
    }

    /// What they let expect (§A.4.1).
    pub(super) fn predicted(self) -> i32 {
        let Self { left, above_left, above } = self;
        if above_left >= left.max(above) {
            left.min(above)
        } else if above_left <= left.min(above) {
            left.max(above)
        } else {
            left + above - above_left
        }
    }

    /// How they differ among each other, and from the one above right: −364 … 364 (§A.3).
    pub(super) fn context(self, above_right: i32, coder: &Coder) -> i32 {
        let Self { left, above_left, above } = self;
        let [d1, d2, d3] = [above_right - above, above - above_left, above_left - left];
        coder.quantized(d1) * 81 + coder.quantized(d2) * 9 + coder.quantized(d3)
    }
}

/// Decodes a line of colours whose samples come together; it stands in `above` afterwards.
fn line<const N: usize>(coder: &mut Coder, bits: &mut Bits<'_>, mut planes: [&mut Plane; N]) -> Option<()> {
    let mut around = [Around { left: 0, above_left: 0, above: 0 }; N];
    for (around, plane) in around.iter_mut().zip(&mut planes) {
        // The edges repeat what is next to them (§A.2.1).
        let [.., last, beyond] = plane.above.as_mut_slice() else { return None };
        *beyond = *last;
        *plane.line.first_mut()? = *plane.above.get(1)?;
        *around = Around::at(1, plane)?;
    }
    let columns = planes.first()?.line.len() - 2;
    let mut place = 1;
    while place <= columns {
        let mut contexts = [0; N];
        let mut rights = [0; N];
        for (((context, right), around), plane) in
            contexts.iter_mut().zip(&mut rights).zip(&around).zip(&planes)
        {
            *right = i32::from(*plane.above.get(place + 1)?);
            *context = around.context(*right, coder);
        }
        if contexts == [0; N] {
            place = run(coder, bits, &mut planes, place, columns)?;
            for (around, plane) in around.iter_mut().zip(&planes) {
                if place <= columns {
                    *around = Around::at(place, plane)?;
                }
            }
            continue;
        }
        for (((context, right), around), plane) in
            contexts.iter().zip(rights).zip(&mut around).zip(&mut planes)
        {
            let sample = coder.sample(bits, *context, around.predicted())?;
            *plane.line.get_mut(place)? = u16::try_from(sample).ok()?;
            *around = Around { left: sample, above_left: around.above, above: right };
        }
        place += 1;
    }
    for plane in planes {
        std::mem::swap(&mut plane.above, &mut plane.line);
    }
    Some(())
}

/// Repeats the samples to the left, and decodes what ends that (§A.7); gives the place behind.
fn run<const N: usize>(
    coder: &mut Coder,
    bits: &mut Bits<'_>,
    planes: &mut [&mut Plane; N],
    start: usize,
    columns: usize,
) -> Option<usize> {
    let index = &mut planes.first_mut()?.run;
    let length = run_length(bits, index, columns + 1 - start)?;
    let (end, run_bits) = (start + length, *RUN_BITS.get(*index)?);
    let is_interrupted = end <= columns;
    if is_interrupted {
        *index = index.saturating_sub(1);
    }
    for plane in planes {
        let left = *plane.line.get(start - 1)?;
        plane.line.get_mut(start..end)?.fill(left);
        if is_interrupted {
            let (left, above) = (i32::from(left), i32::from(*plane.above.get(end)?));
            let is_even = N == 1 && (left - above).abs() <= coder.parameters.near;
            let sample = coder.interruption(bits, (left, above), is_even, run_bits)?;
            *plane.line.get_mut(end)? = u16::try_from(sample).ok()?;
        }
    }
    Some(end + usize::from(is_interrupted))
}

/// Samples of a run, as many as there is room for when it ends with the line (§A.7.1.2).
fn run_length(bits: &mut Bits<'_>, index: &mut usize, room: usize) -> Option<usize> {
    let mut length = 0;
    while length < room {
        let order = *RUN_BITS.get(*index)?;
        if bits.number(1)? == 0 {
            length += usize::try_from(bits.number(order)?).ok()?;
            return (length <= room).then_some(length);
        }
        let whole = 1 << order;
        if whole <= room - length {
            *index = (*index + 1).min(RUN_BITS.len() - 1);
        }
        length = (length + whole).min(room);
    }
    Some(length)
}

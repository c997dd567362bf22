//! The segments of a stream (ISO/IEC 14495-1 Annex C).

use super::super::raster::Shape;
use super::super::segment::next_segment;
use super::super::{Error, Result};

/// What the frame header says.
pub(super) struct Header {
    pub(super) shape: Shape,
    /// The identifier of each colour.
    pub(super) colours: Vec<u8>,
}

/// How a scan is coded (§C.2.3, §C.2.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// MAXVAL, the greatest sample.
    pub(super) greatest: i32,
    /// T1, T2, T3.
    pub(super) thresholds: [i32; 3],
    /// RESET: after so many samples of a context its sums are halved.
    pub(super) reset: i32,
    /// NEAR: how far a sample may be from what it was.
    pub(super) near: i32,
    pub(super) interleave: Interleave,
    /// The point transform.
    pub(super) shift: u32,
    /// Lines between two restarts; 0 for none.
    pub(super) restart_interval: usize,
}

/// What comes together in a scan (Table C.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interleave {
    None,
    Line,
    Sample,
}

/// A piece of a stream behind the frame header.
pub(super) enum Part<'a> {
    /// A scan of these colours; `bytes` are its bits and all that follows.
    Scan { colours: Vec<u8>, parameters: Parameters, bytes: &'a [u8] },
    /// A segment without samples.
    Other,
}

impl Header {
    /// Reads up to the frame header.
    ///
    /// # Errors
    /// `Corrupt` when there is none; `Unsupported` for colours of fewer samples than others.
    pub(super) fn read(stream: &[u8]) -> Result<Self> {
        let broken = || Error::corrupt("JPEG-LS stream has no frame header");
        let mut rest =
            stream.strip_prefix(&[0xFF, 0xD8]).ok_or_else(|| Error::corrupt("not a JPEG-LS stream"))?;
        loop {
            let (marker, segment, behind) = next_segment(rest).ok_or_else(broken)?;
            rest = behind;
            match marker {
                0xF7 => return Self::of_frame(segment),
                0xDA | 0xD9 | 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCF => return Err(broken()),
                _ => {}
            }
        }
    }

    fn of_frame(segment: &[u8]) -> Result<Self> {
        let broken = || Error::corrupt("JPEG-LS frame header is broken");
        let ([precision, r1, r0, c1, c0, count], colours) =
            segment.split_first_chunk::<6>().ok_or_else(broken)?;
        let colours = colours.get(..usize::from(*count) * 3).ok_or_else(broken)?;
        let (colours, _) = colours.as_chunks::<3>();
        if colours.windows(2).any(|pair| matches!(pair, [[_, a, _], [_, b, _]] if a != b)) {
            return Err(Error::unsupported("JPEG-LS with colours of fewer samples"));
        }
        let precision = u32::from(*precision);
        if !(2..=16).contains(&precision) {
            return Err(Error::corrupt(format!("JPEG-LS stream has samples of {precision} bits")));
        }
        let shape = Shape {
            rows: u32::from(u16::from_be_bytes([*r1, *r0])),
            columns: u32::from(u16::from_be_bytes([*c1, *c0])),
            colours: colours.len(),
            precision,
        };
        Ok(Self { shape, colours: colours.iter().map(|[id, _, _]| *id).collect() })
    }

    /// The way through the whole stream.
    pub(super) fn parts<'a>(&self, stream: &'a [u8]) -> Parts<'a> {
        let rest = stream.get(2..).unwrap_or_default();
        Parts { rest, precision: self.shape.precision, preset: [0; 5], restart_interval: 0 }
    }
}

/// The segments of a stream, one after the other.
pub(super) struct Parts<'a> {
    rest: &'a [u8],
    precision: u32,
    /// MAXVAL, T1, T2, T3 and RESET as a segment has set them; 0 for the default (§C.2.4.1.1).
    preset: [u16; 5],
    restart_interval: usize,
}

impl<'a> Parts<'a> {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `Corrupt` when a segment is broken; `Unsupported` for mapping tables, sizes beyond 65535, and the colour
    /// transforms of one vendor.
    pub(super) fn next(&mut self) -> Result<Option<Part<'a>>> {
        let Some((marker, segment, behind)) = next_segment(self.rest) else { return Ok(None) };
        self.rest = behind;
        match marker {
            0xD9 => return Ok(None),
            0xDA => return self.scan(segment).map(Some),
            0xF8 => self.preset(segment)?,
            0xDD => {
                let number = segment.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
                self.restart_interval = if segment.len() <= 4 { number } else { 0 };
            }
            0xE8 if segment.starts_with(b"mrfx") && segment.get(4) != Some(&0) => {
                return Err(Error::unsupported("JPEG-LS with a colour transform"));
            }
            _ => {}
        }
        Ok(Some(Part::Other))
    }

    /// Goes on with these bytes, which a scan has left.
    pub(super) fn go_on(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// LSE (§C.2.4).
    fn preset(&mut self, segment: &[u8]) -> Result<()> {
        match segment {
            [1, numbers @ ..] => {
                let (numbers, _) = numbers.as_chunks::<2>();
                let numbers: [[u8; 2]; 5] =
                    numbers.try_into().map_err(|_| Error::corrupt("JPEG-LS parameters break off"))?;
                self.preset = numbers.map(u16::from_be_bytes);
                Ok(())
            }
            _ => Err(Error::unsupported("JPEG-LS with mapping tables or oversize dimensions")),
        }
    }

    fn scan(&self, segment: &[u8]) -> Result<Part<'a>> {
        let broken = || Error::corrupt("JPEG-LS scan header is broken");
        let (count, rest) = segment.split_first().ok_or_else(broken)?;
        let (colours, rest) = rest.split_at_checked(usize::from(*count) * 2).ok_or_else(broken)?;
        let [near, interleave, shift, ..] = rest else { return Err(broken()) };
        let (colours, _) = colours.as_chunks::<2>();
        if colours.iter().any(|[_, table]| *table != 0) {
            return Err(Error::unsupported("JPEG-LS with mapping tables"));
        }
        let interleave = match (interleave, colours.len()) {
            (0..=2, 1) => Interleave::None,
            (1, 2..=3) => Interleave::Line,
            (2, 2..=3) => Interleave::Sample,
            _ => return Err(broken()),
        };
        let shift = u32::from(shift & 15);
        let bits = self.precision.checked_sub(shift).filter(|bits| *bits > 0).ok_or_else(broken)?;
        let parameters = self.parameters(bits, i32::from(*near), interleave, shift).ok_or_else(broken)?;
        Ok(Part::Scan { colours: colours.iter().map(|[id, _]| *id).collect(), parameters, bytes: self.rest })
    }

    /// What was preset, or the defaults (§C.2.4.1.1); `None` for what cannot be.
    fn parameters(&self, bits: u32, near: i32, interleave: Interleave, shift: u32) -> Option<Parameters> {
        let most = (1 << bits) - 1;
        let [greatest, t1, t2, t3, reset] = self.preset.map(i32::from);
        let greatest = if greatest == 0 { most } else { greatest };
        if greatest > most || near > (greatest / 2).min(255) {
            return None;
        }
        let default = default_thresholds(greatest, near);
        let mut thresholds = [t1, t2, t3];
        for (threshold, default) in thresholds.iter_mut().zip(default) {
            if *threshold == 0 {
                *threshold = default;
            }
        }
        let [t1, t2, t3] = thresholds;
        let is_ordered = near < t1 && t1 <= t2 && t2 <= t3 && t3 <= greatest;
        let reset = if reset == 0 { 64 } else { reset };
        let restart_interval = self.restart_interval;
        (is_ordered && reset >= 3).then_some(Parameters {
            greatest,
            thresholds,
            reset,
            near,
            interleave,
            shift,
            restart_interval,
        })
    }
}

impl Parameters {
    /// Without loss, all as the standard has it by default (§C.2.4.1.1).
    pub(super) fn lossless(precision: u32, interleave: Interleave) -> Self {
        let greatest = (1 << precision) - 1;
        let thresholds = default_thresholds(greatest, 0);
        Self { greatest, thresholds, reset: 64, near: 0, interleave, shift: 0, restart_interval: 0 }
    }
}

fn default_thresholds(greatest: i32, near: i32) -> [i32; 3] {
    let within = |value: i32, least: i32| if value > greatest || value < least { least } else { value };
    if greatest >= 128 {
        let factor = (greatest.min(4095) + 128) / 256;
        let t1 = within(factor + 2 + 3 * near, near + 1);
        let t2 = within(factor * 4 + 3 + 5 * near, t1);
        return [t1, t2, within(factor * 17 + 4 + 7 * near, t2)];
    }
    let factor = 256 / (greatest + 1);
    let t1 = within((3 / factor + 3 * near).max(2), near + 1);
    let t2 = within((7 / factor + 5 * near).max(3), t1);
    [t1, t2, within((21 / factor + 7 * near).max(4), t2)]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The defaults that the standard lists (Table C.3).
    #[rstest]
    #[case::of_8_bits(255, 0, [3, 7, 21])]
    #[case::of_12_bits(4095, 0, [18, 67, 276])]
    #[case::of_16_bits(65535, 0, [18, 67, 276])]
    #[case::near(255, 3, [12, 22, 42])]
    #[case::of_4_bits(15, 0, [2, 3, 4])]
    fn default_thresholds_are_those_of_the_standard(
        #[case] greatest: i32,
        #[case] near: i32,
        #[case] thresholds: [i32; 3],
    ) {
        assert_eq!(default_thresholds(greatest, near), thresholds);
    }
}

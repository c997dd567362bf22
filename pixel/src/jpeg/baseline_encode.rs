//! Samples of 8 bits → JPEG baseline, sequential, by the typical tables (ISO/IEC 10918-1 Annexes F and K).
//!
//! Strip by strip: one row of minimum coded units is taken apart into colours, and block after block is transformed,
//! quantized and coded. Each step is compiled for the instructions that processors may have, and the best are taken when
//! it runs.

mod cosine;
mod entropy;
mod strip;

use fearless_simd::{Level, Simd, dispatch};

use self::cosine::{Steps, quantized};
use self::entropy::Coder;
use self::strip::{Plane, Strip};
use super::super::{Error, ErrorKind, Result};
use super::bit_writer::BitWriter;
use super::tables::ZIGZAG;

/// Rows of pixels from the top, without gaps.
#[derive(Clone, Copy)]
pub(in super::super) struct Samples8<'a> {
    pub(in super::super) bytes: &'a [u8],
    pub(in super::super) columns: u32,
    pub(in super::super) rows: u32,
    pub(in super::super) colours: Colours,
}

/// What the samples of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Colours {
    Grey,
    /// Becomes YCbCr in the stream (JFIF).
    Rgb,
    Ybr,
}

/// How many pixels share their chrominance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Chrominance {
    /// 4:4:4.
    Whole,
    /// 4:2:2.
    Halved,
    /// 4:2:0.
    Quartered,
}

/// Data of an APP2 segment at the most, beside its name and numbers (ICC.1 Annex B.4).
const MOST_OF_PROFILE: usize = 65_535 - 2 - 14;

/// Table K.1, row by row.
const LUMINANCE: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// Table K.2, row by row.
const CHROMINANCE: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

impl Colours {
    pub(in super::super) fn count(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

impl Chrominance {
    /// Blocks of luminance beside and above each other in a minimum coded unit.
    fn blocks(self) -> (usize, usize) {
        match self {
            Self::Whole => (1, 1),
            Self::Halved => (2, 1),
            Self::Quartered => (2, 2),
        }
    }
}

/// Encodes the picture; `quality`, 1 … 100, scales the tables as most encoders do, and what lies beyond counts as the
/// nearest. A profile goes into APP2 segments.
///
/// # Errors
/// `TooLarge` for what a frame header cannot count, or a profile of more than 254 segments; `Internal` when there are
/// not as many samples as there should be.
pub(in super::super) fn encode(
    samples: &Samples8<'_>,
    quality: u8,
    chrominance: Chrominance,
    profile: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let chrominance = if samples.colours == Colours::Grey { Chrominance::Whole } else { chrominance };
    let too_large = |what| Error::new(ErrorKind::TooLarge, what);
    let sizes = (u16::try_from(samples.rows), u16::try_from(samples.columns));
    let (Ok(rows @ 1..), Ok(columns @ 1..)) = sizes else {
        return Err(too_large("JPEG has 1 to 65535 rows and columns"));
    };
    let pixels = usize::from(rows) * usize::from(columns);
    if samples.bytes.len() != pixels * samples.colours.count() {
        let what = format!("JPEG encoder was given {} bytes of samples", samples.bytes.len());
        return Err(Error::new(ErrorKind::Internal, what));
    }
    let profile: Vec<&[u8]> = profile.unwrap_or_default().chunks(MOST_OF_PROFILE).collect();
    let parts = u8::try_from(profile.len()).ok().filter(|parts| *parts < u8::MAX);
    let parts = parts.ok_or_else(|| too_large("ICC profile is too large for JPEG"))?;

    let scaled = [&LUMINANCE, &CHROMINANCE].map(|table| scaled(table, quality));
    let coders = [Coder::luminance(), Coder::chrominance()];
    let mut stream = Vec::with_capacity(1024 + samples.bytes.len() / 4);
    stream.extend([0xFF, 0xD8]);
    segment(&mut stream, 0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
    for (number, part) in (1..).zip(profile) {
        segment(&mut stream, 0xE2, &[b"ICC_PROFILE\0", [number, parts].as_slice(), part].concat());
    }
    let used = if samples.colours == Colours::Grey { 1 } else { 2 };
    for ((number, table), coder) in (0..).zip(&scaled).zip(&coders).take(used) {
        segment(&mut stream, 0xDB, &[[number].as_slice(), table].concat());
        segment(&mut stream, 0xC4, &[number].into_iter().chain(coder.dc.written()).collect::<Vec<u8>>());
        segment(
            &mut stream,
            0xC4,
            &[0x10 | number].into_iter().chain(coder.ac.written()).collect::<Vec<u8>>(),
        );
    }
    frame_and_scan(&mut stream, (rows, columns), samples.colours, chrominance);
    let picture = Picture { samples, chrominance, steps: scaled.each_ref().map(Steps::new), coders };
    let level = Level::new();
    let mut stream = dispatch!(level, simd => picture.scan(simd, stream));
    stream.extend([0xFF, 0xD9]);
    Ok(stream)
}

/// A table of quantization in the order of the stream, for that quality.
fn scaled(table: &[u8; 64], quality: u8) -> [u8; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    ZIGZAG.map(|place| {
        let step = table.get(usize::from(place)).copied().map_or(1, u32::from);
        u8::try_from(((step * percent + 50) / 100).max(1)).unwrap_or(u8::MAX)
    })
}

/// A marker segment; what is given has 65,533 bytes at the most.
fn segment(stream: &mut Vec<u8>, marker: u8, body: &[u8]) {
    let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
    stream.extend([0xFF, marker]);
    stream.extend(length.to_be_bytes());
    stream.extend(body);
}

/// SOF0 and SOS (§B.2.2, §B.2.3).
fn frame_and_scan(stream: &mut Vec<u8>, (rows, columns): (u16, u16), colours: Colours, shared: Chrominance) {
    let count = if colours == Colours::Grey { 1 } else { 3 };
    let (beside, above) = shared.blocks();
    let [factors, ..] = (beside << 4 | above).to_le_bytes();
    let ([high, low], [wide, narrow]) = (rows.to_be_bytes(), columns.to_be_bytes());
    let mut frame = vec![8, high, low, wide, narrow, count];
    let mut scan = vec![count];
    for number in 1..=count {
        let (factors, tables) = if number == 1 { (factors, 0) } else { (0x11, 1) };
        frame.extend([number, factors, tables]);
        scan.extend([number, tables << 4 | tables]);
    }
    scan.extend([0, 63, 0]);
    segment(stream, 0xC0, &frame);
    segment(stream, 0xDA, &scan);
}

/// What is encoded, and how.
struct Picture<'a> {
    samples: &'a Samples8<'a>,
    chrominance: Chrominance,
    /// Those of luminance and those of chrominance; so the coders.
    steps: [Steps; 2],
    coders: [Coder; 2],
}

impl Picture<'_> {
    /// Writes the scan behind the headers.
    #[inline(always)]
    fn scan<S: Simd>(&self, simd: S, headers: Vec<u8>) -> Vec<u8> {
        let mut bits = BitWriter::new(headers);
        let (beside, above) = self.chrominance.blocks();
        let mut strip = Strip::new(self.samples, (beside, above));
        let [steps, fine_steps] = &self.steps;
        let [coder, fine_coder] = &self.coders;
        let mut last = [0; 3];
        let [last_y, last_blue, last_red] = &mut last;
        while strip.next(self.samples) {
            let Strip { luminance, chrominance, .. } = &strip;
            for unit in 0..luminance.stride / (8 * beside) {
                for block in 0..beside * above {
                    let (x, y) = (unit * beside + block % beside, block / beside);
                    put(simd, &mut bits, (luminance, x, y), (steps, coder), last_y);
                }
                if let Some([blue, red]) = chrominance {
                    put(simd, &mut bits, (blue, unit, 0), (fine_steps, fine_coder), last_blue);
                    put(simd, &mut bits, (red, unit, 0), (fine_steps, fine_coder), last_red);
                }
            }
        }
        bits.finish()
    }
}

/// Writes one block of a plane; column and row of it count blocks.
#[inline(always)]
fn put<S: Simd>(
    simd: S,
    bits: &mut BitWriter,
    (plane, x, y): (&Plane, usize, usize),
    (steps, coder): (&Steps, &Coder),
    last: &mut i16,
) {
    coder.put(&quantized(simd, &plane.block(x, y), steps), last, bits);
}

#[cfg(test)]
mod tests;

//! Samples → a code stream without loss: one tile, one layer, resolution by resolution (ISO/IEC 15444-1 Annexes A, B).
//!
//! Streams of Part 15 keep what PS3.5 §10.18 asks of RPCL: the lowest resolution has 64 columns and rows at the most,
//! each resolution is a tile-part of its own, and a TLM segment in the header tells where they lie.

use super::super::source::Source;
use super::super::{Error, ErrorKind, Result};
use super::geometry::{Band, Rect, Resolution, resolutions};
use super::packet_bits::BitWriter;
use super::tag_tree::TagTree;
use super::wavelet::{Plane, forward};
use super::{ht, mq};

/// Exponent of the width and height of a code-block.
const BLOCK: u32 = 6;

/// Exponent of those of precincts: as large as can be.
const PRECINCT: u32 = 15;

/// Columns and rows that the lowest resolution has at the most (PS3.5 §10.18).
const LOWEST: u32 = 64;

/// Levels where the image has room for them.
const LEVELS: u32 = 5;

/// Bits that transforms may add to a sample: to low frequencies of both kinds, and to all others.
const GAINS: [u32; 2] = [2, 3];

/// How code-blocks are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum BlockCoder {
    /// Part 1.
    Arithmetic,
    /// Part 15.
    HighThroughput,
}

/// A code-block on its way into a packet.
struct Coded {
    passes: u32,
    zero_planes: u32,
    length: usize,
}

/// Encodes the samples; three colours with the reversible transform where `transforms`.
///
/// # Errors
/// `TooLarge` for more bytes than a segment can count.
pub(in super::super) fn encode(source: &Source, coder: BlockCoder, transforms: bool) -> Result<Vec<u8>> {
    let transforms = transforms && source.shape.colours == 3;
    let size = Rect { left: 0, top: 0, right: source.shape.columns, bottom: source.shape.rows };
    let levels = levels(size);
    let layout = resolutions(size, levels, (BLOCK, BLOCK), |_| (PRECINCT, PRECINCT));
    let mut planes = planes(source);
    if let (true, [red, green, blue]) = (transforms, planes.as_mut_slice()) {
        transform(&mut red.samples, &mut green.samples, &mut blue.samples);
    }
    let mut spare = vec![0; planes.first().map_or(0, |plane| plane.samples.len())];
    for plane in &mut planes {
        for resolution in layout.iter().skip(1).rev() {
            let length = |length: u32| usize::try_from(length).unwrap_or(0);
            let (width, height) = (length(resolution.rect.width()), length(resolution.rect.height()));
            forward(plane, width, height, &mut spare);
        }
    }
    let bits = source.shape.precision + u32::from(transforms);
    let mut packets = Packets::new(coder, bits);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for resolution in &layout {
        let (across, down) = resolution.precincts();
        let mut part = Vec::new();
        for precinct in 0..across.saturating_mul(down) {
            planes.iter().for_each(|plane| packets.put(resolution, precinct, plane, &mut part));
        }
        parts.push(part);
    }
    if coder == BlockCoder::Arithmetic {
        parts = vec![parts.concat()];
    }
    written(source, coder, (levels, bits, transforms), &parts)
}

fn levels(size: Rect) -> u32 {
    let (least, most) = (size.width().min(size.height()).max(1), size.width().max(size.height()).max(1));
    let mut needed = 0;
    while most.div_ceil(1 << needed) > LOWEST {
        needed += 1;
    }
    needed.max(least.ilog2().min(LEVELS))
}

/// The colours apart, around zero (§G.1).
fn planes(source: &Source) -> Vec<Plane> {
    let length = |length: u32| usize::try_from(length).unwrap_or(0);
    let (width, height) = (length(source.shape.columns), length(source.shape.rows));
    let unused = 16 - source.shape.precision.min(16);
    let middle = 1 << (source.shape.precision.max(1) - 1);
    let value = |sample: &u16| {
        if source.is_signed {
            let [low, high] = (sample << unused).to_le_bytes();
            i32::from(i16::from_le_bytes([low, high]) >> unused)
        } else {
            i32::from(*sample) - middle
        }
    };
    let colours = source.shape.colours;
    (0..colours)
        .map(|colour| {
            let samples = if colours == 1 {
                source.samples.iter().map(value).collect()
            } else {
                source.samples.iter().skip(colour).step_by(colours).map(value).collect()
            };
            Plane { width, height, samples }
        })
        .collect()
}

/// The reversible colour transform (§G.2).
fn transform(red: &mut [i32], green: &mut [i32], blue: &mut [i32]) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let (r, g, b) = (*red, *green, *blue);
        (*red, *green, *blue) = ((r + 2 * g + b) >> 2, b - g, r - g);
    }
}

/// Bits that the samples of a subband have at the most, signs left out: its exponent, as there is one guard bit (§E.1).
fn magnitude_bits(bits: u32, index: usize) -> u32 {
    let [low, high] = GAINS;
    bits + if index == 0 { low } else { high } - 1
}

/// What codes blocks, and room for them.
struct Packets {
    coder: BlockCoder,
    bits: u32,
    arithmetic: mq::BlockEncoder,
    high_throughput: ht::BlockEncoder,
    body: Vec<u8>,
}

impl Packets {
    fn new(coder: BlockCoder, bits: u32) -> Self {
        Self {
            coder,
            bits,
            arithmetic: mq::BlockEncoder::new(),
            high_throughput: ht::BlockEncoder::new(),
            body: Vec::new(),
        }
    }

    /// Appends the packet of a precinct (§B.9, §B.10).
    fn put(&mut self, resolution: &Resolution, precinct: u32, plane: &Plane, part: &mut Vec<u8>) {
        self.body.clear();
        let mut header = BitWriter::default();
        let coded: Vec<(usize, Vec<Coded>)> =
            resolution.bands.iter().map(|band| self.band(resolution, band, precinct, plane)).collect();
        let is_empty = coded.iter().flat_map(|(_, blocks)| blocks).all(|block| block.length == 0);
        header.put(u32::from(!is_empty), 1);
        if !is_empty {
            coded.iter().for_each(|(across, blocks)| put_header(*across, blocks, &mut header));
        }
        part.extend_from_slice(&header.finish());
        part.extend_from_slice(&self.body);
    }

    /// Codes the blocks of a band; how many there are in a row.
    fn band(
        &mut self,
        resolution: &Resolution,
        band: &Band,
        precinct: u32,
        plane: &Plane,
    ) -> (usize, Vec<Coded>) {
        let Some(blocks) = resolution.blocks(band, precinct) else { return (0, Vec::new()) };
        let most = magnitude_bits(self.bits, band.index);
        let coded = (0..blocks.count()).map(|number| {
            let rows = rows(plane, band, blocks.rect(number));
            match self.coder {
                BlockCoder::Arithmetic => {
                    let done = self.arithmetic.encode(rows, band.orientation, &mut self.body);
                    Coded {
                        passes: (3 * done.planes).saturating_sub(2),
                        zero_planes: most.saturating_sub(done.planes),
                        length: done.length,
                    }
                }
                BlockCoder::HighThroughput => {
                    let length = self.high_throughput.encode(rows, &mut self.body);
                    Coded { passes: 1, zero_planes: most - 1, length }
                }
            }
        });
        (blocks.across, coded.collect())
    }
}

/// The samples of a code-block, row by row.
fn rows<'a>(plane: &'a Plane, band: &Band, block: Rect) -> impl Iterator<Item = &'a [i32]> {
    let length = |length: u32| usize::try_from(length).unwrap_or(0);
    let left = band.place.0 + length(block.left - band.rect.left);
    let top = band.place.1 + length(block.top - band.rect.top);
    let (width, height) = (length(block.width()), length(block.height()));
    let rows = plane.samples.chunks_exact(plane.width.max(1)).skip(top).take(height);
    rows.filter_map(move |row| row.get(left..left + width))
}

fn put_header(across: usize, blocks: &[Coded], header: &mut BitWriter) {
    if blocks.is_empty() {
        return;
    }
    let left_out: Vec<u32> = blocks.iter().map(|block| u32::from(block.length == 0)).collect();
    let zero_planes: Vec<u32> = blocks.iter().map(|block| block.zero_planes).collect();
    let mut inclusion = TagTree::of(across, &left_out);
    let mut planes = TagTree::of(across, &zero_planes);
    for (number, block) in blocks.iter().enumerate() {
        inclusion.write(number, 1, header);
        if block.length == 0 {
            continue;
        }
        planes.write(number, block.zero_planes + 1, header);
        put_passes(block.passes, header);
        let length = u32::try_from(block.length).unwrap_or(u32::MAX);
        let (needed, more) = (32 - length.leading_zeros(), block.passes.max(1).ilog2());
        let raised = needed.saturating_sub(3 + more);
        (0..raised).for_each(|_| header.put(1, 1));
        header.put(0, 1);
        header.put(length, 3 + raised + more);
    }
}

/// The number of passes (Table B.4).
fn put_passes(passes: u32, header: &mut BitWriter) {
    match passes {
        0 | 1 => header.put(0, 1),
        2 => header.put(0b10, 2),
        3..=5 => header.put(0b1100 | (passes - 3), 4),
        6..=36 => header.put(0b1111 << 5 | (passes - 6), 9),
        _ => header.put(0b1_1111_1111 << 7 | (passes - 37), 16),
    }
}

/// The segments of the stream around its tile-parts (Annex A).
fn written(
    source: &Source,
    coder: BlockCoder,
    (levels, bits, transforms): (u32, u32, bool),
    parts: &[Vec<u8>],
) -> Result<Vec<u8>> {
    let too_large =
        || Error::new(ErrorKind::TooLarge, "image has more bytes than a JPEG 2000 stream can count");
    let is_high_throughput = coder == BlockCoder::HighThroughput;
    let mut stream = vec![0xFF, 0x4F];
    let mut put = |marker: u8, body: &[u8]| -> Result<()> {
        let length = u16::try_from(body.len() + 2).map_err(|_| too_large())?;
        stream.extend_from_slice(&[0xFF, marker]);
        stream.extend_from_slice(&length.to_be_bytes());
        stream.extend_from_slice(body);
        Ok(())
    };
    let byte = |number: u32| number.to_le_bytes()[0];
    put(0x51, &size(source, is_high_throughput))?;
    let indices = 0..=usize::try_from(3 * levels).unwrap_or(0);
    let exponents: Vec<u32> = indices.map(|index| magnitude_bits(bits, index)).collect();
    if is_high_throughput {
        // How large magnitudes may be (ISO/IEC 15444-15 §A.3).
        let most = exponents.iter().max().copied().unwrap_or(0);
        put(0x50, &[0, 2, 0, 0, 0, byte(most.saturating_sub(8).min(19))])?;
    }
    let style = if is_high_throughput { 0x40 } else { 0 };
    let block = byte(BLOCK - 2);
    put(0x52, &[0, 2, 0, 1, u8::from(transforms), byte(levels), block, block, style, 1])?;
    let steps: Vec<u8> = exponents.iter().map(|exponent| byte(exponent << 3)).collect();
    put(0x5C, &[&[0x20][..], &steps].concat())?;
    let lengths = parts.iter().map(|part| u32::try_from(part.len() + 14).map_err(|_| too_large()));
    let lengths: Vec<u32> = lengths.collect::<Result<_>>()?;
    if is_high_throughput {
        let told = lengths.iter().flat_map(|length| {
            let [a, b, c, d] = length.to_be_bytes();
            [0, a, b, c, d]
        });
        put(0x55, &[0, 0x50].into_iter().chain(told).collect::<Vec<u8>>())?;
    }
    let count = u8::try_from(parts.len()).map_err(|_| too_large())?;
    for ((number, part), length) in (0..count).zip(parts).zip(lengths) {
        stream.extend_from_slice(&[0xFF, 0x90, 0, 10, 0, 0]);
        stream.extend_from_slice(&length.to_be_bytes());
        stream.extend_from_slice(&[number, count, 0xFF, 0x93]);
        stream.extend_from_slice(part);
    }
    stream.extend_from_slice(&[0xFF, 0xD9]);
    Ok(stream)
}

/// SIZ (§A.5.1).
fn size(source: &Source, is_high_throughput: bool) -> Vec<u8> {
    let shape = source.shape;
    let mut segment = if is_high_throughput { vec![0x40, 0] } else { vec![0, 0] };
    for number in [shape.columns, shape.rows, 0, 0, shape.columns, shape.rows, 0, 0] {
        segment.extend_from_slice(&number.to_be_bytes());
    }
    segment.extend_from_slice(&u16::try_from(shape.colours).unwrap_or(u16::MAX).to_be_bytes());
    let [depth, ..] = (shape.precision.saturating_sub(1) | u32::from(source.is_signed) << 7).to_le_bytes();
    (0..shape.colours).for_each(|_| segment.extend_from_slice(&[depth, 1, 1]));
    segment
}

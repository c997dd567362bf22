//! Streams of Part 15 as most encoders write them without loss, ours among them: one tile, one layer, one precinct a
//! resolution, cleanup passes down to the last bit. They are decoded here, in a tenth of the time that all others take.

use super::super::patience::Patience;
use super::super::{Error, Result};
use super::geometry::{Band, Rect, Resolution, resolutions};
use super::header::{Header, next_segment};
use super::ht::BlockDecoder;
use super::packet_bits::BitReader;
use super::tag_tree::TagTree;
use super::wavelet::{Plane, Room, inverse};

/// Exponent of precincts that are as large as can be.
const PRECINCT: u32 = 15;

/// How such a stream is coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    /// Colour by colour instead of resolution by resolution.
    by_colour: bool,
    transforms: bool,
    has_end_of_header: bool,
    levels: u32,
    /// Exponents of the width and height of a code-block.
    block: (u32, u32),
    /// Bits of the magnitudes of each subband.
    magnitude_bits: Vec<u32>,
    /// What follows the main header.
    parts: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Reads the header again, for what it says beyond the other reader; `None` for a stream of another kind.
    pub(super) fn read(stream: &'a [u8], header: &Header) -> Option<Self> {
        if !header.is_high_throughput || header.is_subsampled {
            return None;
        }
        let mut rest = stream.get(2..)?;
        let (mut style, mut steps) = (None, None);
        loop {
            let (marker, segment, behind) = next_segment(rest)?;
            match marker {
                0x51 => is_one_tile(segment)?,
                0x52 => style = Some(segment),
                0x5C => steps = Some(segment),
                // TLM, PLM, CRG, COM and CAP tell nothing that is needed here.
                0x50 | 0x55 | 0x57 | 0x63 | 0x64 => {}
                0x90 => break,
                _ => return None,
            }
            rest = behind;
        }
        let [coding, progression, 0, 1, transform, levels, width, height, 0x40, 1] = *style? else {
            return None;
        };
        let largest = header.shape.columns.max(header.shape.rows);
        if coding & !4 != 0 || transform > 1 || levels > 32 || largest >> PRECINCT != 0 || progression > 4 {
            return None;
        }
        let [guard, exponents @ ..] = steps? else { return None };
        if guard & 0x1F != 0 || exponents.len() != 3 * usize::from(levels) + 1 {
            return None;
        }
        let bits = |exponent: &u8| (u32::from(guard >> 5) + u32::from(exponent >> 3)).checked_sub(1);
        let magnitude_bits: Option<Vec<u32>> = exponents.iter().map(bits).collect();
        Some(Self {
            by_colour: progression > 2,
            transforms: transform == 1 && header.shape.colours == 3,
            has_end_of_header: coding & 4 != 0,
            levels: u32::from(levels),
            block: (u32::from(width & 15) + 2, u32::from(height & 15) + 2),
            magnitude_bits: magnitude_bits?,
            parts: rest,
        })
    }

    /// The samples by pixel, each in the lowest bits that it has; `None` where a part is of another kind after all.
    ///
    /// # Errors
    /// `Corrupt` when the stream is broken; `Internal` when it takes too long.
    pub(super) fn decode(&self, header: &Header, patience: Patience) -> Result<Option<Vec<u16>>> {
        let broken = || Error::corrupt("HTJ2K stream is broken");
        let Some(body) = self.body() else { return Ok(None) };
        let shape = header.shape;
        let size = Rect { left: 0, top: 0, right: shape.columns, bottom: shape.rows };
        let layout = resolutions(size, self.levels, self.block, |_| (PRECINCT, PRECINCT));
        let length = |length: u32| usize::try_from(length).unwrap_or(0);
        let (width, height) = (length(shape.columns), length(shape.rows));
        let plane = || Plane { width, height, samples: vec![0; header.pixels()] };
        let mut planes: Vec<Plane> = (0..shape.colours).map(|_| plane()).collect();
        let mut packets = Packets { rest: &body, plain: self, blocks: BlockDecoder::default() };
        let order: Vec<(usize, usize)> = if self.by_colour {
            (0..shape.colours)
                .flat_map(|colour| (0..layout.len()).map(move |number| (number, colour)))
                .collect()
        } else {
            (0..layout.len())
                .flat_map(|number| (0..shape.colours).map(move |colour| (number, colour)))
                .collect()
        };
        for (number, colour) in order {
            let (Some(resolution), Some(plane)) = (layout.get(number), planes.get_mut(colour)) else {
                continue;
            };
            if resolution.rect.is_empty() {
                continue;
            }
            patience.check("HTJ2K")?;
            match packets.take(resolution, plane) {
                Some(Taken::All) => {}
                Some(Taken::Foreign) => return Ok(None),
                None => return Err(broken()),
            }
        }
        let mut room = Room::default();
        for plane in &mut planes {
            for resolution in layout.iter().skip(1) {
                patience.check("HTJ2K")?;
                inverse(plane, length(resolution.rect.width()), length(resolution.rect.height()), &mut room);
            }
        }
        Ok(Some(self.joined(header, &planes)))
    }

    /// The bytes of all tile-parts, which have to be those of the one tile in their order; `None` where one changes
    /// what the header says.
    fn body(&self) -> Option<std::borrow::Cow<'a, [u8]>> {
        let mut bodies: Vec<&[u8]> = Vec::new();
        let mut rest = self.parts;
        while let [0xFF, 0x90, 0, 10, 0, 0, a, b, c, d, number, _, ..] = *rest {
            if usize::from(number) != bodies.len() {
                return None;
            }
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
            // 0 stands for all that is left (§A.4.2).
            let length = if length == 0 { rest.len() } else { length };
            let (part, behind) = rest.split_at_checked(length)?;
            let mut inside = part.get(12..)?;
            loop {
                let (marker, _, behind) = next_segment(inside)?;
                inside = behind;
                match marker {
                    // PLT and COM.
                    0x58 | 0x64 => {}
                    0x93 => break,
                    _ => return None,
                }
            }
            bodies.push(inside);
            rest = behind;
        }
        match bodies.as_slice() {
            [] => None,
            [one] => Some((*one).into()),
            several => Some(several.concat().into()),
        }
    }

    fn joined(&self, header: &Header, planes: &[Plane]) -> Vec<u16> {
        let precision = header.shape.precision;
        let (lowest, highest) = if header.is_signed {
            (-(1 << (precision - 1)), (1 << (precision - 1)) - 1)
        } else {
            (0, (1 << precision) - 1)
        };
        let middle = if header.is_signed { 0 } else { 1 << (precision - 1) };
        let used = u16::MAX >> (16 - precision);
        let sample = |value: i32| {
            let [low, high, ..] = value.saturating_add(middle).clamp(lowest, highest).to_le_bytes();
            u16::from_le_bytes([low, high]) & used
        };
        match planes {
            [grey] => grey.samples.iter().map(|value| sample(*value)).collect(),
            [first, second, third] => {
                let mut samples = Vec::with_capacity(first.samples.len() * 3);
                for ((y, u), v) in first.samples.iter().zip(&second.samples).zip(&third.samples) {
                    let pixel = if self.transforms {
                        let green = y.wrapping_sub(u.wrapping_add(*v) >> 2);
                        [v.wrapping_add(green), green, u.wrapping_add(green)]
                    } else {
                        [*y, *u, *v]
                    };
                    samples.extend(pixel.map(sample));
                }
                samples
            }
            _ => Vec::new(),
        }
    }
}

/// SIZ of an image that is one tile and begins at the origin; `None` for others.
fn is_one_tile(segment: &[u8]) -> Option<()> {
    let (numbers, _) = segment.get(2..)?.as_chunks::<4>();
    let [right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, ..] = numbers else {
        return None;
    };
    let is_at_origin = [left, top, tile_left, tile_top].iter().all(|edge| **edge == [0; 4]);
    let covers = |tile: &[u8; 4], size: &[u8; 4]| u32::from_be_bytes(*tile) >= u32::from_be_bytes(*size);
    (is_at_origin && covers(tile_width, right) && covers(tile_height, bottom)).then_some(())
}

enum Taken {
    All,
    /// Something that only the other decoder knows.
    Foreign,
}

struct Packets<'a> {
    rest: &'a [u8],
    plain: &'a Plain<'a>,
    blocks: BlockDecoder,
}

/// A code-block of a packet: which one, and the length of its pass.
struct Told {
    block: usize,
    length: usize,
}

impl Packets<'_> {
    /// Takes the packet of a resolution and decodes its code-blocks into the plane; `None` where it breaks off.
    fn take(&mut self, resolution: &Resolution, plane: &mut Plane) -> Option<Taken> {
        let mut bits = BitReader::new(self.rest);
        let mut told = Vec::new();
        if bits.bit()? {
            for band in &resolution.bands {
                let Some(in_band) = self.header(resolution, band, &mut bits)? else {
                    return Some(Taken::Foreign);
                };
                told.push((band, in_band));
            }
        }
        self.rest = bits.behind()?;
        if self.plain.has_end_of_header && self.rest.starts_with(&[0xFF, 0x92]) {
            self.rest = self.rest.get(2..)?;
        }
        for (band, in_band) in told {
            let blocks = resolution.blocks(band, 0)?;
            for Told { block, length } in in_band {
                let (pass, behind) = self.rest.split_at_checked(length)?;
                self.rest = behind;
                let rect = blocks.rect(block);
                let length = |length: u32| usize::try_from(length).ok();
                let left = band.place.0 + length(rect.left - band.rect.left)?;
                let top = band.place.1 + length(rect.top - band.rect.top)?;
                let samples = plane.samples.get_mut(top * plane.width + left..)?;
                self.blocks.decode(
                    pass,
                    (length(rect.width())?, length(rect.height())?),
                    samples,
                    plane.width,
                )?;
            }
        }
        Some(Taken::All)
    }

    /// What the header tells of a band's code-blocks; the inner `None` for passes that are not decoded here.
    #[expect(clippy::option_option, reason = "a broken header and a foreign one are two answers")]
    fn header(
        &self,
        resolution: &Resolution,
        band: &Band,
        bits: &mut BitReader<'_>,
    ) -> Option<Option<Vec<Told>>> {
        let blocks = resolution.blocks(band, 0)?;
        let most = *self.plain.magnitude_bits.get(band.index)?;
        let mut told = Vec::new();
        if blocks.count() == 0 {
            return Some(Some(told));
        }
        let mut inclusion = TagTree::new(blocks.across, blocks.down);
        let mut planes = TagTree::new(blocks.across, blocks.down);
        for block in 0..blocks.count() {
            if inclusion.read(block, 1, bits)?.is_none() {
                continue;
            }
            let zero_planes = planes.read(block, 64, bits)??;
            let has_more_passes = bits.bit()?;
            if has_more_passes || zero_planes + 1 != most {
                return Some(None);
            }
            let mut length_bits = 3;
            while bits.bit()? {
                length_bits += 1;
            }
            if length_bits > 32 {
                return None;
            }
            told.push(Told { block, length: usize::try_from(bits.number(length_bits)?).ok()? });
        }
        Some(Some(told))
    }
}

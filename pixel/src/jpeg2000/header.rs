//! The main header of a code stream (ISO/IEC 15444-1 Annex A): what it is, and what decoding it would cost.

use super::super::raster::Shape;
use super::super::segment::split;
use super::super::{Error, ErrorKind, Result};

/// Bytes of a tile-part at the least: its header and the marker behind it (§A.4.2, §A.4.3).
const TILE_BYTES: u64 = 14;

/// Packets that a byte may stand for; a packet has a byte at least, and what is counted here is an upper bound.
const PACKETS_OF_A_BYTE: u64 = 16;

/// Most code-blocks of a frame; each costs memory of its own.
const MOST_BLOCKS: u64 = 1 << 20;

/// What matters of the segments before the first tile-part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) shape: Shape,
    pub(super) is_signed: bool,
    /// Some colours have fewer samples than others.
    pub(super) is_subsampled: bool,
    /// Blocks are coded by ISO/IEC 15444-15.
    pub(super) is_high_throughput: bool,
    tiles: u64,
    /// Width and height of a tile.
    tile: (u64, u64),
    styles: Vec<Style>,
    layers: u64,
}

/// How a colour is coded: SPcod, SPcoc (Table A.15).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Style {
    /// Decomposition levels.
    levels: u8,
    /// Code-blocks have 2 to the power of this many samples.
    block: u32,
    /// Exponents of width and height of precincts, for each resolution; none where they are as large as can be.
    precincts: Vec<u8>,
}

impl Header {
    /// Reads up to the first tile-part.
    ///
    /// # Errors
    /// `Corrupt` when a segment breaks off or says what cannot be; `Unsupported` for samples of more than 16 bits, and
    /// for colours that differ in them.
    pub(super) fn read(stream: &[u8]) -> Result<Self> {
        let broken = || Error::corrupt("JPEG 2000 header is broken");
        let mut rest = stream.get(2..).ok_or_else(broken)?;
        let mut header = None;
        loop {
            let (marker, segment, behind) = next_segment(rest).ok_or_else(broken)?;
            rest = behind;
            match (marker, &mut header) {
                (0x51, None) => header = Some(Self::from_size(segment)?),
                (0x51, Some(_)) | (_, None) => return Err(broken()),
                // CAP of Part 15 has the bit for it; the segment is of no use otherwise (ISO/IEC 15444-15 §A.3).
                (0x50, Some(header)) => {
                    header.is_high_throughput |= segment.get(1).is_some_and(|bits| bits & 2 != 0)
                }
                (0x52, Some(header)) => {
                    let [style, _, l1, l0, _, parameters @ ..] = segment else { return Err(broken()) };
                    header.layers = u64::from(u16::from_be_bytes([*l1, *l0]));
                    header.styles.insert(0, Style::read(*style, parameters).ok_or_else(broken)?);
                }
                (0x53, Some(header)) => {
                    // A colour takes two bytes where there are more than 256.
                    let [_, style, parameters @ ..] = segment else { return Err(broken()) };
                    header.styles.push(Style::read(*style, parameters).ok_or_else(broken)?);
                }
                (0x90, Some(header)) if header.layers > 0 && !header.styles.is_empty() => {
                    return Ok(header.clone());
                }
                (0x90 | 0x93 | 0xD9, Some(_)) => return Err(broken()),
                _ => {}
            }
        }
    }

    /// SIZ (§A.5.1).
    fn from_size(segment: &[u8]) -> Result<Self> {
        let broken = || Error::corrupt("JPEG 2000 stream has an impossible size");
        let (head, colours) = segment.split_first_chunk::<36>().ok_or_else(broken)?;
        let (_, numbers) = head.split_first_chunk::<2>().ok_or_else(broken)?;
        let (numbers, _) = numbers.as_chunks::<4>();
        let numbers: Vec<u32> = numbers.iter().map(|number| u32::from_be_bytes(*number)).collect();
        let [right, bottom, left, top, tile_width, tile_height, tile_left, tile_top] = numbers[..] else {
            return Err(broken());
        };
        let (columns, rows) = (right.checked_sub(left), bottom.checked_sub(top));
        let (columns, rows) = (columns.ok_or_else(broken)?, rows.ok_or_else(broken)?);
        let across = right.checked_sub(tile_left).ok_or_else(broken)?;
        let down = bottom.checked_sub(tile_top).ok_or_else(broken)?;
        if tile_width == 0 || tile_height == 0 || tile_left > left || tile_top > top {
            return Err(broken());
        }
        let (colours, _) = colours.as_chunks::<3>();
        let [first, ..] = colours else { return Err(broken()) };
        let [depth, ..] = *first;
        if colours.iter().any(|colour| colour[0] != depth) {
            return Err(Error::unsupported("JPEG 2000 of colours that differ in bits"));
        }
        let precision = u32::from(depth & 0x7F) + 1;
        if precision > 16 {
            return Err(Error::unsupported(format!("JPEG 2000 of {precision} bits")));
        }
        Ok(Self {
            shape: Shape { rows, columns, colours: colours.len(), precision },
            is_signed: depth & 0x80 != 0,
            is_subsampled: colours.iter().any(|[_, across, down]| (*across, *down) != (1, 1)),
            is_high_throughput: false,
            tiles: u64::from(across.div_ceil(tile_width)) * u64::from(down.div_ceil(tile_height)),
            tile: (u64::from(tile_width.min(columns)), u64::from(tile_height.min(rows))),
            styles: Vec::new(),
            layers: 0,
        })
    }

    /// Pixels of the image, once its shape has been checked.
    pub(super) fn pixels(&self) -> usize {
        let pixels = u64::from(self.shape.rows) * u64::from(self.shape.columns);
        usize::try_from(pixels).unwrap_or(usize::MAX)
    }

    /// Refuses streams that promise far more parts than they have bytes for: each would cost time and memory.
    ///
    /// # Errors
    /// `Corrupt` for too many tiles or packets; `TooLarge` for too many code-blocks.
    pub(super) fn check_cost(&self, stream: &[u8]) -> Result<()> {
        let bytes = u64::try_from(stream.len()).unwrap_or(u64::MAX);
        if self.tiles.saturating_mul(TILE_BYTES) > bytes {
            return Err(Error::corrupt(format!(
                "JPEG 2000 stream of {bytes} bytes claims {} tiles",
                self.tiles
            )));
        }
        let of_a_tile = self.styles.iter().map(|style| style.precincts(self.tile)).max().unwrap_or(0);
        let colours = u64::try_from(self.shape.colours).unwrap_or(u64::MAX);
        let precincts = of_a_tile.saturating_mul(self.tiles).saturating_mul(colours);
        let packets = precincts.saturating_mul(self.layers);
        if packets > bytes.saturating_mul(PACKETS_OF_A_BYTE) {
            return Err(Error::corrupt(format!(
                "JPEG 2000 stream of {bytes} bytes claims {packets} packets"
            )));
        }
        let samples = u64::try_from(self.pixels()).unwrap_or(u64::MAX).saturating_mul(colours);
        let smallest = self.styles.iter().map(|style| style.block).min().unwrap_or(0);
        if samples >> smallest > MOST_BLOCKS {
            return Err(Error::new(ErrorKind::TooLarge, "JPEG 2000 stream of too many code-blocks"));
        }
        Ok(())
    }
}

impl Style {
    fn read(style: u8, parameters: &[u8]) -> Option<Self> {
        let [levels, width, height, _, _, precincts @ ..] = parameters else { return None };
        let (width, height) = (u32::from(width & 15) + 2, u32::from(height & 15) + 2);
        if *levels > 32 || width > 10 || height > 10 || width + height > 12 {
            return None;
        }
        let precincts = if style & 1 == 0 { &[][..] } else { precincts.get(..=usize::from(*levels))? };
        Some(Self { levels: *levels, block: width + height, precincts: precincts.to_vec() })
    }

    /// At the most so many precincts of one colour in a tile, over all resolutions.
    fn precincts(&self, (width, height): (u64, u64)) -> u64 {
        let of_resolution = |resolution: u8| {
            let place = self.precincts.get(usize::from(resolution)).copied().unwrap_or(0xFF);
            let shift = u32::from(self.levels - resolution);
            let along = |size: u64, exponent: u8| {
                let size = size.checked_shr(shift).unwrap_or(0) + 1;
                // Tile and precincts need not begin together.
                if size >> exponent == 0 { 1 } else { (size >> exponent) + 2 }
            };
            along(width, place & 15).saturating_mul(along(height, place >> 4))
        };
        (0..=self.levels).map(of_resolution).fold(0, u64::saturating_add)
    }
}

/// Second byte of the marker, contents and what follows.
pub(super) fn next_segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [0xFF, marker, rest @ ..] = bytes else { return None };
    // Some markers stand alone (Table A.1).
    if matches!(marker, 0x30..=0x3F | 0x93 | 0xD9) {
        return Some((*marker, &[], rest));
    }
    let (segment, behind) = split(rest)?;
    Some((*marker, segment, behind))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Size, coding style and the start of a tile-part.
    fn header(size: [u32; 8], colours: &[[u8; 3]], cod: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> = size.iter().flat_map(|number| number.to_be_bytes()).collect();
        let count = u16::try_from(colours.len()).unwrap().to_be_bytes();
        let siz = [&[0, 0][..], &numbers, &count, colours.as_flattened()].concat();
        let mut stream = vec![0xFF, 0x4F];
        for (marker, body) in [(0x51, &siz[..]), (0x52, cod)] {
            stream.extend(
                [&[0xFF, marker], &u16::try_from(body.len() + 2).unwrap().to_be_bytes()[..], body].concat(),
            );
        }
        stream.extend([0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1]);
        stream
    }

    const SIZE: [u32; 8] = [20, 10, 0, 0, 20, 10, 0, 0];
    const COD: [u8; 10] = [0, 0, 0, 1, 0, 5, 4, 4, 0, 1];

    #[test]
    fn size_bits_and_sign_are_read() {
        let header = Header::read(&header([25, 12, 5, 2, 20, 10, 5, 2], &[[0x8B, 1, 1]], &COD)).unwrap();
        assert_eq!(header.shape, Shape { rows: 10, columns: 20, colours: 1, precision: 12 });
        assert!(header.is_signed && !header.is_subsampled && !header.is_high_throughput);
        assert_eq!(header.tiles, 1);
    }

    #[test]
    fn a_stream_that_breaks_off_is_corrupt() {
        let stream = header(SIZE, &[[7, 1, 1]], &COD);
        for length in 0..stream.len() {
            assert!(Header::read(&stream[..length]).is_err(), "{length} bytes");
        }
        assert!(Header::read(&stream).is_ok());
    }

    #[rstest]
    #[case::tiles_of_nothing([20, 10, 0, 0, 0, 10, 0, 0], [7, 1, 1], COD)]
    #[case::image_of_less_than_nothing([20, 10, 21, 0, 20, 10, 0, 0], [7, 1, 1], COD)]
    #[case::tiles_behind_the_image([20, 10, 0, 0, 20, 10, 1, 0], [7, 1, 1], COD)]
    #[case::too_many_bits(SIZE, [16, 1, 1], COD)]
    #[case::too_many_levels(SIZE, [7, 1, 1], [0, 0, 0, 1, 0, 33, 4, 4, 0, 1])]
    #[case::too_large_blocks(SIZE, [7, 1, 1], [0, 0, 0, 1, 0, 5, 8, 4, 0, 1])]
    #[case::no_layers(SIZE, [7, 1, 1], [0, 0, 0, 0, 0, 5, 4, 4, 0, 1])]
    #[case::missing_precincts(SIZE, [7, 1, 1], [1, 0, 0, 1, 0, 5, 4, 4, 0, 1])]
    fn what_cannot_be_is_refused(#[case] size: [u32; 8], #[case] colour: [u8; 3], #[case] cod: [u8; 10]) {
        assert!(Header::read(&header(size, &[colour], &cod)).is_err());
    }

    #[rstest]
    #[case::tiles([4000, 4000, 0, 0, 1, 1, 0, 0], &COD)]
    #[case::layers([4000, 4000, 0, 0, 4000, 4000, 0, 0], &[0, 0, 0xFF, 0xFF, 0, 5, 4, 4, 0, 1])]
    #[case::precincts([4000, 4000, 0, 0, 4000, 4000, 0, 0], &[1, 0, 0, 1, 0, 0, 4, 4, 0, 1, 0])]
    #[case::blocks([20_000, 10_000, 0, 0, 20_000, 10_000, 0, 0], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 1])]
    fn more_parts_than_there_are_bytes_for_are_refused(#[case] size: [u32; 8], #[case] cod: &[u8]) {
        let stream = header(size, &[[7, 1, 1]], cod);
        assert!(Header::read(&stream).unwrap().check_cost(&stream).is_err());
    }

    #[test]
    fn a_plain_image_costs_what_it_may() {
        let stream = header(SIZE, &[[7, 1, 1]; 3], &COD);
        let header = Header::read(&stream).unwrap();
        assert_eq!(header.styles[0].precincts(header.tile), 6);
        assert!(header.check_cost(&stream).is_ok());
    }
}

//! RLE Lossless: a segment of packed bits for each byte of a sample (PS3.5 Annex G).

use super::{Error, ErrorKind, ImageInfo, Result};

/// Bytes of the header: the number of segments and fifteen offsets (PS3.5 §G.5).
const HEADER: usize = 64;

/// Most bytes that two bytes of a segment can stand for (PS3.5 §G.3.1).
const MAX_RUN: usize = 128;

/// Decodes a frame to little endian samples, by pixel or by plane; single bits stay packed.
///
/// # Errors
/// `Corrupt` when the header is not that of this image, or a segment does not give a whole plane;
/// `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo, is_planar: bool) -> Result<Vec<u8>> {
    if info.bits_allocated == 1 {
        return decode_bits(frame, info);
    }
    let pixels = info.pixels()?;
    let (sample, pixel) = (info.sample_bytes(), info.pixel_bytes());
    let segments = segments(frame, pixel)?;
    if frame.len().saturating_mul(MAX_RUN) < pixels {
        return Err(Error::corrupt(format!(
            "RLE frame of {} bytes cannot hold {pixels} pixels",
            frame.len()
        )));
    }

    let mut samples = vec![0; info.decoded_length()?];
    let mut plane = Vec::with_capacity(pixels);
    for (index, segment) in segments.into_iter().enumerate() {
        unpack(segment, pixels, &mut plane)?;
        // Segments hold the most significant byte of a sample first (PS3.5 §G.2).
        let (of_sample, byte) = (index / sample, sample - 1 - index % sample);
        let (start, stride) = if is_planar {
            (of_sample * pixels * sample + byte, sample)
        } else {
            (of_sample * sample + byte, pixel)
        };
        let places = samples.get_mut(start..).unwrap_or_default().iter_mut().step_by(stride);
        places.zip(&plane).for_each(|(place, value)| *place = *value);
    }
    Ok(samples)
}

/// The packed bits of all pixels make one segment.
fn decode_bits(frame: &[u8], info: &ImageInfo) -> Result<Vec<u8>> {
    let length = info.native_length()?;
    let mut packed = Vec::new();
    segments(frame, 1)?.into_iter().try_for_each(|segment| unpack(segment, length, &mut packed))?;
    Ok(packed)
}

/// The segments, each up to the start of the next.
fn segments(frame: &[u8], expected: usize) -> Result<Vec<&[u8]>> {
    let header = frame.get(..HEADER).ok_or_else(|| Error::corrupt("RLE header breaks off"))?;
    let (words, _) = header.as_chunks::<4>();
    let mut words = words.iter().map(|word| usize::try_from(u32::from_le_bytes(*word)).unwrap_or(usize::MAX));
    let count = words.next().unwrap_or(0);
    if count != expected || count > 15 {
        return Err(Error::corrupt(format!("RLE frame has {count} segments, the image has {expected}")));
    }
    let offsets: Vec<usize> = words.take(count).collect();
    let ends = offsets.iter().skip(1).copied().chain([frame.len()]);
    offsets
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let segment = if *start >= HEADER { frame.get(*start..end) } else { None };
            segment.ok_or_else(|| {
                Error::corrupt(format!("RLE segment at {start} … {end} lies outside of the frame"))
            })
        })
        .collect()
}

/// Unpacks `length` bytes (PS3.5 §G.3.2); what a segment has beyond them is left off.
fn unpack(segment: &[u8], length: usize, plane: &mut Vec<u8>) -> Result<()> {
    plane.clear();
    extend(segment, length, plane)
        .ok_or_else(|| Error::corrupt(format!("RLE segment gives {} bytes of {length}", plane.len())))
}

fn extend(segment: &[u8], length: usize, plane: &mut Vec<u8>) -> Option<()> {
    let mut rest = segment;
    while plane.len() < length {
        let (code, behind) = rest.split_first()?;
        let room = length - plane.len();
        match usize::from(*code) {
            literal @ 0..=127 => {
                let count = (literal + 1).min(room);
                plane.extend_from_slice(behind.get(..count)?);
                rest = behind.get(count..)?;
            }
            128 => rest = behind,
            run => {
                let (value, behind) = behind.split_first()?;
                plane.resize(plane.len() + (257 - run).min(room), *value);
                rest = behind;
            }
        }
    }
    Some(())
}

/// Encodes a native frame in little endian: samples by pixel or by plane, single bits packed.
///
/// # Errors
/// `Unsupported` for pixels of more than 15 bytes; `Corrupt` when the frame is too short.
pub(super) fn encode(native: &[u8], info: &ImageInfo) -> Result<Vec<u8>> {
    let too_short = || Error::corrupt(format!("native frame of {} bytes", native.len()));
    let native = native.get(..info.native_length()?).ok_or_else(too_short)?;
    if info.photometric.is_halved_when_native() {
        return Err(Error::unsupported("RLE of halved chrominance"));
    }
    if info.bits_allocated == 1 {
        return framed(&[pack(native.chunks(row_of_bits(info)), native.len())]);
    }
    let (sample, pixel) = (info.sample_bytes(), info.pixel_bytes());
    let (pixels, columns) = (info.pixels()?, usize::try_from(info.columns).unwrap_or(usize::MAX));
    let segments: Vec<Vec<u8>> = (0..pixel)
        .map(|index| {
            let (of_sample, byte) = (index / sample, sample - 1 - index % sample);
            let (start, stride) = if info.is_planar && info.samples_per_pixel > 1 {
                (of_sample * pixels * sample + byte, sample)
            } else {
                (of_sample * sample + byte, pixel)
            };
            let bytes = native.get(start..).unwrap_or_default().iter().step_by(stride).take(pixels);
            let plane: Vec<u8> = bytes.copied().collect();
            pack(plane.chunks(columns), pixels)
        })
        .collect();
    framed(&segments)
}

/// Bytes that hold a row of single bits; rows need not begin with a byte, so that all are packed as one.
fn row_of_bits(info: &ImageInfo) -> usize {
    match usize::try_from(info.columns) {
        Ok(columns) if columns.is_multiple_of(8) && columns > 0 => columns / 8,
        _ => usize::MAX,
    }
}

/// Runs of equal bytes, and literals of the others; each row is packed by itself (PS3.5 §G.3.1).
fn pack<'a>(rows: impl Iterator<Item = &'a [u8]>, length: usize) -> Vec<u8> {
    let mut packed = Vec::with_capacity(length / 2);
    for row in rows {
        let mut literal = 0;
        let mut rest = row;
        while let Some(next) = rest.get(literal) {
            let run = rest
                .get(literal..)
                .unwrap_or_default()
                .iter()
                .take(MAX_RUN)
                .take_while(|byte| *byte == next)
                .count();
            if run > 2 || (run == 2 && literal == 0) {
                rest = put_literal(rest, literal, &mut packed);
                literal = 0;
                packed.extend([(257 - run).to_le_bytes()[0], *next]);
                rest = rest.get(run..).unwrap_or_default();
            } else {
                literal += 1;
                if literal == MAX_RUN {
                    rest = put_literal(rest, literal, &mut packed);
                    literal = 0;
                }
            }
        }
        put_literal(rest, literal, &mut packed);
    }
    if !packed.len().is_multiple_of(2) {
        packed.push(0);
    }
    packed
}

/// Gives what is behind the literal.
fn put_literal<'a>(rest: &'a [u8], length: usize, packed: &mut Vec<u8>) -> &'a [u8] {
    let (literal, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    if let Some(code) = length.checked_sub(1) {
        packed.push(code.to_le_bytes()[0]);
        packed.extend_from_slice(literal);
    }
    behind
}

/// The header and its segments (PS3.5 §G.5).
fn framed(segments: &[Vec<u8>]) -> Result<Vec<u8>> {
    let too_large = || Error::new(ErrorKind::TooLarge, "RLE frame is too large");
    if segments.len() > 15 {
        return Err(Error::unsupported(format!("RLE of {} bytes a pixel", segments.len())));
    }
    let mut words = vec![u32::try_from(segments.len()).map_err(|_| too_large())?];
    let mut offset = HEADER;
    for segment in segments {
        words.push(u32::try_from(offset).map_err(|_| too_large())?);
        offset += segment.len();
    }
    words.resize(HEADER / 4, 0);
    let mut frame: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    segments.iter().for_each(|segment| frame.extend_from_slice(segment));
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::fixture::{grey, rgb};
    use super::*;

    fn framed(segments: &[Vec<u8>]) -> Vec<u8> {
        super::framed(segments).unwrap()
    }

    #[test]
    fn decodes_the_runs_and_literals_of_the_standard() {
        // A literal of 3, a no-op, a run of 4 (PS3.5 §G.3.2).
        let frame = framed(&[vec![2, 10, 20, 30, 128, 253, 7, 0]]);
        assert_eq!(decode(&frame, &grey(1, 7, 8), false).unwrap(), [10, 20, 30, 7, 7, 7, 7]);
    }

    #[test]
    fn the_high_byte_comes_first() {
        let frame = framed(&[vec![1, 0x12, 0x56], vec![1, 0x34, 0x78]]);
        assert_eq!(decode(&frame, &grey(1, 2, 16), false).unwrap(), [0x34, 0x12, 0x78, 0x56]);
    }

    #[test]
    fn colours_come_by_pixel_or_by_plane_as_asked() {
        let frame = framed(&[vec![1, 1, 2], vec![1, 3, 4], vec![1, 5, 6]]);
        assert_eq!(decode(&frame, &rgb(1, 2), false).unwrap(), [1, 3, 5, 2, 4, 6]);
        assert_eq!(decode(&frame, &rgb(1, 2), true).unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn single_bits_stay_packed() {
        let frame = framed(&[vec![1, 0b1010_0101, 0b1]]);
        assert_eq!(decode(&frame, &grey(3, 3, 1), false).unwrap(), [0b1010_0101, 0b1]);
    }

    #[rstest]
    #[case::no_header(vec![0; 63])]
    #[case::another_number_of_segments(framed(&[vec![0, 1], vec![0, 1]]))]
    #[case::short_segment(framed(&[vec![1, 1, 2]]))]
    #[case::literal_beyond_the_end(framed(&[vec![5, 1, 2]]))]
    #[case::broken_run(framed(&[vec![0, 1, 254]]))]
    #[case::segment_in_the_header([vec![1, 0, 0, 0, 4], vec![0; 80]].concat())]
    #[case::segment_behind_the_end([vec![1, 0, 0, 0, 255, 255], vec![0; 80]].concat())]
    fn refuses_a_frame_that_is_not_the_images(#[case] frame: Vec<u8>) {
        assert_eq!(decode(&frame, &grey(1, 3, 8), false).unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn a_small_frame_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let frame = framed(&[vec![0, 1]]);
        assert_eq!(decode(&frame, &grey(16_384, 16_384, 8), false).unwrap_err().kind, ErrorKind::Corrupt);
    }

    fn images() -> impl Strategy<Value = (ImageInfo, Vec<u8>)> {
        let shapes = prop_oneof![
            (1..9_u32, 1..40_u32, prop_oneof![Just(8_u32), Just(16), Just(32)])
                .prop_map(|(r, c, b)| grey(r, c, b)),
            (1..9_u32, 1..40_u32).prop_map(|(r, c)| grey(r, c, 1)),
            (1..9_u32, 1..400_u32, any::<bool>())
                .prop_map(|(r, c, is_planar)| ImageInfo { is_planar, ..rgb(r, c) }),
        ];
        shapes.prop_flat_map(|info| {
            let length = info.native_length().unwrap();
            // Few different values, so that there are runs too.
            (Just(info), proptest::collection::vec(0..4_u8, length))
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back((info, samples) in images()) {
            let frame = encode(&samples, &info).unwrap();
            prop_assert_eq!(decode(&frame, &info, info.is_planar).unwrap(), samples);
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(count in 0..17_u32, bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let frame = [&count.to_le_bytes()[..], &bytes].concat();
            for info in [grey(3, 5, 8), grey(3, 5, 16), rgb(3, 5)] {
                let _ = decode(&frame, &info, true);
            }
        }
    }
}

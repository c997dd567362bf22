//! Native frames: samples as they are (PS3.5 §8.1.1, §8.2).

use std::borrow::Cow;

use super::{Error, ImageInfo, Result};

/// The frame in little endian, without padding, its layout untouched: the bytes of a native frame in
/// Explicit VR Little Endian. One of big endian that shares a word with another frame comes with all of that word.
///
/// # Errors
/// `Corrupt` when the frame is too short; `Unsupported` when a byte of it was left behind in a word
/// of big endian that the next frame shares, and for frames of single bits that share a byte of such a word.
pub(super) fn little_endian<'a>(
    frame: &'a [u8],
    info: &ImageInfo,
    is_big_endian: bool,
) -> Result<Cow<'a, [u8]>> {
    let length = info.native_length()?;
    let before = usize::from(is_big_endian && info.begins_within_word()?);
    let exact = frame
        .get(before..before + length)
        .ok_or_else(|| Error::corrupt(format!("frame has {} bytes, {length} are needed", frame.len())))?;
    let width = swapped_width(info);
    if !is_big_endian || width == 1 {
        return Ok(Cow::Borrowed(exact));
    }
    if info.number.index() > 0 && info.unfilled_bits()?.is_some() {
        return Err(Error::unsupported("frames of single bits that share bytes of big endian words"));
    }
    let whole = (before + length).next_multiple_of(width);
    let mut swapped = frame
        .get(..whole)
        .ok_or_else(|| Error::unsupported("frame of an odd length in big endian words"))?
        .to_vec();
    swapped.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    swapped.truncate(before + length);
    swapped.drain(..before);
    Ok(Cow::Owned(swapped))
}

/// Bytes that big endian writes in reverse: those of a sample, or of a word of OW.
fn swapped_width(info: &ImageInfo) -> usize {
    let words = if info.is_words { 2 } else { 1 };
    if info.bits_allocated <= 8 { words } else { info.sample_bytes() }
}

/// Samples by pixel, one byte at least each, out of a native frame in little endian.
///
/// # Errors
/// `Unsupported` for several samples of a single bit; `TooLarge`.
pub(super) fn by_pixel<'a>(native: Cow<'a, [u8]>, info: &ImageInfo) -> Result<Cow<'a, [u8]>> {
    if info.bits_allocated == 1 {
        if info.samples_per_pixel != 1 {
            return Err(Error::unsupported("colour samples of one bit"));
        }
        return Ok(Cow::Owned(unpack_bits(&native, info.pixels()?)));
    }
    if info.photometric.is_halved_when_native() {
        return Ok(Cow::Owned(double_chrominance(&native)));
    }
    if info.is_planar && info.samples_per_pixel > 1 {
        return Ok(Cow::Owned(interleave(&native, info)?));
    }
    Ok(native)
}

/// One byte of 0 or 1 a pixel; the first pixel is the lowest bit (PS3.5 §8.1.1).
fn unpack_bits(packed: &[u8], pixels: usize) -> Vec<u8> {
    let mut samples = Vec::with_capacity(packed.len().saturating_mul(8));
    for byte in packed {
        samples.extend((0..8).map(|bit| byte >> bit & 1));
    }
    samples.truncate(pixels);
    samples
}

/// Y₁ Y₂ Cb Cr → Y₁ Cb Cr Y₂ Cb Cr (PS3.3 §C.7.6.3.1.2).
fn double_chrominance(halved: &[u8]) -> Vec<u8> {
    let mut samples = Vec::with_capacity(halved.len() / 2 * 3);
    let (quadruples, _) = halved.as_chunks::<4>();
    for [first, second, blue, red] in quadruples {
        samples.extend([first, blue, red, second, blue, red]);
    }
    samples
}

/// Planes → pixels (PS3.3 §C.7.6.3.1.3).
fn interleave(planes: &[u8], info: &ImageInfo) -> Result<Vec<u8>> {
    let (sample, pixel) = (info.sample_bytes(), info.pixel_bytes());
    let mut samples = vec![0; info.decoded_length()?];
    for (index, plane) in planes.chunks_exact(info.pixels()? * sample).enumerate() {
        let places = samples.get_mut(index * sample..).unwrap_or_default();
        for (place, value) in places.chunks_mut(pixel).zip(plane.chunks_exact(sample)) {
            if let Some(place) = place.get_mut(..sample) {
                place.copy_from_slice(value);
            }
        }
    }
    Ok(samples)
}

/// Pixels → planes (PS3.3 §C.7.6.3.1.3).
pub(super) fn to_planes(pixels: &[u8], info: &ImageInfo) -> Vec<u8> {
    let (sample, pixel) = (info.sample_bytes(), info.pixel_bytes().max(1));
    let starts = (0..pixel).step_by(sample);
    let plane =
        |start: usize| pixels.chunks_exact(pixel).filter_map(move |pixel| pixel.get(start..start + sample));
    starts.flat_map(plane).flatten().copied().collect()
}

/// Eight samples of a bit in a byte, the first one lowest (PS3.5 §8.1.1).
pub(super) fn pack_bits(samples: &[u8]) -> Vec<u8> {
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit & 1);
    samples.chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use dicom_store::model::FrameNumber;

    use super::super::fixture::{grey, rgb};
    use super::super::{ErrorKind, Photometric};
    use super::*;

    fn samples(frame: &[u8], info: &ImageInfo) -> Vec<u8> {
        by_pixel(little_endian(frame, info, false).unwrap(), info).unwrap().into_owned()
    }

    #[test]
    fn little_endian_is_borrowed_and_its_padding_left_off() {
        let native = little_endian(&[1, 2, 3, 0], &grey(1, 3, 8), false).unwrap();
        assert_eq!(native, Cow::<[u8]>::Borrowed(&[1, 2, 3]));
    }

    #[test]
    fn big_endian_is_swapped_by_sample_and_8_bits_in_words_by_word() {
        let swapped = |frame: &[u8], info: &ImageInfo| little_endian(frame, info, true).unwrap().into_owned();
        assert_eq!(swapped(&[1, 2, 3, 4], &grey(1, 2, 16)), [2, 1, 4, 3]);
        assert_eq!(swapped(&[1, 2, 3, 4], &grey(1, 1, 32)), [4, 3, 2, 1]);
        assert_eq!(swapped(&[1, 2, 3, 4], &grey(1, 4, 8)), [1, 2, 3, 4]);
        let words = ImageInfo { is_words: true, ..grey(1, 3, 8) };
        assert_eq!(swapped(&[1, 2, 0, 3], &words), [2, 1, 3]);
    }

    #[test]
    fn a_byte_left_in_the_next_frames_word_is_not_guessed() {
        let words = ImageInfo { is_words: true, ..grey(1, 3, 8) };
        assert_eq!(little_endian(&[1, 2, 3], &words, true).unwrap_err().kind, ErrorKind::Unsupported);
    }

    #[test]
    fn a_frame_that_begins_within_a_word_of_big_endian_is_found_in_it() {
        let second = ImageInfo { frames: 2, number: FrameNumber::new(2).unwrap(), ..grey(1, 3, 8) };
        let words = ImageInfo { is_words: true, ..second.clone() };
        // 1 2 3, 4 5 6 in words: 2 1, 4 3, 6 5; what they share comes with both.
        let swapped = |frame: &[u8], info: &ImageInfo| little_endian(frame, info, true).unwrap().into_owned();
        assert_eq!(
            swapped(&[2, 1, 4, 3], &ImageInfo { number: FrameNumber::FIRST, ..words.clone() }),
            [1, 2, 3]
        );
        assert_eq!(swapped(&[4, 3, 6, 5], &words), [4, 5, 6]);
        // Bytes are in their order, and the one before is not of the frame.
        assert_eq!(swapped(&[3, 4, 5, 6], &second), [4, 5, 6]);
        // In little endian nothing comes with it.
        assert_eq!(little_endian(&[4, 5, 6], &words, false).unwrap(), Cow::<[u8]>::Borrowed(&[4, 5, 6]));
        let bits = ImageInfo { bits_allocated: 1, bits_stored: 1, high_bit: 0, ..words };
        assert_eq!(little_endian(&[0, 0], &bits, true).unwrap_err().kind, ErrorKind::Unsupported);
    }

    #[test]
    fn a_short_frame_is_corrupt() {
        assert_eq!(little_endian(&[0; 7], &grey(2, 2, 16), false).unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn single_bits_come_out_lowest_first() {
        assert_eq!(samples(&[0b0000_0101, 0b1], &grey(3, 3, 1)), [1, 0, 1, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn planes_become_pixels() {
        let planar = ImageInfo { is_planar: true, ..rgb(1, 2) };
        assert_eq!(samples(&[1, 2, 3, 4, 5, 6], &planar), [1, 3, 5, 2, 4, 6]);
        let wide = ImageInfo { bits_allocated: 16, ..planar };
        assert_eq!(
            samples(&[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0], &wide),
            [1, 0, 3, 0, 5, 0, 2, 0, 4, 0, 6, 0]
        );
    }

    #[test]
    fn halved_chrominance_serves_both_pixels() {
        let halved = ImageInfo { photometric: Photometric::YbrFull422, ..rgb(1, 2) };
        assert_eq!(samples(&[10, 20, 100, 200], &halved), [10, 100, 200, 20, 100, 200]);
    }
}

//! Samples → a picture: colours to RGB of 8 bits (PS3.3 §C.7.6.3.1.2), grey by its shades.

use super::Shown;
use super::grayscale::{number, shades, stored_values};
use super::{
    Bitmap, Channels, Decoded, Error, ErrorKind, ImageInfo, Palette, Photometric, Result, SampleKind,
};

/// The picture that decoded samples make.
///
/// # Errors
/// `Unsupported` for four colours, for retired photometric interpretations, and for colours that are
/// not integers; `Invalid` for PALETTE COLOR without a palette.
pub fn to_bitmap(decoded: Decoded<'_>, shown: &Shown) -> Result<Bitmap> {
    let Decoded { samples, info } = decoded;
    let (width, height) = (info.columns, info.rows);
    if samples.len() != info.decoded_length()? {
        return Err(Error::corrupt(format!("{} bytes of samples", samples.len())));
    }
    let (channels, bytes) = match (info.samples_per_pixel, info.photometric) {
        (1, Photometric::PaletteColor) => (Channels::Rgb, through_palette(&samples, &info)?),
        (1, _) if info.palette.is_some() => (Channels::Rgb, grey_and_colours(&samples, &info, shown)?),
        (1, _) => (Channels::Grey, shades(&samples, &info, shown)?),
        (3, photometric) if photometric != Photometric::Other => {
            let mut bytes = to_8_bits(samples.into_owned(), &info)?;
            match photometric {
                Photometric::YbrFull | Photometric::YbrFull422 => ybr_to_rgb(&mut bytes),
                Photometric::YbrPartial422 | Photometric::YbrPartial420 => partial_ybr_to_rgb(&mut bytes),
                // What is declared ICT, RCT or XYB is RGB again once its codec has decoded it.
                _ => {}
            }
            (Channels::Rgb, bytes)
        }
        (count, photometric) => {
            return Err(Error::unsupported(format!("{count} samples a pixel of {photometric:?}")));
        }
    };
    Ok(Bitmap { width, height, channels, bytes })
}

fn through_palette(samples: &[u8], info: &ImageInfo) -> Result<Vec<u8>> {
    let palette = palette_of(info)?;
    Ok(stored_values(samples, info).flat_map(|stored| palette.color(stored)).collect())
}

/// Shades of grey, and the values of a supplemental palette in its colours (PS3.3 §C.7.6.19).
fn grey_and_colours(samples: &[u8], info: &ImageInfo, shown: &Shown) -> Result<Vec<u8>> {
    let palette = palette_of(info)?;
    let shades = shades(samples, info, shown)?;
    let pixel = |(stored, shade): (i64, u8)| {
        let is_padding = info.padding.is_some_and(|padding| padding.contains(number(stored)));
        if info.is_colour(number(stored)) && !is_padding { palette.color(stored) } else { [shade; 3] }
    };
    Ok(stored_values(samples, info).zip(shades).flat_map(pixel).collect())
}

fn palette_of(info: &ImageInfo) -> Result<&Palette> {
    let palette = info.palette.as_ref().ok_or_else(|| Error::invalid("PALETTE COLOR without a palette"))?;
    let palette = palette.as_ref().map_err(Clone::clone)?;
    if info.kind != SampleKind::Integer || info.sample_bytes() > 2 {
        return Err(Error::unsupported(format!("palette for samples of {} bits", info.bits_allocated)));
    }
    Ok(palette)
}

/// The most significant 8 of the stored bits, or fewer spread over 8.
fn to_8_bits(mut samples: Vec<u8>, info: &ImageInfo) -> Result<Vec<u8>> {
    match (info.kind, info.sample_bytes(), info.bits_stored) {
        (SampleKind::Integer, 1, 8) => Ok(samples),
        (SampleKind::Integer, 1, bits @ 1..8) => {
            let greatest = (1_u16 << bits) - 1;
            for sample in &mut samples {
                let spread = u16::from(*sample).min(greatest) * 255 / greatest;
                *sample = u8::try_from(spread).unwrap_or(u8::MAX);
            }
            Ok(samples)
        }
        (SampleKind::Integer, 2, bits @ 1..8) => {
            let greatest = (1_u16 << bits) - 1;
            let (words, _) = samples.as_chunks::<2>();
            let words = words.iter().map(|word| u16::from_le_bytes(*word).min(greatest));
            Ok(words.map(|word| u8::try_from(word * 255 / greatest).unwrap_or(u8::MAX)).collect())
        }
        (SampleKind::Integer, 2, bits @ 8..=16) => {
            let (words, _) = samples.as_chunks::<2>();
            let byte =
                |word: &[u8; 2]| u8::try_from(u16::from_le_bytes(*word) >> (bits - 8)).unwrap_or(u8::MAX);
            Ok(words.iter().map(byte).collect())
        }
        (SampleKind::Integer, 4, bits @ 8..=32) => {
            let (words, _) = samples.as_chunks::<4>();
            let byte =
                |word: &[u8; 4]| u8::try_from(u32::from_le_bytes(*word) >> (bits - 8)).unwrap_or(u8::MAX);
            Ok(words.iter().map(byte).collect())
        }
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("colours of {} bits in {}", info.bits_stored, info.bits_allocated),
        )),
    }
}

/// YBR_FULL → RGB, in place; in sixteenths of a bit, rounded to the nearest.
pub(super) fn ybr_to_rgb(samples: &mut [u8]) {
    let (pixels, _) = samples.as_chunks_mut::<3>();
    for pixel in pixels {
        let [y, blue, red] = pixel.map(i32::from);
        let (y, blue, red) = ((y << 16) + 0x8000, blue - 128, red - 128);
        *pixel = [
            clamped((y + 91_881 * red) >> 16),
            clamped((y - 22_554 * blue - 46_802 * red) >> 16),
            clamped((y + 116_130 * blue) >> 16),
        ];
    }
}

/// YBR_PARTIAL (luminance 16 … 235, chrominance 16 … 240) → RGB, in place.
fn partial_ybr_to_rgb(samples: &mut [u8]) {
    let (pixels, _) = samples.as_chunks_mut::<3>();
    for pixel in pixels {
        let [y, blue, red] = pixel.map(i32::from);
        let (y, blue, red) = ((y - 16) * 76_309 + 0x8000, blue - 128, red - 128);
        *pixel = [
            clamped((y + 104_597 * red) >> 16),
            clamped((y - 25_675 * blue - 53_279 * red) >> 16),
            clamped((y + 132_201 * blue) >> 16),
        ];
    }
}

fn clamped(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use rstest::rstest;

    use super::super::fixture::{grey, rgb};
    use super::super::{Lut, Padding};
    use super::*;

    fn bitmap(samples: &[u8], info: &ImageInfo) -> Result<Bitmap> {
        to_bitmap(Decoded { samples: Cow::Borrowed(samples), info: info.clone() }, &Shown::AsProposed)
    }

    /// PS3.3 §C.7.6.3.1.2, by hand.
    #[rstest]
    #[case::black([0, 128, 128], [0, 0, 0])]
    #[case::white([255, 128, 128], [255, 255, 255])]
    #[case::red([76, 85, 255], [254, 0, 0])]
    #[case::green([150, 44, 21], [0, 255, 1])]
    #[case::blue([29, 255, 107], [0, 0, 254])]
    fn ybr_full_becomes_rgb(#[case] ybr: [u8; 3], #[case] rgb: [u8; 3]) {
        let mut samples = ybr;
        ybr_to_rgb(&mut samples);
        assert_eq!(samples, rgb);
    }

    #[rstest]
    #[case::black([16, 128, 128], [0, 0, 0])]
    #[case::white([235, 128, 128], [255, 255, 255])]
    fn ybr_partial_becomes_rgb(#[case] ybr: [u8; 3], #[case] rgb: [u8; 3]) {
        let mut samples = ybr;
        partial_ybr_to_rgb(&mut samples);
        assert_eq!(samples, rgb);
    }

    #[test]
    fn sixteen_bits_are_shown_by_the_highest_eight_that_are_stored() {
        let info = ImageInfo { bits_allocated: 16, bits_stored: 12, ..rgb(1, 1) };
        assert_eq!(bitmap(&[0xFF, 0x0F, 0x00, 0x08, 0x0F, 0x00], &info).unwrap().bytes, [0xFF, 0x80, 0]);
    }

    #[test]
    fn few_bits_are_spread_over_eight_whatever_they_are_allocated_in() {
        let info = ImageInfo { bits_stored: 2, high_bit: 1, ..rgb(1, 1) };
        assert_eq!(bitmap(&[0, 1, 3], &info).unwrap().bytes, [0, 85, 255]);
        let wide = ImageInfo { bits_allocated: 16, ..info };
        assert_eq!(bitmap(&[0, 0, 1, 0, 3, 0], &wide).unwrap().bytes, [0, 85, 255]);
    }

    #[test]
    fn colours_of_32_bits_are_shown_by_their_highest_eight() {
        let info = ImageInfo { bits_allocated: 32, bits_stored: 32, ..rgb(1, 1) };
        assert_eq!(bitmap(&[0, 0, 0, 1, 9, 9, 9, 2, 0, 0, 0, 3], &info).unwrap().bytes, [1, 2, 3]);
    }

    #[test]
    fn a_palette_gives_each_stored_value_its_colour() {
        let table = |entries: [u16; 2]| Lut { first: 0, entries: entries.to_vec(), bits: 8 };
        let palette = Palette::new(&table([1, 2]), &table([3, 4]), &table([5, 6])).unwrap();
        let info = ImageInfo {
            photometric: Photometric::PaletteColor,
            palette: Some(Ok(Arc::new(palette))),
            ..grey(1, 2, 8)
        };
        assert_eq!(bitmap(&[1, 0], &info).unwrap().bytes, [2, 4, 6, 1, 3, 5]);
        let broken = ImageInfo { palette: Some(Err(Error::invalid("it breaks off"))), ..info.clone() };
        assert_eq!(bitmap(&[1, 0], &broken).unwrap_err().what, "it breaks off");
        let without = ImageInfo { palette: None, ..info };
        assert_eq!(bitmap(&[1, 0], &without).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn a_supplemental_palette_gives_colours_from_its_first_value_on() {
        let table = |entries: [u16; 2]| Lut { first: 1000, entries: entries.to_vec(), bits: 8 };
        let palette = Palette::new(&table([1, 2]), &table([3, 4]), &table([5, 6])).unwrap();
        let info = ImageInfo {
            palette: Some(Ok(Arc::new(palette))),
            padding: Some(Padding { first: 4000.0, last: 4000.0 }),
            ..grey(1, 6, 16)
        };
        let samples: Vec<u8> =
            [0_u16, 50, 100, 1000, 1001, 4000].iter().flat_map(|value| value.to_le_bytes()).collect();
        // Without a window the values that are grey are spread.
        let picture = bitmap(&samples, &info).unwrap();
        let expected = [[0; 3], [128; 3], [255; 3], [1, 3, 5], [2, 4, 6], [0; 3]];
        assert_eq!((picture.channels, picture.bytes), (Channels::Rgb, expected.concat()));
        assert_eq!(info.picture_length().unwrap(), 18);
        let broken = ImageInfo { palette: Some(Err(Error::invalid("it breaks off"))), ..info };
        assert_eq!(bitmap(&samples, &broken).unwrap_err().what, "it breaks off");
    }

    #[test]
    fn retired_and_unknown_colours_are_unsupported() {
        let info = ImageInfo { samples_per_pixel: 4, photometric: Photometric::Other, ..rgb(1, 1) };
        assert_eq!(bitmap(&[0; 4], &info).unwrap_err().kind, ErrorKind::Unsupported);
        let hsv = ImageInfo { photometric: Photometric::parse("HSV"), ..rgb(1, 1) };
        assert_eq!(bitmap(&[0; 3], &hsv).unwrap_err().kind, ErrorKind::Unsupported);
    }
}

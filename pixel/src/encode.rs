//! A picture → the bytes of an image file (PS3.18 Table 8.7.4-1).

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::jpeg::{Chrominance, Colours, Samples8, encode_baseline};
use super::{Bitmap, Channels, Error, ErrorKind, GifAnimation, GifFrame, Result};

/// Longest edge of a WebP picture.
const MAX_WEBP: u32 = 16_383;

/// The form of an encoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Baseline, 8 bits.
    Jpeg {
        /// 1 … 100; what lies beyond counts as the nearest of them.
        quality: u8,
    },
    /// 8 bits, grey or RGB.
    Png,
    /// 256 colours at most.
    Gif,
    /// Without loss.
    WebP,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    /// Whether an ICC profile can stand in it.
    pub fn has_profile(self) -> bool {
        self != Self::Gif
    }
}

/// Encodes a picture, with an ICC profile where the form has a place for it.
///
/// # Errors
/// `TooLarge` when the form cannot hold so many pixels; `Internal` when the encoder fails.
pub fn encode(picture: &Bitmap, format: Format, profile: Option<Vec<u8>>) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    match format {
        Format::Jpeg { quality } => return encode_jpeg(picture, quality, profile.as_deref()),
        Format::Png => {
            let encoder =
                PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
            encode_by(encoder, picture, profile)?;
        }
        Format::WebP => {
            if picture.width > MAX_WEBP || picture.height > MAX_WEBP {
                return Err(too_large(picture));
            }
            encode_by(WebPEncoder::new_lossless(&mut file), picture, profile)?;
        }
        Format::Gif => encode_gif(picture, &mut file)?,
    }
    Ok(file)
}

pub(super) fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("encoding a picture: {error}"))
}

/// Columns and rows, where the form counts them in 16 bits.
pub(super) fn small_size(picture: &Bitmap) -> Result<(u16, u16)> {
    let size = (u16::try_from(picture.width), u16::try_from(picture.height));
    if let (Ok(width), Ok(height)) = size {
        return Ok((width, height));
    }
    Err(too_large(picture))
}

fn too_large(Bitmap { width, height, .. }: &Bitmap) -> Error {
    Error::new(ErrorKind::TooLarge, format!("picture of {width} × {height} pixels"))
}

/// Colours have as many samples as grey from a quality of 90 on.
fn encode_jpeg(picture: &Bitmap, quality: u8, profile: Option<&[u8]>) -> Result<Vec<u8>> {
    let colours = match picture.channels {
        Channels::Grey => Colours::Grey,
        Channels::Rgb => Colours::Rgb,
    };
    let chrominance = if quality < 90 { Chrominance::Quartered } else { Chrominance::Whole };
    let Bitmap { width: columns, height: rows, ref bytes, .. } = *picture;
    encode_baseline(&Samples8 { bytes, columns, rows, colours }, quality, chrominance, profile)
}

fn encode_by(mut encoder: impl ImageEncoder, picture: &Bitmap, profile: Option<Vec<u8>>) -> Result<()> {
    let color = match picture.channels {
        Channels::Grey => ExtendedColorType::L8,
        Channels::Rgb => ExtendedColorType::Rgb8,
    };
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).map_err(|e| internal(&e))?;
    }
    let Bitmap { width, height, bytes, .. } = picture;
    encoder.write_image(bytes, *width, *height, color).map_err(|e| internal(&e))
}

fn encode_gif(picture: &Bitmap, file: &mut Vec<u8>) -> Result<()> {
    let frame = GifFrame::new(picture, 0)?;
    let mut animation = GifAnimation::new(&frame)?;
    file.extend(animation.push(&frame)?);
    file.extend(animation.finish()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;
    use rstest::rstest;

    use super::*;

    fn ramp() -> Bitmap {
        Bitmap { width: 16, height: 16, channels: Channels::Grey, bytes: (0..=255).collect() }
    }

    fn decoded(file: &[u8], format: ImageFormat) -> image::RgbImage {
        image::load_from_memory_with_format(file, format).unwrap().to_rgb8()
    }

    #[rstest]
    #[case::png(Format::Png, ImageFormat::Png)]
    #[case::gif(Format::Gif, ImageFormat::Gif)]
    #[case::webp(Format::WebP, ImageFormat::WebP)]
    fn all_shades_of_grey_survive(#[case] format: Format, #[case] read_as: ImageFormat) {
        let picture = decoded(&encode(&ramp(), format, None).unwrap(), read_as);
        assert_eq!((picture.width(), picture.height()), (16, 16));
        assert!(picture.pixels().zip(ramp().bytes).all(|(pixel, grey)| pixel.0 == [grey; 3]));
    }

    #[rstest]
    #[case::png(Format::Png, ImageFormat::Png)]
    #[case::gif(Format::Gif, ImageFormat::Gif)]
    #[case::webp(Format::WebP, ImageFormat::WebP)]
    fn colours_survive(#[case] format: Format, #[case] read_as: ImageFormat) {
        let bytes = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7];
        let picture = Bitmap { width: 2, height: 2, channels: Channels::Rgb, bytes: bytes.clone() };
        assert_eq!(decoded(&encode(&picture, format, None).unwrap(), read_as).into_raw(), bytes);
    }

    #[test]
    fn jpeg_is_baseline_and_lower_quality_is_smaller() {
        let bytes = (0..64 * 64_u32).map(|i| u8::try_from(i * 7919 % 251).unwrap()).collect();
        let noise = Bitmap { width: 64, height: 64, channels: Channels::Grey, bytes };
        let sizes = [1, 50, 100].map(|quality| encode(&noise, Format::Jpeg { quality }, None).unwrap());
        assert!(sizes[0].len() < sizes[1].len() && sizes[1].len() < sizes[2].len());
        assert!(sizes.iter().all(|file| file.windows(2).any(|marker| marker == [0xFF, 0xC0])));
    }

    #[test]
    fn more_columns_than_jpeg_can_count_are_too_large() {
        let picture = Bitmap { width: 70_000, height: 1, channels: Channels::Grey, bytes: vec![0; 70_000] };
        assert_eq!(
            encode(&picture, Format::Jpeg { quality: 80 }, None).unwrap_err().kind,
            ErrorKind::TooLarge
        );
    }

    #[rstest]
    #[case::jpeg(Format::Jpeg { quality: 90 }, b"ICC_PROFILE\0")]
    #[case::png(Format::Png, b"iCCP")]
    #[case::webp(Format::WebP, b"ICCP")]
    fn a_profile_stands_in_the_file(#[case] format: Format, #[case] mark: &[u8]) {
        let has_mark = |file: &[u8]| file.windows(mark.len()).any(|window| window == mark);
        let picture = Bitmap { width: 1, height: 1, channels: Channels::Rgb, bytes: vec![1, 2, 3] };
        assert!(has_mark(&encode(&picture, format, Some(vec![7; 128])).unwrap()));
        assert!(!has_mark(&encode(&picture, format, None).unwrap()));
    }
}

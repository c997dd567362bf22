//! Pictures of the web as native pixels, for instances that are made of them (PS3.18 §8.7.3.3).

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, Limits};

use super::{Error, ErrorKind, Result};

/// Bytes that the pixels of a picture may take, all frames together.
pub const MAX_PICTURE: usize = 64 << 20;

/// What a picture comes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// One picture of 8 or 16 bits.
    Png,
    /// One picture or several.
    Gif,
}

/// Pixels as Explicit VR Little Endian has them, colour by pixel; what was transparent in a GIF has the colour behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Rows of a frame.
    pub rows: u16,
    /// Columns of a frame.
    pub columns: u16,
    /// 1 for grey, 3 for red, green and blue.
    pub samples: u16,
    /// 8 or 16.
    pub bits: u16,
    /// At least one.
    pub frames: u32,
    /// All frames, one after the other.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Decodes it.
    ///
    /// # Errors
    /// `Corrupt` for what is no such picture or breaks off; `Unsupported` for a PNG that is transparent anywhere; `TooLarge` for more than [`MAX_PICTURE`] bytes of pixels.
    pub fn read(file: &[u8], kind: PictureKind) -> Result<Self> {
        match kind {
            PictureKind::Png => {
                let decoder = PngDecoder::with_limits(Cursor::new(file), limits()).map_err(refused)?;
                check(decoder.total_bytes())?;
                Self::of_image(DynamicImage::from_decoder(decoder).map_err(refused)?)
            }
            PictureKind::Gif => {
                let mut decoder = GifDecoder::new(Cursor::new(file)).map_err(refused)?;
                decoder.set_limits(limits()).map_err(refused)?;
                Self::of_animation(decoder)
            }
        }
    }

    fn of_image(image: DynamicImage) -> Result<Self> {
        let words = |words: Vec<u16>| words.into_iter().flat_map(u16::to_le_bytes).collect();
        let (width, height) = (image.width(), image.height());
        if !is_opaque(&image) {
            return Err(Error::unsupported("PNG has transparent pixels, for which an image has no place"));
        }
        let (samples, bits, bytes) = match image {
            DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
                (1, 16, words(image.into_luma16().into_raw()))
            }
            DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
                (3, 16, words(image.into_rgb16().into_raw()))
            }
            DynamicImage::ImageLuma8(_) | DynamicImage::ImageLumaA8(_) => {
                (1, 8, image.into_luma8().into_raw())
            }
            _ => (3, 8, image.into_rgb8().into_raw()),
        };
        Ok(Self { rows: side(height)?, columns: side(width)?, samples, bits, frames: 1, bytes })
    }

    fn of_animation(decoder: GifDecoder<Cursor<&[u8]>>) -> Result<Self> {
        let (width, height) = decoder.dimensions();
        let (mut frames, mut bytes) = (0, Vec::new());
        for frame in decoder.into_frames() {
            let rgb = DynamicImage::ImageRgba8(frame.map_err(refused)?.into_buffer()).into_rgb8();
            frames += 1;
            check((bytes.len() as u64).saturating_add(rgb.len() as u64))?;
            bytes.extend_from_slice(&rgb);
        }
        if frames == 0 {
            return Err(Error::corrupt("GIF without a picture"));
        }
        Ok(Self { rows: side(height)?, columns: side(width)?, samples: 3, bits: 8, frames, bytes })
    }
}

fn is_opaque(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(pixels) => pixels.pixels().all(|pixel| pixel.0[1] == u8::MAX),
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().all(|pixel| pixel.0[3] == u8::MAX),
        DynamicImage::ImageLumaA16(pixels) => pixels.pixels().all(|pixel| pixel.0[1] == u16::MAX),
        DynamicImage::ImageRgba16(pixels) => pixels.pixels().all(|pixel| pixel.0[3] == u16::MAX),
        _ => true,
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(u32::from(u16::MAX));
    limits.max_image_height = Some(u32::from(u16::MAX));
    limits.max_alloc = Some(MAX_PICTURE as u64);
    limits
}

fn check(bytes: u64) -> Result<()> {
    if bytes <= MAX_PICTURE as u64 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("picture of {bytes} bytes of pixels, limit is {MAX_PICTURE}"),
    ))
}

fn side(pixels: u32) -> Result<u16> {
    u16::try_from(pixels)
        .map_err(|_| Error::new(ErrorKind::TooLarge, format!("picture with an edge of {pixels} pixels")))
}

fn refused(error: image::ImageError) -> Error {
    match error {
        image::ImageError::Limits(limit) => {
            Error::new(ErrorKind::TooLarge, format!("picture is too large: {limit}"))
        }
        error => Error::corrupt(format!("picture cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};
    use proptest::prelude::*;

    use super::super::{Bitmap, Channels, GifAnimation, GifFrame};
    use super::*;

    fn png(pixels: &[u8], columns: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut file = Vec::new();
        let rows = u32::try_from(pixels.len()).unwrap() / columns / u32::from(color.bits_per_pixel() / 8);
        let encoder = image::codecs::png::PngEncoder::new(&mut file);
        encoder.write_image(pixels, columns, rows, color).unwrap();
        file
    }

    #[test]
    fn png_of_every_depth_keeps_its_samples() {
        let eight: Vec<u8> = (0..24).collect();
        let grey = Picture::read(&png(&eight, 4, ExtendedColorType::L8), PictureKind::Png).unwrap();
        assert_eq!((grey.rows, grey.columns, grey.samples, grey.bits), (6, 4, 1, 8));
        assert_eq!((grey.frames, &grey.bytes), (1, &eight));
        let rgb = Picture::read(&png(&eight, 4, ExtendedColorType::Rgb8), PictureKind::Png).unwrap();
        assert_eq!((rgb.rows, rgb.samples, &rgb.bytes), (2, 3, &eight));
        let deep = Picture::read(&png(&eight, 4, ExtendedColorType::L16), PictureKind::Png).unwrap();
        assert_eq!((deep.rows, deep.bits, &deep.bytes), (3, 16, &eight));
        let opaque: Vec<u8> = eight.chunks(3).flat_map(|rgb| [rgb, &[255]].concat()).collect();
        let opaque = Picture::read(&png(&opaque, 4, ExtendedColorType::Rgba8), PictureKind::Png).unwrap();
        assert_eq!((opaque.samples, &opaque.bytes), (3, &eight));
    }

    #[test]
    fn png_that_is_transparent_anywhere_is_refused() {
        for (color, opaque) in
            [(ExtendedColorType::Rgba8, vec![255; 16]), (ExtendedColorType::La16, vec![255; 16])]
        {
            assert!(Picture::read(&png(&opaque, 2, color), PictureKind::Png).is_ok());
            let clear = [&opaque[..15], &[254]].concat();
            let error = Picture::read(&png(&clear, 2, color), PictureKind::Png).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
        }
    }

    #[test]
    fn every_frame_of_a_gif_is_there() {
        let grey = |value| Bitmap { width: 3, height: 2, channels: Channels::Grey, bytes: vec![value; 6] };
        let frames = [9, 200].map(|value| GifFrame::new(&grey(value), 5).unwrap());
        let mut animation = GifAnimation::new(&frames[0]).unwrap();
        let mut file: Vec<u8> = frames.iter().flat_map(|frame| animation.push(frame).unwrap()).collect();
        file.extend(animation.finish().unwrap());
        let picture = Picture::read(&file, PictureKind::Gif).unwrap();
        assert_eq!((picture.rows, picture.columns, picture.samples, picture.frames), (2, 3, 3, 2));
        assert_eq!(picture.bytes, [[9; 18], [200; 18]].concat());
    }

    #[test]
    fn a_picture_that_would_take_too_much_is_refused_before_it_does() {
        let mut file = png(&[0; 4], 2, ExtendedColorType::L8);
        // Width and height stand in the first chunk, its checksum behind them.
        file[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
        let checksum = crc32fast::hash(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(Picture::read(&file, PictureKind::Png).unwrap_err().kind, ErrorKind::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (kind, magic) in [(PictureKind::Png, b"\x89PNG\r\n\x1a\n".as_slice()), (PictureKind::Gif, b"GIF89a")] {
                let _ = Picture::read(&bytes, kind);
                let _ = Picture::read(&[magic, &bytes].concat(), kind);
            }
        }
    }
}

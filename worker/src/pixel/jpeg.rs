//! JPEG of 8 bits: baseline, and the extended and progressive streams that have no more bits.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::jpeg_header::JpegHeader;
use super::{Error, ImageInfo, Photometric, Result};

/// Most pixels that a byte of a stream can stand for: eight blocks, of a bit each (§G.1.2.1).
const MAX_PIXELS_OF_A_BYTE: usize = 8 * 64;

/// Decoded samples by pixel, and the photometric interpretation that they have.
pub(super) struct Jpeg {
    pub(super) samples: Vec<u8>,
    pub(super) photometric: Photometric,
}

/// Decodes a frame to the samples of the stream; colours are not converted.
///
/// # Errors
/// `Unsupported` for processes and precisions that are not decoded here; `Corrupt` when the stream
/// is broken or is not the image that the data set describes; `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo) -> Result<Jpeg> {
    let header = JpegHeader::read(frame)?;
    if header.process > 2 || header.precision != 8 {
        return Err(Error::unsupported(format!(
            "JPEG process {} with samples of {} bits",
            header.process, header.precision
        )));
    }
    check_shape(&header, info)?;
    let pixels = info.pixels()?;
    if frame.len().saturating_mul(MAX_PIXELS_OF_A_BYTE) < pixels {
        return Err(Error::corrupt(format!(
            "JPEG stream of {} bytes cannot hold {pixels} pixels",
            frame.len()
        )));
    }
    let length = pixels.saturating_mul(header.components.len());
    let photometric = photometric(&header, info.photometric);

    let options = DecoderOptions::default()
        .set_max_width(usize::from(header.columns))
        .set_max_height(usize::from(header.rows))
        .jpeg_set_out_colorspace(as_it_is(&header));
    let stream = header.without_adobe(frame);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*stream), options);
    let samples = decoder.decode().map_err(|error| Error::corrupt(format!("JPEG stream: {error:?}")))?;
    if samples.len() != length {
        return Err(Error::corrupt(format!(
            "JPEG stream gives {} bytes, {length} are needed",
            samples.len()
        )));
    }
    Ok(Jpeg { samples, photometric })
}

fn check_shape(header: &JpegHeader, info: &ImageInfo) -> Result<()> {
    let stream = (u32::from(header.rows), u32::from(header.columns));
    if stream != (info.rows, info.columns) {
        return Err(Error::corrupt(format!(
            "JPEG stream has {} × {} pixels, the data set {} × {}",
            stream.0, stream.1, info.rows, info.columns
        )));
    }
    match header.components.len() {
        1 | 3 if u32::try_from(header.components.len()) == Ok(info.samples_per_pixel) => Ok(()),
        4 => Err(Error::unsupported("JPEG of four colours")),
        other => Err(Error::corrupt(format!(
            "JPEG stream has {other} colours, the data set {}",
            info.samples_per_pixel
        ))),
    }
}

/// The colour space that the decoder takes a stream without Adobe's segment for, so that it converts
/// nothing.
fn as_it_is(header: &JpegHeader) -> ColorSpace {
    match header.components.len() {
        1 => ColorSpace::Luma,
        _ if is_named_rgb(header) => ColorSpace::RGB,
        _ => ColorSpace::YCbCr,
    }
}

fn is_named_rgb(header: &JpegHeader) -> bool {
    header.components.iter().map(|component| component.id).eq(*b"RGB")
}

/// What the samples are: the stream knows better than the data set, where it says so.
///
/// Many devices leave RGB in Photometric Interpretation when their encoder made YCbCr of it, and
/// some write RGB streams under YBR_FULL_422. An Adobe segment, components called R, G and B, a JFIF
/// segment, and colours of fewer samples (which RGB never has) settle it, in this order.
fn photometric(header: &JpegHeader, declared: Photometric) -> Photometric {
    if header.components.len() == 1 {
        return declared;
    }
    match header.adobe {
        Some(0) => return Photometric::Rgb,
        Some(_) => return Photometric::YbrFull,
        None => {}
    }
    if is_named_rgb(header) {
        Photometric::Rgb
    } else if header.is_jfif || header.is_subsampled() || declared != Photometric::Rgb {
        Photometric::YbrFull
    } else {
        Photometric::Rgb
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::ErrorKind;
    use super::super::fixture::{grey, rgb};
    use super::super::jpeg_header::Component;
    use super::*;

    fn encoded(samples: &[u8], columns: u16, rows: u16, color: ColorType) -> Vec<u8> {
        let mut stream = Vec::new();
        Encoder::new(&mut stream, 100).encode(samples, columns, rows, color).unwrap();
        stream
    }

    fn differ_by_at_most(limit: u8, left: &[u8], right: &[u8]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.abs_diff(*b) <= limit)
    }

    #[test]
    fn grey_comes_back_nearly_as_it_was() {
        let ramp: Vec<u8> = (0..=255).collect();
        let jpeg = decode(&encoded(&ramp, 16, 16, ColorType::Luma), &grey(16, 16, 8)).unwrap();
        assert!(differ_by_at_most(3, &jpeg.samples, &ramp));
        assert_eq!(jpeg.photometric, Photometric::Monochrome2);
    }

    #[test]
    fn a_jfif_stream_under_rgb_is_known_as_ycbcr_and_not_converted() {
        let red = [255, 0, 0].repeat(64);
        let jpeg = decode(&encoded(&red, 8, 8, ColorType::Rgb), &rgb(8, 8)).unwrap();
        assert_eq!(jpeg.photometric, Photometric::YbrFull);
        // Y = 0.299 · 255, Cb = 128 − 0.1687 · 255, Cr = 128 + 0.5 · 255.
        assert!(differ_by_at_most(2, &jpeg.samples, &[76, 85, 255].repeat(64)));
    }

    #[rstest]
    #[case::adobe_none(Some(0), true, [1, 2, 3], 0x11, Photometric::YbrFull422, Photometric::Rgb)]
    #[case::adobe_ycbcr(Some(1), false, *b"RGB", 0x11, Photometric::Rgb, Photometric::YbrFull)]
    #[case::named(None, true, *b"RGB", 0x11, Photometric::YbrFull, Photometric::Rgb)]
    #[case::jfif(None, true, [1, 2, 3], 0x11, Photometric::Rgb, Photometric::YbrFull)]
    #[case::subsampled(None, false, [1, 2, 3], 0x22, Photometric::Rgb, Photometric::YbrFull)]
    #[case::declared_rgb(None, false, [0, 1, 2], 0x11, Photometric::Rgb, Photometric::Rgb)]
    #[case::declared_ybr(None, false, [0, 1, 2], 0x11, Photometric::YbrFull, Photometric::YbrFull)]
    fn the_stream_tells_its_colours(
        #[case] adobe: Option<u8>,
        #[case] is_jfif: bool,
        #[case] ids: [u8; 3],
        #[case] sampling: u8,
        #[case] declared: Photometric,
        #[case] found: Photometric,
    ) {
        let [first, second, third] = ids;
        let component = |id, sampling| Component { id, sampling };
        let components = vec![component(first, sampling), component(second, 0x11), component(third, 0x11)];
        let header = JpegHeader {
            process: 0,
            precision: 8,
            rows: 1,
            columns: 1,
            components,
            is_jfif,
            adobe,
            adobe_segments: Vec::new(),
        };
        assert_eq!(photometric(&header, declared), found);
    }

    #[test]
    fn a_stream_of_another_size_or_other_colours_is_corrupt() {
        let stream = encoded(&[0; 64], 8, 8, ColorType::Luma);
        for info in [grey(8, 16, 8), rgb(8, 8)] {
            assert_eq!(decode(&stream, &info).err().map(|e| e.kind), Some(ErrorKind::Corrupt));
        }
    }

    #[test]
    fn a_small_stream_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let mut stream = encoded(&[0; 64], 8, 8, ColorType::Luma);
        let frame = stream.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        stream[frame + 5..frame + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
        let error = decode(&stream, &grey(16_384, 16_384, 8)).err();
        assert_eq!(error.map(|e| e.kind), Some(ErrorKind::Corrupt));
    }

    #[test]
    fn twelve_bits_are_unsupported() {
        let mut stream = encoded(&[0; 64], 8, 8, ColorType::Luma);
        let frame = stream.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        stream[frame + 4] = 12;
        assert_eq!(decode(&stream, &grey(8, 8, 16)).err().map(|e| e.kind), Some(ErrorKind::Unsupported));
    }

    proptest! {
        #[test]
        fn a_damaged_stream_is_an_image_or_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut stream = encoded(&(0..192).collect::<Vec<u8>>(), 8, 8, ColorType::Rgb);
            let place = at.index(stream.len());
            stream[place] = byte;
            let _ = decode(&stream, &rgb(8, 8));
            let _ = decode(&stream[..cut.index(stream.len())], &rgb(8, 8));
        }
    }
}

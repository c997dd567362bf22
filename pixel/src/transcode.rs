//! Stored bytes of a frame → the bytes it has in Explicit VR Little Endian.

use bytes::Bytes;
use dicom_store::model::{Codec, Encoding, TransferSyntaxUid};

use super::color::ybr_to_rgb;
use super::{Decoded, ImageInfo, Photometric, Result, decode, deflate, native, rle};

/// A frame as native Pixel Data holds it (PS3.5 §8.1.1), without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeFrame {
    /// Little endian; Planar Configuration as the data set has it, single bits packed from bit 0.
    pub bytes: Bytes,
    /// What the samples are: as the data set has it, but RGB where a codec has converted them to it
    /// (YBR_RCT, YBR_ICT, XYB), and for a lossy JPEG frame under a photometric interpretation that would mean fewer
    /// samples natively (YBR_FULL_422 and the like), or under RGB. Without loss YBR_FULL_422 becomes YBR_FULL.
    pub photometric: Photometric,
}

/// The exact bytes of a frame in Explicit VR Little Endian; a stored native frame is not copied.
///
/// # Errors
/// As [`decode`].
pub fn to_native_le(frame: &Bytes, info: &ImageInfo, syntax: &TransferSyntaxUid) -> Result<NativeFrame> {
    let facts = syntax.facts();
    let (bytes, photometric) = match facts.codec {
        Codec::Native if facts.encoding == Encoding::ExplicitBig => {
            (native::little_endian(frame, info, true)?.into_owned().into(), info.photometric)
        }
        Codec::Native => {
            let length = native::little_endian(frame, info, false)?.len();
            (frame.slice(..length), info.photometric)
        }
        Codec::Rle => {
            // Each component has a segment of its own, so none is halved whatever is declared.
            let photometric = match info.photometric {
                Photometric::YbrFull422 => Photometric::YbrFull,
                other => other,
            };
            (rle::decode(frame, info, info.is_planar)?.into(), photometric)
        }
        Codec::Deflate => (deflate::inflate(frame, info)?.into(), info.photometric),
        codec => from_codec(decode(frame, info, syntax)?, info, codec),
    };
    Ok(NativeFrame { bytes, photometric })
}

/// What a codec gave, in the layout of the data set.
fn from_codec(decoded: Decoded<'_>, declared: &ImageInfo, codec: Codec) -> (Bytes, Photometric) {
    let Decoded { samples, info } = decoded;
    let (mut samples, mut photometric) = (samples.into_owned(), info.photometric);
    let is_cosine = matches!(codec, Codec::JpegBaseline | Codec::JpegExtended);
    let is_converted = photometric == Photometric::YbrFull && declared.photometric != Photometric::YbrFull;
    if is_cosine && is_converted && info.sample_bytes() == 1 {
        ybr_to_rgb(&mut samples);
        photometric = Photometric::Rgb;
    }
    if declared.is_planar && declared.samples_per_pixel == 3 {
        samples = native::to_planes(&samples, &info);
    }
    if declared.bits_allocated == 1 {
        samples = native::pack_bits(&samples);
    }
    (samples.into(), photometric)
}

#[cfg(test)]
mod tests {
    use dicom_store::model::transfer_syntax;
    use jpeg_encoder::{ColorType, Encoder};

    use super::super::fixture::{grey, rgb};
    use super::*;

    fn native(frame: &[u8], info: &ImageInfo, uid: &str) -> NativeFrame {
        to_native_le(&Bytes::copy_from_slice(frame), info, &TransferSyntaxUid::parse(uid).unwrap()).unwrap()
    }

    fn red_jpeg() -> Vec<u8> {
        let mut stream = Vec::new();
        Encoder::new(&mut stream, 100).encode(&[255, 0, 0].repeat(64), 8, 8, ColorType::Rgb).unwrap();
        stream
    }

    #[test]
    fn stored_little_endian_is_the_same_memory_without_the_padding() {
        let stored = Bytes::from_static(&[1, 2, 3, 0]);
        let syntax = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap();
        let frame = to_native_le(&stored, &grey(1, 3, 8), &syntax).unwrap();
        assert_eq!(frame.bytes.as_ptr(), stored.as_ptr());
        assert_eq!(frame.bytes, [1, 2, 3][..]);
    }

    #[test]
    fn layout_and_4_2_2_stay_as_they_are_stored() {
        let planar = ImageInfo { is_planar: true, ..rgb(1, 2) };
        assert_eq!(
            native(&[1, 2, 3, 4, 5, 6], &planar, transfer_syntax::IMPLICIT_LITTLE).bytes,
            [1, 2, 3, 4, 5, 6][..]
        );
        let halved = ImageInfo { photometric: Photometric::YbrFull422, ..rgb(1, 2) };
        let frame = native(&[1, 2, 3, 4], &halved, transfer_syntax::EXPLICIT_LITTLE);
        assert_eq!(
            (frame.bytes, frame.photometric),
            (Bytes::from_static(&[1, 2, 3, 4]), Photometric::YbrFull422)
        );
    }

    #[test]
    fn big_endian_is_swapped() {
        assert_eq!(
            native(&[1, 2, 3, 4], &grey(1, 2, 16), transfer_syntax::EXPLICIT_BIG).bytes,
            [2, 1, 4, 3][..]
        );
    }

    #[test]
    fn jpeg_becomes_rgb_unless_ybr_full_is_declared() {
        let halved = ImageInfo { photometric: Photometric::YbrFull422, ..rgb(8, 8) };
        let frame = native(&red_jpeg(), &halved, transfer_syntax::JPEG_BASELINE);
        assert_eq!(frame.photometric, Photometric::Rgb);
        assert!(frame.bytes.chunks(3).all(|p| p[0] > 250 && p[1] < 5 && p[2] < 5), "{:?}", &frame.bytes[..6]);

        let full = ImageInfo { photometric: Photometric::YbrFull, ..rgb(8, 8) };
        let frame = native(&red_jpeg(), &full, transfer_syntax::JPEG_BASELINE);
        assert_eq!(frame.photometric, Photometric::YbrFull);
        assert!(frame.bytes.chunks(3).all(|p| p[0].abs_diff(76) < 3), "{:?}", &frame.bytes[..6]);
    }

    #[test]
    fn samples_of_a_bit_are_packed_and_others_as_wide_as_the_data_set_has_them() {
        let decoded = |info: ImageInfo, samples: Vec<u8>| Decoded { samples: samples.into(), info };
        let (bytes, _) = from_codec(
            decoded(grey(1, 10, 1).by_pixel(), vec![1, 0, 1, 0, 0, 0, 0, 0, 0, 1]),
            &grey(1, 10, 1),
            Codec::Jpeg2000,
        );
        assert_eq!(bytes, [0b101, 0b10][..]);
        let planar = ImageInfo { is_planar: true, bits_allocated: 16, ..rgb(1, 2) };
        let pixels = vec![1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
        let (bytes, _) = from_codec(decoded(planar.by_pixel(), pixels), &planar, Codec::JpegLossless);
        assert_eq!(bytes, [1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0][..]);
    }

    #[test]
    fn without_loss_no_colour_is_converted() {
        let halved = ImageInfo { photometric: Photometric::YbrFull422, ..rgb(1, 1) };
        let decoded = Decoded { samples: vec![9, 8, 7].into(), info: halved.by_pixel() };
        let (bytes, photometric) = from_codec(decoded, &halved, Codec::JpegLossless);
        assert_eq!((bytes, photometric), (Bytes::from_static(&[9, 8, 7]), Photometric::YbrFull));
    }

    #[test]
    fn jpeg_comes_in_planes_when_the_data_set_says_so() {
        let planar = ImageInfo { is_planar: true, ..rgb(8, 8) };
        let frame = native(&red_jpeg(), &planar, transfer_syntax::JPEG_BASELINE);
        assert!(frame.bytes[..64].iter().all(|red| *red > 250));
        assert!(frame.bytes[64..].iter().all(|other| *other < 5));
    }
}

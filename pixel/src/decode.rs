//! Stored bytes of a frame → samples.

use std::borrow::Cow;

use dicom_store::model::{Codec, Encoding, TransferSyntaxUid};

use super::{Error, ImageInfo, Result, deflate, jpeg, jpeg_ls, jpeg_xl, jpeg2000, native, rle};

/// Samples of a frame: colour by pixel, little endian, at least a byte each.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<'a> {
    /// Borrowed where the stored bytes are what is wanted.
    pub samples: Cow<'a, [u8]>,
    /// The image as it is now: layout, bits and photometric interpretation are those of `samples`.
    pub info: ImageInfo,
}

/// Whether frames in that transfer syntax can be decoded, unless they are of a kind that cannot
/// (such as JPEG of four colours).
pub fn can_decode(syntax: &TransferSyntaxUid) -> bool {
    !matches!(syntax.facts().codec, Codec::Video | Codec::Other)
}

/// Decodes one frame, as it is stored: native bytes or one code stream.
///
/// Colours are not converted: `info.photometric` of the answer says what they are. Native 4:2:2
/// comes as YBR_FULL with its chrominance doubled, single bits as bytes of 0 and 1.
///
/// # Errors
/// `Unsupported` for codecs that are not here; `Corrupt` when the bytes are not those of this image;
/// `Invalid` and `TooLarge` when the image cannot be.
pub fn decode<'a>(frame: &'a [u8], info: &ImageInfo, syntax: &TransferSyntaxUid) -> Result<Decoded<'a>> {
    let facts = syntax.facts();
    match facts.codec {
        Codec::Native => {
            let bytes = native::little_endian(frame, info, facts.encoding == Encoding::ExplicitBig)?;
            let samples = native::by_pixel(bytes, info)?;
            Ok(Decoded { samples, info: info.by_pixel() })
        }
        Codec::Rle => {
            let mut samples = Cow::Owned(rle::decode(frame, info, false)?);
            if info.bits_allocated == 1 {
                samples = native::by_pixel(samples, info)?;
            }
            Ok(Decoded { samples, info: info.by_pixel() })
        }
        Codec::Deflate => {
            let inflated = deflate::inflate(frame, info)?;
            let samples = native::by_pixel(Cow::Owned(inflated), info)?;
            Ok(Decoded { samples, info: info.by_pixel() })
        }
        Codec::JpegBaseline | Codec::JpegExtended | Codec::JpegLossless => {
            jpeg::decode(frame, info)?.fit(info)
        }
        Codec::JpegLs => jpeg_ls::decode(frame, info)?.fit(info),
        Codec::Jpeg2000 | Codec::HtJ2k => jpeg2000::decode(frame, info)?.fit(info),
        Codec::JpegXl => jpeg_xl::decode(frame, info, syntax)?.fit(info),
        codec @ (Codec::Video | Codec::Other) => {
            Err(Error::unsupported(format!("codec {codec:?} is not decoded here")))
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::model::transfer_syntax;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::fixture::{grey, rgb};
    use super::super::{ErrorKind, Photometric};
    use super::*;

    fn syntax(uid: &str) -> TransferSyntaxUid {
        TransferSyntaxUid::parse(uid).unwrap()
    }

    #[test]
    fn native_samples_are_borrowed() {
        let little = syntax(transfer_syntax::EXPLICIT_LITTLE);
        let decoded = decode(&[1, 2, 3, 4], &grey(1, 2, 16), &little).unwrap();
        assert_eq!(decoded.samples, Cow::<[u8]>::Borrowed(&[1, 2, 3, 4]));
    }

    #[test]
    fn single_bits_and_halved_chrominance_change_what_the_image_is() {
        let little = syntax(transfer_syntax::IMPLICIT_LITTLE);
        let bits = decode(&[0b11], &grey(1, 2, 1), &little).unwrap();
        assert_eq!((bits.info.bits_allocated, bits.info.bits_stored, bits.samples.len()), (8, 1, 2));
        let halved = ImageInfo { photometric: Photometric::YbrFull422, ..rgb(1, 2) };
        let doubled = decode(&[1, 2, 3, 4], &halved, &little).unwrap();
        assert_eq!((doubled.info.photometric, doubled.samples.len()), (Photometric::YbrFull, 6));
    }

    #[rstest]
    #[case("1.2.840.10008.1.2.4.102")]
    #[case("1.2.3.4.5")]
    fn a_codec_that_is_not_here_is_unsupported(#[case] uid: &str) {
        let error = decode(&[0; 64], &grey(8, 8, 8), &syntax(uid)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(!can_decode(&syntax(uid)));
    }

    proptest! {
        #[test]
        fn any_image_of_any_bytes_is_decoded_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..512),
            (rows, columns) in (0..20_u32, 0..20_u32),
            samples_per_pixel in 0..5_u32,
            (bits_allocated, bits_stored, high_bit) in (0..70_u32, 0..70_u32, 0..70_u32),
            (is_planar, is_words) in any::<(bool, bool)>(),
            is_halved in any::<bool>(),
            which in 0..5_usize,
        ) {
            let photometric = if is_halved { Photometric::YbrFull422 } else { Photometric::Rgb };
            let info = ImageInfo {
                samples_per_pixel, bits_allocated, bits_stored, high_bit, is_planar, is_words, photometric,
                ..grey(rows, columns, 8)
            };
            let uids = [
                transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::EXPLICIT_BIG,
                transfer_syntax::RLE, transfer_syntax::JPEG_BASELINE, transfer_syntax::DEFLATED_FRAMES,
            ];
            if let Ok(decoded) = decode(&bytes, &info, &syntax(uids[which])) {
                prop_assert_eq!(decoded.samples.len(), decoded.info.decoded_length().unwrap());
            }
        }
    }
}

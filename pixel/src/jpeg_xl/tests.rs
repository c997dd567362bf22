use rstest::rstest;

use super::super::damage;
use super::super::fixture::rgb;
use super::super::made_elsewhere::{self as made, bytes, grey_picture, picture, rgb_picture};
use super::*;

fn decoded(stream: &str, info: &ImageInfo, uid: &str) -> Result<Raster> {
    decode(&bytes(stream), info, &TransferSyntaxUid::parse(uid).unwrap())
}

fn words(stream: &str, info: &ImageInfo) -> Vec<u16> {
    match decoded(stream, info, transfer_syntax::JPEG_XL).unwrap().samples {
        Samples::Words(samples) => samples,
        Samples::Bytes(samples) => samples.into_iter().map(u16::from).collect(),
    }
}

#[rstest]
#[case::of_8_bits(made::JPEG_XL_8, grey_picture(8), 8, 1)]
#[case::of_12_bits(made::JPEG_XL_12, grey_picture(12), 12, 1)]
#[case::of_16_bits(made::JPEG_XL_16, grey_picture(16), 16, 1)]
#[case::colours(made::JPEG_XL_RGB, rgb_picture(), 8, 3)]
fn a_stream_without_loss_gives_its_picture(
    #[case] stream: &str,
    #[case] info: ImageInfo,
    #[case] bits: u32,
    #[case] colours: u32,
) {
    assert_eq!(words(stream, &info), picture(bits, colours));
}

#[test]
fn a_lossy_stream_in_xyb_comes_near_its_picture_in_rgb() {
    let info = ImageInfo { photometric: Photometric::Xyb, ..rgb_picture() };
    let raster = decoded(made::JPEG_XL_LOSSY, &info, transfer_syntax::JPEG_XL).unwrap();
    assert_eq!(raster.photometric, Photometric::Rgb);
    let samples = words(made::JPEG_XL_LOSSY, &info);
    // As near as libjxl comes to the steps of the picture; other colours would be off by 60 and more.
    let sum: u32 = samples.iter().zip(picture(8, 3)).map(|(a, b)| u32::from(a.abs_diff(b))).sum();
    assert!(sum / u32::try_from(samples.len()).unwrap() < 20, "{sum}");
}

#[test]
fn a_recompressed_jpeg_stream_is_rgb_whatever_it_was() {
    let info = ImageInfo { photometric: Photometric::YbrFull, ..rgb(16, 16) };
    let raster = decoded(made::JPEG_XL_RECOMPRESSED, &info, transfer_syntax::JPEG_XL_JPEG).unwrap();
    assert_eq!(raster.photometric, Photometric::Rgb);
}

#[rstest]
#[case::columns(ImageInfo { columns: 12, ..grey_picture(8) })]
#[case::colours(rgb_picture())]
fn a_stream_of_another_image_is_corrupt(#[case] info: ImageInfo) {
    let error = decoded(made::JPEG_XL_8, &info, transfer_syntax::JPEG_XL).err();
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Corrupt));
}

#[rstest]
#[case::grey(made::JPEG_XL_16, grey_picture(16), transfer_syntax::JPEG_XL_LOSSLESS)]
#[case::colours(made::JPEG_XL_RGB, rgb_picture(), transfer_syntax::JPEG_XL_LOSSLESS)]
#[case::lossy(made::JPEG_XL_LOSSY, rgb_picture(), transfer_syntax::JPEG_XL)]
#[case::recompressed(made::JPEG_XL_RECOMPRESSED, rgb(16, 16), transfer_syntax::JPEG_XL_JPEG)]
fn damaged_streams_are_survived(#[case] stream: &str, #[case] info: ImageInfo, #[case] syntax: &str) {
    damage::survives(&bytes(stream), &info, syntax);
}

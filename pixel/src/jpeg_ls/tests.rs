use dicom_store::model::transfer_syntax;
use rstest::rstest;

use super::super::fixture::{grey, rgb};
use super::super::made_elsewhere::{self as made, bytes, grey_picture, picture, rgb_picture};
use super::super::{ErrorKind, Photometric, damage};
use super::*;

fn words(stream: &[u8], info: &ImageInfo) -> Vec<u16> {
    match decode(stream, info).unwrap().samples {
        Samples::Words(samples) => samples,
        Samples::Bytes(_) => panic!("bytes"),
    }
}

fn kind(stream: &[u8], info: &ImageInfo) -> Option<ErrorKind> {
    decode(stream, info).err().map(|error| error.kind)
}

/// ISO/IEC 14495-1 §H.3.
const EXAMPLE: &str = "FFD8FFF7000B080004000401011100FFDA0008010100000000C000006C80208E01C0000057400000\
    6EE6000001BC18000005D800009160FFD9";

#[test]
fn the_example_of_the_standard_gives_its_samples() {
    let samples = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
    assert_eq!(words(&bytes(EXAMPLE), &grey(4, 4, 8)), samples);
}

#[rstest]
#[case::of_8_bits(made::JPEG_LS_8, grey_picture(8), 8, 1, 0)]
#[case::of_12_bits(made::JPEG_LS_12, grey_picture(12), 12, 1, 0)]
#[case::of_16_bits(made::JPEG_LS_16, grey_picture(16), 16, 1, 0)]
#[case::near(made::JPEG_LS_NEAR, grey_picture(8), 8, 1, 3)]
#[case::in_planes(made::JPEG_LS_PLANES, rgb_picture(), 8, 3, 0)]
#[case::in_lines(made::JPEG_LS_LINES, rgb_picture(), 8, 3, 0)]
#[case::in_samples(made::JPEG_LS_SAMPLES, rgb_picture(), 8, 3, 0)]
#[case::in_samples_near(made::JPEG_LS_SAMPLES_NEAR, rgb_picture(), 8, 3, 2)]
fn a_stream_of_another_encoder_gives_its_picture(
    #[case] stream: &str,
    #[case] info: ImageInfo,
    #[case] bits: u32,
    #[case] colours: u32,
    #[case] near: u16,
) {
    let samples = words(&bytes(stream), &info);
    let picture = picture(bits, colours);
    assert_eq!(samples.len(), picture.len());
    let farthest = samples.iter().zip(&picture).map(|(a, b)| a.abs_diff(*b)).max();
    assert_eq!(farthest, Some(near));
}

#[test]
fn colours_are_those_of_the_data_set() {
    let info = ImageInfo { photometric: Photometric::YbrFull, ..rgb_picture() };
    assert_eq!(decode(&bytes(made::JPEG_LS_LINES), &info).unwrap().photometric, Photometric::YbrFull);
}

#[test]
fn a_stream_of_another_image_is_corrupt() {
    let stream = bytes(EXAMPLE);
    for info in [grey(4, 5, 8), rgb(4, 4)] {
        assert_eq!(kind(&stream, &info), Some(ErrorKind::Corrupt));
    }
}

#[test]
fn every_stream_that_breaks_off_is_corrupt() {
    let stream = bytes(EXAMPLE);
    for length in 0..stream.len() - 4 {
        assert_eq!(kind(&stream[..length], &grey(4, 4, 8)), Some(ErrorKind::Corrupt), "{length} bytes");
    }
}

#[rstest]
#[case::a_mapping_table(21, 1, ErrorKind::Unsupported)]
#[case::an_interleave_of_one_that_is_none(23, 3, ErrorKind::Corrupt)]
#[case::a_point_transform_of_all_bits(24, 8, ErrorKind::Corrupt)]
#[case::nearer_than_the_greatest_sample(22, 200, ErrorKind::Corrupt)]
#[case::another_colour(20, 9, ErrorKind::Corrupt)]
fn an_impossible_scan_is_refused(#[case] at: usize, #[case] byte: u8, #[case] expected: ErrorKind) {
    let mut stream = bytes(EXAMPLE);
    stream[at] = byte;
    assert_eq!(kind(&stream, &grey(4, 4, 8)), Some(expected));
}

#[test]
fn a_scan_that_comes_twice_or_never_is_corrupt() {
    let stream = bytes(EXAMPLE);
    let scan = &stream[15..stream.len() - 2];
    let twice = [&stream[..15], scan, scan, &[0xFF, 0xD9]].concat();
    assert_eq!(kind(&twice, &grey(4, 4, 8)), Some(ErrorKind::Corrupt));
    assert_eq!(kind(&[&stream[..15], &[0xFF, 0xD9]].concat(), &grey(4, 4, 8)), Some(ErrorKind::Corrupt));
}

#[test]
fn parameters_that_are_preset_hold() {
    let stream = bytes(EXAMPLE);
    // The defaults, told; then ones out of order.
    let preset =
        |numbers: [u8; 10]| [&stream[..2], &[0xFF, 0xF8, 0, 13, 1], &numbers[..], &stream[2..]].concat();
    let told = preset([0, 255, 0, 3, 0, 7, 0, 21, 0, 64]);
    assert_eq!(words(&told, &grey(4, 4, 8)), words(&stream, &grey(4, 4, 8)));
    assert_eq!(kind(&preset([0, 255, 0, 9, 0, 7, 0, 21, 0, 64]), &grey(4, 4, 8)), Some(ErrorKind::Corrupt));
}

#[rstest]
#[case::grey(made::JPEG_LS_16, grey_picture(16))]
#[case::planes(made::JPEG_LS_PLANES, rgb_picture())]
#[case::lines(made::JPEG_LS_LINES, rgb_picture())]
#[case::samples(made::JPEG_LS_SAMPLES_NEAR, rgb_picture())]
fn damaged_streams_are_survived(#[case] stream: &str, #[case] info: ImageInfo) {
    damage::survives(&bytes(stream), &info, transfer_syntax::JPEG_LS);
}

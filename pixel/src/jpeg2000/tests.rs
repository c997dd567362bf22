use dicom_store::model::transfer_syntax;
use rstest::rstest;

use super::super::fixture::rgb;
use super::super::made_elsewhere::{self as made, bytes, grey_picture, picture, rgb_picture};
use super::super::raster::Shape;
use super::super::source::Source;
use super::super::{ErrorKind, damage};
use super::*;

fn words(stream: &str, info: &ImageInfo) -> Vec<u16> {
    match decode(&bytes(stream), info).unwrap().samples {
        Samples::Words(samples) => samples,
        Samples::Bytes(samples) => samples.into_iter().map(u16::from).collect(),
    }
}

#[rstest]
#[case::of_8_bits(made::JPEG_2000_8, grey_picture(8), 8, 1)]
#[case::of_12_bits(made::JPEG_2000_12, grey_picture(12), 12, 1)]
#[case::transformed(made::JPEG_2000_RGB, rgb_picture(), 8, 3)]
#[case::high_throughput_of_8_bits(made::HTJ2K_8, grey_picture(8), 8, 1)]
#[case::high_throughput_of_16_bits(made::HTJ2K_16, grey_picture(16), 16, 1)]
#[case::high_throughput_transformed(made::HTJ2K_RGB, rgb_picture(), 8, 3)]
fn a_stream_of_another_encoder_gives_its_picture(
    #[case] stream: &str,
    #[case] info: ImageInfo,
    #[case] bits: u32,
    #[case] colours: u32,
) {
    assert_eq!(words(stream, &info), picture(bits, colours));
}

#[rstest]
#[case::part_1(made::JPEG_2000_SIGNED.to_owned())]
#[case::high_throughput(made::htj2k_signed())]
fn negative_samples_come_in_twos_complement(#[case] stream: String) {
    let info = ImageInfo { is_signed: true, ..grey_picture(16) };
    let shifted: Vec<u16> = picture(16, 1).iter().map(|sample| sample.wrapping_sub(1 << 15)).collect();
    assert_eq!(words(&stream, &info), shifted);
}

#[test]
fn a_lossy_stream_in_the_boxes_of_a_file_comes_near_its_picture() {
    let samples = words(made::JPEG_2000_LOSSY, &grey_picture(8));
    assert!(samples.iter().zip(picture(8, 1)).all(|(a, b)| a.abs_diff(b) <= 2));
}

#[rstest]
#[case(Photometric::YbrRct, Photometric::Rgb)]
#[case(Photometric::YbrIct, Photometric::Rgb)]
#[case(Photometric::Rgb, Photometric::Rgb)]
#[case(Photometric::YbrFull, Photometric::YbrFull)]
#[case(Photometric::YbrFull422, Photometric::YbrFull)]
fn what_the_codec_has_transformed_is_rgb(#[case] declared: Photometric, #[case] found: Photometric) {
    let info = ImageInfo { photometric: declared, ..rgb_picture() };
    assert_eq!(decode(&bytes(made::JPEG_2000_RGB), &info).unwrap().photometric, found);
}

#[rstest]
#[case::columns(ImageInfo { columns: 12, ..grey_picture(8) })]
#[case::rows(ImageInfo { rows: 12, ..grey_picture(8) })]
#[case::colours(rgb(11, 13))]
fn a_stream_of_another_image_is_corrupt(#[case] info: ImageInfo) {
    for stream in [made::JPEG_2000_8, made::HTJ2K_8] {
        assert_eq!(decode(&bytes(stream), &info).err().map(|error| error.kind), Some(ErrorKind::Corrupt));
    }
}

#[test]
fn more_bits_than_are_allocated_are_corrupt() {
    let error = decode(&bytes(made::JPEG_2000_12), &grey_picture(8)).err();
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Corrupt));
}

#[rstest]
#[case::grey(made::JPEG_2000_12, grey_picture(12), transfer_syntax::JPEG_2000_LOSSLESS)]
#[case::colours(made::JPEG_2000_RGB, rgb_picture(), transfer_syntax::JPEG_2000_LOSSLESS)]
#[case::in_boxes(made::JPEG_2000_LOSSY, grey_picture(8), transfer_syntax::JPEG_2000)]
#[case::high_throughput(made::HTJ2K_16, grey_picture(16), transfer_syntax::HTJ2K_LOSSLESS)]
#[case::high_throughput_colours(made::HTJ2K_RGB, rgb_picture(), transfer_syntax::HTJ2K)]
fn damaged_streams_are_survived(#[case] stream: &str, #[case] info: ImageInfo, #[case] syntax: &str) {
    damage::survives(&bytes(stream), &info, syntax);
}

/// Slopes with some noise, by pixel.
fn source(rows: u32, columns: u32, colours: usize, precision: u32, is_signed: bool) -> Source {
    let mut numbers = damage::Numbers(3);
    let count = usize::try_from(rows * columns).unwrap() * colours;
    let mask = u16::MAX >> (16 - precision);
    let sample = |at: usize, noise: usize| u16::try_from((at * 5 + noise) & 0xFFFF).unwrap() & mask;
    let samples = (0..count).map(|at| sample(at, numbers.below(9))).collect();
    Source { shape: Shape { rows, columns, colours, precision }, is_signed, samples }
}

/// The other decoders read what is written here.
#[rstest]
#[case(source(64, 64, 1, 8, false))]
#[case(source(200, 131, 1, 12, false))]
#[case(source(131, 200, 1, 16, true))]
#[case(source(1, 77, 1, 16, false))]
#[case(source(90, 61, 3, 8, false))]
#[case(source(513, 400, 1, 10, true))]
fn openjpeg_and_hayro_read_what_is_written_here(#[case] source: Source) {
    for transforms in [false, true] {
        let stream = encode(&source, BlockCoder::HighThroughput, transforms).unwrap();
        let header = Header::read(&stream).unwrap();
        assert!(Plain::read(&stream, &header).is_some());
        assert!(high_throughput(&stream, &header).unwrap() == source.samples, "OpenJPEG");
        let stream = encode(&source, BlockCoder::Arithmetic, transforms).unwrap();
        assert!(part_1(&stream, &Header::read(&stream).unwrap()).unwrap() == source.samples, "hayro");
    }
}

#[test]
fn a_blank_frame_of_few_bytes_is_decoded_where_that_is_cheap_and_refused_elsewhere() {
    let blank = Source { samples: vec![7; 4096 * 4096], ..source(4096, 4096, 1, 8, false) };
    let info = ImageInfo { rows: 4096, columns: 4096, ..grey_picture(8) };
    let stream = encode(&blank, BlockCoder::HighThroughput, false).unwrap();
    assert!(stream.len() < 10_000, "{} bytes", stream.len());
    let Samples::Bytes(samples) = decode(&stream, &info).unwrap().samples else { panic!("bytes") };
    assert!(samples.iter().all(|sample| *sample == 7));
    let stream = encode(&blank, BlockCoder::Arithmetic, false).unwrap();
    assert_eq!(decode(&stream, &info).err().map(|error| error.kind), Some(ErrorKind::TooLarge));
}

use dicom_store::model::transfer_syntax;
use jpeg_encoder::{ColorType, Encoder};
use rstest::rstest;

use super::super::fixture::{grey, rgb};
use super::super::{ErrorKind, damage};
use super::header::Component;
use super::written::{self, Written};
use super::*;

fn encoded(samples: &[u8], columns: u16, rows: u16, color: ColorType) -> Vec<u8> {
    let mut stream = Vec::new();
    Encoder::new(&mut stream, 100).encode(samples, columns, rows, color).unwrap();
    stream
}

fn bytes(raster: &Raster) -> &[u8] {
    match &raster.samples {
        Samples::Bytes(samples) => samples,
        Samples::Words(_) => panic!("words"),
    }
}

fn differ_by_at_most(limit: u8, left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a.abs_diff(*b) <= limit)
}

#[test]
fn grey_comes_back_nearly_as_it_was() {
    let ramp: Vec<u8> = (0..=255).collect();
    let jpeg = decode(&encoded(&ramp, 16, 16, ColorType::Luma), &grey(16, 16, 8)).unwrap();
    assert!(differ_by_at_most(3, bytes(&jpeg), &ramp));
    assert_eq!(jpeg.photometric, Photometric::Monochrome2);
}

#[test]
fn a_jfif_stream_under_rgb_is_known_as_ycbcr_and_not_converted() {
    let red = [255, 0, 0].repeat(64);
    let jpeg = decode(&encoded(&red, 8, 8, ColorType::Rgb), &rgb(8, 8)).unwrap();
    assert_eq!(jpeg.photometric, Photometric::YbrFull);
    // Y = 0.299 · 255, Cb = 128 − 0.1687 · 255, Cr = 128 + 0.5 · 255.
    assert!(differ_by_at_most(2, bytes(&jpeg), &[76, 85, 255].repeat(64)));
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
    let component = |id, sampling| Component { id, sampling, quantization: 0 };
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

#[rstest]
#[case::twelve_bits_of_a_baseline_stream(0xC0, 12)]
#[case::eleven_bits(0xC1, 11)]
#[case::progressive_of_eleven_bits(0xC2, 11)]
#[case::hierarchical(0xC5, 8)]
#[case::arithmetic(0xC9, 8)]
fn other_processes_and_precisions_are_unsupported(#[case] process: u8, #[case] precision: u8) {
    let stream = Written { process, precision, rows: 8, columns: 8, ..Written::default() }.stream(&[]);
    assert_eq!(decode(&stream, &grey(8, 8, 16)).err().map(|e| e.kind), Some(ErrorKind::Unsupported));
}

#[test]
fn colours_that_are_coded_without_loss_are_those_of_the_data_set() {
    let samples: Vec<u16> = (0..12).collect();
    let stream = written::lossless(&samples, 2, 2, 3, &[1, 0, 0]);
    for declared in [Photometric::Rgb, Photometric::YbrFull] {
        let raster = decode(&stream, &ImageInfo { photometric: declared, ..rgb(2, 2) }).unwrap();
        assert_eq!((raster.samples, raster.photometric), (Samples::Words(samples.clone()), declared));
    }
}

#[test]
fn damaged_streams_are_survived() {
    let samples: Vec<u16> = (0..16 * 16).map(|n| n * n % 4096).collect();
    let lossless = written::lossless(&samples, 16, 16, 1, &[6, 0, 0]);
    damage::survives(&lossless, &grey(16, 16, 16), transfer_syntax::JPEG_LOSSLESS);
    let colours: Vec<u16> = samples.iter().flat_map(|sample| [sample & 255, sample & 63, 7]).collect();
    let lossless = written::lossless(&colours, 16, 16, 3, &[1, 0, 0]);
    damage::survives(&lossless, &rgb(16, 16), transfer_syntax::JPEG_LOSSLESS_SV1);
    let block = std::array::from_fn(|y| std::array::from_fn(|x| (300 * x + 77 * y) as f64));
    let frame = Written { rows: 16, columns: 16, ..Written::default() };
    damage::survives(
        &written::sequential(&[block; 4], &frame, &[0]),
        &grey(16, 16, 16),
        transfer_syntax::JPEG_EXTENDED,
    );
    let picture: Vec<u8> = (0..16 * 16 * 3).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
    let shades: Vec<u8> = picture.iter().step_by(3).copied().collect();
    damage::survives(
        &encoded(&shades, 16, 16, ColorType::Luma),
        &grey(16, 16, 8),
        transfer_syntax::JPEG_BASELINE,
    );
    for made in [encoded, progressive] {
        damage::survives(
            &made(&picture, 16, 16, ColorType::Rgb),
            &rgb(16, 16),
            transfer_syntax::JPEG_BASELINE,
        );
    }
}

fn progressive(samples: &[u8], columns: u16, rows: u16, color: ColorType) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut encoder = Encoder::new(&mut stream, 90);
    encoder.set_progressive(true);
    encoder.encode(samples, columns, rows, color).unwrap();
    stream
}

#[test]
fn a_stream_of_8_bits_may_lack_its_end_and_have_more_behind_it_and_bytes_between_its_segments() {
    let shades: Vec<u8> = (0..24 * 16).map(|n: u32| u8::try_from(n * n % 251).unwrap()).collect();
    let stream = encoded(&shades, 24, 16, ColorType::Luma);
    let whole = decode(&stream, &grey(16, 24, 8)).unwrap().samples;
    let (coded, end) = stream.split_at(stream.len() - 2);
    assert_eq!(end, [0xFF, 0xD9]);
    let tables = stream.windows(2).position(|marker| marker == [0xFF, 0xDB]).unwrap();
    let (head, tail) = stream.split_at(tables);
    for variant in [
        coded.to_vec(),
        [coded, &[0; 7]].concat(),
        [&stream, &[0; 7][..]].concat(),
        [&stream, &b"more"[..]].concat(),
        [head, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF][..], tail].concat(),
    ] {
        assert_eq!(decode(&variant, &grey(16, 24, 8)).unwrap().samples, whole);
    }
}

#[test]
fn a_tall_stream_of_few_bytes_may_lack_its_end() {
    let stream = encoded(&[9; 8 * 64], 8, 64, ColorType::Luma);
    let whole = decode(&stream, &grey(64, 8, 8)).unwrap().samples;
    assert_eq!(decode(&stream[..stream.len() - 2], &grey(64, 8, 8)).unwrap().samples, whole);
}

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shades of pictures that are made up"
)]

use fearless_simd::Level;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use rstest::rstest;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::super::super::damage::Numbers;
use super::cosine::Block;
use super::*;

/// Shades that go over into each other, with some noise.
fn smooth(columns: u32, rows: u32, count: u32) -> Vec<u8> {
    let mut numbers = Numbers(7);
    let shade = |x: u32, y: u32, c: u32, noise: usize| {
        let wave = (f64::from(x * (c + 1)) / 9.0).sin() + (f64::from(y) / 7.0).cos();
        (128.0 + 50.0 * wave) as u8 + u8::try_from(noise).unwrap()
    };
    let places = (0..rows).flat_map(|y| (0..columns).flat_map(move |x| (0..count).map(move |c| (x, y, c))));
    places.map(|(x, y, c)| shade(x, y, c, numbers.below(8))).collect()
}

fn decoded(stream: &[u8], colours: ColorSpace) -> Vec<u8> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(colours);
    JpegDecoder::new_with_options(ZCursor::new(stream), options).decode().unwrap()
}

fn mean_square(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len());
    let sum: f64 = left.iter().zip(right).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    sum / left.len() as f64
}

/// What the other encoder makes of the same.
fn by_others(samples: &Samples8<'_>, quality: u8, chrominance: Chrominance) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut encoder = Encoder::new(&mut stream, quality);
    encoder.set_sampling_factor(match chrominance {
        Chrominance::Whole => SamplingFactor::R_4_4_4,
        Chrominance::Halved => SamplingFactor::R_4_2_2,
        Chrominance::Quartered => SamplingFactor::R_4_2_0,
    });
    let color = match samples.colours {
        Colours::Grey => ColorType::Luma,
        Colours::Rgb => ColorType::Rgb,
        Colours::Ybr => ColorType::Ycbcr,
    };
    let sizes = [samples.columns, samples.rows].map(|size| u16::try_from(size).unwrap());
    encoder.encode(samples.bytes, sizes[0], sizes[1], color).unwrap();
    stream
}

#[rstest]
fn is_as_small_and_as_near_as_what_another_encoder_makes(
    #[values(Colours::Grey, Colours::Rgb, Colours::Ybr)] colours: Colours,
    #[values(Chrominance::Whole, Chrominance::Halved, Chrominance::Quartered)] chrominance: Chrominance,
    #[values(5, 50, 80, 90, 100)] quality: u8,
    #[values((64, 48), (61, 45), (1, 1), (17, 3), (8, 1))] (columns, rows): (u32, u32),
) {
    let bytes = smooth(columns, rows, u32::try_from(colours.count()).unwrap());
    let samples = Samples8 { bytes: &bytes, columns, rows, colours };
    let space = match colours {
        Colours::Grey => ColorSpace::Luma,
        Colours::Rgb => ColorSpace::RGB,
        Colours::Ybr => ColorSpace::YCbCr,
    };
    let ours = encode(&samples, quality, chrominance, None).unwrap();
    let theirs = by_others(&samples, quality, chrominance);
    let (near, nearest) = (decoded(&ours, space), decoded(&theirs, space));
    let (near, nearest) = (mean_square(&near, &bytes), mean_square(&nearest, &bytes));
    assert!(near <= nearest * 1.2 + 1.0, "{near} instead of {nearest}");
    let most = theirs.len() + theirs.len() / 20 + 40;
    assert!(ours.len() <= most, "{} bytes instead of {}", ours.len(), theirs.len());
}

#[test]
fn coefficients_are_those_of_the_formula() {
    let basis = |x: usize, u: usize| {
        let scale = if u == 0 { (0.125_f64).sqrt() } else { 0.5 };
        scale * (std::f64::consts::PI * (2 * x + 1) as f64 * u as f64 / 16.0).cos()
    };
    let mut numbers = Numbers(3);
    for step in [1_u8, 2, 17] {
        let steps = Steps::new(&[step; 64]);
        for round in 0..50 {
            // Noise, and what has the greatest coefficients: black and white.
            let sample = |numbers: &mut Numbers| {
                if round % 2 == 0 { numbers.byte() } else { 255 * (numbers.byte() & 1) }
            };
            let lines: [[f32; 8]; 8] =
                std::array::from_fn(|_| std::array::from_fn(|_| f32::from(sample(&mut numbers)) - 128.0));
            let level = Level::new();
            let block: Block = dispatch!(level, simd => quantized(simd, &lines, &steps));
            for (order, place) in ZIGZAG.iter().enumerate() {
                let (v, u) = (usize::from(place / 8), usize::from(place % 8));
                let places = (0..64).map(|place| (place / 8, place % 8));
                let sum: f64 = places.map(|(y, x)| f64::from(lines[y][x]) * basis(y, v) * basis(x, u)).sum();
                let (exact, found) = (sum / f64::from(step), block.at(u32::try_from(order).unwrap()));
                assert!((exact - f64::from(found)).abs() < 0.501, "{order}: {found} instead of {exact}");
                assert_eq!(block.occupied >> order & 1 == 1, found != 0, "{order}");
            }
        }
    }
}

#[test]
fn the_greatest_differences_of_all_are_coded() {
    // Each column of each row in turn black or white, by the signs of every frequency.
    let signs = |place: usize, frequency: usize| {
        (std::f64::consts::PI * (2 * place + 1) as f64 * frequency as f64 / 16.0).cos() >= 0.0
    };
    for frequency in 0..64 {
        for is_turned in [false, true] {
            let (v, u) = (frequency / 8, frequency % 8);
            let shade = |y, x| if (signs(y, v) == signs(x, u)) != is_turned { 255 } else { 0 };
            let bytes: Vec<u8> = (0..64).map(|place| shade(place / 8, place % 8)).collect();
            let samples = Samples8 { bytes: &bytes, columns: 8, rows: 8, colours: Colours::Grey };
            let stream = encode(&samples, 100, Chrominance::Whole, None).unwrap();
            assert!(mean_square(&decoded(&stream, ColorSpace::Luma), &bytes) < 1.0, "{frequency}");
        }
    }
}

#[test]
fn every_set_of_instructions_gives_the_same() {
    let bytes = smooth(50, 40, 3);
    let samples = Samples8 { bytes: &bytes, columns: 50, rows: 40, colours: Colours::Rgb };
    let picture = || Picture {
        samples: &samples,
        chrominance: Chrominance::Quartered,
        steps: [&LUMINANCE, &CHROMINANCE].map(Steps::new),
        coders: [Coder::luminance(), Coder::chrominance()],
    };
    let (best, least) = (Level::new(), Level::baseline());
    let made = dispatch!(best, simd => picture().scan(simd, Vec::new()));
    assert_eq!(made, dispatch!(least, simd => picture().scan(simd, Vec::new())));
}

#[test]
fn a_profile_in_several_segments_is_read_again() {
    let profile: Vec<u8> = (0..150_000).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let samples = Samples8 { bytes: &[1, 2, 3], columns: 1, rows: 1, colours: Colours::Rgb };
    let stream = encode(&samples, 90, Chrominance::Whole, Some(&profile)).unwrap();
    let mut decoder = JpegDecoder::new(ZCursor::new(&stream));
    decoder.decode_headers().unwrap();
    assert!(decoder.icc_profile().unwrap() == profile);
    let too_large = vec![0; 255 * MOST_OF_PROFILE];
    let refused = encode(&samples, 90, Chrominance::Whole, Some(&too_large)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge);
}

#[rstest]
#[case::nothing(&[], 0, 0)]
#[case::no_rows(&[], 4, 0)]
#[case::too_wide(&[0; 65_536], 65_536, 1)]
#[case::too_few(&[0; 15], 4, 4)]
#[case::too_many(&[0; 17], 4, 4)]
fn what_is_no_picture_is_refused(#[case] bytes: &[u8], #[case] columns: u32, #[case] rows: u32) {
    let samples = Samples8 { bytes, columns, rows, colours: Colours::Grey };
    assert!(encode(&samples, 90, Chrominance::Whole, None).is_err());
}

proptest! {
    #[test]
    fn any_picture_is_read_again(
        (columns, rows) in (1..40_u32, 1..40_u32),
        colours in prop_oneof![Just(Colours::Grey), Just(Colours::Rgb), Just(Colours::Ybr)],
        chrominance in
            prop_oneof![Just(Chrominance::Whole), Just(Chrominance::Halved), Just(Chrominance::Quartered)],
        quality in any::<u8>(),
        seed in 1..u64::MAX,
        is_hard in any::<bool>(),
    ) {
        let mut numbers = Numbers(seed);
        let sample = |_| if is_hard { 255 * (numbers.byte() & 1) } else { numbers.byte() };
        let count = usize::try_from(columns * rows).unwrap() * colours.count();
        let bytes: Vec<u8> = (0..count).map(sample).collect();
        let samples = Samples8 { bytes: &bytes, columns, rows, colours };
        let stream = encode(&samples, quality, chrominance, None).unwrap();
        let space = if colours == Colours::Grey { ColorSpace::Luma } else { ColorSpace::YCbCr };
        prop_assert_eq!(decoded(&stream, space).len(), bytes.len());
    }
}

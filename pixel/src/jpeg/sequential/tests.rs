use rstest::rstest;

use super::super::super::ErrorKind;
use super::super::header::JpegHeader;
use super::super::written::{Written, sequential};
use super::*;

/// A block that rises from left to right and from top to bottom, with an edge in it.
fn block(start: f64) -> [[f64; 8]; 8] {
    std::array::from_fn(|y| {
        std::array::from_fn(|x| {
            (start + 30.0 * x as f64 + 70.0 * y as f64 + if x > y { 900.0 } else { 0.0 }).min(4095.0)
        })
    })
}

fn decoded(stream: &[u8]) -> Result<Vec<u16>> {
    decode(stream, &JpegHeader::read(stream).unwrap())
}

fn is_near(sample: u16, value: f64) -> bool {
    (f64::from(sample) - value).abs() <= 1.6
}

#[test]
fn samples_come_back_nearly_as_they_were_and_incomplete_blocks_are_cut() {
    let blocks = [block(0.0), block(500.0), block(1000.0), block(4000.0)];
    let frame = Written { rows: 11, columns: 13, ..Written::default() };
    let samples = decoded(&sequential(&blocks, &frame, &[0])).unwrap();
    assert_eq!(samples.len(), 11 * 13);
    for (at, sample) in samples.iter().enumerate() {
        let (row, column) = (at / 13, at % 13);
        let value = blocks[row / 8 * 2 + column / 8][row % 8][column % 8];
        assert!(is_near(*sample, value), "{sample} instead of {value} at {row}, {column}");
    }
}

#[test]
fn colours_of_half_the_samples_serve_several_pixels() {
    let flat = |value: f64| [[value; 8]; 8];
    // Four blocks of luminance and one of each chrominance.
    let blocks = [flat(100.0), flat(200.0), flat(300.0), flat(400.0), block(0.0), flat(4095.0)];
    let frame = Written { rows: 16, columns: 16, sampling: vec![0x22, 0x11, 0x11], ..Written::default() };
    let samples = decoded(&sequential(&blocks, &frame, &[0, 0, 0, 0, 1, 2])).unwrap();
    let pixel = |row: usize, column: usize| &samples[(row * 16 + column) * 3..][..3];
    let chrominance = block(0.0);
    for (row, column, luminance) in [(0, 0, 100.0), (3, 12, 200.0), (15, 1, 300.0), (9, 9, 400.0)] {
        let found = pixel(row, column);
        assert!(
            is_near(found[0], luminance) && is_near(found[1], chrominance[row / 2][column / 2]),
            "{found:?}"
        );
        assert_eq!(found[2], 4095);
    }
}

#[test]
fn a_stream_of_one_colour_is_read_block_by_block_whatever_its_sampling() {
    let blocks = [block(0.0), block(500.0)];
    let frame = Written { rows: 8, columns: 16, sampling: vec![0x22], ..Written::default() };
    let samples = decoded(&sequential(&blocks, &frame, &[0])).unwrap();
    assert!(is_near(samples[8], 500.0));
}

#[rstest]
#[case::of_no_samples(vec![0x00])]
#[case::of_five(vec![0x51])]
#[case::of_too_many_blocks(vec![0x44, 0x11, 0x11])]
fn impossible_sampling_factors_are_corrupt(#[case] sampling: Vec<u8>) {
    let frame = Written { process: 0xC1, precision: 12, rows: 8, columns: 8, sampling, ..Written::default() };
    assert_eq!(decoded(&frame.stream(&[])).err().map(|error| error.kind), Some(ErrorKind::Corrupt));
}

#[test]
fn every_stream_that_breaks_off_is_corrupt() {
    let stream = sequential(&[block(0.0)], &Written { rows: 8, columns: 8, ..Written::default() }, &[0]);
    let start = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    for length in start..stream.len() - 3 {
        assert_eq!(
            decoded(&stream[..length]).err().map(|error| error.kind),
            Some(ErrorKind::Corrupt),
            "{length}"
        );
    }
}

#[test]
fn a_scan_of_part_of_the_coefficients_is_corrupt() {
    let mut stream = sequential(&[block(0.0)], &Written { rows: 8, columns: 8, ..Written::default() }, &[0]);
    let scan = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    stream[scan + 7] = 5;
    assert_eq!(decoded(&stream).err().map(|error| error.kind), Some(ErrorKind::Corrupt));
}

#[test]
fn a_selection_that_ends_too_early_is_taken_for_all_coefficients() {
    let mut stream = sequential(&[block(0.0)], &Written { rows: 8, columns: 8, ..Written::default() }, &[0]);
    let samples = decoded(&stream).unwrap();
    let scan = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    stream[scan + 8] = 0;
    assert_eq!(decoded(&stream).unwrap(), samples);
}

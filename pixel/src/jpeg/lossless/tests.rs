use proptest::prelude::*;
use rstest::rstest;

use super::super::super::ErrorKind;
use super::super::header::JpegHeader;
use super::super::written::{BitWriter, Written, lossless, lossless_of};
use super::*;

fn decoded(stream: &[u8]) -> Result<Vec<u16>> {
    decode(stream, &JpegHeader::read(stream).unwrap())
}

fn kind(stream: &[u8]) -> Option<ErrorKind> {
    decoded(stream).err().map(|error| error.kind)
}

/// Neighbours that differ little and much, up to `highest`.
fn rough(count: usize, highest: u16) -> Vec<u16> {
    (0..count).map(|n| u16::try_from(n * n * 7919 % (usize::from(highest) + 1)).unwrap()).collect()
}

#[rstest]
fn every_predictor_gives_the_samples_back(
    #[values(1, 2, 3, 4, 5, 6, 7)] predictor: u8,
    #[values(1, 3)] colours: usize,
    #[values(2, 8, 12, 16)] precision: u8,
    #[values(0, 2)] interval: usize,
) {
    let highest = u16::try_from((1_u32 << precision) - 1).unwrap();
    let samples = rough(5 * 7 * colours, highest);
    let stream = lossless_of(&samples, (5, 7, colours), precision, &[predictor, 0, 0], interval);
    assert_eq!(decoded(&stream).unwrap(), samples);
}

#[test]
fn a_difference_of_32768_has_no_bits_of_its_own() {
    let samples = [0, 32768, 0, 65535];
    assert_eq!(decoded(&lossless_of(&samples, (2, 2, 1), 16, &[1, 0, 0], 0)).unwrap(), samples);
}

#[test]
fn a_point_transform_is_undone() {
    let samples: Vec<u16> = rough(24, 255).iter().map(|sample| sample & !3).collect();
    assert_eq!(decoded(&lossless_of(&samples, (4, 6, 1), 8, &[4, 0, 2], 0)).unwrap(), samples);
}

#[test]
fn what_is_no_lossless_scan_is_corrupt() {
    let frame = Written { rows: 4, columns: 4, ..Written::default() };
    for scan in [[0, 0, 0], [8, 0, 0], [1, 0, 8]] {
        assert_eq!(kind(&Written { scan, ..frame.clone() }.stream(&[vec![0; 64]])), Some(ErrorKind::Corrupt));
    }
    // A scan that names a colour which is not there, and a table which is not.
    let stream = frame.stream(&[vec![0; 64]]);
    let scan = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    for (offset, byte) in [(5, 9), (6, 0x10)] {
        let mut changed = stream.clone();
        changed[scan + offset] = byte;
        assert_eq!(kind(&changed), Some(ErrorKind::Corrupt));
    }
}

#[test]
fn every_stream_that_breaks_off_is_corrupt() {
    let stream = lossless(&rough(64, 255), 8, 8, 1, &[1, 0, 0]);
    let start = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    for length in start..stream.len() - 3 {
        assert_eq!(kind(&stream[..length]), Some(ErrorKind::Corrupt), "{length} bytes");
    }
    // Without the last marker all samples are there.
    assert!(decoded(&stream[..stream.len() - 2]).is_ok());
}

#[test]
fn a_colour_that_never_comes_or_comes_twice_is_corrupt() {
    let stream = lossless(&rough(12, 255), 2, 2, 3, &[1, 0, 0]);
    let start = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    let mut bits = BitWriter::default();
    (0..4).for_each(|_| bits.put(0, 5));
    let one = [&[0xFF, 0xDA, 0, 8, 1, 2, 0, 1, 0, 0][..], &bits.finish()].concat();
    assert_eq!(kind(&[&stream[..start], &one].concat()), Some(ErrorKind::Corrupt));
    assert_eq!(kind(&[&stream[..start], &one, &one].concat()), Some(ErrorKind::Corrupt));
}

#[test]
fn colours_may_come_in_scans_of_their_own() {
    let stream = lossless(&[0; 12], 2, 2, 3, &[1, 0, 0]);
    let start = stream.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    let mut split = stream[..start].to_vec();
    for (id, step) in [(1, 1), (2, 2), (3, 3)] {
        let mut bits = BitWriter::default();
        bits.number(5, 0, step);
        (0..3).for_each(|_| bits.put(0, 5));
        split.extend([&[0xFF, 0xDA, 0, 8, 1, id, 0, 1, 0, 0][..], &bits.finish()].concat());
    }
    assert_eq!(decoded(&split).unwrap(), [129, 130, 131].repeat(4));
}

#[rstest]
#[case::subsampled(Written { sampling: vec![0x21, 0x11, 0x11], rows: 2, columns: 2, ..Written::default() })]
#[case::restarts_within_a_line(Written { restart_interval: 3, rows: 4, columns: 4, ..Written::default() })]
fn rare_layouts_are_unsupported(#[case] frame: Written) {
    assert_eq!(kind(&frame.stream(&[vec![0; 64]])), Some(ErrorKind::Unsupported));
}

proptest! {
    #[test]
    fn any_samples_come_back(
        samples in proptest::collection::vec(any::<u16>(), 12),
        predictor in 1..8_u8,
        interval in 0..4_usize,
    ) {
        let stream = lossless_of(&samples, (4, 3, 1), 16, &[predictor, 0, 0], interval);
        prop_assert_eq!(decoded(&stream).unwrap(), samples);
    }
}

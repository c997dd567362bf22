use dicom_store::model::{TransferSyntaxUid, transfer_syntax};
use rstest::rstest;

use super::super::super::fixture::grey;
use super::super::super::{damage, decode as decode_frame};
use super::super::written::{BitWriter, Written, forward, sequential};
use super::*;

/// A scan: colours, first and last coefficient, bit before and bit.
type Script = [(&'static [usize], [usize; 2], [u32; 2])];

/// Bands, and bits, and blocks that end together.
const FULL: &Script = &[
    (&[0], [0, 0], [0, 2]),
    (&[0], [1, 5], [0, 3]),
    (&[0], [0, 0], [2, 1]),
    (&[0], [6, 63], [0, 3]),
    (&[0], [1, 63], [3, 2]),
    (&[0], [1, 20], [2, 1]),
    (&[0], [21, 63], [2, 1]),
    (&[0], [0, 0], [1, 0]),
    (&[0], [1, 63], [1, 0]),
];
const BANDS: &Script =
    &[(&[0], [0, 0], [0, 0]), (&[0], [1, 9], [0, 0]), (&[0], [10, 40], [0, 0]), (&[0], [41, 63], [0, 0])];

/// A stream of blocks of coefficients by colour, row by row; each colour has as many blocks as the first.
fn written(colours: &[Vec<Vec<i32>>], frame: &Written, script: &Script) -> Vec<u8> {
    let whole = Written { process: 0xC2, precision: 12, codes: (8, 255), ..frame.clone() }.stream(&[]);
    let scans = whole.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    let mut stream = whole[..scans].to_vec();
    for (of, [start, end], [before, bit]) in script {
        let count = u8::try_from(of.len()).unwrap();
        let ids = of.iter().flat_map(|colour| [u8::try_from(colour + 1).unwrap(), 0]);
        let tail =
            [*start, *end, usize::try_from(before << 4 | bit).unwrap()].map(|n| u8::try_from(n).unwrap());
        stream.extend([0xFF, 0xDA, 0, 6 + 2 * count, count]);
        stream.extend(ids.chain(tail));
        let blocks = colours[of[0]].len();
        let every =
            usize::from(frame.restart_interval).max(blocks * usize::from(frame.restart_interval == 0));
        for (n, first) in (0..blocks).step_by(every).enumerate() {
            if n > 0 {
                stream.extend([0xFF, 0xD0 + u8::try_from((n - 1) % 8).unwrap()]);
            }
            let chosen: Vec<&[Vec<i32>]> =
                of.iter().map(|colour| &colours[*colour][first..(first + every).min(blocks)]).collect();
            stream.extend(segment(&chosen, (*start, *end), (*before, *bit)));
        }
    }
    stream.extend([0xFF, 0xD9]);
    stream
}

fn segment(colours: &[&[Vec<i32>]], (start, end): (usize, usize), (before, bit): (u32, u32)) -> Vec<u8> {
    let mut bits = BitWriter::default();
    if start == 0 {
        let mut last = vec![0; colours.len()];
        for n in 0..colours[0].len() {
            for (blocks, last) in colours.iter().zip(&mut last) {
                let value = blocks[n][0] >> bit;
                if before > 0 {
                    bits.put(u32::from(value & 1 == 1), 1);
                } else {
                    bits.number(8, 0, value - *last);
                    *last = value;
                }
            }
        }
        return bits.finish();
    }
    let mut run = Run::default();
    for block in colours[0] {
        band(&mut bits, &mut run, &block[start..=end], before, bit);
    }
    run.end(&mut bits);
    bits.finish()
}

/// Blocks that have nothing more, and the bits of their coefficients that have come before.
#[derive(Default)]
struct Run {
    blocks: u32,
    corrections: Vec<u32>,
}

impl Run {
    fn end(&mut self, bits: &mut BitWriter) {
        if self.blocks > 0 {
            let width = self.blocks.ilog2();
            bits.put(width << 4, 8);
            bits.put(self.blocks - (1 << width), width);
        }
        self.blocks = 0;
        self.corrections.drain(..).for_each(|bit| bits.put(bit, 1));
    }
}

/// Coefficients of a block (Figures G.3 and G.7).
fn band(bits: &mut BitWriter, run: &mut Run, values: &[i32], before: u32, bit: u32) {
    let sizes: Vec<u32> = values.iter().map(|value| value.unsigned_abs() >> bit).collect();
    let is_new = |size: u32| if before > 0 { size == 1 } else { size > 0 };
    let behind = sizes.iter().rposition(|size| is_new(*size)).map_or(0, |last| last + 1);
    let (mut zeros, mut corrections) = (0, Vec::new());
    for (at, (size, value)) in sizes.iter().zip(values).enumerate() {
        if *size == 0 {
            zeros += 1;
            continue;
        }
        while zeros > 15 && at < behind {
            run.end(bits);
            bits.put(0xF0, 8);
            corrections.drain(..).for_each(|bit| bits.put(bit, 1));
            zeros -= 16;
        }
        if !is_new(*size) {
            corrections.push(size & 1);
            continue;
        }
        run.end(bits);
        if before > 0 {
            bits.put(zeros << 4 | 1, 8);
            bits.put(u32::from(*value > 0), 1);
        } else {
            bits.number(8, zeros, i32::try_from(*size).unwrap() * value.signum());
        }
        corrections.drain(..).for_each(|bit| bits.put(bit, 1));
        zeros = 0;
    }
    if zeros > 0 || !corrections.is_empty() {
        run.blocks += 1;
        run.corrections.append(&mut corrections);
    }
}

/// Blocks with edges, and blank ones between them.
fn picture(blocks: usize) -> Vec<[[f64; 8]; 8]> {
    let block = |n: usize| {
        std::array::from_fn(|y| {
            std::array::from_fn(|x| match n % 4 {
                0 => (37 * x * x + 61 * y + 211 * n) as f64 % 4096.0,
                3 => {
                    if (x + y + n).is_multiple_of(3) {
                        4095.0
                    } else {
                        90.0
                    }
                }
                _ => 2048.0,
            })
        })
    };
    (0..blocks).map(block).collect()
}

fn coefficients(blocks: &[[[f64; 8]; 8]]) -> Vec<Vec<i32>> {
    blocks.iter().map(forward).collect()
}

fn decoded(stream: &[u8]) -> Result<Vec<u16>> {
    decode(stream, &JpegHeader::read(stream).unwrap())
}

fn frame() -> Written {
    Written { rows: 21, columns: 30, ..Written::default() }
}

#[rstest]
#[case::bands(BANDS, 0)]
#[case::bands_and_bits(FULL, 0)]
#[case::with_restarts(FULL, 5)]
fn all_scans_together_give_what_one_gives(#[case] script: &Script, #[case] restart_interval: u16) {
    // Three rows of four blocks.
    let blocks = picture(12);
    let frame = Written { restart_interval, ..frame() };
    let stream = written(&[coefficients(&blocks)], &frame, script);
    let one = Written { restart_interval: 0, ..frame };
    let expected = sequential(&blocks, &one, &[0]);
    let expected =
        super::super::sequential::decode(&expected, &JpegHeader::read(&expected).unwrap()).unwrap();
    assert_eq!(decoded(&stream).unwrap(), expected);
    assert!(expected.iter().any(|sample| *sample > 4000) && expected.contains(&2048));
}

#[test]
fn blank_blocks_end_together() {
    let mut blocks = picture(1);
    blocks.extend([[[2048.0; 8]; 8]; 11]);
    let coefficients = coefficients(&blocks);
    let samples = decoded(&written(std::slice::from_ref(&coefficients), &frame(), FULL)).unwrap();
    assert!(samples[8..30].iter().all(|sample| *sample == 2048));
    // One symbol with three bits stands for eleven of them.
    assert_eq!(segment(&[&coefficients[1..]], (1, 63), (0, 3)), [0x30, 0b0111_1111]);
}

#[test]
fn colours_come_together_or_each_by_itself() {
    let script: &Script = &[
        (&[0, 1, 2], [0, 0], [0, 1]),
        (&[1], [1, 63], [0, 0]),
        (&[0], [1, 63], [0, 1]),
        (&[0, 1, 2], [0, 0], [1, 0]),
        (&[2], [1, 63], [0, 0]),
        (&[0], [1, 63], [1, 0]),
    ];
    let frame = Written { rows: 8, columns: 16, sampling: vec![0x11; 3], ..Written::default() };
    let flat = |value: f64| vec![[[value; 8]; 8]; 2];
    let colours = [picture(2), flat(100.0), flat(4000.0)];
    let stream = written(&colours.each_ref().map(|blocks| coefficients(blocks)), &frame, script);
    let samples = decoded(&stream).unwrap();
    assert!(samples.chunks(3).all(|pixel| pixel[1] == 100 && pixel[2] == 4000));
    assert!(samples[0].abs_diff(0) <= 2 && samples[3].abs_diff(37) <= 2);
}

const AT_ONCE: &Script = &[(&[0], [0, 63], [0, 0])];
const BACKWARDS: &Script = &[BANDS[0], (&[0], [9, 1], [0, 0])];
const BEHIND_THE_LAST: &Script = &[BANDS[0], (&[0], [1, 64], [0, 0])];
const TOO_MANY_BITS: &Script = &[(&[0], [0, 0], [0, 14])];

#[rstest]
#[case::no_last_bit(&FULL[..8])]
#[case::no_high_coefficients(&BANDS[..3])]
#[case::no_first_coefficient(&BANDS[1..])]
#[case::a_band_twice(&[BANDS[0], BANDS[1], BANDS[1], BANDS[2], BANDS[3]])]
#[case::a_bit_left_out(&[FULL[0], FULL[1], FULL[7]])]
#[case::all_at_once(AT_ONCE)]
#[case::backwards(BACKWARDS)]
#[case::behind_the_last(BEHIND_THE_LAST)]
#[case::too_many_bits(TOO_MANY_BITS)]
fn scans_that_give_too_little_or_come_out_of_turn_are_corrupt(#[case] script: &Script) {
    let blocks = vec![vec![0; 65]; 12];
    let mut stream = written(&[vec![vec![0; 65]; 12]], &frame(), &[]);
    stream.truncate(stream.len() - 2);
    for scan in script {
        // The selection of one that goes backwards cannot be cut out of a block.
        let cut = if scan.1[0] > scan.1[1] { (scan.0, [1, 9], scan.2) } else { *scan };
        let mut one = written(std::slice::from_ref(&blocks), &frame(), &[cut]);
        let start = one.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
        (one[start + 7], one[start + 8]) =
            (u8::try_from(scan.1[0]).unwrap(), u8::try_from(scan.1[1]).unwrap());
        stream.extend(&one[start..one.len() - 2]);
    }
    stream.extend([0xFF, 0xD9]);
    assert_eq!(decoded(&stream).err().map(|error| error.kind), Some(ErrorKind::Corrupt));
}

#[test]
fn damaged_streams_are_survived() {
    let (blocks, frame) = (picture(4), Written { rows: 16, columns: 16, ..Written::default() });
    for script in [BANDS, FULL] {
        for restart_interval in [0, 3] {
            let frame = Written { restart_interval, ..frame.clone() };
            let stream = written(&[coefficients(&blocks)], &frame, script);
            damage::survives(&stream, &grey(16, 16, 16), transfer_syntax::JPEG_EXTENDED);
        }
    }
}

#[test]
fn a_frame_of_too_many_samples_is_refused_before_memory_is_taken() {
    let frame = Written { rows: 16_384, columns: 4_097, ..Written::default() };
    let mut stream = written(&[vec![vec![0; 64]]], &frame, &[]);
    let end = stream.split_off(stream.len() - 2);
    stream.extend([&[0xFF, 0xFE, 0xFF, 0xFF][..], &[0; 0xFFFD]].concat().repeat(20));
    stream.extend(end);
    let info = grey(16_384, 4_097, 16);
    let syntax = TransferSyntaxUid::parse(transfer_syntax::JPEG_EXTENDED).unwrap();
    assert_eq!(
        decode_frame(&stream, &info, &syntax).err().map(|error| error.kind),
        Some(ErrorKind::TooLarge)
    );
}

use proptest::prelude::*;
use rstest::rstest;

use super::super::fixture::{grey, rgb};
use super::*;

const LOSSLESS: [&str; 7] = [
    transfer_syntax::RLE,
    transfer_syntax::DEFLATED_FRAMES,
    transfer_syntax::JPEG_LOSSLESS_SV1,
    transfer_syntax::JPEG_LS,
    transfer_syntax::JPEG_2000_LOSSLESS,
    transfer_syntax::HTJ2K_LOSSLESS,
    transfer_syntax::HTJ2K_RPCL,
];

fn syntax(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).unwrap()
}

/// To the syntax and back.
fn there_and_back(native: &[u8], info: &ImageInfo, uid: &str) -> Vec<u8> {
    let stored = syntax(transfer_syntax::EXPLICIT_LITTLE);
    let coded = recode(&Bytes::copy_from_slice(native), info, &stored, &syntax(uid), 90).unwrap();
    assert_eq!(coded.lossy_ratio, None);
    let as_coded = ImageInfo { photometric: coded.photometric, is_planar: coded.is_planar, ..info.clone() };
    let back = decode(&coded.bytes, &as_coded, &syntax(uid)).unwrap();
    assert_eq!(back.info.photometric, info.photometric);
    back.samples.into_owned()
}

/// What a data set may say of grey and colour, with samples that are noise, slopes or flat.
fn images() -> impl Strategy<Value = (ImageInfo, Vec<u8>)> {
    let sizes = (1..70_u32, 1..70_u32);
    let bits =
        prop_oneof![(2..=8_u32).prop_map(|stored| (8, stored)), (9..=16_u32).prop_map(|stored| (16, stored))];
    let infos = (sizes, bits, any::<bool>(), any::<bool>()).prop_map(
        |((rows, columns), (allocated, stored), is_signed, is_rgb)| {
            let base = if is_rgb { rgb(rows, columns) } else { grey(rows, columns, 8) };
            ImageInfo {
                bits_allocated: allocated,
                bits_stored: stored,
                high_bit: stored - 1,
                is_signed,
                ..base
            }
        },
    );
    (infos, 0..4_u32, any::<u64>()).prop_map(|(info, kind, seed)| {
        let samples = samples(&info, kind, seed);
        (info, samples)
    })
}

fn samples(info: &ImageInfo, kind: u32, seed: u64) -> Vec<u8> {
    let mut numbers = super::super::damage::Numbers(seed | 1);
    let count = info.pixels().unwrap() * usize::try_from(info.samples_per_pixel).unwrap();
    let range = 1_i64 << info.bits_stored;
    let lowest = if info.is_signed { -range / 2 } else { 0 };
    let flat = i64::try_from(numbers.below(1 << 16)).unwrap();
    (0..count)
        .flat_map(|place| {
            let place = i64::try_from(place).unwrap();
            let noise = i64::try_from(numbers.below(1 << 16)).unwrap();
            let value = match kind {
                0 => noise,
                1 => place * 7 + noise % 5,
                2 => flat,
                _ => {
                    if place % 37 < 30 {
                        0
                    } else {
                        noise % 3 * (range / 3)
                    }
                }
            };
            let stored = (value.rem_euclid(range) + lowest).to_le_bytes();
            stored.into_iter().take(info.sample_bytes()).collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_image_comes_back_from_every_lossless_syntax((info, samples) in images()) {
        for uid in LOSSLESS {
            prop_assert_eq!(&there_and_back(&samples, &info, uid), &samples, "{}", uid);
        }
    }
}

#[rstest]
#[case(512, 512, 16, 12)]
#[case(129, 1, 16, 16)]
#[case(1, 300, 8, 8)]
#[case(200, 131, 16, 10)]
fn larger_images_come_back(
    #[case] rows: u32,
    #[case] columns: u32,
    #[case] allocated: u32,
    #[case] stored: u32,
) {
    let info = ImageInfo { bits_stored: stored, high_bit: stored - 1, ..grey(rows, columns, allocated) };
    for kind in 0..4 {
        let samples = samples(&info, kind, 99);
        for uid in LOSSLESS {
            assert!(there_and_back(&samples, &info, uid) == samples, "{uid} of kind {kind}");
        }
    }
}

#[test]
fn what_was_encoded_here_is_survived_when_it_is_damaged() {
    let stored = syntax(transfer_syntax::EXPLICIT_LITTLE);
    for info in [ImageInfo { bits_stored: 12, high_bit: 11, ..grey(40, 33, 16) }, rgb(21, 34)] {
        let native = Bytes::from(samples(&info, 1, 5));
        for uid in LOSSLESS {
            let coded = recode(&native, &info, &stored, &syntax(uid), 90).unwrap();
            let info = ImageInfo { photometric: coded.photometric, ..info.clone() };
            super::super::damage::survives(&coded.bytes, &info, uid);
        }
    }
}

#[test]
fn what_stands_above_the_stored_bits_comes_back() {
    let info = ImageInfo { bits_stored: 12, high_bit: 11, is_signed: true, ..grey(1, 4, 16) };
    let native: Vec<u8> =
        [0x0FFF_u16, 0x8001, 0x7000, 0xFFFF].iter().flat_map(|word| word.to_le_bytes()).collect();
    for uid in LOSSLESS {
        assert_eq!(there_and_back(&native, &info, uid), native, "{uid}");
    }
}

#[test]
fn colours_are_transformed_where_that_saves_and_otherwise_kept() {
    let stored = syntax(transfer_syntax::EXPLICIT_LITTLE);
    let photometric = |info: &ImageInfo, uid| {
        recode(&Bytes::from_static(&[9; 12]), info, &stored, &syntax(uid), 90).unwrap().photometric
    };
    let ybr = ImageInfo { photometric: Photometric::YbrFull, ..rgb(2, 2) };
    assert_eq!(photometric(&rgb(2, 2), transfer_syntax::HTJ2K_RPCL), Photometric::YbrRct);
    assert_eq!(photometric(&ybr, transfer_syntax::HTJ2K_RPCL), Photometric::YbrFull);
    assert_eq!(photometric(&rgb(2, 2), transfer_syntax::JPEG_LS), Photometric::Rgb);
    assert_eq!(photometric(&rgb(2, 2), transfer_syntax::JPEG_BASELINE), Photometric::YbrFull422);
}

#[test]
fn a_stream_that_is_of_the_syntax_already_stays_as_it_is() {
    let (info, stored) = (grey(1, 1, 8), syntax(transfer_syntax::HTJ2K_RPCL));
    let stream = Bytes::from_static(b"not even a stream");
    for uid in [transfer_syntax::HTJ2K_RPCL, transfer_syntax::HTJ2K_LOSSLESS, transfer_syntax::HTJ2K] {
        assert_eq!(recode(&stream, &info, &stored, &syntax(uid), 90).unwrap().bytes, stream);
    }
    let other = recode(&stream, &info, &syntax(transfer_syntax::HTJ2K_LOSSLESS), &stored, 90);
    assert_eq!(other.unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn what_a_syntax_cannot_hold_is_refused() {
    let stored = syntax(transfer_syntax::EXPLICIT_LITTLE);
    let kind = |info: &ImageInfo, uid| {
        let native = Bytes::from(vec![0; info.native_length().unwrap()]);
        recode(&native, info, &stored, &syntax(uid), 90).map(|_| ()).map_err(|error| error.kind)
    };
    assert_eq!(kind(&grey(4, 4, 16), transfer_syntax::EXPLICIT_BIG), Err(ErrorKind::Unsupported));
    for uid in [transfer_syntax::JPEG_LS, transfer_syntax::HTJ2K_RPCL, transfer_syntax::JPEG_XL] {
        assert_eq!(kind(&grey(4, 4, 32), uid), Err(ErrorKind::Unsupported), "{uid}");
    }
    for bits in [1, 16] {
        let coded = kind(&grey(4, 4, bits), transfer_syntax::JPEG_BASELINE);
        assert_eq!(coded, Err(ErrorKind::Unsupported), "{bits} bits");
    }
    assert_eq!(kind(&grey(4, 4, 32), transfer_syntax::RLE), Ok(()));
    assert_eq!(kind(&grey(4, 4, 1), transfer_syntax::RLE), Ok(()));
}

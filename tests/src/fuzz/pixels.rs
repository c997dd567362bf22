//! The codecs, fed with a frame behind six bytes that say of what image it is.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FrameNumber, TransferSyntaxUid, VR, transfer_syntax};
use worker::pixel::{self, Decoded, ErrorKind, ImageInfo, Shown};

/// Bits allocated and stored.
const BITS: &[(u16, u16)] = &[(1, 1), (8, 8), (16, 12), (16, 16), (8, 5), (16, 10), (32, 32), (16, 13)];
const GREY: &[&str] = &["MONOCHROME2", "MONOCHROME1", "MONOCHROME2"];
const COLOURS: &[&str] = &["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "XYB"];
/// Rows and columns at the most.
const LONGEST_EDGE: u16 = 1024;
/// Images of no more samples are encoded again.
const FEW: usize = 1 << 14;
/// What those that were decoded are put into.
const ENCODED: &[&str] = &[
    transfer_syntax::RLE,
    transfer_syntax::DEFLATED_FRAMES,
    transfer_syntax::JPEG_LOSSLESS_SV1,
    transfer_syntax::JPEG_LS,
    transfer_syntax::JPEG_2000_LOSSLESS,
    transfer_syntax::HTJ2K_RPCL,
];

pub(super) fn native(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::EXPLICIT_LITTLE)
}

pub(super) fn rle(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::RLE)
}

pub(super) fn deflated(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::DEFLATED_FRAMES)
}

pub(super) fn jpeg(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::JPEG_EXTENDED)
}

pub(super) fn jpeg_lossless(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::JPEG_LOSSLESS)
}

pub(super) fn jpeg_ls(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::JPEG_LS_NEAR)
}

pub(super) fn jpeg_2000(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::JPEG_2000)
}

pub(super) fn htj2k(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::HTJ2K)
}

pub(super) fn jpeg_xl(input: &[u8]) -> u64 {
    fed(input, transfer_syntax::JPEG_XL)
}

fn syntax(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).expect("the UID of a transfer syntax")
}

/// Decodes, shows, and encodes again; gives what tells the outcome from others.
///
/// # Panics
/// When what was decoded has another size than it says, or an encoder makes something else of it.
fn fed(input: &[u8], uid: &str) -> u64 {
    let Some((head, frame)) = input.split_first_chunk::<6>() else { return 0 };
    let [.., choice] = *head;
    let Some(info) = image(*head) else { return 1 };
    let frame = Bytes::copy_from_slice(frame);
    match pixel::decode(&frame, &info, &syntax(uid)) {
        Err(error) => outcome(&(format!("{:?}", error.kind), plain(&error.to_string()))),
        Ok(decoded) => {
            let expected = decoded.info.decoded_length().expect("a length of what was decoded");
            assert_eq!(decoded.samples.len(), expected, "bytes of samples");
            let few = expected <= FEW;
            let picture = pixel::to_bitmap(Decoded::clone(&decoded), &Shown::AsProposed);
            let encoded = few.then(|| encoded(&frame, &info, uid, choice));
            outcome(&(expected.ilog2(), decoded.info.bits_allocated, picture.is_ok(), encoded))
        }
    }
}

/// How encoding it went.
fn encoded(frame: &Bytes, info: &ImageInfo, uid: &str, choice: u8) -> String {
    let wanted = one_of(ENCODED, choice);
    match pixel::recode(frame, info, &syntax(uid), &syntax(wanted), 90) {
        Ok(_) => wanted.to_owned(),
        Err(error) => {
            // A stream that takes too long is an error of the same kind, and none of the encoder.
            let is_wrong = error.kind == ErrorKind::Internal && error.to_string().contains("went in");
            assert!(!is_wrong, "into {wanted}: {error}");
            plain(&error.to_string())
        }
    }
}

fn one_of<T: Copy>(all: &[T], choice: u8) -> T {
    all.get(usize::from(choice) % all.len()).copied().expect("a number below the length")
}

fn image([rows, columns, more, bits, kind, _]: [u8; 6]) -> Option<ImageInfo> {
    let edge = |low: u8, high: u8| (u16::from(low) | u16::from(high & 0x0F) << 8).clamp(1, LONGEST_EDGE);
    let (allocated, stored) = one_of(BITS, bits);
    let is_colour = kind & 1 == 1;
    let photometric = one_of(if is_colour { COLOURS } else { GREY }, kind >> 4);
    let mut attributes = Attributes::new();
    for (tag, number) in [
        (tags::ROWS, edge(rows, more)),
        (tags::COLUMNS, edge(columns, more >> 4)),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::SAMPLES_PER_PIXEL, if is_colour { 3 } else { 1 }),
        (tags::PIXEL_REPRESENTATION, u16::from(kind >> 1 & 1)),
        (tags::PLANAR_CONFIGURATION, u16::from(kind >> 2 & 1)),
    ] {
        attributes.put_u16(tag, number);
    }
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
    attributes.put_bytes(tags::PIXEL_DATA, VR::OW, Vec::new());
    ImageInfo::read(&attributes, FrameNumber::FIRST).ok()
}

/// Without the numbers, of which there are too many.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn outcome<T: Hash>(of: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

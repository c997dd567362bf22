//! The table of `docs/pixels.md`, as the code has it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use dicom_store::model::{TransferSyntaxUid, transfer_syntax};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use jpeg_encoder::{ColorType, Encoder};

use super::fixture::{grey, rgb};
use super::made_elsewhere as made;
use super::{
    ImageInfo, Lut, Palette, Photometric, SampleKind, Shown, decode, is_within, jpeg, recode, to_bitmap,
};

const DOCUMENT: &str = include_str!("../../docs/pixels.md");

/// Rows and columns of every image here, those of the pictures of others.
const SIZE: (u32, u32) = (11, 13);

/// How a column of the table is called, and its transfer syntax.
const SYNTAXES: [(&str, &str); 11] = [
    ("Little Endian", transfer_syntax::EXPLICIT_LITTLE),
    ("Big Endian", transfer_syntax::EXPLICIT_BIG),
    ("RLE", transfer_syntax::RLE),
    ("Deflated frames", transfer_syntax::DEFLATED_FRAMES),
    ("JPEG Baseline", transfer_syntax::JPEG_BASELINE),
    ("JPEG Extended", transfer_syntax::JPEG_EXTENDED),
    ("JPEG Lossless", transfer_syntax::JPEG_LOSSLESS),
    ("JPEG-LS", transfer_syntax::JPEG_LS),
    ("JPEG 2000", transfer_syntax::JPEG_2000),
    ("HTJ2K", transfer_syntax::HTJ2K),
    ("JPEG XL", transfer_syntax::JPEG_XL),
];

/// The images that are rows of the table.
fn images() -> Vec<ImageInfo> {
    let (rows, columns) = SIZE;
    let of_bits = |allocated: u32, stored: u32| ImageInfo {
        bits_stored: stored,
        high_bit: stored - 1,
        ..grey(rows, columns, allocated)
    };
    let kind = |kind, bits| ImageInfo { kind, ..of_bits(bits, bits) };
    let colours = |photometric| ImageInfo { photometric, ..rgb(rows, columns) };
    let table = Lut { first: 0, entries: (0..256).collect(), bits: 8 };
    let palette = Some(Palette::new(&table, &table, &table).map(Arc::new));
    vec![
        of_bits(1, 1),
        of_bits(8, 8),
        ImageInfo { photometric: Photometric::Monochrome1, ..of_bits(8, 8) },
        of_bits(16, 12),
        of_bits(16, 16),
        ImageInfo { is_signed: true, ..of_bits(16, 16) },
        of_bits(32, 32),
        kind(SampleKind::Float, 32),
        kind(SampleKind::Double, 64),
        ImageInfo { photometric: Photometric::PaletteColor, palette, ..of_bits(8, 8) },
        colours(Photometric::Rgb),
        ImageInfo { bits_allocated: 16, bits_stored: 16, high_bit: 15, ..colours(Photometric::Rgb) },
        colours(Photometric::YbrFull),
        ImageInfo { columns: columns + 1, ..colours(Photometric::YbrFull422) },
        colours(Photometric::YbrFull422),
        colours(Photometric::YbrRct),
        colours(Photometric::YbrIct),
        colours(Photometric::Xyb),
    ]
}

fn name(info: &ImageInfo) -> String {
    let photometric = info.photometric.as_str().unwrap_or_default();
    let sign = if info.is_signed { ", signed" } else { "" };
    let width = if info.columns == SIZE.1 { "" } else { ", even columns" };
    match info.kind {
        SampleKind::Integer => {
            format!("{photometric}, {} in {} bits{sign}{width}", info.bits_stored, info.bits_allocated)
        }
        kind => format!("{photometric}, {kind:?} of {} bits", info.bits_allocated),
    }
}

/// A frame of the image in the syntax; none where the standard has no such thing, or there is nothing to show it with.
fn frame(info: &ImageInfo, uid: &str) -> Option<Vec<u8>> {
    use Photometric::{
        Monochrome1, Monochrome2, PaletteColor, Rgb, Xyb, YbrFull, YbrFull422, YbrIct, YbrRct,
    };

    let native = || info.native_length().ok().map(|length| vec![0; length.next_multiple_of(2)]);
    let is_transformed = matches!(info.photometric, YbrIct | YbrRct | Xyb);
    let is_native = matches!(info.photometric, Monochrome1 | Monochrome2 | PaletteColor | Rgb | YbrFull);
    let is_8 = info.bits_allocated == 8;
    let (is_grey, is_even) = (info.samples_per_pixel == 1, info.columns != SIZE.1);
    let is_coded = info.kind == SampleKind::Integer && (8..=16).contains(&info.bits_allocated) && !is_even;
    match uid {
        transfer_syntax::EXPLICIT_LITTLE | transfer_syntax::EXPLICIT_BIG if is_even => native(),
        transfer_syntax::EXPLICIT_LITTLE | transfer_syntax::EXPLICIT_BIG if is_native => native(),
        transfer_syntax::RLE if is_native && info.kind == SampleKind::Integer => rle(info),
        transfer_syntax::DEFLATED_FRAMES if is_native => native().map(|frame| deflated(&frame)),
        _ if !is_coded => None,
        transfer_syntax::JPEG_BASELINE if is_8 && !is_transformed => Some(baseline(is_grey)),
        transfer_syntax::JPEG_EXTENDED if is_8 && !is_transformed => Some(baseline(is_grey)),
        transfer_syntax::JPEG_EXTENDED if is_grey && info.bits_stored == 12 => {
            Some(jpeg::written::extended(SIZE))
        }
        transfer_syntax::JPEG_LOSSLESS if !is_transformed => Some(jpeg::written::without_loss(info)),
        transfer_syntax::JPEG_LS if !is_transformed => by_others(info, uid),
        transfer_syntax::JPEG_2000 | transfer_syntax::HTJ2K if info.photometric != Xyb => {
            by_others(info, uid)
        }
        transfer_syntax::JPEG_XL if !matches!(info.photometric, YbrIct | YbrRct | YbrFull422) => {
            by_others(info, uid)
        }
        _ => None,
    }
}

/// The streams that other programs made.
fn by_others(info: &ImageInfo, uid: &str) -> Option<Vec<u8>> {
    let bits = (info.samples_per_pixel, info.bits_allocated, info.bits_stored, info.is_signed);
    let digits = match (uid, bits) {
        (transfer_syntax::JPEG_LS, (1, 8, 8, _)) => made::JPEG_LS_8,
        (transfer_syntax::JPEG_LS, (1, 16, 12, _)) => made::JPEG_LS_12,
        (transfer_syntax::JPEG_LS, (1, 16, 16, _)) => made::JPEG_LS_16,
        (transfer_syntax::JPEG_LS, (3, 8, ..)) => made::JPEG_LS_LINES,
        (transfer_syntax::JPEG_2000, (1, 8, 8, _)) => made::JPEG_2000_8,
        (transfer_syntax::JPEG_2000, (1, 16, 12, _)) => made::JPEG_2000_12,
        (transfer_syntax::JPEG_2000, (1, 16, 16, _)) => made::JPEG_2000_SIGNED,
        (transfer_syntax::JPEG_2000, (3, 8, ..)) => made::JPEG_2000_RGB,
        (transfer_syntax::HTJ2K, (1, 8, 8, _)) => made::HTJ2K_8,
        (transfer_syntax::HTJ2K, (1, 16, ..)) => made::HTJ2K_16,
        (transfer_syntax::HTJ2K, (3, 8, ..)) => made::HTJ2K_RGB,
        (transfer_syntax::JPEG_XL, (1, 8, 8, _)) => made::JPEG_XL_8,
        (transfer_syntax::JPEG_XL, (1, 16, 12, _)) => made::JPEG_XL_12,
        (transfer_syntax::JPEG_XL, (1, 16, 16, _)) => made::JPEG_XL_16,
        (transfer_syntax::JPEG_XL, (3, 8, ..)) => made::JPEG_XL_RGB,
        _ => return None,
    };
    Some(made::bytes(digits))
}

fn baseline(is_grey: bool) -> Vec<u8> {
    let (rows, columns) = (11, 13);
    let mut stream = Vec::new();
    let (color, samples) = if is_grey { (ColorType::Luma, 1) } else { (ColorType::Rgb, 3) };
    Encoder::new(&mut stream, 90).encode(&vec![9; 11 * 13 * samples], columns, rows, color).unwrap();
    stream
}

fn deflated(frame: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(frame).unwrap();
    encoder.finish().unwrap()
}

/// Segments of two runs of zeros.
fn rle(info: &ImageInfo) -> Option<Vec<u8>> {
    let segments = if info.bits_allocated == 1 { 1 } else { u32::try_from(info.pixel_bytes()).ok()? };
    let offsets = (0..segments).map(|n| 64 + 4 * n);
    let mut header: Vec<u8> = [segments].into_iter().chain(offsets).flat_map(u32::to_le_bytes).collect();
    header.resize(64, 0);
    header.extend([129, 0, 129, 0].repeat(usize::try_from(segments).ok()?));
    Some(header)
}

/// D for decoded, R for rendered, E for encoded into.
fn cell(info: &ImageInfo, uid: &str) -> String {
    let syntax = TransferSyntaxUid::parse(uid).unwrap();
    let mut marks = String::new();
    if let Some(frame) = frame(info, uid) {
        match decode(&frame, info, &syntax).map(|decoded| to_bitmap(decoded, &Shown::AsProposed)) {
            Ok(Ok(_)) => marks.push_str("DR"),
            Ok(Err(_)) => marks.push('D'),
            Err(_) => marks.push('-'),
        }
    }
    if is_encoded(info, &syntax) {
        marks.push('E');
    }
    marks
}

/// Whether such an image is put into a transfer syntax without loss: out of every other one that it can be stored in, or
/// out of none.
fn is_encoded(info: &ImageInfo, wanted: &TransferSyntaxUid) -> bool {
    let out_of = |(name, uid): &(&'static str, &str)| {
        let stored = TransferSyntaxUid::parse(uid).unwrap();
        let frame = Bytes::from(frame(info, uid).filter(|_| !is_within(&stored, wanted))?);
        let recoded = recode(&frame, info, &stored, wanted, 90);
        Some((*name, recoded.is_ok_and(|recoded| recoded.lossy_ratio.is_none())))
    };
    let out_of: Vec<(&str, bool)> = SYNTAXES.iter().filter_map(out_of).collect();
    let is_encoded = out_of.iter().any(|(_, is_encoded)| *is_encoded);
    assert!(
        out_of.iter().all(|(_, other)| *other == is_encoded),
        "{} into {wanted}, out of each: {out_of:?}",
        name(info)
    );
    is_encoded
}

#[test]
fn the_document_tells_what_is_decoded_rendered_and_encoded() {
    let mut table = String::from("| |");
    SYNTAXES.iter().for_each(|(name, _)| write!(table, " {name} |").unwrap());
    write!(table, "\n|---|{}", "---|".repeat(SYNTAXES.len())).unwrap();
    for info in images() {
        write!(table, "\n| {} |", name(&info)).unwrap();
        SYNTAXES.iter().for_each(|(_, uid)| write!(table, " {} |", cell(&info, uid)).unwrap());
    }
    assert!(DOCUMENT.contains(&table), "docs/pixels.md does not have this table:\n{table}");
}

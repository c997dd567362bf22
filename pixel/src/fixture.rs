//! Images for the tests of this module.

use std::sync::Arc;

use dicom_store::model::FrameNumber;

use super::{ImageInfo, Modality, Photometric, SampleKind};

/// Shades of grey, unsigned, all bits stored.
pub(super) fn grey(rows: u32, columns: u32, bits: u32) -> ImageInfo {
    ImageInfo {
        rows,
        columns,
        samples_per_pixel: 1,
        photometric: Photometric::Monochrome2,
        is_planar: false,
        kind: SampleKind::Integer,
        bits_allocated: bits,
        bits_stored: bits,
        high_bit: bits - 1,
        is_signed: false,
        is_words: false,
        frames: 1,
        number: FrameNumber::FIRST,
        modality: Modality::IDENTITY,
        voi: None,
        shape: None,
        padding: None,
        palette: None,
        overlays: Arc::default(),
        pixel_aspect: 1.0,
    }
}

/// Colour by pixel, 8 bits.
pub(super) fn rgb(rows: u32, columns: u32) -> ImageInfo {
    ImageInfo { samples_per_pixel: 3, photometric: Photometric::Rgb, ..grey(rows, columns, 8) }
}

//! JPEG: which process a stream is of, whether it is the image of the data set, and what colours it has
//! (ISO/IEC 10918-1).

mod baseline;
mod baseline_encode;
mod bit_writer;
mod bits;
mod header;
mod huffman;
mod idct;
mod lossless;
mod lossless_encode;
mod plane;
mod progressive;
mod scans;
mod sequential;
mod tables;
mod units;

pub(super) use baseline_encode::{Chrominance, Colours, Samples8, encode as encode_baseline};
#[cfg(test)]
pub(super) use bits::StuffedZero;
pub(super) use lossless_encode::encode as encode_lossless;

use self::header::JpegHeader;
use super::raster::{Raster, Samples, Shape};
use super::{Error, ImageInfo, Photometric, Result, foreign};

/// Most samples that a bit of a stream can stand for: a block (§G.1.2.1), or one without loss.
const SAMPLES_OF_A_BIT: usize = 64;

/// Decodes a frame to the samples of the stream; colours are not converted.
///
/// # Errors
/// `Unsupported` for processes that are not decoded here; `Corrupt` when the stream is broken or is not the image that
/// the data set describes; `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo) -> Result<Raster> {
    let header = JpegHeader::read(frame)?;
    let precision = u32::from(header.precision);
    let decode = match (header.process, header.precision) {
        (0..=2, 8) => |frame: &[u8], header: &JpegHeader| {
            foreign::guarded("JPEG", || baseline::decode(frame, header)).map(Samples::Bytes)
        },
        (1, 12) => |frame: &[u8], header: &JpegHeader| sequential::decode(frame, header).map(Samples::Words),
        (2, 12) => |frame: &[u8], header: &JpegHeader| progressive::decode(frame, header).map(Samples::Words),
        (3, 2..=16) => {
            |frame: &[u8], header: &JpegHeader| lossless::decode(frame, header).map(Samples::Words)
        }
        (process, _) => {
            return Err(Error::unsupported(format!(
                "JPEG process {process} with samples of {precision} bits"
            )));
        }
    };
    let shape = Shape {
        rows: u32::from(header.rows),
        columns: u32::from(header.columns),
        colours: header.components.len(),
        precision,
    };
    shape.check(info, "JPEG", frame, if header.process == 3 { 1 } else { SAMPLES_OF_A_BIT })?;
    let samples = decode(frame, &header)?;
    Ok(Raster { samples, precision, photometric: photometric(&header, info.photometric) })
}

/// What the samples are: the stream knows better than the data set, where it says so.
///
/// Many devices leave RGB in Photometric Interpretation when their encoder made YCbCr of it, and
/// some write RGB streams under YBR_FULL_422. An Adobe segment, components called R, G and B, a JFIF
/// segment, and colours of fewer samples (which RGB never has) settle it, in this order. Nobody converts colours
/// before coding them without loss: there the data set is believed.
fn photometric(header: &JpegHeader, declared: Photometric) -> Photometric {
    if header.components.len() == 1 {
        return declared;
    }
    if header.process == 3 {
        return declared.with_whole_chrominance();
    }
    match header.adobe {
        Some(0) => return Photometric::Rgb,
        Some(_) => return Photometric::YbrFull,
        None => {}
    }
    if header.is_named_rgb() {
        Photometric::Rgb
    } else if header.is_jfif || header.is_subsampled() || declared != Photometric::Rgb {
        Photometric::YbrFull
    } else {
        Photometric::Rgb
    }
}

#[cfg(test)]
pub(super) mod written;

#[cfg(test)]
mod tests;

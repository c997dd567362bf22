//! JPEG of 8 bits: baseline, and the extended and progressive streams that have no more bits.
//!
//! The decoder fills up what a stream does not have, and says nothing: so it is told to be strict. That refuses also what
//! does no harm, such as bytes between segments. Whether the coded data are all there is looked at where it refuses a
//! stream, and where one has no end.

use std::borrow::Cow;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::super::{Error, Result};
use super::header::JpegHeader;
use super::sequential;

/// The marker that ends a stream.
const END: [u8; 2] = [0xFF, 0xD9];

/// The process whose scans give the coefficients bit by bit.
const PROGRESSIVE: u8 = 2;

/// The samples of a stream, by pixel; colours are not converted.
///
/// A sequential stream may lack its last marker, as some devices leave it.
///
/// # Errors
/// `Corrupt` when the stream is broken or breaks off.
pub(super) fn decode(frame: &[u8], header: &JpegHeader) -> Result<Vec<u8>> {
    let stream = header.without_adobe(frame);
    let is_whole = has_end(&stream);
    if !is_whole && header.process == PROGRESSIVE {
        return Err(Error::corrupt("progressive JPEG stream breaks off"));
    }
    let stream = if is_whole { stream } else { Cow::Owned([&*stream, &END].concat()) };
    let decoded = by_zune(&stream, header, true);
    if (is_whole && decoded.is_ok()) || header.process == PROGRESSIVE {
        return decoded;
    }
    sequential::check(&stream, header)?;
    decoded.or_else(|_| by_zune(&stream, header, false))
}

/// Whether the stream ends with its last marker, but for zeros that pad it.
pub(super) fn has_end(stream: &[u8]) -> bool {
    let padding = stream.iter().rev().take_while(|byte| **byte == 0).count();
    stream.get(..stream.len() - padding).is_some_and(|stream| stream.ends_with(&END))
}

fn by_zune(stream: &[u8], header: &JpegHeader, is_strict: bool) -> Result<Vec<u8>> {
    let options = DecoderOptions::default()
        .set_strict_mode(is_strict)
        .set_max_width(usize::from(header.columns))
        .set_max_height(usize::from(header.rows))
        .jpeg_set_out_colorspace(as_it_is(header));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(stream), options);
    decoder.decode().map_err(|error| Error::corrupt(format!("JPEG stream: {error:?}")))
}

/// The colour space that the decoder takes a stream without Adobe's segment for, so that it converts
/// nothing.
fn as_it_is(header: &JpegHeader) -> ColorSpace {
    match header.components.len() {
        1 => ColorSpace::Luma,
        _ if header.is_named_rgb() => ColorSpace::RGB,
        _ => ColorSpace::YCbCr,
    }
}

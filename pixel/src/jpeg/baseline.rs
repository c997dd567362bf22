//! JPEG of 8 bits: baseline, and the extended and progressive streams that have no more bits.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::super::{Error, Result};
use super::header::JpegHeader;

/// The samples of a stream, by pixel; colours are not converted.
///
/// # Errors
/// `Corrupt` when the stream is broken.
pub(super) fn decode(frame: &[u8], header: &JpegHeader) -> Result<Vec<u8>> {
    let options = DecoderOptions::default()
        .set_max_width(usize::from(header.columns))
        .set_max_height(usize::from(header.rows))
        .jpeg_set_out_colorspace(as_it_is(header));
    let stream = header.without_adobe(frame);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*stream), options);
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

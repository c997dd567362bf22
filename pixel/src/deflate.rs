//! Frames that are deflated each by itself (PS3.5 §A.4.14).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::{Error, ErrorKind, ImageInfo, Result};

/// The native frame in little endian. What the stream has beyond it, such as padding, is not read.
///
/// # Errors
/// `Corrupt` when the stream is broken or too short; as [`ImageInfo::native_length`].
pub(super) fn inflate(frame: &[u8], info: &ImageInfo) -> Result<Vec<u8>> {
    let length = info.native_length()?;
    let mut native = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    DeflateDecoder::new(frame)
        .take(limit)
        .read_to_end(&mut native)
        .map_err(|error| Error::corrupt(format!("deflated frame: {error}")))?;
    if native.len() < length {
        return Err(Error::corrupt(format!("deflated frame gives {} bytes of {length}", native.len())));
    }
    Ok(native)
}

/// Deflates a native frame in little endian.
///
/// # Errors
/// `Internal` when the encoder fails.
pub(super) fn deflate(native: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let done = encoder.write_all(native).and_then(|()| encoder.finish());
    done.map_err(|error| Error::new(ErrorKind::Internal, format!("deflating: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::grey;
    use super::*;

    fn deflated(native: &[u8]) -> Vec<u8> {
        deflate(native).unwrap()
    }

    #[test]
    fn gives_the_native_frame_without_padding() {
        assert_eq!(inflate(&deflated(&[1, 2, 3, 0]), &grey(1, 3, 8)).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_short_or_broken_stream_is_corrupt() {
        let stream = deflated(&[1, 2, 3, 4]);
        assert_eq!(inflate(&stream, &grey(1, 5, 8)).unwrap_err().kind, ErrorKind::Corrupt);
        assert_eq!(inflate(&[0xFF; 9], &grey(1, 4, 8)).unwrap_err().kind, ErrorKind::Corrupt);
    }
}

//! Frames that are deflated each by itself (PS3.5 §A.4.14).

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::{Error, ImageInfo, Result};

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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::super::ErrorKind;
    use super::super::fixture::grey;
    use super::*;

    fn deflated(native: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(native).unwrap();
        encoder.finish().unwrap()
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

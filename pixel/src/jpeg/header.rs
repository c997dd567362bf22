//! The segments of a JPEG stream before its first scan (ISO/IEC 10918-1 Annex B).

use std::borrow::Cow;
use std::ops::Range;

use super::super::segment::next_segment;
use super::super::{Error, Result};

/// What the stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JpegHeader {
    /// Which start of frame: 0 baseline, 1 extended, 2 progressive, 3 lossless, and so on.
    pub(super) process: u8,
    /// Bits of a sample.
    pub(super) precision: u8,
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) components: Vec<Component>,
    /// A JFIF segment is there, which means YCbCr (ISO/IEC 10918-5).
    pub(super) is_jfif: bool,
    /// The transform of an Adobe segment: 0 none, 1 YCbCr, 2 YCCK (ISO/IEC 10918-6).
    pub(super) adobe: Option<u8>,
    /// Where Adobe's segments lie in the stream, markers included.
    pub(super) adobe_segments: Vec<Range<usize>>,
}

/// One colour of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal factor in the high four bits, vertical in the low.
    pub(super) sampling: u8,
    /// Which table of quantization holds for it.
    pub(super) quantization: u8,
}

impl Component {
    /// Horizontal and vertical sampling factor.
    pub(super) fn factors(self) -> (usize, usize) {
        (usize::from(self.sampling >> 4), usize::from(self.sampling & 15))
    }
}

impl JpegHeader {
    /// Reads up to the start of frame.
    ///
    /// Adobe's and JFIF's segments stand before it; what follows is the decoder's.
    ///
    /// # Errors
    /// `Corrupt` when this is no JPEG stream, or it breaks off.
    pub(super) fn read(stream: &[u8]) -> Result<Self> {
        let broken = || Error::corrupt("JPEG stream has no start of frame");
        let mut rest =
            stream.strip_prefix(&[0xFF, 0xD8]).ok_or_else(|| Error::corrupt("not a JPEG stream"))?;
        let (mut is_jfif, mut adobe, mut adobe_segments) = (false, None, Vec::new());
        loop {
            let (marker, segment, behind) = next_segment(rest).ok_or_else(broken)?;
            let place = stream.len() - rest.len()..stream.len() - behind.len();
            rest = behind;
            match marker {
                0xE0 if segment.starts_with(b"JFIF\0") => is_jfif = true,
                0xEE if segment.starts_with(b"Adobe") => {
                    adobe = segment.get(11).copied();
                    adobe_segments.push(place);
                }
                // C4, C8 and CC are tables and an extension, not frames.
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                    let mut header = frame_header(segment).ok_or_else(broken)?;
                    (header.process, header.is_jfif, header.adobe) = (marker & 0x0F, is_jfif, adobe);
                    header.adobe_segments = adobe_segments;
                    return Ok(header);
                }
                0xD9 | 0xDA => return Err(broken()),
                _ => {}
            }
        }
    }

    /// The stream without Adobe's segments: their one meaning is `adobe`, and some are too short.
    pub(super) fn without_adobe<'a>(&self, stream: &'a [u8]) -> Cow<'a, [u8]> {
        if self.adobe_segments.is_empty() {
            return Cow::Borrowed(stream);
        }
        let starts = [0].into_iter().chain(self.adobe_segments.iter().map(|segment| segment.end));
        let ends = self.adobe_segments.iter().map(|segment| segment.start).chain([stream.len()]);
        let kept = starts.zip(ends).filter_map(|(start, end)| stream.get(start..end));
        Cow::Owned(kept.flatten().copied().collect())
    }

    /// Whether the colours are called R, G and B.
    pub(super) fn is_named_rgb(&self) -> bool {
        self.components.iter().map(|component| component.id).eq(*b"RGB")
    }

    /// Whether any colour has fewer samples than another.
    pub(super) fn is_subsampled(&self) -> bool {
        self.components.windows(2).any(|pair| matches!(pair, [a, b] if a.sampling != b.sampling))
    }
}

fn frame_header(segment: &[u8]) -> Option<JpegHeader> {
    let ([precision, r1, r0, c1, c0, count], components) = segment.split_first_chunk::<6>()?;
    let (components, _) = components.get(..usize::from(*count) * 3)?.as_chunks::<3>();
    Some(JpegHeader {
        process: 0,
        precision: *precision,
        rows: u16::from_be_bytes([*r1, *r0]),
        columns: u16::from_be_bytes([*c1, *c0]),
        components: components
            .iter()
            .map(|[id, sampling, table]| Component { id: *id, sampling: *sampling, quantization: *table })
            .collect(),
        is_jfif: false,
        adobe: None,
        adobe_segments: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: [u8; 19] = [0xFF, 0xC0, 0, 17, 8, 0, 4, 0, 6, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

    #[test]
    fn reads_size_colours_and_adobes_transform() {
        let adobe = [&[0xFF, 0xEE, 0, 14][..], b"Adobe", &[0, 100, 0, 0, 0, 0, 1]].concat();
        let stream = [&[0xFF, 0xD8][..], &adobe, &FRAME].concat();
        let header = JpegHeader::read(&stream).unwrap();
        assert_eq!((header.process, header.precision, header.rows, header.columns), (0, 8, 4, 6));
        assert_eq!(header.components.iter().map(|c| c.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(header.is_subsampled() && !header.is_jfif);
        assert_eq!(header.adobe, Some(1));
        assert_eq!(*header.without_adobe(&stream), [&[0xFF, 0xD8][..], &FRAME].concat());
    }

    #[test]
    fn adobes_segment_without_a_transform_says_nothing() {
        let adobe = [&[0xFF, 0xEE, 0, 12][..], b"Adobe", &[0; 5]].concat();
        let header = JpegHeader::read(&[&[0xFF, 0xD8][..], &adobe, &FRAME].concat()).unwrap();
        assert_eq!(header.adobe, None);
    }

    #[test]
    fn a_stream_that_breaks_off_is_corrupt() {
        let stream = [&[0xFF, 0xD8][..], &FRAME].concat();
        for length in 0..stream.len() {
            assert!(JpegHeader::read(&stream[..length]).is_err(), "{length} bytes");
        }
        assert!(JpegHeader::read(&stream).is_ok());
    }

    #[test]
    fn fill_bytes_before_a_marker_are_skipped() {
        assert!(JpegHeader::read(&[&[0xFF, 0xD8, 0xFF, 0xFF][..], &FRAME].concat()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = JpegHeader::read(&[&[0xFF, 0xD8, 0xFF][..], &bytes].concat());
        }
    }
}

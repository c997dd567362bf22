//! Files made of boxes (ISO/IEC 14496-12 §4.2, ITU-T T.800 §I.4) around what pixel data are: JP2 files, of which
//! instances hold the code stream alone (PS3.5 §A.4.4).

use bytes::{Buf, Bytes, BytesMut};

use super::source::Source;
use crate::multipart::Malformed;

/// With this box a JP2 file begins, and every other of its family (ITU-T T.800 §I.5.1).
const SIGNATURE: &[u8] = b"\0\0\0\x0CjP  \r\n\x87\n";
/// The box that holds the code stream (ITU-T T.800 §I.5.4).
const CODE_STREAM: [u8; 4] = *b"jp2c";

/// What a box begins with.
pub(super) struct Head {
    pub(super) kind: [u8; 4],
    /// Bytes of the head itself.
    pub(super) length: usize,
    /// Bytes behind it; none where the box goes to the end of the file.
    pub(super) body: Option<u64>,
}

impl Head {
    /// `None` before it has come whole. Of a box that is said to be shorter than its head nothing is behind it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (length, body) = match u32::from_be_bytes(*size) {
            0 => (8, None),
            1 => (16, Some(u64::from_be_bytes(*rest.first_chunk::<8>()?).saturating_sub(16))),
            size => (8, Some(u64::from(size).saturating_sub(8))),
        };
        Some(Self { kind: *kind, length, body })
    }
}

/// The boxes that are there whole, with what is in them.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let head = Head::read(bytes)?;
        let behind = bytes.get(head.length..)?;
        let (body, rest) = match head.body {
            Some(length) => behind.split_at_checked(usize::try_from(length).ok()?)?,
            None => (behind, &[][..]),
        };
        bytes = rest;
        Some((head.kind, body))
    })
}

/// Pixel data without the boxes that a JP2 file has around them; of what is none every byte.
pub(super) struct Unboxed<'a, S> {
    source: &'a mut S,
    /// What came and was not given yet.
    bytes: BytesMut,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Beginning,
    BeforeBox,
    /// So many bytes are in the box that is passed over.
    Passing(u64),
    /// So many bytes of the code stream are to come; none for all.
    Stream(Option<u64>),
    Behind,
}

impl<'a, S: Source> Unboxed<'a, S> {
    /// `may_have_boxes`: whether such files are looked for at all.
    pub(super) fn new(source: &'a mut S, may_have_boxes: bool) -> Self {
        let place = if may_have_boxes { Place::Beginning } else { Place::Stream(None) };
        Self { source, bytes: BytesMut::new(), place }
    }

    /// As much of the code stream as has come; `None` when more has to come first.
    fn next(&mut self, is_all: bool) -> Option<Bytes> {
        loop {
            match self.place {
                Place::Beginning => {
                    let may_be = SIGNATURE.starts_with(&self.bytes) && self.bytes.len() < SIGNATURE.len();
                    if may_be && !is_all {
                        return None;
                    }
                    let is_file = self.bytes.starts_with(SIGNATURE);
                    self.place = if is_file { Place::BeforeBox } else { Place::Stream(None) };
                }
                Place::BeforeBox => {
                    let head = Head::read(&self.bytes)?;
                    self.bytes.advance(head.length);
                    self.place = match head.body {
                        body if head.kind == CODE_STREAM => Place::Stream(body),
                        Some(length) => Place::Passing(length),
                        None => Place::Behind,
                    };
                }
                Place::Passing(left) => {
                    let passed = self.available(left);
                    self.bytes.advance(passed);
                    let left = left.saturating_sub(u64::try_from(passed).unwrap_or(left));
                    self.place = if left == 0 { Place::BeforeBox } else { Place::Passing(left) };
                    if left > 0 {
                        return None;
                    }
                }
                Place::Stream(left) => {
                    let given = self.available(left.unwrap_or(u64::MAX));
                    let given = self.bytes.split_to(given).freeze();
                    let count = u64::try_from(given.len()).unwrap_or(u64::MAX);
                    let left = left.map(|left| left.saturating_sub(count));
                    self.place = if left == Some(0) { Place::Behind } else { Place::Stream(left) };
                    if !given.is_empty() {
                        return Some(given);
                    }
                    if left != Some(0) {
                        return None;
                    }
                }
                Place::Behind => {
                    self.bytes.clear();
                    return None;
                }
            }
        }
    }

    fn available(&self, most: u64) -> usize {
        usize::try_from(most).unwrap_or(usize::MAX).min(self.bytes.len())
    }
}

impl<S: Source> Source for Unboxed<'_, S> {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        loop {
            if let Some(bytes) = self.next(false) {
                return Ok(Some(bytes));
            }
            match self.source.chunk().await? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None => return Ok(self.next(true)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Pieces(VecDeque<Bytes>);

    impl Source for Pieces {
        async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
            Ok(self.0.pop_front())
        }
    }

    async fn unboxed(file: &[u8], piece: usize) -> Vec<u8> {
        let mut source = Pieces(file.chunks(piece).map(Bytes::copy_from_slice).collect());
        let (mut unboxed, mut all) = (Unboxed::new(&mut source, true), Vec::new());
        while let Some(bytes) = unboxed.chunk().await.unwrap() {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[tokio::test]
    async fn of_a_jp2_file_the_code_stream_is_left_wherever_it_is_cut() {
        let before = [SIGNATURE, b"\0\0\0\x0Cftypjp2 "].concat();
        let stream = b"\xFF\x4F\xFF\x51 and more";
        let sized = [&before, &b"\0\0\0\x15jp2c"[..], stream, b"\0\0\0\x09xml x"].concat();
        let large = [&before, &b"\0\0\0\x01jp2c\0\0\0\0\0\0\0\x1D"[..], stream, b"\0\0\0\x08free"].concat();
        let open = [&before, &b"\0\0\0\0jp2c"[..], stream].concat();
        for file in [&sized, &large, &open] {
            for piece in 1..=file.len() {
                assert_eq!(unboxed(file, piece).await, stream);
            }
        }
        assert_eq!(unboxed(&before, 5).await, b"");
    }

    #[tokio::test]
    async fn what_is_no_such_file_stays_as_it_is() {
        for bytes in [&b"\xFF\x4F\xFF\x51stream"[..], &SIGNATURE[..5], b"\0\0\0\x0Cftypmp42"] {
            assert_eq!(unboxed(bytes, 3).await, bytes);
        }
        let mut source = Pieces(VecDeque::from([Bytes::from_static(SIGNATURE)]));
        assert_eq!(Unboxed::new(&mut source, false).chunk().await.unwrap().unwrap(), SIGNATURE);
    }
}

//! Ranges of bytes of an answer that is one item (RFC 9110 §14, PS3.18 §8.6.1.1).
//!
//! One range is given as 206, one behind the end is 416; several ranges, other units and nonsense are ignored, which
//! RFC 9110 allows: then the whole is given.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt, try_unfold};
use http::HeaderMap;
use http::header::RANGE;

use super::parts::Chunks;
use super::validator::Validator;

/// What a request asks for of an answer of known length.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Whole,
    Part(Range<u64>),
    Beyond,
}

impl Asked {
    pub(super) fn read(headers: &HeaderMap, validator: &Validator, length: u64) -> Self {
        let text = headers.get(RANGE).and_then(|value| value.to_str().ok());
        match text.filter(|_| validator.is_range_valid(headers)) {
            Some(text) => range(text, length).unwrap_or(Self::Whole),
            None => Self::Whole,
        }
    }
}

/// One range of bytes; `None` for what is to be ignored.
fn range(text: &str, length: u64) -> Option<Asked> {
    let (unit, range) = text.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    // Digits alone (RFC 9110 §14.1.2): the parser would take a sign.
    if !first.bytes().chain(last.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = match (first.is_empty(), last.is_empty()) {
        (true, _) => length.saturating_sub(last.parse().ok()?)..length,
        (false, true) => first.parse().ok()?..length,
        (false, false) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if part.start < part.end { Asked::Part(part) } else { Asked::Beyond })
}

/// The same bytes without those before and behind the range; nothing is read behind it.
pub(super) fn cut(chunks: Chunks, range: Range<u64>) -> Chunks {
    let length = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let state = (chunks, 0_u64, range);
    let cut = try_unfold(state, move |(mut chunks, at, range)| async move {
        if at >= range.end {
            return Ok(None);
        }
        let Some(mut bytes) = chunks.try_next().await? else { return Ok(None) };
        let end = at.saturating_add(length(&bytes));
        let within = |place: u64| usize::try_from(place.clamp(at, end) - at).unwrap_or(usize::MAX);
        bytes = bytes.slice(within(range.start)..within(range.end).max(within(range.start)));
        Ok(Some((bytes, (chunks, end, range))))
    });
    cut.try_filter(|bytes| std::future::ready(!bytes.is_empty())).boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("bytes=0-9", Some(Asked::Part(0..10)))]
    #[case("bytes=90-", Some(Asked::Part(90..100)))]
    #[case("bytes=-10", Some(Asked::Part(90..100)))]
    #[case("bytes=0-1000", Some(Asked::Part(0..100)))]
    #[case("bytes=100-", Some(Asked::Beyond))]
    #[case("bytes=-0", Some(Asked::Beyond))]
    #[case("bytes=9-0", None)]
    #[case("bytes=0-1,5-6", None)]
    #[case("items=0-1", None)]
    #[case("bytes=a-", None)]
    #[case("BYTES=0-9", Some(Asked::Part(0..10)))]
    #[case("bytes=+1-3", None)]
    #[case("bytes=1-+3", None)]
    #[case("bytes=--3", None)]
    #[case("bytes", None)]
    fn reads_one_range(#[case] text: &str, #[case] expected: Option<Asked>) {
        assert_eq!(range(text, 100), expected);
    }

    #[rstest]
    #[case(0..10)]
    #[case(2..3)]
    #[case(3..8)]
    #[case(4..4)]
    #[case(9..10)]
    #[tokio::test]
    async fn a_range_is_cut_out_of_chunks_wherever_they_begin(#[case] range: Range<u64>) {
        let whole: Vec<u8> = (0..10).collect();
        let chunks = whole.chunks(3).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>();
        let parts: Vec<Bytes> = cut(stream::iter(chunks).boxed(), range.clone()).try_collect().await.unwrap();
        let expected: Vec<u8> = whole.into_iter().filter(|n| range.contains(&u64::from(*n))).collect();
        assert_eq!(parts.concat(), expected);
    }

    #[tokio::test]
    async fn nothing_is_read_behind_a_range() {
        let chunks = stream::iter([0_u8, 1, 2]).map(|n| {
            assert!(n < 2, "the last chunk is read");
            Ok(Bytes::from(vec![n; 4]))
        });
        let parts: Vec<Bytes> = cut(chunks.boxed(), 2..8).try_collect().await.unwrap();
        assert_eq!(parts.concat(), [0, 0, 1, 1, 1, 1]);
    }
}

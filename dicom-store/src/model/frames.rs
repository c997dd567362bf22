//! Where each frame of an instance lies.

use std::ops::Range;

use super::numbers::{put_varint, take_varint};
use super::{Error, Result};

/// Number of a frame, counted from 1 (PS3.3 §C.7.6.6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(u32);

impl FrameNumber {
    pub const FIRST: Self = Self(1);

    /// None for 0.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    pub fn get(self) -> u32 {
        self.0
    }

    /// Counted from 0.
    pub fn index(self) -> u32 {
        self.0 - 1
    }
}

/// The byte range of each frame within the Part 10 file, in frame order.
///
/// Offsets count from the start of the file, in bytes; for a deflated data set as if it were
/// inflated behind its file meta. A compressed frame that is split over fragments has one range
/// for each of them, without the item headers (PS3.5 §A.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameMap {
    /// No pixel data.
    None,
    /// Uncompressed, one frame after the other without padding (PS3.5 §8.1.1).
    Native { offset: u64, bits_per_frame: u64, count: u32 },
    /// One fragment a frame or more: `starts` holds the index of each frame's first fragment. It is empty where nothing
    /// tells which fragment belongs to which frame.
    Fragments { fragments: Vec<(u64, u64)>, starts: Vec<u32> },
}

/// The bytes that hold one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBytes {
    pub ranges: Vec<Range<u64>>,
    /// Which bits of them, when the frame does not begin and end with a byte (PS3.5 §8.1.1).
    pub bits: Option<BitRange>,
}

impl FrameBytes {
    /// Bytes of all ranges together.
    pub fn length(&self) -> u64 {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
    }
}

/// Bits counted from the lowest bit of the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRange {
    pub first: u64,
    pub count: u64,
}

impl FrameMap {
    pub fn count(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Native { count, .. } => *count,
            Self::Fragments { starts, .. } => u32::try_from(starts.len()).unwrap_or(u32::MAX),
        }
    }

    /// The fragments as one stream of which no frame can be taken by itself, as those of a video are (PS3.5 §A.4.5).
    #[must_use]
    pub fn into_one_stream(self) -> Self {
        match self {
            Self::Fragments { fragments, .. } => Self::Fragments { fragments, starts: vec![0] },
            other => other,
        }
    }

    pub fn is_encapsulated(&self) -> bool {
        matches!(self, Self::Fragments { .. })
    }

    /// None past the last frame.
    pub fn frame(&self, number: FrameNumber) -> Option<FrameBytes> {
        match self {
            Self::None => None,
            Self::Native { offset, bits_per_frame, count } => {
                (number.0 <= *count).then(|| native(*offset, *bits_per_frame, u64::from(number.index())))
            }
            Self::Fragments { fragments, starts } => {
                let at = number.index() as usize;
                let first = *starts.get(at)? as usize;
                let end = starts.get(at + 1).map_or(fragments.len(), |next| *next as usize);
                let ranges =
                    fragments.get(first..end)?.iter().map(|(offset, length)| *offset..offset + length);
                Some(FrameBytes { ranges: ranges.collect(), bits: None })
            }
        }
    }

    /// The form it is kept in: variable-length numbers, one or two bytes a frame for most.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::None => out.push(0),
            Self::Native { offset, bits_per_frame, count } => {
                out.push(1);
                [*offset, *bits_per_frame, u64::from(*count)].iter().for_each(|n| put_varint(&mut out, *n));
            }
            Self::Fragments { fragments, starts } => {
                out.push(2);
                put_varint(&mut out, fragments.len() as u64);
                let mut end = 0;
                for (offset, length) in fragments {
                    put_varint(&mut out, offset.saturating_sub(end));
                    put_varint(&mut out, *length);
                    end = offset + length;
                }
                put_varint(&mut out, starts.len() as u64);
                let mut last = 0;
                for start in starts {
                    put_varint(&mut out, u64::from(start - last));
                    last = *start;
                }
            }
        }
        out
    }

    /// # Errors
    /// `Corrupt` when the bytes are not what [`FrameMap::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| Error::corrupt("stored frame map cannot be read"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        match kind {
            0 => Some(Self::None),
            1 => Some(Self::Native {
                offset: take_varint(rest)?,
                bits_per_frame: take_varint(rest)?,
                count: u32::try_from(take_varint(rest)?).ok()?,
            }),
            2 => {
                let mut end = 0u64;
                let fragments = (0..take_varint(rest)?)
                    .map(|_| {
                        let offset = end.checked_add(take_varint(rest)?)?;
                        let length = take_varint(rest)?;
                        end = offset.checked_add(length)?;
                        Some((offset, length))
                    })
                    .collect::<Option<_>>()?;
                let mut last = 0u32;
                let starts = (0..take_varint(rest)?)
                    .map(|_| {
                        last = last.checked_add(u32::try_from(take_varint(rest)?).ok()?)?;
                        Some(last)
                    })
                    .collect::<Option<_>>()?;
                Some(Self::Fragments { fragments, starts })
            }
            _ => None,
        }
    }
}

fn native(offset: u64, bits_per_frame: u64, index: u64) -> FrameBytes {
    let first = index * bits_per_frame;
    let start = offset + first / 8;
    let end = offset + (first + bits_per_frame).div_ceil(8);
    let is_whole = bits_per_frame.is_multiple_of(8);
    let bits = (!is_whole).then_some(BitRange { first: first % 8, count: bits_per_frame });
    FrameBytes { ranges: std::iter::once(start..end).collect(), bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(number: u32) -> FrameNumber {
        FrameNumber::new(number).unwrap()
    }

    #[test]
    fn frames_of_odd_size_follow_each_other_without_padding() {
        let map = FrameMap::Native { offset: 100, bits_per_frame: 72, count: 2 };
        assert_eq!(map.frame(frame(2)).unwrap().ranges.first(), Some(&(109..118)));
        assert_eq!(map.frame(frame(3)), None);
    }

    #[test]
    fn frames_of_single_bits_begin_within_a_byte() {
        let map = FrameMap::Native { offset: 0, bits_per_frame: 81, count: 3 };
        let second = map.frame(frame(2)).unwrap();
        assert_eq!(second.ranges.first(), Some(&(10..21)));
        assert_eq!(second.bits, Some(BitRange { first: 1, count: 81 }));
    }

    #[test]
    fn a_frame_of_several_fragments_has_a_range_for_each() {
        let map = FrameMap::Fragments { fragments: vec![(8, 10), (26, 4), (38, 6)], starts: vec![0, 2] };
        assert_eq!(map.frame(frame(1)).unwrap().ranges, [8..18, 26..30]);
        assert_eq!(map.frame(frame(2)).unwrap().ranges.first(), Some(&(38..44)));
    }

    proptest! {
        #[test]
        fn comes_back_from_its_bytes(lengths in prop::collection::vec(0u64..1 << 40, 1..40)) {
            let mut end = 500;
            let fragments: Vec<_> = lengths.iter().map(|length| {
                let at = (end + 8, *length);
                end += 8 + length;
                at
            }).collect();
            let starts = (0..u32::try_from(fragments.len()).unwrap()).collect();
            let map = FrameMap::Fragments { fragments, starts };
            prop_assert_eq!(FrameMap::from_bytes(&map.to_bytes()).unwrap(), map);
        }

        #[test]
        fn never_panics_on_other_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = FrameMap::from_bytes(&bytes);
        }
    }
}

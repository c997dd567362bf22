//! Frames, each read where it lies in the stored object.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::Session;
use crate::model::{BitRange, Codec, Encoding, FrameBytes, FrameMap, FrameNumber, Instance};
use crate::packs::serving::Room;
use crate::{Error, Result};

/// What is not larger goes out as one.
const WHOLE: u64 = 1 << 20;
/// Bytes that show whether a code stream is padded.
const END: u64 = 3;
/// Bytes of the head of a box of an MP4 file, at the most.
const BOX_HEAD: u64 = 16;
/// Boxes of an MP4 file that are looked at for its end; one in fragments has two for each.
const MOST_BOXES: usize = 4096;

/// The stored bytes of a frame on their way out.
pub struct FrameStream {
    /// Bytes of all chunks together.
    pub length: u64,
    pub chunks: BoxStream<'static, Result<Bytes>>,
}

impl Session {
    /// The stored bytes of one frame: samples as they are encoded, or the code stream with its
    /// fragments joined and without the byte that pads it. Frames of single bits start with bit 0. In big endian an
    /// odd one comes with the byte behind it, which may hold its last, or the one before it, which may hold its first.
    ///
    /// # Errors
    /// `NotFound` past the last frame, and as for [`Session::read`].
    pub async fn open_frame(&self, instance: &Instance, frame: FrameNumber) -> Result<Bytes> {
        let map = self.frame_map(instance).await?;
        self.open_mapped_frame(instance, &map, frame).await
    }

    /// The same with a frame map in hand.
    ///
    /// # Errors
    /// As for [`Session::open_frame`].
    pub async fn open_mapped_frame(
        &self,
        instance: &Instance,
        map: &FrameMap,
        frame: FrameNumber,
    ) -> Result<Bytes> {
        let room = self.room(place(instance, map, frame)?.length()).await?;
        let bytes = self.read_frame(&room, instance, map, frame).await?;
        Ok(room.hold(bytes))
    }

    /// The same into a room that was taken for it, and perhaps for what is made of it: see [`Session::room`].
    ///
    /// # Errors
    /// As for [`Session::open_frame`].
    pub async fn read_frame(
        &self,
        _within: &Room,
        instance: &Instance,
        map: &FrameMap,
        frame: FrameNumber,
    ) -> Result<Bytes> {
        let mut place = place(instance, map, frame)?;
        if instance.transfer_syntax.facts().codec == Codec::Video {
            self.cut_padding_of_video(instance, &mut place.ranges).await?;
        }
        let mut bytes = match place.ranges.as_slice() {
            [range] => self.read_into(instance, range.clone()).await?,
            ranges => {
                let mut joined = BytesMut::new();
                for range in ranges {
                    joined.extend_from_slice(&self.read_into(instance, range.clone()).await?);
                }
                joined.freeze()
            }
        };
        if let Some(bits) = place.bits {
            bytes = repack(&bytes, bits);
        }
        if map.is_encapsulated() && is_padded(&bytes, instance.transfer_syntax.facts().codec) {
            bytes.truncate(bytes.len() - 1);
        }
        Ok(bytes)
    }

    /// A range of the bytes of [`Session::stream_frame`]; of a large frame nothing before it is read.
    ///
    /// # Errors
    /// As for [`Session::open_frame`].
    pub async fn stream_frame_part(
        &self,
        instance: &Instance,
        map: &FrameMap,
        frame: FrameNumber,
        part: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let Some(ranges) = self.streamed(instance, map, frame).await? else {
            let bytes = self.open_mapped_frame(instance, map, frame).await?;
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            let bytes = bytes.slice(at(part.start)..at(part.end).max(at(part.start)));
            return Ok(stream::iter([Ok(bytes)]).boxed());
        };
        let (session, owned) = (self.clone(), instance.clone());
        let within = within(ranges, &part);
        Ok(stream::iter(within).map(move |range| session.stored(&owned, range)).flatten().boxed())
    }

    /// Where a frame lies that goes out in steps; none for one that goes out as one.
    async fn streamed(
        &self,
        instance: &Instance,
        map: &FrameMap,
        frame: FrameNumber,
    ) -> Result<Option<Vec<Range<u64>>>> {
        let place = place(instance, map, frame)?;
        let facts = instance.transfer_syntax.facts();
        // The end of a code stream lies in the last fragment, unless that is all too short.
        let has_end = place.ranges.last().is_some_and(|last| last.end - last.start >= END);
        if place.length() <= WHOLE || place.bits.is_some() || facts.deflated || !has_end {
            return Ok(None);
        }
        let mut ranges = place.ranges;
        if facts.codec == Codec::Video {
            self.cut_padding_of_video(instance, &mut ranges).await?;
        } else if map.is_encapsulated()
            && let Some(last) = ranges.last_mut()
            && is_padded(&self.read(instance, last.end.saturating_sub(END)..last.end).await?, facts.codec)
        {
            last.end -= 1;
        }
        Ok(Some(ranges))
    }

    /// Leaves out the zero behind an MP4 file of an odd length, which has its end where its last box has it. Of other
    /// streams nothing tells whether it belongs to them.
    async fn cut_padding_of_video(&self, instance: &Instance, ranges: &mut [Range<u64>]) -> Result<()> {
        let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let read = async |at: u64, end: u64| {
            let mut bytes = BytesMut::new();
            for range in within(ranges.to_vec(), &(at..end.min(length))) {
                bytes.extend_from_slice(&self.read(instance, range).await?);
            }
            Ok::<_, Error>(bytes)
        };
        if length == 0 || read(length - 1, length).await? != [0][..] {
            return Ok(());
        }
        let mut end = 0;
        for number in 0..MOST_BOXES {
            let Some(body) = file_box(&read(end, end + BOX_HEAD).await?, number == 0) else { return Ok(()) };
            end = end.saturating_add(body);
            if end + 1 == length {
                if let Some(last) = ranges.last_mut() {
                    last.end -= 1;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same in steps, so that somebody who does not take it holds little of it. The first is read already.
    ///
    /// # Errors
    /// As for [`Session::open_frame`].
    pub async fn stream_frame(
        &self,
        instance: &Instance,
        map: &FrameMap,
        frame: FrameNumber,
    ) -> Result<FrameStream> {
        let Some(ranges) = self.streamed(instance, map, frame).await? else {
            let bytes = self.open_mapped_frame(instance, map, frame).await?;
            return Ok(FrameStream { length: bytes.len() as u64, chunks: stream::iter([Ok(bytes)]).boxed() });
        };
        let length = ranges.iter().map(|range| range.end - range.start).sum();
        let (session, owned) = (self.clone(), instance.clone());
        let mut chunks =
            stream::iter(ranges).map(move |range| session.stored(&owned, range)).flatten().boxed();
        let first = chunks.try_next().await?;
        Ok(FrameStream { length, chunks: stream::iter(first.map(Ok)).chain(chunks).boxed() })
    }
}

/// The parts of ranges, taken as one after the other, that a range of them all has.
fn within(ranges: Vec<Range<u64>>, part: &Range<u64>) -> Vec<Range<u64>> {
    let mut at = 0;
    let cut = |range: Range<u64>| {
        let (start, length) = (at, range.end - range.start);
        at += length;
        let clamp = |place: u64| range.start + place.clamp(start, start + length) - start;
        clamp(part.start)..clamp(part.end)
    };
    ranges.into_iter().map(cut).filter(|range| !range.is_empty()).collect()
}

fn place(instance: &Instance, map: &FrameMap, frame: FrameNumber) -> Result<FrameBytes> {
    let mut place = map.frame(frame).ok_or_else(|| {
        let (number, count) = (frame.get(), map.count());
        Error::not_found(format!("frame {number} of {count} in instance {}", instance.sop_instance))
    })?;
    if let ([range], FrameMap::Native { offset, .. }) = (place.ranges.as_mut_slice(), map)
        && instance.transfer_syntax.facts().encoding == Encoding::ExplicitBig
    {
        // In words of big endian the last byte of an odd frame stands behind the first one of the next, and that before
        // it (PS3.5 §7.3): what shares a word with another frame is read with all of it.
        let is_odd = |place: u64| place.saturating_sub(*offset) % 2 == 1;
        if is_odd(range.start) && place.bits.is_none() {
            range.start -= 1;
        }
        if is_odd(range.end) && range.end < instance.location.length {
            range.end += 1;
        }
    }
    Ok(place)
}

/// Moves bits down to bit 0 and clears what is not of the frame (PS3.18 §8.7.3.3.1).
fn repack(bytes: &[u8], bits: BitRange) -> Bytes {
    let shift = u32::try_from(bits.first % 8).unwrap_or_default();
    let length = usize::try_from(bits.count.div_ceil(8)).unwrap_or(usize::MAX);
    let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
    let mut packed: Vec<u8> = (0..length)
        .map(|at| u8::try_from(((byte(at) | byte(at + 1) << 8) >> shift) & 0xFF).unwrap_or_default())
        .collect();
    let rest = bits.count % 8;
    if let (1.., Some(last)) = (rest, packed.last_mut()) {
        *last &= (1u8 << rest) - 1;
    }
    packed.into()
}

/// Bytes of a box of a file with its head, which these are (ISO/IEC 14496-12 §4.2); `None` for what has no end of its own,
/// and for no box. With the first of them a file says that it is an MP4 file, or one of QuickTime.
fn file_box(head: &[u8], is_first: bool) -> Option<u64> {
    let (size, rest) = head.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    if is_first && ![b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"].contains(&kind) {
        return None;
    }
    match u32::from_be_bytes(*size) {
        1 => Some(u64::from_be_bytes(*rest.first_chunk::<8>()?)).filter(|size| *size >= BOX_HEAD),
        size => Some(u64::from(size)).filter(|size| *size >= 8),
    }
}

/// Whether a zero stands behind the end of the image, which every JPEG code stream marks with two bytes.
fn is_padded(bytes: &[u8], codec: Codec) -> bool {
    let is_marked = matches!(
        codec,
        Codec::JpegBaseline
            | Codec::JpegExtended
            | Codec::JpegLossless
            | Codec::JpegLs
            | Codec::Jpeg2000
            | Codec::HtJ2k
    );
    is_marked && matches!(bytes, [.., 0xFF, 0xD9, 0x00])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_frame_are_moved_to_its_own_start() {
        // Nine pixels a frame; the second begins with bit 1 of the second byte.
        let packed = repack(&[0b1010_1010, 0b0000_0011], BitRange { first: 1, count: 9 });
        assert_eq!(*packed, [0b1101_0101, 0b0000_0001]);
    }

    #[test]
    fn a_range_of_fragments_is_cut_out_of_each() {
        let fragments = vec![100..110, 200..205, 300..310];
        assert_eq!(within(fragments.clone(), &(0..25)), fragments);
        assert_eq!(within(fragments.clone(), &(9..16)), [109..110, 200..205, 300..301]);
        assert_eq!(within(fragments.clone(), &(11..13)), std::slice::from_ref(&(201..203)));
        assert_eq!(within(fragments, &(25..30)), []);
    }

    #[test]
    fn a_box_of_a_file_says_how_long_it_is() {
        assert_eq!(file_box(b"\0\0\0\x10ftypisom", true), Some(16));
        assert_eq!(file_box(b"\0\0\0\x01mdat\0\0\0\x02\0\0\0\0", false), Some(1 << 33));
        assert_eq!(file_box(b"\0\0\0\x10moof", true), None, "no file begins so");
        assert_eq!(file_box(b"\0\0\0\x10moof", false), Some(16));
        for none in [&b"\0\0\0\0mdat"[..], b"\0\0\0\x07mdat", b"\0\0\0\x01mdat\0\0", b"\0\0\0\x10", b""] {
            assert_eq!(file_box(none, false), None);
        }
    }

    #[test]
    fn only_the_byte_behind_the_end_of_the_image_is_padding() {
        assert!(is_padded(&[1, 0xFF, 0xD9, 0], Codec::JpegBaseline));
        assert!(!is_padded(&[1, 0xFF, 0xD9], Codec::JpegBaseline));
        assert!(!is_padded(&[1, 0xFF, 0xD9, 0], Codec::Rle));
    }
}

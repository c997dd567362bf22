//! The only door to the archive: every verb is allowed or refused here.

mod acts;
mod rewritten;

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::access::{Action, Caller};
use crate::archive::Archive;
use crate::index::rows_of;
use crate::ingest::{Arrival, Incoming};
use crate::model::{BitRange, Codec, FrameMap, FrameNumber, Header, Instance, Location, Resource};
use crate::objects::DerivedKey;
use crate::packs::ahead::ReadAhead;
use crate::packs::place::Place;
use crate::query::{Query, Rows};
use crate::{Error, Result, inflate};
use rewritten::Rewritten;

/// Bytes of an object that are read at a time.
const CHUNK: u64 = 1 << 20;
/// Headers that are read at a time.
const HEADERS: u32 = 100;

/// What one caller does with the archive.
#[derive(Debug, Clone)]
pub struct Session {
    archive: Archive,
    caller: Caller,
}

impl Session {
    pub(crate) fn new(archive: Archive, caller: Caller) -> Self {
        Self { archive, caller }
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Makes ready to take an instance.
    ///
    /// # Errors
    /// `Forbidden`; `Unavailable` when the archive is closing; `Exhausted` when the disk is full.
    pub async fn receive(&self, arrival: Arrival) -> Result<Incoming> {
        self.caller.check(Action::Store)?;
        let may_reject = self.caller.may(Action::Reject);
        Incoming::new(self.archive.store()?, arrival, may_reject).await
    }

    /// The rows that match, as they are found (PS3.4 §C.4.1, PS3.18 §10.6). Names with the marks that were
    /// typed come before others.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`; behind the rows, `TooLarge` when the search took more headers than it may
    /// and there may be further ones.
    pub async fn search(&self, query: &Query) -> Result<Rows> {
        self.caller.check(Action::Search)?;
        let query = self.bounded(query);
        Ok(rows_of(self.archive.inner.index.clone(), query))
    }

    /// How many match behind the query's offset, up to its limit.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`; `TooLarge` as [`Session::search`].
    pub async fn count(&self, query: &Query) -> Result<u64> {
        self.caller.check(Action::Search)?;
        self.archive.inner.index.count(&self.bounded(query)).await
    }

    /// With what the settings allow a search to cost.
    fn bounded(&self, query: &Query) -> Query {
        Query { max_headers: query.max_headers.min(self.archive.inner.search_headers), ..query.clone() }
    }

    /// The instances of a resource, by series number and instance number.
    ///
    /// # Errors
    /// `NotFound` when there are none, `Forbidden`, `Unavailable`.
    pub async fn instances(&self, of: &Resource) -> Result<Vec<Instance>> {
        self.caller.check(Action::Retrieve)?;
        let found = self.archive.inner.index.instances(of).await?;
        if found.is_empty() {
            Err(Error::not_found(format!("{of} is not in the archive")))
        } else {
            Ok(found)
        }
    }

    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`, `Corrupt`.
    pub async fn header(&self, instance: &Instance) -> Result<Header> {
        self.header_and_frames(instance).await.map(|(header, _)| header)
    }

    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`, `Corrupt`.
    pub async fn frame_map(&self, instance: &Instance) -> Result<FrameMap> {
        self.header_and_frames(instance).await.map(|(_, frames)| frames)
    }

    /// Both in one question.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`, `Corrupt`.
    pub async fn header_and_frames(&self, instance: &Instance) -> Result<(Header, FrameMap)> {
        self.caller.check(Action::Retrieve)?;
        let found = self.archive.inner.index.header(&instance.sop_instance).await?;
        let (header, frames) = found
            .ok_or_else(|| Error::not_found(format!("{} is not in the archive", instance.resource())))?;
        Ok((header.corrected(instance.correction.clone()), frames))
    }

    /// Every instance of a resource with its header, out of the index, some at a time.
    pub fn headers(&self, of: &Resource) -> impl Stream<Item = Result<(Instance, Header)>> + Send + use<> {
        let (session, of) = (self.clone(), of.clone());
        let pages = try_unfold((session, of, None, false), |(session, of, after, is_over)| async move {
            if is_over {
                return Ok::<_, Error>(None);
            }
            session.caller.check(Action::Retrieve)?;
            let (page, next) = session.archive.inner.index.headers(&of, after, HEADERS).await?;
            let is_over = next.is_none();
            let corrected = |(instance, header): (Instance, Header)| {
                let header = header.corrected(instance.correction.clone());
                (instance, header)
            };
            let page = stream::iter(page.into_iter().map(corrected).map(Ok));
            Ok(Some((page, (session, of, next, is_over))))
        });
        pages.try_flatten()
    }

    /// The Part 10 file, in parts of up to 1 MiB: byte for byte as it is stored, or with the data set
    /// written anew where something else holds.
    pub fn open(&self, instance: &Instance) -> BoxStream<'static, Result<Bytes>> {
        if instance.correction.is_none() {
            return self.stored(instance, 0..instance.location.length).boxed();
        }
        self.stored(instance, 0..instance.data_set).chain(self.open_data_set(instance)).boxed()
    }

    /// The data set, as [`Session::open`] gives it.
    pub fn open_data_set(&self, instance: &Instance) -> BoxStream<'static, Result<Bytes>> {
        let Some(correction) = instance.correction.clone() else {
            return self.stored_data_set(instance).boxed();
        };
        let (session, instance) = (self.clone(), instance.clone());
        let plan = async move {
            let rewritten = Rewritten::plan(&session, &instance, &correction).await?;
            Ok::<_, Error>(rewritten.into_chunks())
        };
        stream::once(plan).try_flatten().boxed()
    }

    /// Bytes that [`Session::open`] gives; `None` when that is known only at the end.
    ///
    /// # Errors
    /// As [`Session::header`].
    pub async fn length(&self, instance: &Instance) -> Result<Option<u64>> {
        let Some(correction) = &instance.correction else { return Ok(Some(instance.location.length)) };
        let rewritten = Rewritten::plan(self, instance, correction).await?;
        Ok(rewritten.length().map(|length| instance.data_set + length))
    }

    fn stored_data_set(&self, instance: &Instance) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        self.stored(instance, instance.data_set..instance.location.length)
    }

    fn stored(
        &self,
        instance: &Instance,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let place = self.place(instance);
        let parts: Vec<Range<u64>> = parts(place.location(), range).collect();
        let at = |part: &Range<u64>| {
            let Location { pack, offset, .. } = place.location();
            Location { pack, offset: offset + part.start, length: part.end - part.start }
        };
        let ahead = ReadAhead::new(&self.archive.inner.packs, parts.iter().map(at));
        let allowed = self.caller.check(Action::Retrieve);
        let state = (place, ahead, parts.into_iter().enumerate());
        let stream = try_unfold(state, |(mut place, ahead, mut parts)| async move {
            let Some((number, part)) = parts.next() else { return Ok(None) };
            ahead.reached(number);
            let bytes = if number == 0 { place.read_first(part).await? } else { place.read(part).await? };
            Ok(Some((bytes, (place, ahead, parts))))
        });
        stream::once(async move { allowed.map(|()| stream) }).try_flatten()
    }

    fn place(&self, instance: &Instance) -> Place {
        Place::new(&self.archive.inner.packs, &self.archive.inner.index, instance)
    }

    /// Tells that these will be read, one after the other. See [`ReadAhead::reached`].
    pub fn read_ahead<'a>(&self, instances: impl IntoIterator<Item = &'a Instance>) -> ReadAhead {
        let places = instances.into_iter().map(|instance| instance.location);
        ReadAhead::new(&self.archive.inner.packs, places)
    }

    /// One ranged read of the stored object; offsets count from the start of the Part 10 file, of a deflated data set as if
    /// it were inflated behind its file meta.
    ///
    /// # Errors
    /// `Invalid` when the range reaches past the file, `Forbidden`, `Unavailable`, `Corrupt`.
    pub async fn read(&self, instance: &Instance, range: Range<u64>) -> Result<Bytes> {
        self.caller.check(Action::Retrieve)?;
        if instance.transfer_syntax.facts().deflated {
            return inflate::range(self.stored_data_set(instance), instance.data_set, range).await;
        }
        let location = instance.location;
        if range.end > location.length || range.start > range.end {
            return Err(Error::invalid(format!("range {range:?} reaches past {} bytes", location.length)));
        }
        self.place(instance).read(range).await
    }

    /// The stored bytes of one frame: samples as they are encoded, or the code stream with its
    /// fragments joined and without the byte that pads it. Frames of single bits start with bit 0.
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
        let place = map.frame(frame).ok_or_else(|| {
            let (number, count) = (frame.get(), map.count());
            Error::not_found(format!("frame {number} of {count} in instance {}", instance.sop_instance))
        })?;
        let mut bytes = match place.ranges.as_slice() {
            [range] => self.read(instance, range.clone()).await?,
            ranges => {
                let mut joined = BytesMut::new();
                for range in ranges {
                    joined.extend_from_slice(&self.read(instance, range.clone()).await?);
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

    /// Something that was made of images, where it was made already.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn derived(&self, key: &DerivedKey) -> Result<Option<Bytes>> {
        self.caller.check(Action::Retrieve)?;
        self.archive.inner.packs.objects.derived(key).await
    }

    /// Keeps something that was made of images; it may be gone at any time and is then made again.
    ///
    /// # Errors
    /// `Forbidden` to all who may not retrieve, `Unavailable`, `Exhausted`.
    pub async fn put_derived(&self, key: &DerivedKey, bytes: Bytes) -> Result<()> {
        self.caller.check(Action::Retrieve)?;
        self.archive.inner.packs.objects.put_derived(key, bytes).await
    }
}

/// Cuts a range of an instance where the parts of its pack begin, so that no part is put together of two.
fn parts(location: Location, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        let next = (location.offset + start) / CHUNK * CHUNK + CHUNK - location.offset;
        at = next.min(range.end);
        (start < range.end).then_some(start..at)
    })
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
    fn only_the_byte_behind_the_end_of_the_image_is_padding() {
        assert!(is_padded(&[1, 0xFF, 0xD9, 0], Codec::JpegBaseline));
        assert!(!is_padded(&[1, 0xFF, 0xD9], Codec::JpegBaseline));
        assert!(!is_padded(&[1, 0xFF, 0xD9, 0], Codec::Rle));
    }
}

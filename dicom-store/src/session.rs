//! The only door to the archive: every verb is allowed or refused here.

mod acts;
mod frame;
mod jobs;
mod peers;
mod performed_steps;
mod proof;
mod rendition;
mod rewritten;
pub(crate) mod workitems;

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use futures_util::stream::{self, BoxStream, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::access::{Action, Caller};
use crate::archive::{Archive, Inner};
use crate::index::{Described, rows_of};
use crate::ingest::{Arrival, Incoming};
use crate::model::{Attributes, FrameMap, Header, Instance, Level, Location, Resource, StudyInstanceUid, VR};
use crate::objects::DerivedKey;
use crate::packs::ahead::ReadAhead;
use crate::packs::file_part::FilePart;
use crate::packs::place::Place;
use crate::packs::serving::{Pressure, Room};
use crate::query::{Counted, Options, Query, Rows};
use crate::{Error, Result, inflate};
pub use frame::FrameStream;
pub use proof::Proof;
pub use rendition::RenditionWriter;
use rewritten::Rewritten;

/// Bytes of an object that are read at a time, so that a peer that takes nothing holds little.
pub const STEP: u64 = 256 << 10;
/// Headers that are read at a time.
const HEADERS: u32 = 100;
/// Studies that are asked about together.
const STUDIES_TOGETHER: usize = 256;

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

    /// How many match behind the query's offset, up to its limit. With a limit not everything is looked at where many
    /// do not match.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn count(&self, query: &Query) -> Result<Counted> {
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

    /// Those of the studies whose Patient ID is this one, as it stands corrected.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn studies_of_patient(
        &self,
        id: &str,
        studies: impl IntoIterator<Item = &StudyInstanceUid> + Send,
        options: Options,
    ) -> Result<HashSet<StudyInstanceUid>> {
        self.caller.check(Action::Retrieve)?;
        let studies: Vec<&str> = studies.into_iter().map(StudyInstanceUid::as_str).collect();
        let mut theirs = HashSet::new();
        for some in studies.chunks(STUDIES_TOGETHER) {
            let mut keys = Attributes::new();
            keys.put_text(tags::PATIENT_ID, VR::LO, id);
            keys.put_texts(tags::STUDY_INSTANCE_UID, VR::UI, some);
            let query = Query::from_identifier(Level::Study, &keys, options)?;
            let mut rows = rows_of(self.archive.inner.index.clone(), self.bounded(&query));
            while let Some(row) = rows.try_next().await? {
                let study = row.attributes.uid(tags::STUDY_INSTANCE_UID).map(StudyInstanceUid::parse);
                theirs.extend(study.transpose()?);
            }
        }
        Ok(theirs)
    }

    /// The instance at the end of a path, with its header and frame map, in one question.
    ///
    /// # Errors
    /// `NotFound` when there is none there, `Forbidden`, `Unavailable`, `Corrupt`.
    pub async fn described(&self, of: &Resource) -> Result<Described> {
        self.caller.check(Action::Retrieve)?;
        let found = self.archive.inner.index.described(of).await?;
        found.ok_or_else(|| Error::not_found(format!("{of} is not in the archive")))
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

    /// The Part 10 file, in parts of up to [`STEP`]: byte for byte as it is stored, or with the data set
    /// written anew where something else holds.
    pub fn open(&self, instance: &Instance) -> BoxStream<'static, Result<Bytes>> {
        if instance.correction.is_none() {
            return self.stored(instance, 0..instance.location.length).boxed();
        }
        self.stored(instance, 0..instance.data_set).chain(self.open_data_set(instance)).boxed()
    }

    /// A range of the Part 10 file as it is stored, whatever holds instead of some of its attributes.
    ///
    /// # Errors
    /// Those of [`Session::open`]; `Invalid` when the range reaches past the file.
    pub fn open_part(&self, instance: &Instance, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let is_inside = range.start <= range.end && range.end <= instance.location.length;
        if !is_inside {
            let what = format!("range {range:?} reaches past {} bytes", instance.location.length);
            return stream::iter([Err(Error::invalid(what))]).boxed();
        }
        self.stored(instance, range).boxed()
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

    /// The data set as [`Session::open_data_set`] gives it, where it lies in a file of this machine and is in the memory of
    /// the system. `None` where it does not, and where something is not as it should be, which the other one tells.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn data_set_in_file(&self, instance: &Instance) -> Result<Option<FilePart>> {
        self.caller.check(Action::Retrieve)?;
        if instance.correction.is_some() {
            return Ok(None);
        }
        let found = self.place(instance).in_file(instance.data_set..instance.location.length).await;
        Ok(found.unwrap_or_default())
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
        self.steps(instance, range, Count::Each)
    }

    fn steps(
        &self,
        instance: &Instance,
        range: Range<u64>,
        count: Count,
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
        let stream = try_unfold(state, move |(mut place, ahead, mut parts)| async move {
            let Some((number, part)) = parts.next() else { return Ok(None) };
            ahead.reached(number);
            let bytes = match count {
                Count::Each => place.read(part).await?,
                Count::Taken => place.read_into(part).await?,
            };
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
        check_range(instance, &range)?;
        let room = self.room(range.end - range.start).await?;
        Ok(room.hold(self.read_into(instance, range).await?))
    }

    /// The same into memory that has been taken for it.
    async fn read_into(&self, instance: &Instance, range: Range<u64>) -> Result<Bytes> {
        self.caller.check(Action::Retrieve)?;
        check_range(instance, &range)?;
        if instance.transfer_syntax.facts().deflated {
            let deflated = instance.data_set..instance.location.length;
            let deflated = self.steps(instance, deflated, Count::Taken);
            return inflate::range(deflated, instance.data_set, range).await;
        }
        // A job that looks at two images of a series is not going to read the others.
        if !matches!(self.caller, Caller::System(_)) {
            let Inner { packs, index, follow, .. } = &*self.archive.inner;
            follow.reading(packs, index, instance, range.start).await;
        }
        self.place(instance).read_into(range).await
    }

    /// Whether readers wait for memory that others hold.
    pub fn pressure(&self) -> Pressure {
        self.archive.pressure()
    }

    /// Memory for what is going out, where it is made in memory. Waits while too much is on its way.
    ///
    /// # Errors
    /// `Unavailable` when there is none in time.
    pub async fn room(&self, bytes: u64) -> Result<Room> {
        self.archive.inner.packs.serving.take(bytes).await
    }

    /// Something that was made of images, where it was made already.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn derived(&self, key: &DerivedKey) -> Result<Option<Bytes>> {
        self.caller.check(Action::Retrieve)?;
        self.archive.inner.packs.objects.derived(key).await
    }

    /// When something was made of images, in milliseconds since 1970 by the clock of the object store; `None` when it
    /// is not there. What it is is not read.
    ///
    /// # Errors
    /// As [`Session::derived`].
    pub async fn derived_at(&self, key: &DerivedKey) -> Result<Option<u64>> {
        self.caller.check(Action::Retrieve)?;
        self.archive.inner.packs.objects.derived_at(key).await
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

/// What memory the steps of an object are read into.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// Each into a room of its own.
    Each,
    /// Into what whoever reads them has taken already.
    Taken,
}

/// # Errors
/// `Invalid` when a range of the stored object reaches past its end; of a deflated one that shows later.
fn check_range(instance: &Instance, range: &Range<u64>) -> Result<()> {
    let length = instance.location.length;
    let is_past = range.end > length && !instance.transfer_syntax.facts().deflated;
    if is_past || range.start > range.end {
        return Err(Error::invalid(format!("range {range:?} reaches past {length} bytes")));
    }
    Ok(())
}

/// Cuts a range of an instance where the parts of its pack begin, so that no part is put together of two.
fn parts(location: Location, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        let next = (location.offset + start) / STEP * STEP + STEP - location.offset;
        at = next.min(range.end);
        (start < range.end).then_some(start..at)
    })
}

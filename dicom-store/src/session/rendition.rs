//! Frames in the rendition of their series, read and written.

use std::sync::Arc;

use bytes::Bytes;

use super::Session;
use crate::access::Action;
use crate::index::EntryRow;
use crate::model::{FrameNumber, Instance, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::objects::DerivedKey;
use crate::rendition::{KnownMap, PART, RenderedFrame, RenderedInstance, Rendition, RenditionMap, check};
use crate::{ErrorKind, Result};

impl Session {
    /// The frames of an instance in the rendition of its series, where they were made of the data set that is shown.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn rendition(&self, instance: &Instance) -> Result<Option<Rendition>> {
        self.caller.check(Action::Retrieve)?;
        let Some(map) = self.rendition_map(instance).await? else { return Ok(None) };
        let Some(digest) = self.digest(&instance.sop_instance).await? else { return Ok(None) };
        let is_of = map.of(&instance.sop_instance, &digest).is_some();
        Ok(is_of.then(|| Rendition {
            map,
            instance: instance.sop_instance.to_string(),
            study: instance.study.clone(),
            series: instance.series.clone(),
        }))
    }

    /// One of them; `None` where it is not there any more, or not as it was written.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn rendition_frame(&self, of: &Rendition, number: FrameNumber) -> Result<Option<Bytes>> {
        self.caller.check(Action::Retrieve)?;
        let Some((part, RenderedFrame(_, offset, length, expected))) = of.place(number) else {
            return Ok(None);
        };
        let room = self.room(length).await?;
        let key = DerivedKey::rendition_part(&of.study, &of.series, part);
        let objects = &self.archive.inner.packs.objects;
        match objects.derived_range(&key, offset..offset.saturating_add(length)).await {
            Ok(bytes) if check(&bytes) == expected => Ok(Some(room.hold(bytes))),
            Ok(_) => {
                tracing::warn!(series = %of.series, "a frame of a rendition is damaged, it is made anew");
                Ok(None)
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.archive.inner.renditions.forget(&(of.study.clone(), of.series.clone()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds to the rendition of a series. One writer at a time: of two that write at once the later map holds.
    ///
    /// # Errors
    /// `Forbidden` to all but the server itself, `Unavailable`.
    pub async fn write_rendition(
        &self,
        study: &StudyInstanceUid,
        series: &SeriesInstanceUid,
    ) -> Result<RenditionWriter> {
        self.caller.check(Action::Maintain)?;
        let map = self.read_map(study, series).await?.unwrap_or_default();
        Ok(RenditionWriter {
            session: self.clone(),
            study: study.clone(),
            series: series.clone(),
            map,
            part: Vec::new(),
            frames: Vec::new(),
            complete: Vec::new(),
        })
    }

    /// BLAKE3 of the data set that is shown under a UID, in hexadecimal digits.
    async fn digest(&self, uid: &SopInstanceUid) -> Result<Option<String>> {
        let entries = self.archive.inner.index.pack_entries_of(std::slice::from_ref(uid)).await?;
        let shown = entries.iter().find(|entry| matches!(entry.row, EntryRow::Instance(_)));
        let digest = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(shown.filter(|entry| !entry.is_damaged).map(|entry| digest(&entry.digest)))
    }

    /// The map of an instance's series, read again where it knows nothing of it and is old.
    async fn rendition_map(&self, of: &Instance) -> Result<Option<Arc<RenditionMap>>> {
        let key = (of.study.clone(), of.series.clone());
        let maps = &self.archive.inner.renditions;
        if let Some(known) = maps.known(&key) {
            let has =
                known.map.as_ref().is_some_and(|map| map.instances.contains_key(of.sop_instance.as_str()));
            if has || !known.is_old() {
                return Ok(known.map.filter(|_| has));
            }
        }
        let map = self.read_map(&of.study, &of.series).await?.map(Arc::new);
        maps.keep(key, KnownMap::now(map.clone()));
        Ok(map)
    }

    /// A map that cannot be read counts as none.
    async fn read_map(
        &self,
        study: &StudyInstanceUid,
        series: &SeriesInstanceUid,
    ) -> Result<Option<RenditionMap>> {
        let key = DerivedKey::rendition_map(study, series);
        let bytes = self.archive.inner.packs.objects.derived(&key).await?;
        Ok(bytes.and_then(|bytes| RenditionMap::read(&bytes).ok()))
    }
}

/// Adds instances to the rendition of a series, frame by frame.
///
/// What was added is in the map once a part is full or the writer is closed; dropped before, it is as if it had not been.
pub struct RenditionWriter {
    session: Session,
    study: StudyInstanceUid,
    series: SeriesInstanceUid,
    map: RenditionMap,
    /// Frames that are not written yet.
    part: Vec<u8>,
    /// Those of the instance under way.
    frames: Vec<RenderedFrame>,
    /// Instances all of whose frames are in this part or before.
    complete: Vec<(SopInstanceUid, RenderedInstance)>,
}

impl RenditionWriter {
    /// What to make of an instance the frames of: the digest of its data set. `None` where they are there already, or the
    /// instance is not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn missing(&self, instance: &Instance) -> Result<Option<String>> {
        let digest = self.session.digest(&instance.sop_instance).await?;
        Ok(digest.filter(|digest| self.map.of(&instance.sop_instance, digest).is_none()))
    }

    /// The next frame of the instance under way.
    ///
    /// # Errors
    /// `Unavailable`, `Exhausted`.
    pub async fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        let (offset, length) = (self.part.len() as u64, bytes.len() as u64);
        self.frames.push(RenderedFrame(self.map.parts.len(), offset, length, check(bytes)));
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART { self.flush().await } else { Ok(()) }
    }

    /// The instance under way has all its frames, made of the data set of this digest.
    pub fn complete(&mut self, instance: &SopInstanceUid, digest: String) {
        let frames = std::mem::take(&mut self.frames);
        self.complete.push((instance.clone(), RenderedInstance { digest, frames }));
    }

    /// The instance under way is left out.
    pub fn leave_out(&mut self) {
        self.frames.clear();
    }

    /// Writes what is left; gives bytes and frames of all that the rendition has now.
    ///
    /// # Errors
    /// `Unavailable`, `Exhausted`.
    pub async fn close(mut self) -> Result<(u64, u64)> {
        if !self.part.is_empty() {
            self.flush().await?;
        }
        let frames = || self.map.instances.values().flat_map(|instance| &instance.frames);
        Ok((frames().map(|frame| frame.2).sum(), frames().count() as u64))
    }

    /// The part first, then the map that names it.
    async fn flush(&mut self) -> Result<()> {
        let objects = &self.session.archive.inner.packs.objects;
        let part = Bytes::from(std::mem::take(&mut self.part));
        let name = format!("{:016x}", check(&part));
        objects.put_derived(&DerivedKey::rendition_part(&self.study, &self.series, &name), part).await?;
        self.map.parts.push(name);
        for (instance, rendered) in self.complete.drain(..) {
            self.map.instances.insert(instance.to_string(), rendered);
        }
        let map = DerivedKey::rendition_map(&self.study, &self.series);
        objects.put_derived(&map, self.map.written()?.into()).await?;
        let known = KnownMap::now(Some(Arc::new(self.map.clone())));
        self.session.archive.inner.renditions.keep((self.study.clone(), self.series.clone()), known);
        Ok(())
    }
}

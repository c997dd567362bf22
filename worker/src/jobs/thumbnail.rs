//! A thumbnail for every series, made before anybody asks.
//!
//! A series has one of what is there within a second of its first instance. When nothing has come for some seconds it
//! counts as settled, and its middle image becomes its thumbnail in the place of that one.
//!
//! One that was made after its series had settled is kept when the series is told of long afterwards: the index was
//! made anew, and what the series held was read again.

use std::time::Duration;

use dicom_store::model::{FrameNumber, Instance, Resource, SeriesInstanceUid, StudyInstanceUid};
use dicom_store::queue::{NewJob, Priority};
use dicom_store::{DerivedKey, ErrorKind, Session};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::clock::since_1970;
use crate::job::{HowFar, Job, new_job};
use crate::pixel::can_decode;
use crate::{CpuPool, Error, Result, drawn, frame, render};

/// A series to which nothing was added for so long counts as settled.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// An instance that came so long ago has been told of before, most likely. Of a younger one the thumbnail is always
/// made: the clock of the object store, which says when one was, need not be ours.
const LONG_AGO: Duration = Duration::from_secs(600);

/// Images that are tried, when one after the other cannot be shown.
const TRIES: usize = 5;

/// Makes and keeps the thumbnail of a series.
pub struct Thumbnail {
    session: Session,
    pool: CpuPool,
}

/// Which series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    study: StudyInstanceUid,
    series: SeriesInstanceUid,
    /// When the newest of its instances came of which this job was made, in milliseconds since 1970. A job that an
    /// older version has left in the queue does not say it.
    #[serde(default)]
    newest: Option<u64>,
    /// The series still grows: any thumbnail will do, one that is there too.
    #[serde(default)]
    first: bool,
}

impl Thumbnail {
    /// Reads and keeps through this session, computes in this pool.
    pub fn new(session: Session, pool: CpuPool) -> Self {
        Self { session, pool }
    }

    /// The job to do as soon as a series has begun to come, so that there is something to be seen.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn at_once(study: &StudyInstanceUid, series: &SeriesInstanceUid) -> Result<NewJob> {
        let payload = Payload { study: study.clone(), series: series.clone(), newest: None, first: true };
        let job = new_job::<Self>(format!("first/{study}/{series}"), &payload, Duration::ZERO)?;
        Ok(NewJob { priority: Priority::Awaited, ..job })
    }

    /// The job to do once the series has settled; each new instance moves it on. `newest`: when the last one came, in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn when_settled(study: &StudyInstanceUid, series: &SeriesInstanceUid, newest: u64) -> Result<NewJob> {
        let payload =
            Payload { study: study.clone(), series: series.clone(), newest: Some(newest), first: false };
        new_job::<Self>(format!("settled/{study}/{series}"), &payload, SETTLED_AFTER)
    }

    /// Whether it was made long ago, of a series that had settled.
    async fn is_there(&self, key: &DerivedKey, newest: Option<u64>) -> Result<bool> {
        let Some(settled) = newest.map(|newest| Duration::from_millis(newest) + SETTLED_AFTER) else {
            return Ok(false);
        };
        if since_1970() < settled + LONG_AGO {
            return Ok(false);
        }
        let made = self.session.derived_at(key).await?;
        Ok(made.is_some_and(|made| Duration::from_millis(made) >= settled))
    }
}

/// The thumbnail of a series, no larger than `within` (columns and rows): its middle image, or one near it where that
/// cannot be shown, or a drawing. `None` where it has no image and nothing is known of its kind.
///
/// # Errors
/// What the archive answers; `Pixel` when an encoder fails.
pub async fn of_series(
    session: &Session,
    pool: &CpuPool,
    instances: &[Instance],
    within: (u32, u32),
) -> Result<Option<Vec<u8>>> {
    let shown = from_the_middle(instances);
    for instance in &shown {
        match of_image(session, pool, instance, within).await {
            // Nothing will ever come of these pixels, and nobody can do anything about it.
            Err(Error::Pixel(error)) if error.is_permanent() => {
                debug!(series = %instance.series, %error, "image gives no thumbnail");
            }
            made => return made.map(Some),
        }
    }
    match instances.first() {
        _ if !shown.is_empty() => drawn::not_shown(pool, within).await.map(Some),
        Some(first) => drawn::thumbnail(session, pool, first, within).await,
        None => Ok(None),
    }
}

async fn of_image(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    within: (u32, u32),
) -> Result<Vec<u8>> {
    let number = FrameNumber::new(instance.frames.div_ceil(2)).unwrap_or(FrameNumber::FIRST);
    let (info, bytes, room) = frame::open(session, instance, number).await?;
    let syntax = instance.transfer_syntax.clone();
    let work = move || {
        let picture = render::thumbnail(&bytes, &info, &syntax, within);
        drop(room);
        picture
    };
    Ok(pool.run(work).await??)
}

impl Job for Thumbnail {
    const KIND: &'static str = "thumbnail";
    type Payload = Payload;

    async fn run(&self, payload: Payload, _: &HowFar) -> Result<()> {
        let Payload { study, series, newest, first } = payload;
        let key = DerivedKey::thumbnail(&study, &series);
        let is_there = if first {
            self.session.derived_at(&key).await?.is_some()
        } else {
            self.is_there(&key, newest).await?
        };
        if is_there {
            debug!(%series, "series has its thumbnail");
            return Ok(());
        }
        let instances = match self.session.instances(&Resource::Series(study, series.clone())).await {
            // It has been deleted in the meantime.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            instances => instances?,
        };
        match of_series(&self.session, &self.pool, &instances, render::THUMBNAIL).await? {
            Some(file) => Ok(self.session.put_derived(&key, file.into()).await?),
            None => {
                debug!(%series, "series has no image that can be shown");
                Ok(())
            }
        }
    }
}

/// Those that can be shown, from the middle one outwards, as many as are tried.
fn from_the_middle(instances: &[Instance]) -> Vec<&Instance> {
    let is_shown = |instance: &&Instance| instance.frames > 0 && can_decode(&instance.transfer_syntax);
    let shown: Vec<&Instance> = instances.iter().filter(is_shown).collect();
    let (before, behind) = shown.split_at(shown.len() / 2);
    let mut before = before.iter().rev();
    behind
        .iter()
        .flat_map(|instance| [Some(instance), before.next()])
        .flatten()
        .copied()
        .take(TRIES)
        .collect()
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use dicom_store::Stored;
    use dicom_store::fixture::{self, Sample, ct};
    use dicom_store::model::{VR, transfer_syntax};
    use tempfile::TempDir;

    use super::*;

    struct House {
        session: Session,
        job: Thumbnail,
        _folder: TempDir,
    }

    impl House {
        async fn new() -> Self {
            let (archive, folder) = fixture::archive().await;
            let session = fixture::system(&archive);
            let job = Thumbnail::new(session.clone(), CpuPool::new(1).unwrap());
            Self { session, job, _folder: folder }
        }

        async fn store(&self, sample: &Sample) -> Instance {
            match fixture::store(&self.session, sample).await.unwrap() {
                Stored::New(instance) => instance,
                other => panic!("{other:?}"),
            }
        }

        /// The thumbnail after a run for the series of that instance.
        async fn made(&self, of: &Instance) -> Option<bytes::Bytes> {
            self.made_for(of, None).await
        }

        /// The same for a job that says when the newest instance came.
        async fn made_for(&self, of: &Instance, newest: Option<u64>) -> Option<bytes::Bytes> {
            let payload =
                Payload { study: of.study.clone(), series: of.series.clone(), newest, first: false };
            self.job.run(payload, &HowFar::default()).await.unwrap();
            self.session.derived(&DerivedKey::thumbnail(&of.study, &of.series)).await.unwrap()
        }
    }

    #[tokio::test]
    async fn the_middle_image_of_what_came_takes_the_place_of_an_earlier_one() {
        let house = House::new().await;
        let first = ct();
        let instance = house.store(&first).await;
        let early = house.made(&instance).await.unwrap();
        for number in [2, 3] {
            house.store(&first.next(number).size(16, 32)).await;
        }
        let settled = house.made(&instance).await.unwrap();
        assert_ne!(settled, early);
        assert_eq!(house.made(&instance).await, Some(settled));
    }

    #[tokio::test]
    async fn what_was_made_of_a_settled_series_long_after_is_kept_and_what_is_missing_is_made() {
        let house = House::new().await;
        let instance = house.store(&ct()).await;
        let key = DerivedKey::thumbnail(&instance.study, &instance.series);
        let (long_ago, now) = (Some(0), since_1970());
        let just_now = Some(u64::try_from(now.as_millis()).unwrap());
        assert!(house.made_for(&instance, long_ago).await.is_some());
        let other = bytes::Bytes::from_static(b"made before");
        house.session.put_derived(&key, other.clone()).await.unwrap();
        assert_eq!(house.made_for(&instance, long_ago).await, Some(other.clone()));
        assert_ne!(house.made_for(&instance, just_now).await, Some(other));
    }

    #[tokio::test]
    async fn the_first_one_is_made_of_what_is_there_and_never_takes_the_place_of_another() {
        let house = House::new().await;
        let instance = house.store(&ct()).await;
        let key = DerivedKey::thumbnail(&instance.study, &instance.series);
        let run = async || {
            let job = Thumbnail::at_once(&instance.study, &instance.series).unwrap();
            assert_eq!((job.delay, job.priority), (Duration::ZERO, Priority::Awaited));
            house.job.run(serde_json::from_str(&job.payload).unwrap(), &HowFar::default()).await.unwrap();
            house.session.derived(&key).await.unwrap().unwrap()
        };
        assert!(run().await.starts_with(&[0xFF, 0xD8]));
        let settled = bytes::Bytes::from_static(b"made when it had settled");
        house.session.put_derived(&key, settled.clone()).await.unwrap();
        assert_eq!(run().await, settled);
    }

    #[tokio::test]
    async fn a_series_without_an_image_that_can_be_shown_is_done_and_has_none() {
        let house = House::new().await;
        let without = house.store(&ct().without(tags::PIXEL_DATA)).await;
        assert_eq!(house.made(&without).await, None);
    }

    #[tokio::test]
    async fn an_image_that_cannot_be_shown_gives_way_to_one_beside_it_and_all_of_them_to_a_card() {
        let house = House::new().await;
        let damaged = |sample: Sample| sample.with(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
        let first = ct();
        let instance = house.store(&damaged(first.clone())).await;
        let card = house.made(&instance).await.unwrap();
        house.store(&damaged(first.next(2))).await;
        assert_eq!(house.made(&instance).await.unwrap(), card);
        house.store(&first.next(3)).await;
        let alone = ct();
        let alone = house.store(&alone).await;
        assert_eq!(house.made(&instance).await, house.made(&alone).await);
    }

    #[tokio::test]
    async fn a_series_that_has_been_deleted_is_done() {
        let house = House::new().await;
        let payload = Payload {
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.3").unwrap(),
            newest: Some(0),
            first: false,
        };
        house.job.run(payload, &HowFar::default()).await.unwrap();
    }

    fn instance(frames: u32, syntax: &str) -> Instance {
        Instance {
            study: StudyInstanceUid::parse("1.2").unwrap(),
            series: SeriesInstanceUid::parse("1.3").unwrap(),
            sop_instance: ct().sop_instance(),
            sop_class: ct().sop_class(),
            transfer_syntax: ct().transfer_syntax(syntax).syntax(),
            number: None,
            frames,
            location: dicom_store::model::Location {
                pack: dicom_store::model::PackId(1),
                offset: 0,
                length: 0,
            },
            data_set: 0,
            correction: None,
        }
    }

    #[test]
    fn a_codec_that_is_not_here_is_passed_over() {
        let shown = instance(2, transfer_syntax::RLE);
        let others = [instance(0, transfer_syntax::RLE), instance(1, "1.2.840.10008.1.2.4.102")];
        let series: Vec<Instance> = others.iter().cloned().chain([shown.clone()]).collect();
        assert_eq!(from_the_middle(&series), [&shown]);
        assert!(from_the_middle(&others).is_empty());
    }

    #[test]
    fn images_are_tried_from_the_middle_outwards() {
        let frames = |count: u32| {
            let series: Vec<Instance> =
                (1..=count).map(|frames| instance(frames, transfer_syntax::RLE)).collect();
            from_the_middle(&series).iter().map(|instance| instance.frames).collect::<Vec<_>>()
        };
        assert_eq!(frames(1), [1]);
        assert_eq!(frames(2), [2, 1]);
        assert_eq!(frames(4), [3, 2, 4, 1]);
        assert_eq!(frames(9), [5, 4, 6, 3, 7]);
    }
}

//! Frames once more, in HTJ2K with the lowest resolution first (RPCL), as a browser decodes and shows them best.
//!
//! A rule asks for it. Each frame that is stored without loss is encoded, decoded again and compared, and kept beside the
//! original in the rendition of its series (`dicom_store::Rendition`), where that is smaller than the native frame. What is
//! there already is not made again, so a run that was cut off goes on where it was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dicom_store::model::{
    Codec, FrameNumber, Instance, Resource, SeriesInstanceUid, StudyInstanceUid, TransferSyntaxUid,
    transfer_syntax,
};
use dicom_store::queue::{NewJob, Priority};
use dicom_store::{Changes, Cursor, ErrorKind, RenditionWriter, Session};
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use crate::job::{HowFar, Job, new_job};
use crate::pixel::{ImageInfo, Photometric, can_decode};
use crate::runner::rest_behind;
use crate::{CpuPool, Result, frame, rules, transcode};

/// Makes the renditions of a study.
pub struct WebRendition {
    session: Session,
    pool: CpuPool,
    changes: Changes,
}

/// Which study, and which of its images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    study: StudyInstanceUid,
    /// Images whose native frames have so many KiB at least.
    at_least_kib: u64,
}

impl WebRendition {
    /// Reads and keeps through this session, computes in this pool, and gives way to what `changes` tells of.
    pub fn new(session: Session, pool: CpuPool, changes: Changes) -> Self {
        Self { session, pool, changes }
    }

    /// The job of a study that has come.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(study: &StudyInstanceUid, wanted: &rules::WebRendition) -> Result<NewJob> {
        let errand = Errand { study: study.clone(), at_least_kib: wanted.at_least_kib };
        let delay = Duration::from_secs(wanted.after_hours.saturating_mul(3600));
        new_job::<Self>(study.to_string(), &errand, delay)
    }

    async fn series(
        &self,
        (study, series): (&StudyInstanceUid, &SeriesInstanceUid),
        instances: &[Instance],
        at_least: u64,
        far: &HowFar,
    ) -> Result<()> {
        let mut writer = self.session.write_rendition(study, series).await?;
        let mut failed = Ok(());
        for instance in instances {
            match self.add(&mut writer, instance, at_least).await {
                // It stays as it is stored; or it has been deleted meanwhile.
                Err(error) if error.is_permanent() => {
                    debug!(instance = %instance.sop_instance, %error, "instance gets no rendition");
                    writer.leave_out();
                }
                Err(error) => {
                    failed = Err(error);
                    break;
                }
                Ok(()) => far.add(1),
            }
        }
        let (bytes, frames) = writer.close().await?;
        if frames > 0 {
            info!(%series, frames, bytes, "rendition for the web");
        }
        failed
    }

    async fn add(&self, writer: &mut RenditionWriter, instance: &Instance, at_least: u64) -> Result<()> {
        if !is_exact(instance) {
            return Ok(());
        }
        let Some(digest) = writer.missing(instance).await? else { return Ok(()) };
        let (header, map) = self.session.header_and_frames(instance).await?;
        let attributes = frame::attributes(&self.session, instance, &header).await?;
        let wanted = TransferSyntaxUid::parse(transfer_syntax::HTJ2K_RPCL)?;
        let mut seen = self.changes.last();
        for number in (1..=instance.frames).filter_map(FrameNumber::new) {
            let info = ImageInfo::read(&attributes, number)?;
            let native = u64::try_from(info.native_length()?).unwrap_or(u64::MAX);
            if !is_the_same_to_a_browser(&info) || native < at_least {
                writer.leave_out();
                return Ok(());
            }
            let began = Instant::now();
            let of = (info, number);
            let made = transcode::make(&self.session, &self.pool, instance, &map, of, &wanted).await?;
            if made.bytes.len() as u64 >= native {
                writer.leave_out();
                return Ok(());
            }
            writer.frame(&made.bytes).await?;
            self.give_way(&mut seen, began.elapsed()).await;
        }
        writer.complete(&instance.sop_instance, digest);
        Ok(())
    }

    /// A rest, when something has come since.
    async fn give_way(&self, seen: &mut Cursor, took: Duration) {
        let last = self.changes.last();
        if std::mem::replace(seen, last) != last {
            tokio::time::sleep(rest_behind(took)).await;
        }
    }
}

/// Whether nothing was lost yet, and the frames are of another codec.
fn is_exact(instance: &Instance) -> bool {
    let facts = instance.transfer_syntax.facts();
    instance.frames > 0
        && !facts.lossy
        && facts.codec != Codec::HtJ2k
        && can_decode(&instance.transfer_syntax)
}

/// Whether the data set describes the frame as it comes out of the rendition, and decoders of browsers give it out so.
///
/// By pixel, and not in luminance and chrominance: such decoders take the components of three bytes a pixel for RGB. Of
/// signed samples that they give out as bytes none is below zero.
fn is_the_same_to_a_browser(info: &ImageInfo) -> bool {
    let is_by_pixel = info.samples_per_pixel == 1 || !info.is_planar;
    let is_whole = matches!(
        info.photometric,
        Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::PaletteColor | Photometric::Rgb
    );
    let is_below_zero_in_bytes = info.is_signed && info.bits_stored <= 8;
    is_by_pixel && is_whole && !is_below_zero_in_bytes
}

impl Job for WebRendition {
    const KIND: &'static str = "web-rendition";
    const TIME_LIMIT: Duration = Duration::from_secs(3600);
    const PRIORITY: Priority = Priority::Batch;
    const AT_A_TIME: usize = 1;
    type Payload = Errand;

    async fn run(&self, Errand { study, at_least_kib }: Errand, far: &HowFar) -> Result<()> {
        let instances = match self.session.instances(&Resource::Study(study.clone())).await {
            // It has been deleted in the meantime.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            instances => instances?,
        };
        far.of(instances.len() as u64);
        let mut by_series: BTreeMap<SeriesInstanceUid, Vec<Instance>> = BTreeMap::new();
        for instance in instances {
            by_series.entry(instance.series.clone()).or_default().push(instance);
        }
        for (series, instances) in &by_series {
            self.series((&study, series), instances, at_least_kib.saturating_mul(1 << 10), far).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use dicom_store::fixture::{self, Sample, ct};
    use dicom_store::model::VR;
    use dicom_store::{Archive, Stored};
    use tempfile::TempDir;

    use super::*;
    use crate::pixel::decode;

    struct House {
        archive: Archive,
        session: Session,
        job: WebRendition,
        _folder: TempDir,
    }

    impl House {
        async fn new() -> Self {
            let (archive, folder) = fixture::archive().await;
            let session = fixture::system(&archive);
            let pool = CpuPool::new(1).unwrap();
            let job = WebRendition::new(session.clone(), pool, archive.changes());
            Self { archive, session, job, _folder: folder }
        }

        async fn store(&self, sample: &Sample) -> Instance {
            match fixture::store(&self.session, sample).await.unwrap() {
                Stored::New(instance) => instance,
                other => panic!("{other:?}"),
            }
        }

        async fn run(&self, of: &Instance, at_least_kib: u64) {
            let errand = Errand { study: of.study.clone(), at_least_kib };
            self.job.run(errand, &HowFar::default()).await.unwrap();
        }

        /// What the frame of the rendition is decoded to.
        async fn decoded(&self, of: &Instance, number: u32) -> Option<Vec<u8>> {
            let number = FrameNumber::new(number).unwrap();
            let rendition = self.session.rendition(of).await.unwrap()?;
            let stream = self.session.rendition_frame(&rendition, number).await.unwrap()?;
            let header = self.session.header(of).await.unwrap();
            let info = ImageInfo::read(&header.attributes().unwrap(), number).unwrap();
            let syntax = TransferSyntaxUid::parse(transfer_syntax::HTJ2K_RPCL).unwrap();
            Some(decode(&stream, &info, &syntax).unwrap().samples.into_owned())
        }
    }

    /// A slope of 12 bits, other for each seed.
    fn slope(seed: u16) -> Vec<u8> {
        (0..64 * 64_u16).flat_map(|n| ((n / 5 + seed * 31) % 4096).to_le_bytes()).collect()
    }

    fn image(sample: Sample, frames: &[u16]) -> Sample {
        let pixels: Vec<u8> = frames.iter().flat_map(|seed| slope(*seed)).collect();
        let sample = sample.size(64, 64).pixels(VR::OW, pixels);
        sample.with(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string())
    }

    #[tokio::test]
    async fn every_frame_of_a_series_is_there_once_more_with_the_same_samples() {
        let house = House::new().await;
        let first = ct();
        let one = house.store(&image(first.clone(), &[1])).await;
        let several = house.store(&image(first.next(2), &[2, 3, 4])).await;
        house.run(&one, 1).await;
        assert_eq!(house.decoded(&one, 1).await, Some(slope(1)));
        for (number, seed) in [(1, 2), (2, 3), (3, 4)] {
            assert_eq!(house.decoded(&several, number).await, Some(slope(seed)));
        }
        assert_eq!(house.decoded(&several, 4).await, None);

        // What comes later is added to what is there.
        let late = house.store(&image(first.next(3), &[5])).await;
        assert_eq!(house.decoded(&late, 1).await, None);
        house.run(&late, 1).await;
        assert_eq!(house.decoded(&late, 1).await, Some(slope(5)));
        assert_eq!(house.decoded(&one, 1).await, Some(slope(1)));
    }

    #[tokio::test]
    async fn what_is_too_small_or_cannot_be_encoded_stays_as_it_is() {
        let house = House::new().await;
        let first = ct();
        let small = house.store(&image(first.clone(), &[1])).await;
        let odd = house.store(&first.next(2).without(tags::PIXEL_DATA)).await;
        house.run(&small, 9).await;
        assert_eq!(house.decoded(&small, 1).await, None);
        house.run(&small, 8).await;
        assert_eq!(house.decoded(&small, 1).await, Some(slope(1)));
        assert_eq!(house.decoded(&odd, 1).await, None);
    }

    #[tokio::test]
    async fn what_a_browser_would_draw_with_other_values_stays_as_it_is() {
        let house = House::new().await;
        let of = |number: u32, colours: &str, samples: u16, (allocated, stored): (u16, u16), sign: u16| {
            let bytes = 64 * 64 * usize::from(samples) * usize::from(allocated / 8);
            let vr = if allocated == 8 { VR::OB } else { VR::OW };
            let mut sample = ct().next(number).size(64, 64).pixels(vr, vec![1; bytes]);
            sample.attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, colours);
            for (tag, value) in [
                (tags::SAMPLES_PER_PIXEL, samples),
                (tags::PLANAR_CONFIGURATION, 0),
                (tags::BITS_ALLOCATED, allocated),
                (tags::BITS_STORED, stored),
                (tags::HIGH_BIT, stored - 1),
                (tags::PIXEL_REPRESENTATION, sign),
            ] {
                sample.attributes.put_u16(tag, value);
            }
            sample
        };
        for (number, sample, is_made) in [
            (1, of(1, "RGB", 3, (8, 8), 0), true),
            (2, of(2, "YBR_FULL", 3, (8, 8), 0), false),
            (3, of(3, "MONOCHROME2", 1, (8, 8), 0), true),
            (4, of(4, "MONOCHROME2", 1, (8, 8), 1), false),
            (5, of(5, "MONOCHROME2", 1, (16, 8), 1), false),
            (6, of(6, "MONOCHROME1", 1, (16, 6), 1), false),
            (7, of(7, "MONOCHROME2", 1, (16, 9), 1), true),
        ] {
            let stored = house.store(&sample).await;
            house.run(&stored, 1).await;
            assert_eq!(house.decoded(&stored, 1).await.is_some(), is_made, "image {number}");
        }
    }

    #[tokio::test]
    async fn what_was_destroyed_leaves_nothing_of_it() {
        let house = House::new().await;
        let first = ct();
        let one = house.store(&image(first.clone(), &[1])).await;
        let other = house.store(&image(first.next(2), &[2])).await;
        house.run(&one, 1).await;
        let of = dicom_store::Part {
            study: other.study.clone(),
            series: Some(other.series.clone()),
            instance: Some(other.sop_instance.clone()),
        };
        house.session.act(&dicom_store::Order::Destroy { of }, "a test").await.unwrap();
        // The other's frames stood in the same part; they are made again when a rule asks for them.
        assert_eq!(house.decoded(&one, 1).await, None);
        assert_eq!(house.archive.work().queue_depth().await.unwrap().parked, 0);
        house.run(&one, 1).await;
        assert_eq!(house.decoded(&one, 1).await, Some(slope(1)));
    }
}

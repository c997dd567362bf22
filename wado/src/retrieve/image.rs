//! What is needed to decode the frames of an instance.

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Bulk, FrameMap, FrameNumber, Instance, TransferSyntaxUid, Value};
use dicom_store::{Described, Room, Session};
use worker::captions::Captions;
use worker::frame;
use worker::pixel::{IccProfile, ImageInfo, MAX_PROFILE, NativeFrame};
use worker::pool::CpuPool;
use worker::render::{Beside, Presentation};
use worker::transcode;

use crate::error::Problem;

/// An instance with its attributes at hand, lookup tables included.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) session: Session,
    pub(super) pool: CpuPool,
    pub(super) instance: Instance,
    pub(super) attributes: Attributes,
    frames: FrameMap,
}

impl Image {
    pub(super) async fn open(
        session: &Session,
        pool: &CpuPool,
        instance: &Instance,
    ) -> Result<Self, Problem> {
        Self::of(session, pool, session.described(&instance.resource()).await?).await
    }

    /// The same with what the index has of it at hand.
    pub(super) async fn of(session: &Session, pool: &CpuPool, described: Described) -> Result<Self, Problem> {
        let header = described.header()?;
        let Described { instance, frames, .. } = described;
        let attributes = frame::attributes(session, &instance, &header).await?;
        Ok(Self { session: session.clone(), pool: pool.clone(), instance, attributes, frames })
    }

    pub(super) fn info(&self, frame: FrameNumber) -> Result<ImageInfo, Problem> {
        Ok(ImageInfo::read(&self.attributes, frame)?)
    }

    /// What goes into a picture of a frame that is shown so.
    pub(super) async fn beside(
        &self,
        frame: FrameNumber,
        presentation: &Presentation,
    ) -> Result<Beside, Problem> {
        let profile = match presentation.profile {
            IccProfile::No => None,
            _ => self.profile().await?,
        };
        Ok(Beside { profile, captions: Captions::read(&self.attributes, frame, presentation.annotation) })
    }

    /// The ICC profile of its colours: the image's own, or that of its first optical path (PS3.3 §C.11.15, §C.8.12.5).
    async fn profile(&self) -> Result<Option<Bytes>, Problem> {
        let path = self.attributes.items(tags::OPTICAL_PATH_SEQUENCE).first();
        let element = self.attributes.get(tags::ICC_PROFILE).or_else(|| path?.get(tags::ICC_PROFILE));
        match element.map(|element| &element.value) {
            Some(Value::Bytes(bytes)) if !bytes.is_empty() => Ok(Some(bytes.clone())),
            Some(Value::Bulk(Bulk { offset, length, .. })) if *length <= MAX_PROFILE as u64 => {
                Ok(Some(self.session.read(&self.instance, *offset..offset + length).await?))
            }
            _ => Ok(None),
        }
    }

    /// The stored bytes of a frame, with memory for its picture: to be held until that is encoded. What else is read for
    /// it is read before.
    pub(super) async fn to_show(
        &self,
        frame: FrameNumber,
        info: &ImageInfo,
    ) -> Result<(Bytes, Room), Problem> {
        self.to_show_in(frame, info, info.picture_length()?).await
    }

    /// The same for a picture of so many bytes.
    pub(super) async fn to_show_in(
        &self,
        frame: FrameNumber,
        info: &ImageInfo,
        picture: usize,
    ) -> Result<(Bytes, Room), Problem> {
        let (session, instance) = (&self.session, &self.instance);
        Ok(frame::to_show(session, instance, &self.frames, (info, picture), frame).await?)
    }

    /// A frame in another transfer syntax.
    pub(super) async fn recoded(
        &self,
        number: FrameNumber,
        wanted: &TransferSyntaxUid,
    ) -> Result<Bytes, Problem> {
        let of = (self.info(number)?, number);
        Ok(transcode::frame(&self.session, &self.pool, &self.instance, &self.frames, of, wanted).await?.bytes)
    }

    /// The exact bytes of a frame in Explicit VR Little Endian.
    pub(super) async fn native(&self, info: ImageInfo, frame: FrameNumber) -> Result<NativeFrame, Problem> {
        Ok(frame::native(&self.session, &self.pool, &self.instance, &self.frames, info, frame).await?)
    }
}

//! What is needed to decode the frames of an instance.

use std::collections::HashMap;

use bytes::Bytes;
use dicom_store::Session;
use dicom_store::model::{Attributes, Bulk, Encoding, FrameMap, FrameNumber, Instance};
use worker::pixel::{self, ImageInfo, NativeFrame};
use worker::pool::CpuPool;

use super::convert::little_endian;
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
        let (header, frames) = session.header_and_frames(instance).await?;
        let mut attributes = header.attributes()?;
        let tables = ImageInfo::tables_in_bulk(&attributes);
        if !tables.is_empty() {
            let mut fetched: HashMap<u64, Bytes> = HashMap::new();
            // Tables are words of 16 bits.
            let is_big_endian = instance.transfer_syntax.facts().encoding == Encoding::ExplicitBig;
            let unit = if is_big_endian { 2 } else { 1 };
            for Bulk { offset, length, .. } in tables {
                let table = session.read(instance, offset..offset + length).await?;
                fetched.insert(offset, little_endian(table, unit));
            }
            attributes =
                ImageInfo::with_tables(&attributes, &|bulk: &Bulk| fetched.get(&bulk.offset).cloned());
        }
        Ok(Self {
            session: session.clone(),
            pool: pool.clone(),
            instance: instance.clone(),
            attributes,
            frames,
        })
    }

    pub(super) fn info(&self, frame: FrameNumber) -> Result<ImageInfo, Problem> {
        Ok(ImageInfo::read(&self.attributes, frame)?)
    }

    /// The stored bytes of a frame.
    pub(super) async fn stored(&self, frame: FrameNumber) -> Result<Bytes, Problem> {
        Ok(self.session.open_mapped_frame(&self.instance, &self.frames, frame).await?)
    }

    /// The exact bytes of a frame in Explicit VR Little Endian.
    pub(super) async fn native(&self, info: ImageInfo, frame: FrameNumber) -> Result<NativeFrame, Problem> {
        let stored = self.stored(frame).await?;
        let syntax = self.instance.transfer_syntax.clone();
        Ok(self.pool.run(move || pixel::to_native_le(&stored, &info, &syntax)).await??)
    }
}

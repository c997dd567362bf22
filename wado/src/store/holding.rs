//! Memory for metadata and bulk data that come in parts of their own: one amount for all requests.

use std::sync::Arc;

use bytes::BytesMut;
use dicom_store::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Failure;
use super::source::Source;

/// Bytes that all requests together may hold, and how many of them are counted as one.
const HOLDING: usize = 256 << 20;
const UNIT: usize = 1024;

/// Memory for what is held, one for all requests; and whose turn it is to take metadata apart.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    memory: Arc<Semaphore>,
    pub(super) turn: Arc<Semaphore>,
}

impl Default for Holding {
    fn default() -> Self {
        Self { memory: Arc::new(Semaphore::new(HOLDING / UNIT)), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Holding {
    /// # Errors
    /// `Exhausted` when others hold so much that this does not fit.
    pub(super) fn take(&self, bytes: usize) -> dicom_store::Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.memory.clone().try_acquire_many_owned(units).map_err(|_| {
            Error::new(ErrorKind::Exhausted, "requests with metadata hold as much memory as they may")
        })
    }

    /// A part in memory, with the room that it takes there.
    pub(super) async fn hold(
        &self,
        source: &mut impl Source,
        limit: usize,
        what: &str,
    ) -> Result<(BytesMut, OwnedSemaphorePermit), Failure> {
        let (mut bytes, mut room) = (BytesMut::new(), self.take(0).map_err(Failure::Store)?);
        while let Some(chunk) = source.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                let what = format!("{what} is longer than {} MiB", limit >> 20);
                return Err(Failure::Store(Error::new(ErrorKind::TooLarge, what)));
            }
            room.merge(self.take(chunk.len()).map_err(Failure::Store)?);
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, room))
    }
}

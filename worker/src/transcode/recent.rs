//! Frames that were recoded lately: one computation for all who ask for the same.

use dicom_store::model::{FrameNumber, Instance, TransferSyntaxUid};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::Result;
use crate::pixel::RecodedFrame;

/// Memory for all of them, in bytes.
const CAPACITY: u64 = 64 << 20;
/// Frames of a usual size in it.
const FRAMES: usize = 256;

/// Which frame, in which transfer syntax. Where an object lies is its identity: what lies there never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pack: u64,
    offset: u64,
    frame: u32,
    wanted: String,
}

impl Key {
    pub(super) fn new(instance: &Instance, frame: FrameNumber, wanted: &TransferSyntaxUid) -> Self {
        let (pack, offset) = (instance.location.pack.0, instance.location.offset);
        Self { pack, offset, frame: frame.get(), wanted: wanted.as_str().to_owned() }
    }
}

#[derive(Clone)]
struct BySize;

impl Weighter<Key, RecodedFrame> for BySize {
    fn weight(&self, _: &Key, frame: &RecodedFrame) -> u64 {
        // Keys and what stands around them.
        u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX).saturating_add(256)
    }
}

/// The frames, each kept until others need its room.
pub(crate) struct Recent(Cache<Key, RecodedFrame, BySize>);

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("frames", &self.0.len()).finish()
    }
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(FRAMES, CAPACITY, BySize))
    }

    /// The frame, made by the first who asks; who asks meanwhile waits for that one. When it fails the next one tries.
    pub(super) async fn get_or(
        &self,
        key: Key,
        make: impl Future<Output = Result<RecodedFrame>>,
    ) -> Result<RecodedFrame> {
        self.0.get_or_insert_async(&key, make).await
    }
}

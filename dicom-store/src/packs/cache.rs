//! Parts of packs that are not files of this machine, kept in memory while they are asked for.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::Semaphore;

use super::pin::{Pin, Pinnable, Pins};
use crate::model::PackId;
use crate::objects::Objects;
use crate::{Error, Result};

/// What is fetched in one request and kept as one: the time of a request is mostly its way there and back.
pub(crate) const BLOCK: u64 = 1 << 20;
/// Requests for one read that are under way at once.
const AT_A_TIME: usize = 8;
/// The part of the memory for what was asked for more than once; the rest is for what was read or fetched last. Of the
/// latter little would be left by the cache's own measure, so that most of what is fetched ahead were given up unread.
const HOT: f64 = 0.6;

/// A block: the pack and the number of the block in it, from 0.
pub(crate) type BlockKey = (PackId, u64);

/// Blocks by bytes. Whoever asks for one that another is fetching waits for that one.
#[derive(Debug)]
pub(crate) struct Blocks {
    cache: Cache<BlockKey, Block, Weight, DefaultHashBuilder, Pinnable>,
    /// Blocks that may be kept for those who have not reached them.
    places: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
pub(super) struct Block {
    bytes: Bytes,
    pub(super) pins: Pins,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<BlockKey, Block> for Weight {
    fn weight(&self, _key: &BlockKey, Block { bytes, .. }: &Block) -> u64 {
        // A block takes more than its bytes, and must not be free.
        bytes.len() as u64 + 128
    }
}

impl Blocks {
    /// # Errors
    /// `Invalid` when it would not hold even some blocks.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let bytes = bytes.max(16 * BLOCK);
        let blocks = usize::try_from(bytes / BLOCK).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(4)
            .weight_capacity(bytes)
            .estimated_items_capacity(blocks)
            .hot_allocation(HOT)
            .build()
            .map_err(|cause| Error::invalid("store.cache-mib").with_source(cause))?;
        let cache = Cache::with_options(options, Weight, DefaultHashBuilder::default(), Pinnable);
        let places = Arc::new(Semaphore::new((blocks / 2).min(Semaphore::MAX_PERMITS)));
        Ok(Self { cache, places })
    }

    /// Bytes that are kept, at the most.
    pub(crate) fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    /// A range of a pack.
    pub(crate) async fn read(&self, objects: &Objects, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let keys = range.start / BLOCK..=(range.end - 1) / BLOCK;
        let is_one = keys.start() == keys.end();
        let mut parts = stream::iter(keys)
            .map(|block| async move {
                self.block(objects, (pack, block), Pins::default())
                    .await
                    .map(|Block { bytes, .. }| (block, bytes))
            })
            .buffered(AT_A_TIME);
        let length = range.end - range.start;
        let mut joined =
            BytesMut::with_capacity(if is_one { 0 } else { usize::try_from(length).unwrap_or(0) });
        while let Some((block, bytes)) = parts.try_next().await? {
            let within = |at: u64| usize::try_from(at.saturating_sub(block * BLOCK)).unwrap_or(usize::MAX);
            let (from, to) = (within(range.start), within(range.end).min(bytes.len()));
            if is_one && to.saturating_sub(from) as u64 == length {
                // A small slice would keep the whole block in memory for as long as it is held.
                let slice = bytes.slice(from..to);
                return Ok(if length > BLOCK / 2 { slice } else { Bytes::copy_from_slice(&slice) });
            }
            joined.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        }
        if joined.len() as u64 != length {
            let what = format!("pack {pack} ends before {}", range.end);
            return Err(Error::corrupt(what));
        }
        Ok(joined.freeze())
    }

    /// Fetches a block that is not there yet, for a read that is expected. It stays as long as the pin does; without
    /// one, which is given as long as half of the memory is not pinned, as long as others do not drive it out.
    pub(crate) async fn warm(&self, objects: &Objects, key: BlockKey) -> Option<Pin> {
        let pin = Pin::new(&self.places);
        let pins = pin.as_ref().map(Pin::pins).unwrap_or_default();
        // Whoever reads it meets the error himself.
        let block = self.block(objects, key, pins).await.ok()?;
        pin.map(|pin| pin.on(block.pins))
    }

    /// The block; `pins` are its, unless it is there or under way.
    async fn block(&self, objects: &Objects, key: BlockKey, pins: Pins) -> Result<Block> {
        let (pack, block) = key;
        let fetch = async {
            let bytes = objects.pack_block(pack, block * BLOCK..(block + 1) * BLOCK).await?;
            Ok(Block { bytes, pins })
        };
        self.cache.get_or_insert_async(&key, fetch).await
    }

    /// Forgets a pack that has been removed.
    pub(crate) fn forget(&self, pack: PackId) {
        self.cache.retain(|key, _| key.0 != pack);
    }
}

//! Parts of packs that are not files of this machine, kept in memory while they are asked for.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::Semaphore;

use super::pin::{Pin, Pinnable, Pins};
use crate::buffers::Buffers;
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

/// A slice is given as it lies, when it is no less than this part of its block.
const SLICED: u64 = 4;

/// A block: the pack and the number of the block in it, from 0.
pub(crate) type BlockKey = (PackId, u64);

/// Blocks by bytes. Whoever asks for one that another is fetching waits for that one.
#[derive(Debug)]
pub(crate) struct Blocks {
    cache: Cache<BlockKey, Block, Weight, DefaultHashBuilder, Pinnable>,
    /// Blocks that may be kept for those who have not reached them.
    places: Arc<Semaphore>,
    buffers: Buffers,
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
    pub(crate) fn new(bytes: u64, buffers: &Buffers) -> Result<Self> {
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
        Ok(Self { cache, places, buffers: buffers.clone() })
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
        let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
        if first == last {
            let block = self.block(objects, (pack, first), Pins::default()).await?;
            let part = block.part(first, &range);
            is_whole(pack, &range, part.len())?;
            // A small slice would keep the whole block in memory for as long as it is held.
            let is_large = range.end - range.start >= BLOCK / SLICED;
            return Ok(if is_large { part } else { self.copied(&part) });
        }
        let wanted = &range;
        let mut parts = stream::iter(first..=last)
            .map(|number| async move {
                let block = self.block(objects, (pack, number), Pins::default()).await?;
                Ok::<_, Error>(block.part(number, wanted))
            })
            .buffered(AT_A_TIME);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let (mut joined, mut at) = (self.buffers.take(length), 0);
        while let Some(part) = parts.try_next().await? {
            if let Some(place) = joined.bytes_mut().get_mut(at..at + part.len()) {
                place.copy_from_slice(&part);
            }
            at += part.len();
        }
        is_whole(pack, &range, at)?;
        Ok(joined.into())
    }

    fn copied(&self, bytes: &[u8]) -> Bytes {
        let mut copy = self.buffers.take(bytes.len());
        copy.bytes_mut().copy_from_slice(bytes);
        copy.into()
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
            let range = block * BLOCK..(block + 1) * BLOCK;
            let bytes = objects.pack_block(pack, range, &self.buffers).await?;
            Ok(Block { bytes, pins })
        };
        self.cache.get_or_insert_async(&key, fetch).await
    }

    /// Forgets a pack that has been removed.
    pub(crate) fn forget(&self, pack: PackId) {
        self.cache.retain(|key, _| key.0 != pack);
    }
}

impl Block {
    /// What the block of this number has of a range of its pack.
    fn part(&self, number: u64, range: &Range<u64>) -> Bytes {
        let within = |at: u64| usize::try_from(at.saturating_sub(number * BLOCK)).unwrap_or(usize::MAX);
        let end = within(range.end).min(self.bytes.len());
        self.bytes.slice(within(range.start).min(end)..end)
    }
}

fn is_whole(pack: PackId, range: &Range<u64>, length: usize) -> Result<()> {
    if length as u64 == range.end - range.start {
        return Ok(());
    }
    Err(Error::corrupt(format!("pack {pack} ends before {}", range.end)))
}

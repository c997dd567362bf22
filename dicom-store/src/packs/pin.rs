//! Blocks in memory that are kept because somebody is going to read them soon.
//!
//! A cache gives up first what was asked for once, or not at all yet: just what is fetched ahead. So each such block
//! is pinned until its reader has come past it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quick_cache::Lifecycle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::{Block, BlockKey};

/// The pins of one block.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins(Arc<AtomicUsize>);

/// Keeps a block in memory until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    set: Set,
    _place: OwnedSemaphorePermit,
}

/// One of the pins of a block.
#[derive(Debug)]
struct Set(Pins);

/// The cache's view of it: what is pinned is not given up.
#[derive(Debug, Clone)]
pub(super) struct Pinnable;

impl Pin {
    /// A pin for a block that is not there yet, when there is a place for one.
    pub(super) fn new(places: &Arc<Semaphore>) -> Option<Self> {
        let place = places.clone().try_acquire_owned().ok()?;
        Some(Self { set: Set::new(Pins::default()), _place: place })
    }

    pub(super) fn pins(&self) -> Pins {
        self.set.0.clone()
    }

    /// The same place, on a block that may have been there already.
    pub(super) fn on(mut self, pins: Pins) -> Self {
        self.set = Set::new(pins);
        self
    }
}

impl Set {
    fn new(pins: Pins) -> Self {
        pins.0.fetch_add(1, Ordering::Relaxed);
        Self(pins)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lifecycle<BlockKey, Block> for Pinnable {
    /// What is given up, to be freed when no part of the cache is locked any more.
    type RequestState = Vec<Block>;

    fn is_pinned(&self, _key: &BlockKey, block: &Block) -> bool {
        block.pins.0.load(Ordering::Relaxed) > 0
    }

    fn begin_request(&self) -> Self::RequestState {
        Vec::new()
    }

    fn on_evict(&self, given_up: &mut Self::RequestState, _key: BlockKey, block: Block) {
        given_up.push(block);
    }
}

//! Reading ahead: blocks of instances that will be read next are fetched while the one before is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::Packs;
use super::cache::{BLOCK, BlockKey};
use super::pin::Pin;
use crate::model::Location;

/// Requests that are under way for one reader.
const REQUESTS: usize = 64;
/// Bytes that are fetched before they are asked for, at the most, for one reader: what a gigabit or so brings while
/// an answer is on its way. Never more than a quarter of the memory for blocks, or readers would drive out each
/// other's before they are read.
const WINDOW: u64 = 32 << 20;

/// What a reader is going to read, in its order. Dropping it ends the fetching.
///
/// Does nothing where packs are files of this machine: its system reads ahead by itself.
#[derive(Debug, Default)]
pub struct ReadAhead(Option<Plan>);

#[derive(Debug)]
struct Plan {
    packs: Arc<Packs>,
    /// The blocks with the bytes that are wanted of them.
    blocks: Vec<(BlockKey, u64)>,
    /// For each place, its first block.
    starts: Vec<usize>,
    /// Bytes that are fetched before they are asked for.
    window: u64,
    fetching: Mutex<Fetching>,
}

#[derive(Debug, Default)]
struct Fetching {
    /// The first block that has not been asked for.
    next: usize,
    tasks: JoinSet<(usize, Option<Pin>)>,
    /// What is kept for the reader until he has come past it.
    pins: HashMap<usize, Pin>,
}

impl ReadAhead {
    pub(crate) fn new(packs: &Arc<Packs>, places: impl IntoIterator<Item = Location>) -> Self {
        let Some(all) = &packs.blocks else { return Self(None) };
        let window = WINDOW.min(all.capacity() / 4);
        let (mut blocks, mut starts) = (Vec::<(BlockKey, u64)>::new(), Vec::new());
        for Location { pack, offset, length } in places {
            let end = offset.saturating_add(length);
            let first = offset / BLOCK;
            let is_shared = blocks.last().is_some_and(|(key, _)| *key == (pack, first));
            starts.push(blocks.len() - usize::from(is_shared));
            for block in first..end.div_ceil(BLOCK) {
                let wanted = end.min((block + 1) * BLOCK) - offset.max(block * BLOCK);
                match blocks.last_mut() {
                    Some((key, bytes)) if *key == (pack, block) => *bytes += wanted,
                    _ => blocks.push(((pack, block), wanted)),
                }
            }
        }
        Self(Some(Plan { packs: packs.clone(), blocks, starts, window, fetching: Mutex::default() }))
    }

    /// The place of this number, from 0, is being read: what follows it is fetched.
    pub fn reached(&self, place: usize) {
        if let Some(plan) = &self.0 {
            plan.fetch_behind(plan.starts.get(place).copied().unwrap_or(plan.blocks.len()));
        }
    }

    /// Gives up what is kept for a reader who does not go on; he can.
    pub(super) fn rest(&self) {
        if let Some(plan) = &self.0 {
            let mut fetching = plan.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            (fetching.tasks, fetching.pins) = <_>::default();
        }
    }

    /// The number of each block, from 0, in the order of reading.
    pub(super) fn numbers(&self) -> HashMap<BlockKey, usize> {
        let blocks = self.0.iter().flat_map(|plan| &plan.blocks);
        blocks.enumerate().map(|(number, (key, _))| (*key, number)).collect()
    }

    /// The block of this number is being read: what follows it is fetched.
    pub(super) fn reached_block(&self, number: usize) {
        if let Some(plan) = &self.0 {
            plan.fetch_behind(number);
        }
    }
}

impl Plan {
    fn fetch_behind(&self, at: usize) {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let Fetching { next, tasks, pins } = &mut *fetching;
        while let Some(fetched) = tasks.try_join_next() {
            pins.extend(fetched.ok().and_then(|(number, pin)| Some((number, pin?))));
        }
        pins.retain(|number, _| *number >= at);
        *next = (*next).max(at);
        let waiting = self.blocks.get(at..*next).unwrap_or_default();
        let mut ahead: u64 = waiting.iter().map(|(_, wanted)| wanted).sum();
        if ahead > 2 * self.window {
            // The reader has gone back: what it read before may be forgotten by now.
            (*next, ahead) = (at, 0);
            pins.clear();
        }
        while let Some((key, wanted)) = self.blocks.get(*next) {
            if tasks.len() >= REQUESTS || ahead > self.window {
                return;
            }
            let (packs, key, number) = (self.packs.clone(), *key, *next);
            tasks.spawn(async move { (number, packs.warm(key).await) });
            ahead += wanted;
            *next += 1;
        }
    }
}

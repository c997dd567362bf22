//! Readers that ask for one frame after the other, as viewers do: what comes next is fetched before they ask.
//!
//! Whoever has read two blocks of a series will most likely read the others, in the order of the series. Does nothing
//! where packs are files of this machine: its system reads ahead by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Packs;
use super::ahead::ReadAhead;
use super::cache::{BLOCK, BlockKey};
use crate::index::Index;
use crate::model::{Instance, Resource, SeriesInstanceUid};

/// Series that are remembered, those that were read last.
const SERIES: usize = 16;
/// After so long nobody is taken to go on reading a series: what is kept for him is given up.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Follow {
    series: Mutex<VecDeque<Followed>>,
}

#[derive(Debug)]
struct Followed {
    series: SeriesInstanceUid,
    state: State,
    read: Instant,
}

#[derive(Debug, Clone)]
enum State {
    /// Of one block nothing follows.
    Seen(BlockKey),
    Planned(Arc<Plan>),
}

/// The blocks of a series in its order.
#[derive(Debug)]
struct Plan {
    numbers: HashMap<BlockKey, usize>,
    ahead: ReadAhead,
}

impl Follow {
    /// Tells that an instance is going to be read from `offset` on.
    pub(crate) async fn reading(
        &self,
        packs: &Arc<Packs>,
        index: &Arc<dyn Index>,
        instance: &Instance,
        offset: u64,
    ) {
        if !packs.are_far() {
            return;
        }
        let block = (instance.location.pack, instance.location.offset.saturating_add(offset) / BLOCK);
        if !self.is_worth_a_plan(&instance.series, block) {
            return;
        }
        let series = Resource::Series(instance.study.clone(), instance.series.clone());
        // Whoever reads meets the error himself.
        let Ok(instances) = index.instances(&series).await else { return };
        let ahead = ReadAhead::new(packs, instances.iter().map(|instance| instance.location));
        let plan = Arc::new(Plan { numbers: ahead.numbers(), ahead });
        plan.reached(block);
        self.remember(&instance.series, State::Planned(plan));
    }

    /// Whether this is the second block of a series that is not followed. Goes on with one that is.
    fn is_worth_a_plan(&self, series: &SeriesInstanceUid, block: BlockKey) -> bool {
        match self.known(series) {
            // A pack that was rewritten, or an instance that has come since, is planned anew.
            Some(State::Planned(plan)) => !plan.reached(block),
            Some(State::Seen(seen)) => seen != block,
            None => {
                self.remember(series, State::Seen(block));
                false
            }
        }
    }

    /// What is known of a series that is being read.
    fn known(&self, series: &SeriesInstanceUid) -> Option<State> {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = None;
        for followed in all.iter_mut() {
            if followed.series == *series {
                followed.read = Instant::now();
                known = Some(followed.state.clone());
            } else if let State::Planned(plan) = &followed.state
                && followed.read.elapsed() > IDLE
            {
                plan.ahead.rest();
            }
        }
        known
    }

    fn remember(&self, series: &SeriesInstanceUid, state: State) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|followed| followed.series != *series);
        all.push_front(Followed { series: series.clone(), state, read: Instant::now() });
        all.truncate(SERIES);
    }
}

impl Plan {
    /// Fetches what is behind a block; `false` when it is none of the series.
    fn reached(&self, block: BlockKey) -> bool {
        let number = self.numbers.get(&block);
        if let Some(number) = number {
            self.ahead.reached_block(*number);
        }
        number.is_some()
    }
}

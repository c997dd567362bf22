//! Jobs that deal with one peer at the same time: so few that one which hangs leaves room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dicom_store::model::AeTitle;

/// Jobs under way, by peer; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<AeTitle, usize>>>);

/// Jobs with one peer at a time.
const MOST: usize = 2;

impl Turns {
    fn under_way(&self) -> MutexGuard<'_, HashMap<AeTitle, usize>> {
        // A panic elsewhere cannot have broken a map of counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn with this peer; `None` while others have all of them.
    pub(crate) fn take(&self, peer: &AeTitle) -> Option<Turn> {
        let mut under_way = self.under_way();
        let count = under_way.entry(peer.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Turn { of: self.clone(), peer: peer.clone() })
    }
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    of: Turns,
    peer: AeTitle,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.of.under_way();
        if let Some(count) = under_way.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_hangs_leaves_the_turns_of_others() {
        let turns = Turns::default();
        let (stuck, other) = ("STUCK".parse().unwrap(), "WS".parse().unwrap());
        let held: Vec<_> = (0..MOST).map(|_| turns.take(&stuck)).collect();
        assert!(held.iter().all(Option::is_some) && turns.take(&stuck).is_none());
        assert!(turns.take(&other).is_some());
        drop(held);
        assert!(turns.take(&stuck).is_some());
        assert!(turns.under_way().is_empty());
    }
}

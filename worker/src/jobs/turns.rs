//! Jobs that deal with one peer at the same time: so few that one which hangs leaves room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dicom_store::model::AeTitle;

/// Jobs under way, by peer; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<AeTitle, Vec<String>>>>);

/// Jobs with one peer at a time.
const MOST: usize = 2;

impl Turns {
    fn under_way(&self) -> MutexGuard<'_, HashMap<AeTitle, Vec<String>>> {
        // A panic elsewhere cannot have broken a map of names.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn with this peer for one thing, such as a study; `None` while others have all of them, or another job is about
    /// the same.
    pub(crate) fn take(&self, peer: &AeTitle, what: &str) -> Option<Turn> {
        let mut under_way = self.under_way();
        let with_peer = under_way.entry(peer.clone()).or_default();
        if with_peer.len() >= MOST || with_peer.iter().any(|other| other == what) {
            return None;
        }
        with_peer.push(what.to_owned());
        Some(Turn { of: self.clone(), peer: peer.clone(), what: what.to_owned() })
    }
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    of: Turns,
    peer: AeTitle,
    what: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.of.under_way();
        if let Some(with_peer) = under_way.get_mut(&self.peer) {
            with_peer.retain(|other| *other != self.what);
            if with_peer.is_empty() {
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
        let held: Vec<_> = (0..MOST).map(|study| turns.take(&stuck, &study.to_string())).collect();
        assert!(held.iter().all(Option::is_some) && turns.take(&stuck, "more").is_none());
        assert!(turns.take(&other, "0").is_some());
        drop(held);
        assert!(turns.take(&stuck, "more").is_some());
        assert!(turns.under_way().is_empty());
    }

    #[test]
    fn no_two_jobs_are_about_the_same() {
        let (turns, peer) = (Turns::default(), "WS".parse().unwrap());
        let first = turns.take(&peer, "1.2");
        assert!(first.is_some() && turns.take(&peer, "1.2").is_none());
        assert!(turns.take(&peer, "1.3").is_some());
        drop(first);
        assert!(turns.take(&peer, "1.2").is_some());
    }
}

//! The way to one peer, which all associations to it share: how many there may be, and how fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dicom_store::Peer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{Error, Result};

/// Associations to a peer, and the bytes on them.
#[derive(Debug)]
pub(crate) struct Lane {
    peer: String,
    most: usize,
    places: Arc<Semaphore>,
    /// 0 for as fast as it goes.
    bytes_a_second: u64,
    /// When the next byte may go.
    free_at: Mutex<Instant>,
}

impl Lane {
    /// By the limits that a peer has.
    pub(crate) fn of(peer: &Peer) -> Self {
        let most = most(peer);
        Self {
            peer: peer.ae_title.to_string(),
            most,
            places: Arc::new(Semaphore::new(most)),
            bytes_a_second: peer.max_kib_s.saturating_mul(1024),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Whether these are still the limits.
    pub(crate) fn is_of(&self, peer: &Peer) -> bool {
        self.most == most(peer) && self.bytes_a_second == peer.max_kib_s.saturating_mul(1024)
    }

    /// Whether bytes have to wait for each other.
    pub(crate) fn is_limited(&self) -> bool {
        self.bytes_a_second > 0
    }

    /// A place for one association, for which it waits so long.
    ///
    /// # Errors
    /// When none becomes free in time.
    pub(crate) async fn enter(&self, limit: Duration) -> Result<OwnedSemaphorePermit> {
        match timeout(limit, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Error::GivenUp(format!("all {} associations to {} are busy", self.most, self.peer))),
        }
    }

    /// A place for one association, if there is one now.
    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits until so many bytes may go, all associations counted together.
    pub(crate) async fn pass(&self, bytes: usize) {
        if self.is_limited() {
            sleep_until(self.next(bytes, Instant::now())).await;
        }
    }

    /// When so many bytes may go that are ready now; the next ones go behind them.
    fn next(&self, bytes: usize, now: Instant) -> Instant {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_a_second.max(1);
        // A panic elsewhere cannot have broken a point in time.
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*free_at).max(now);
        *free_at = begins + Duration::from_micros(micros);
        begins
    }
}

fn most(peer: &Peer) -> usize {
    peer.max_associations.clamp(1, Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(max_associations: usize, max_kib_s: u64) -> Peer {
        Peer { max_associations, max_kib_s, ..Peer::new("WS".parse().unwrap(), "ws", 104) }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_it_was_left() {
        let (lane, short) = (Lane::of(&peer(1, 0)), Duration::from_millis(5));
        let place = lane.enter(short).await.unwrap();
        assert!(lane.enter(short).await.is_err() && lane.try_enter().is_none());
        drop(place);
        assert!(lane.enter(short).await.is_ok());
        assert!(lane.is_of(&peer(1, 0)) && !lane.is_of(&peer(2, 0)) && !lane.is_of(&peer(1, 5)));
    }

    #[test]
    fn all_associations_together_are_no_faster_than_they_may_be() {
        let lane = Lane::of(&peer(4, 100));
        let now = Instant::now() + Duration::from_secs(1);
        let ready: Vec<Duration> = (0..4).map(|_| lane.next(50 * 1024, now) - now).collect();
        assert_eq!(ready, [0, 500, 1000, 1500].map(Duration::from_millis));
        // What was not used is not caught up with.
        let later = now + Duration::from_secs(60);
        assert_eq!(lane.next(1024, later), later);
    }
}

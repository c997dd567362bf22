//! The way to one peer, which all associations to it share: how many there may be, and how fast.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::Peer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use worker::destination::Rate;

use crate::error::{Error, Result};

/// Associations to a peer, and the bytes on them.
#[derive(Debug)]
pub(crate) struct Lane {
    peer: String,
    most: usize,
    places: Arc<Semaphore>,
    pub(crate) rate: Rate,
}

impl Lane {
    /// By the limits that a peer has.
    pub(crate) fn of(peer: &Peer) -> Self {
        let most = most(peer);
        Self {
            peer: peer.ae_title.to_string(),
            most,
            places: Arc::new(Semaphore::new(most)),
            rate: Rate::of_kib(peer.max_kib_s),
        }
    }

    /// Whether these are still the limits.
    pub(crate) fn is_of(&self, peer: &Peer) -> bool {
        self.most == most(peer) && self.rate.is_of_kib(peer.max_kib_s)
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
}

//! The one byte budget of everything that is on its way out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, ErrorKind, Result};

/// How long a reader waits for others to give back what they hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one permit stands for.
const UNIT: u64 = 1024;

/// Bytes of memory that all readers share. Whoever finds it spent waits, as slow peers give back what they hold
/// when they have taken it or are given up.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    units: Arc<Semaphore>,
    all: u32,
    patience: Duration,
}

/// Bytes that give their room back when the last of their slices is dropped.
struct Held {
    bytes: Bytes,
    _room: Room,
}

/// A part of the budget.
#[derive(Debug)]
pub(crate) struct Room {
    _units: OwnedSemaphorePermit,
}

impl Serving {
    pub(crate) fn new(bytes: u64) -> Self {
        let all = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX);
        let units = Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { units, all, patience: PATIENCE }
    }

    /// Waits for room. What is larger than the whole budget takes all of it: one such is out at a time.
    ///
    /// # Errors
    /// `Unavailable` when there is still none after half a minute.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Room> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.all);
        let units_taken = self.units.clone().acquire_many_owned(units);
        match tokio::time::timeout(self.patience, units_taken).await {
            Ok(units) => Ok(Room { _units: units.expect("the semaphore is never closed") }),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "too many bytes are on their way to other peers (store.serve-memory-mib)",
            )),
        }
    }
}

impl Room {
    /// Ties the room to what is kept in it.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_given_back_with_the_last_slice() {
        let serving = Serving { patience: Duration::from_millis(20), ..Serving::new(4 * UNIT) };
        let bytes = serving.take(3 * UNIT).await.unwrap().hold(Bytes::from_static(b"0123456789"));
        let slice = bytes.slice(2..4);
        drop(bytes);
        assert_eq!(serving.take(2 * UNIT).await.unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(slice, &b"23"[..]);
        drop(slice);
        serving.take(4 * UNIT).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_larger_than_all_of_it_waits_for_all_of_it() {
        let serving = Serving { patience: Duration::from_millis(20), ..Serving::new(4 * UNIT) };
        let small = serving.take(1).await.unwrap();
        assert!(serving.take(u64::MAX).await.is_err());
        drop(small);
        serving.take(u64::MAX).await.unwrap();
    }
}

//! The one byte budget of everything that is on its way out.
//!
//! Objects go out in steps, and what a reader holds while it takes nothing is some steps at the most. The budget is
//! in three parts by the size of what is taken, so that nobody who wants little waits behind somebody who wants
//! much. When one waits all the same the [`Pressure`] is high, and whoever holds a part and takes nothing of it is
//! ended soon: each protocol sees to that for its own peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, ErrorKind, Result};

/// How long a reader waits for others to give back what they hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits before it counts as waiting: most give back what they hold at once.
const CALM: Duration = Duration::from_millis(500);
/// How long somebody may hold what others wait for and take nothing of it.
const HASTE: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody waits.
const LOOK: Duration = Duration::from_millis(500);
/// What one permit stands for.
const UNIT: u64 = 1024;
/// What is not larger comes out of a part of its own: small frames, ends of large ones.
const SMALL: u64 = 64 << 10;
/// What is not larger is a step of something large.
const LARGEST_STEP: u64 = 1 << 20;

/// Bytes of memory that all readers share. Whoever finds his part of it spent waits, as slow peers give back what
/// they hold when they have taken it or are given up.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    small: Part,
    steps: Part,
    /// What cannot go out in steps: frames that are decoded or put together in memory.
    wholes: Part,
    pressure: Pressure,
    patience: Duration,
}

#[derive(Debug, Clone)]
struct Part {
    units: Arc<Semaphore>,
    all: u32,
}

/// Whether readers wait for what others hold.
#[derive(Debug, Clone, Default)]
pub struct Pressure {
    waiting: Arc<AtomicUsize>,
}

/// One reader that waits, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

/// Bytes that give their room back when the last of their slices is dropped.
struct Held {
    bytes: Bytes,
    _room: Room,
}

/// A part of the memory that all readers share; given back by being dropped.
#[derive(Debug)]
pub struct Room {
    units: OwnedSemaphorePermit,
}

impl Serving {
    pub(crate) fn new(bytes: u64) -> Self {
        let (small, wholes) = (bytes / 8, bytes / 3);
        Self {
            small: Part::new(small),
            steps: Part::new(bytes - small - wholes),
            wholes: Part::new(wholes),
            pressure: Pressure::default(),
            patience: PATIENCE,
        }
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// Waits for room. What is larger than its whole part takes all of it: one such is out at a time.
    ///
    /// # Errors
    /// `Unavailable` when there is still none after half a minute.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Room> {
        let part = match bytes {
            _ if bytes <= SMALL => &self.small,
            _ if bytes <= LARGEST_STEP => &self.steps,
            _ => &self.wholes,
        };
        let taken = part.units.clone().acquire_many_owned(part.units(bytes));
        match tokio::time::timeout(self.patience, self.pressure.rising(taken)).await {
            Ok(units) => Ok(Room { units: units.expect("the semaphore is never closed") }),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "too many bytes are on their way to other peers (store.serve-memory-mib)",
            )),
        }
    }
}

impl Part {
    fn new(bytes: u64) -> Self {
        let all = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX);
        let units = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), all }
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.all)
    }
}

impl Pressure {
    /// Whether somebody waits for what others hold.
    pub fn is_high(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether somebody who holds a part of the memory since then, and takes nothing of it, is to be ended: others
    /// wait for it.
    pub fn ends(&self, since: Instant) -> bool {
        since.elapsed() >= HASTE && self.is_high()
    }

    /// Waits until [`Pressure::ends`] is true of somebody who has taken nothing since this began.
    pub async fn ended(&self) {
        let since = Instant::now();
        while !self.ends(since) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for something, and is high meanwhile when that takes long.
    async fn rising<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        if let Ok(done) = tokio::time::timeout(CALM, &mut wait).await {
            return done;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        wait.await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// Ties the room to what is kept in it; what it has more than that is given back.
    pub fn hold(mut self, bytes: Bytes) -> Bytes {
        let needed = bytes.len().div_ceil(usize::try_from(UNIT).unwrap_or(usize::MAX));
        drop(self.units.split(self.units.num_permits().saturating_sub(needed)));
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

    const MIB: u64 = 1 << 20;

    fn impatient(bytes: u64) -> Serving {
        Serving { patience: Duration::from_millis(20), ..Serving::new(bytes) }
    }

    #[tokio::test]
    async fn room_is_given_back_with_the_last_slice() {
        let serving = impatient(3 * MIB);
        let held = serving.take(MIB).await.unwrap().hold(vec![7; 1 << 20].into());
        let slice = held.slice(2..4);
        drop(held);
        assert_eq!(serving.take(MIB).await.unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(slice, &[7, 7][..]);
        drop(slice);
        serving.take(MIB).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_larger_than_all_of_it_waits_for_all_of_it() {
        let serving = impatient(12 * MIB);
        let some = serving.take(2 * MIB).await.unwrap();
        assert!(serving.take(u64::MAX).await.is_err());
        drop(some);
        serving.take(u64::MAX).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_needed_is_given_back_at_once() {
        let serving = impatient(12 * MIB);
        let held = serving.take(4 * MIB).await.unwrap().hold(vec![0; 1 << 20].into());
        serving.take(3 * MIB).await.unwrap();
        drop(held);
    }

    #[tokio::test]
    async fn who_wants_little_does_not_wait_for_those_who_want_much() {
        let serving = impatient(12 * MIB);
        let _whole = serving.take(u64::MAX).await.unwrap();
        let mut steps = Vec::new();
        while let Ok(step) = serving.take(MIB).await {
            steps.push(step);
        }
        assert!(!steps.is_empty());
        serving.take(SMALL).await.unwrap();
    }

    #[tokio::test]
    async fn the_pressure_is_high_while_somebody_waits() {
        let serving = Serving::new(3 * MIB);
        let step = serving.take(MIB).await.unwrap();
        let waiting = tokio::spawn({
            let serving = serving.clone();
            async move { serving.take(MIB).await.map(drop) }
        });
        let pressure = serving.pressure().clone();
        let rises = async {
            while !pressure.is_high() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), rises).await.unwrap();
        drop(step);
        waiting.await.unwrap().unwrap();
        assert!(!pressure.is_high());
    }
}

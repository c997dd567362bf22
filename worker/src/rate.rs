//! How fast bytes go to one place, whoever sends them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What goes at a time where it is limited takes about so much of its rate: whoever waits for it is not mistaken for one
/// who takes nothing.
const STEPS_A_SECOND: u64 = 2;
/// Bytes that go at a time, at least and at the most.
const LEAST: u64 = 1 << 10;
const MOST: u64 = 256 << 10;

/// A limit of bytes a second, for all who send to one place.
#[derive(Debug)]
pub struct Rate {
    /// 0 for as fast as it goes.
    bytes_a_second: u64,
    /// When the next byte may go.
    free_at: Mutex<Instant>,
}

impl Rate {
    /// So many KiB a second; 0 for no limit.
    pub fn of_kib(kib: u64) -> Self {
        Self { bytes_a_second: kib.saturating_mul(1024), free_at: Mutex::new(Instant::now()) }
    }

    /// Whether it is the one of so many KiB.
    pub fn is_of_kib(&self, kib: u64) -> bool {
        self.bytes_a_second == kib.saturating_mul(1024)
    }

    /// Bytes that go at a time, an even number; `None` where nothing has to wait.
    pub fn step(&self) -> Option<usize> {
        let step = (self.bytes_a_second / STEPS_A_SECOND).clamp(LEAST, MOST) & !1;
        (self.bytes_a_second > 0).then(|| usize::try_from(step).unwrap_or(usize::MAX))
    }

    /// Bytes that may go in so long; `None` where there is no limit.
    pub fn within(&self, time: Duration) -> Option<u64> {
        (self.bytes_a_second > 0).then(|| self.bytes_a_second.saturating_mul(time.as_secs()))
    }

    /// Waits until so many bytes may go.
    pub async fn pass(&self, bytes: usize) {
        if self.bytes_a_second > 0 {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn all_who_send_are_together_no_faster_than_they_may_be() {
        let rate = Rate::of_kib(100);
        let now = Instant::now() + Duration::from_secs(1);
        let ready: Vec<Duration> = (0..4).map(|_| rate.next(50 * 1024, now) - now).collect();
        assert_eq!(ready, [0, 500, 1000, 1500].map(Duration::from_millis));
        // What was not used is not caught up with.
        let later = now + Duration::from_secs(60);
        assert_eq!(rate.next(1024, later), later);
    }

    #[rstest]
    #[case::no_limit(0, None)]
    #[case::slowest(1, Some(1024))]
    #[case::half_a_second(100, Some(50 * 1024))]
    #[case::fast(1 << 20, Some(256 << 10))]
    fn what_goes_at_a_time_is_small_where_it_is_slow(#[case] kib: u64, #[case] step: Option<usize>) {
        assert_eq!(Rate::of_kib(kib).step(), step);
        let within = Rate::of_kib(kib).within(Duration::from_secs(60));
        assert_eq!(within, (kib > 0).then_some(kib * 60 * 1024));
    }
}

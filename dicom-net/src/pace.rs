//! How fast a message comes: a peer may be slow, but not so slow that it only keeps its place.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::{Error, Result};
use crate::ul::Fragment;

/// The least rate of a data set under way, in bytes a second.
///
/// The slowest lines that still carry images (a satellite link, a modem) make several times as much; less
/// is a peer that holds an association and what it has sent so far without getting anywhere.
const LEAST_RATE: u64 = 1024;

/// What the rate is taken over, beside the longest silence that a peer is allowed: whoever falls silent for
/// that long has this much time left to make up for it.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// The bytes that have to come in that time.
pub(crate) const LEAST: u64 = LEAST_RATE * WINDOW.as_secs();

/// The pace of one message. Only time in which we wait for the peer counts, not what the archive takes.
pub(crate) struct Pace {
    stall: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// `stall`: how long the peer may send nothing at all.
    pub(crate) fn new(stall: Duration) -> Self {
        Self { stall, waited: Duration::ZERO, bytes: 0 }
    }

    /// The next fragment, for which `next` waits.
    ///
    /// # Errors
    /// `Silent` when nothing comes, `Slow` when too little came for too long, and those of `next`.
    pub(crate) async fn keep(&mut self, next: impl Future<Output = Result<Fragment>>) -> Result<Fragment> {
        let begun = Instant::now();
        let fragment = timeout(self.stall, next).await.map_err(|_| Error::Silent(self.stall))??;
        // With its last fragment a message is whole, however long it took.
        if !fragment.is_last {
            self.count(begun.elapsed(), fragment.bytes.len())?;
        }
        Ok(fragment)
    }

    fn count(&mut self, waited: Duration, bytes: usize) -> Result<()> {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.waited < self.stall.saturating_add(WINDOW) {
            return Ok(());
        }
        if self.bytes < LEAST {
            return Err(Error::Slow { bytes: self.bytes, seconds: self.waited.as_secs() });
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    /// How many fragments are taken, at most 10,000, when each comes after `wait` seconds.
    fn taken(bytes: usize, wait: f64) -> usize {
        let mut pace = Pace::new(STALL);
        let wait = Duration::from_secs_f64(wait);
        (0..10_000).take_while(|_| pace.count(wait, bytes).is_ok()).count()
    }

    #[rstest]
    #[case::a_byte_before_each_stall(1, 59.0, 2)]
    #[case::a_byte_a_second(1, 1.0, 119)]
    #[case::half_the_rate_in_small_parts(25, 0.1, 1199)]
    #[case::modem(1400, 0.4, 10_000)]
    #[case::a_pause_before_each_large_part(262_144, 59.0, 10_000)]
    #[case::large_object_on_a_fast_line(262_144, 0.002, 10_000)]
    fn only_a_peer_that_gets_nowhere_is_too_slow(
        #[case] bytes: usize,
        #[case] wait: f64,
        #[case] expected: usize,
    ) {
        assert_eq!(taken(bytes, wait), expected);
    }

    #[test]
    fn a_long_silence_after_a_fast_start_may_be_made_up_for() {
        let mut pace = Pace::new(STALL);
        for (waited, bytes) in [(60, 10_000_000), (59, 1), (59, 1), (2, 2_000), (57, 60 * 1024)] {
            assert!(pace.count(Duration::from_secs(waited), bytes).is_ok());
        }
    }

    fn fragment(is_last: bool) -> Fragment {
        Fragment { context: 1, is_command: false, is_last, bytes: Bytes::from_static(b"ab") }
    }

    #[rstest]
    #[case::under_way(false, true)]
    #[case::whole(true, false)]
    #[tokio::test]
    async fn a_message_is_given_up_only_while_it_is_under_way(#[case] is_last: bool, #[case] is_slow: bool) {
        let mut pace = Pace { stall: STALL, waited: STALL + WINDOW, bytes: 100 };
        let kept = pace.keep(async { Ok(fragment(is_last)) }).await;
        assert_eq!(matches!(kept, Err(Error::Slow { bytes: 102, seconds: 120 })), is_slow, "{kept:?}");
    }

    #[tokio::test]
    async fn nothing_at_all_is_silence() {
        let kept = Pace::new(Duration::from_millis(1)).keep(std::future::pending()).await;
        assert!(matches!(kept, Err(Error::Silent(_))));
    }
}

//! Whether a question is answered on the spot.
//!
//! What the system has of the file in memory, as it has what is asked for again and again, is read in microseconds: to
//! give the question to a thread that may block, and to hear of the answer, takes longer. Once an answer was waited for,
//! all others go to such threads for a while, so that a cold index holds up one question now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An answer that takes longer has waited for a disk, or for somebody else.
const SOON: Duration = Duration::from_millis(2);
/// How long nothing is answered on the spot then.
const REST: Duration = Duration::from_millis(500);

/// How soon answers came lately.
#[derive(Debug)]
pub(super) struct Near {
    begun: Instant,
    /// In milliseconds behind `begun`.
    rests_until: AtomicU64,
}

impl Default for Near {
    fn default() -> Self {
        Self { begun: Instant::now(), rests_until: AtomicU64::new(0) }
    }
}

impl Near {
    pub(super) fn is_worth_it(&self) -> bool {
        self.now() >= self.rests_until.load(Ordering::Relaxed)
    }

    /// Answers on the spot, and notes how soon that was.
    pub(super) fn answer<T>(&self, ask: impl FnOnce() -> T) -> T {
        let asked = Instant::now();
        let answer = ask();
        if asked.elapsed() > SOON {
            let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
            self.rests_until.store(self.now().saturating_add(rest), Ordering::Relaxed);
        }
        answer
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_that_is_waited_for_sends_the_others_elsewhere_for_a_while() {
        let near = Near::default();
        assert_eq!((near.answer(|| 7), near.is_worth_it()), (7, true));
        near.answer(|| {
            let begun = Instant::now();
            while begun.elapsed() <= SOON {
                std::hint::spin_loop();
            }
        });
        assert!(!near.is_worth_it());
        let rested = Near { begun: near.begun.checked_sub(2 * REST).unwrap(), ..near };
        assert!(rested.is_worth_it());
    }
}

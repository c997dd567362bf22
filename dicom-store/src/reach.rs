//! Whether something elsewhere answers: after it has not, whoever needs it is refused at once, and one at a time tries.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Result};

/// How long nobody tries after somebody has tried in vain.
const REST: Duration = Duration::from_secs(2);

/// What is known of something that may be gone.
#[derive(Debug)]
pub(crate) struct Reach {
    /// What is said when it is.
    gone: &'static str,
    /// Since it was lost: when the next may try.
    again: Mutex<Option<Instant>>,
}

impl Reach {
    pub(crate) fn new(gone: &'static str) -> Self {
        Self { gone, again: Mutex::new(None) }
    }

    fn again(&self) -> MutexGuard<'_, Option<Instant>> {
        // Whole after every statement; a panic elsewhere cannot have broken it.
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn gone(&self) -> Error {
        Error::new(ErrorKind::Unavailable, self.gone)
    }

    /// Whether it was lost and nobody has reached it since.
    pub(crate) fn is_lost(&self) -> bool {
        self.again().is_some()
    }

    /// Lets everybody through while it answers; when it was lost, one who tries for `limit` at the most.
    ///
    /// # Errors
    /// `Unavailable` for all others.
    pub(crate) fn admit(&self, limit: Duration) -> Result<()> {
        let mut again = self.again();
        match *again {
            Some(next) if Instant::now() < next => Err(self.gone()),
            Some(_) => {
                *again = Some(Instant::now() + limit);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Somebody tries for `limit` at the most, who has not asked; all others are refused.
    pub(crate) fn hold(&self, limit: Duration) {
        *self.again() = Some(Instant::now() + limit);
    }

    /// It has answered, whatever it said.
    pub(crate) fn found(&self) {
        *self.again() = None;
    }

    /// It has not answered.
    pub(crate) fn lost(&self) {
        *self.again() = Some(Instant::now() + REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_tries_to_reach_what_was_lost() {
        let reach = Reach::new("it is gone");
        assert!(reach.admit(Duration::ZERO).is_ok() && reach.admit(Duration::ZERO).is_ok());
        reach.lost();
        assert_eq!(reach.admit(Duration::ZERO).unwrap_err().what, "it is gone");
        *reach.again() = Some(Instant::now());
        assert!(reach.admit(Duration::from_secs(60)).is_ok(), "nobody may try");
        assert!(reach.admit(Duration::ZERO).is_err(), "two try at once");
        *reach.again() = Some(Instant::now());
        reach.hold(Duration::from_secs(60));
        assert!(reach.admit(Duration::ZERO).is_err(), "somebody tries beside who has not asked");
        reach.found();
        assert!(!reach.is_lost() && reach.admit(Duration::ZERO).is_ok());
    }
}

//! How long decoding a stream may take.
//!
//! Real streams take up to 16 µs a byte (JPEG 2000 of few bytes and many samples, on a slow core). So a small stream that
//! was damaged, or made to keep a processor busy, ends soon, and a large one has the time that it needs.

use std::time::{Duration, Instant};

use super::{Error, ErrorKind, Result};

const LEAST: Duration = Duration::from_secs(2);
const OF_A_BYTE: Duration = Duration::from_micros(40);

/// The time at which a stream is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    end: Instant,
    limit: Duration,
}

impl Patience {
    /// For a stream that is begun now.
    pub(super) fn of(stream: &[u8]) -> Self {
        let bytes = u32::try_from(stream.len()).unwrap_or(u32::MAX);
        let limit = LEAST + OF_A_BYTE.saturating_mul(bytes);
        Self { end: Instant::now() + limit, limit }
    }

    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// # Errors
    /// `Internal` when the time is over: it may have been the machine's fault.
    pub(super) fn check(&self, codec: &str) -> Result<()> {
        if self.left().is_zero() {
            let what = format!("{codec} stream is not decoded within {:.1} s", self.limit.as_secs_f64());
            return Err(Error::new(ErrorKind::Internal, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_two_seconds_and_more_the_longer_it_is() {
        let limit = |length: usize| Patience::of(&vec![0; length]).limit;
        assert_eq!((limit(0), limit(1 << 20).as_secs()), (LEAST, 43));
        assert!(Patience::of(&[]).check("JPEG").is_ok());
        let over = Patience { end: Instant::now(), limit: LEAST };
        assert_eq!(over.check("JPEG").unwrap_err().kind, ErrorKind::Internal);
    }
}

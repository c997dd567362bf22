//! Waiting for something that can be seen, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, and fails with `what` when the limit has passed.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        if began.elapsed() > limit {
            bail!("{what}: not seen within {limit:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

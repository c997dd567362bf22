//! Who could not prove to be a node that is let in: a line of the audit (PS3.15 §A.5.3.11), and not so many of them that
//! whoever calls again and again fills it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dicom_store::{Archive, Caller, Session};
use tracing::warn;

/// Of one address there is a line in this time.
const EACH: Duration = Duration::from_secs(60);
/// Addresses that are remembered; more than these at a time are in the log alone.
const MOST: usize = 256;

/// Writes them down.
pub(super) struct Alerts {
    session: Session,
    seen: Mutex<HashMap<IpAddr, Instant>>,
}

impl Alerts {
    pub(super) fn new(archive: &Archive) -> Self {
        Self { session: archive.acting_as(Caller::System("dimse tls")), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        // A panic elsewhere cannot have broken a map of times.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth a line.
    fn is_news(&self, address: IpAddr, now: Instant) -> bool {
        let mut seen = self.seen();
        seen.retain(|_, at| now.duration_since(*at) < EACH);
        let is_news = !seen.contains_key(&address) && seen.len() < MOST;
        if is_news {
            seen.insert(address, now);
        }
        is_news
    }

    /// Somebody at this address was refused.
    pub(super) async fn refused(&self, address: IpAddr, why: &str) {
        if !self.is_news(address, Instant::now()) {
            return;
        }
        if let Err(error) = self.session.refused_node(address, why).await {
            warn!(%error, "a node that was refused is in the log alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture;

    use super::*;

    #[tokio::test]
    async fn whoever_calls_again_and_again_fills_nothing() {
        let (archive, _folder) = fixture::archive().await;
        let alerts = Alerts::new(&archive);
        let (begun, address) = (Instant::now(), IpAddr::from([10, 0, 0, 5]));
        assert!(alerts.is_news(address, begun) && !alerts.is_news(address, begun));
        assert!(alerts.is_news(address, begun + EACH));
        let many = (0..1000_u32).map(|number| IpAddr::from((0x0A01_0000 + number).to_be_bytes()));
        assert_eq!(many.filter(|address| alerts.is_news(*address, begun + EACH)).count(), MOST - 1);
    }

    #[tokio::test]
    async fn a_refused_node_has_a_line_of_the_audit() {
        let (archive, _folder) = fixture::archive().await;
        Alerts::new(&archive).refused([10, 0, 0, 5].into(), "the peer shows no certificate").await;
        let audit = fixture::system(&archive).audit(None, 10).await.unwrap();
        let row = &audit[0].1;
        assert_eq!((row.action.as_str(), row.what.as_str()), ("refuse node", "10.0.0.5"));
        assert_eq!(row.outcome, "the peer shows no certificate");
    }
}

//! Who calls and is in no table of peers: noted in the register, to be named by somebody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dicom_store::peer::SENDER;
use dicom_store::register::{Entry, Registered};
use dicom_store::{Sender, Work};
use tracing::warn;

/// How often it is written down who has called.
const EACH: Duration = Duration::from_secs(2);
/// Senders that wait to be written down; whoever calls under ever other titles fills no memory.
const MOST_WAITING: usize = 256;
/// Senders that are kept; those that have not called for longest go.
const MOST_KEPT: usize = 1000;

/// Counts calls, and writes them down now and then.
#[derive(Debug)]
pub(crate) struct Senders {
    work: Work,
    /// By name, with how often they have called since.
    seen: Mutex<HashMap<String, (Sender, u64)>>,
}

impl Senders {
    pub(crate) fn new(work: Work) -> Self {
        Self { work, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, (Sender, u64)>> {
        // A panic elsewhere cannot have broken a map of counts.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has called.
    pub(crate) fn note(&self, sender: Sender) {
        let mut seen = self.seen();
        let (name, has_room) = (sender.name(), seen.len() < MOST_WAITING);
        match seen.get_mut(&name) {
            Some((_, times)) => *times += 1,
            None if has_room => drop(seen.insert(name, (sender, 1))),
            None => {}
        }
    }

    /// Writes down who has called, again and again, as long as it is asked for.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::time::sleep(EACH).await;
            self.write().await;
        }
    }

    /// Writes down who has called since.
    pub(crate) async fn write(&self) {
        let seen = std::mem::take(&mut *self.seen());
        if seen.is_empty() {
            return;
        }
        if let Err(error) = self.register(seen).await {
            // They call again.
            warn!(%error, "senders that nobody has named cannot be noted");
        }
    }

    async fn register(&self, seen: HashMap<String, (Sender, u64)>) -> dicom_store::Result<()> {
        let entries = seen.into_iter().filter_map(|(name, (sender, times))| {
            let body = serde_json::to_string(&sender).ok()?;
            Some(Entry { times, ..Entry::new(SENDER, name, body) })
        });
        self.work.register(&entries.collect::<Vec<_>>()).await?;
        let most = u32::try_from(MOST_KEPT + MOST_WAITING).unwrap_or(u32::MAX);
        let mut kept: Vec<Registered> = self.work.registered(SENDER, "", most).await?;
        kept.sort_unstable_by_key(|row| std::cmp::Reverse(row.written));
        for row in kept.iter().skip(MOST_KEPT) {
            self.work.unregister(SENDER, &row.name).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture;
    use dicom_store::model::AeTitle;

    use super::*;

    fn sender(number: usize) -> Sender {
        Sender { ae_title: AeTitle::parse(&format!("CT{number}")).unwrap(), address: [10, 0, 0, 5].into() }
    }

    #[tokio::test]
    async fn calls_are_counted_and_whoever_calls_under_ever_other_titles_fills_nothing() {
        let (archive, _folder) = fixture::archive().await;
        let senders = Senders::new(archive.work());
        for round in 0..6 {
            for number in 0..300 {
                senders.note(sender(round * 300 + number));
                senders.note(sender(round * 300 + number));
            }
            senders.write().await;
        }
        let kept = archive.work().registered(SENDER, "", 5000).await.unwrap();
        assert_eq!(kept.len(), MOST_KEPT);
        assert!(kept.iter().all(|row| row.times == 2 && row.made <= row.written));
        assert!(kept.iter().any(|row| row.name == sender(5 * 300).name()));
        assert!(!kept.iter().any(|row| row.name == sender(0).name()));
    }
}

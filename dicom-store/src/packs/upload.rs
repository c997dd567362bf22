//! Sealed packs of the log to the object store, in the background, until each is there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Packs;
use crate::model::PackId;

/// Packs that are uploaded at once.
const AT_A_TIME: usize = 3;
/// Wait after a pack that did not get through.
const RETRY: Duration = Duration::from_secs(5);

/// Packs that wait for their upload. They are in the log meanwhile, and read from there.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    packs: Mutex<BTreeSet<PackId>>,
    came: Notify,
}

impl Waiting {
    pub(super) fn add(&self, pack: PackId) {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).insert(pack);
        self.came.notify_one();
    }

    fn take(&self) -> Option<PackId> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

impl Waiting {
    pub(super) fn count(&self) -> usize {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Uploads what waits until it is told to stop; what is under way then is done again by the next start.
pub(crate) async fn run(packs: Arc<Packs>, stop: CancellationToken) {
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_A_TIME
            && let Some(pack) = packs.waiting.take()
        {
            let packs = packs.clone();
            under_way.spawn(async move { upload(&packs, pack).await });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = packs.waiting.came.notified() => {}
            Some(_) = under_way.join_next() => {}
        }
    }
}

async fn upload(packs: &Packs, pack: PackId) {
    match packs.upload(pack).await {
        Ok(()) => info!(pack = %pack, "pack uploaded"),
        Err(cause) => {
            warn!(pack = %pack, error = %cause.chain(), "a pack was not uploaded; it is tried again");
            tokio::time::sleep(RETRY).await;
            packs.waiting.add(pack);
        }
    }
}

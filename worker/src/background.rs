//! What the server does by itself: the dispatcher, the schedule and the runners, together.

use std::sync::Arc;

use dicom_store::{Archive, Caller};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::CpuPool;
use crate::dispatch::Dispatcher;
use crate::job::Registry;
use crate::jobs::{Thumbnail, TidyPacks, VerifyPack};
use crate::runner::Runner;
use crate::schedule;

/// The jobs of this crate.
pub fn registry(archive: &Archive, pool: &CpuPool) -> Registry {
    let session = archive.acting_as(Caller::System("thumbnail"));
    Registry::new()
        .with(Thumbnail::new(session, pool.clone()))
        .with(TidyPacks::new(archive.upkeep()))
        .with(VerifyPack::new(archive.upkeep()))
}

/// Jobs that somebody waits for, and what tells that there are new ones.
#[derive(Default)]
pub struct Awaited {
    pub registry: Registry,
    pub came: Arc<Notify>,
}

/// Follows the change feed, looks what time has made due, and runs jobs until told to stop; returns when those under way
/// have ended. Those that are awaited do not give way to what arrives, nor wait behind the others.
pub async fn run(archive: Archive, registry: Registry, awaited: Awaited, stop: CancellationToken) {
    let jobs_came = Arc::new(Notify::new());
    let dispatcher = Dispatcher::new(archive.work(), archive.changes(), Arc::clone(&jobs_came));
    let scheduling = schedule::run(archive.upkeep(), archive.work(), Arc::clone(&jobs_came), stop.clone());
    let runner = Runner::new(archive.work(), registry, jobs_came, archive.changes());
    let at_once =
        Runner::new(archive.work(), awaited.registry, awaited.came, archive.changes()).without_rest();
    tokio::join!(dispatcher.run(stop.clone()), scheduling, runner.run(stop.clone()), at_once.run(stop));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dicom_store::fixture::{self, ct};
    use dicom_store::{Cursor, DerivedKey, Stored};

    use super::*;

    #[tokio::test]
    async fn a_series_gets_its_thumbnail_without_anybody_asking() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let pool = CpuPool::new(1).unwrap();
        let stop = CancellationToken::new();
        let running =
            tokio::spawn(run(archive.clone(), registry(&archive, &pool), Awaited::default(), stop.clone()));

        let Stored::New(instance) = fixture::store(&session, &ct()).await.unwrap() else { panic!("not new") };
        let key = DerivedKey::thumbnail(&instance.study, &instance.series);
        let thumbnail = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(thumbnail) = session.derived(&key).await.unwrap() {
                    return thumbnail;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(thumbnail.await.unwrap().starts_with(&[0xFF, 0xD8]));

        stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
        assert_ne!(archive.work().cursor_of("dispatch").await.unwrap(), Cursor::default());
    }
}
